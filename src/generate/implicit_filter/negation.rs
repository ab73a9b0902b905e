//! What a question says no to: the cues of negation around a value, and how far they reach.
//!
//! Where it is not plain that a cue has ended, it is taken to reach on: a filter must never select what is excluded.

use std::ops::Range;

use super::candidate::{DOCUMENTS, WRITING};
use super::question::Question;

/// Cues directly before what is not wanted, such as `not from 2020`.
const PLAIN: &[&str] = &["not", "no", "no longer", "non", "without", "neither", "nor"];
/// Cues that take something out of all the rest, such as `except those of 2020`.
const EXCEPTING: &[&str] = &[
    "except",
    "excluding",
    "exclude",
    "other than",
    "apart from",
    "aside from",
];
/// Cues that reach to the end of their clause; of two that begin alike the longer stands first.
const CUES: &[&str] = &[
    "not",
    "no",
    "none",
    "nor",
    "neither",
    "never",
    "nobody",
    "nothing",
    "nowhere",
    "cannot",
    "without",
    "except",
    "excepting",
    "excluding",
    "exclude",
    "excludes",
    "excluded",
    "exclusive of",
    "other than",
    "else than",
    "different from",
    "unlike",
    "instead of",
    "rather than",
    "minus",
    "apart from",
    "aside from",
    "besides",
    "outside",
    "leave out",
    "leaving out",
    "save for",
    "omit",
    "omitting",
    "skip",
    "skipping",
    "avoid",
    "avoiding",
    "ignore",
    "ignoring",
    "disregard",
    "disregarding",
    "barring",
    "as opposed to",
    "in contrast to",
    // The commonest ones of other languages.
    "nicht",
    "kein",
    "keine",
    "keinen",
    "ohne",
    "außer",
    "ausser",
    "pas",
    "sans",
    "sauf",
    "sin",
    "excepto",
    "salvo",
    "senza",
    "eccetto",
    "tranne",
    "niet",
    "geen",
    "zonder",
    "behalve",
    "cant",
    "didnt",
    "doesnt",
    "dont",
    "arent",
    "isnt",
    "wasnt",
    "werent",
    "hasnt",
    "havent",
    "wont",
];
/// Words that take something out of all the rest where they stand behind a word for all, or right before a value.
const BUT: &[&str] = &["but", "save", "bar"];
/// Words of which `but` takes something out.
const ALL: &[&str] = &[
    "any",
    "all",
    "every",
    "each",
    "anything",
    "everything",
    "anyone",
    "everyone",
    "anybody",
    "everybody",
    "anywhere",
    "everywhere",
];
/// Words that can stand between a cue and what it belongs to.
const BETWEEN: &[&str] = &[
    "the", "a", "an", "of", "in", "from", "by", "is", "year", "than", "any", "with", "are", "as",
];
/// The same behind cues that take something out.
const BETWEEN_EXCEPTING: &[&str] = &["for", "those", "ones", "that"];
/// Words between a cue and what it belongs to at most.
const MAX_BETWEEN: usize = 5;
/// Words that begin another clause after a comma or a colon.
const OPENINGS: &[&str] = &[
    "what",
    "how",
    "why",
    "show",
    "list",
    "give",
    "find",
    "tell",
    "explain",
    "summarize",
    "summarise",
    "describe",
    "compare",
    "please",
    "i",
    "we",
    "you",
    "they",
    "it",
    "only",
    "just",
];
/// Words that begin another clause after `and` or `but`.
const ASKING: &[&str] = &["which", "what", "who", "whose", "when", "where", "why", "how"];
/// Words after the comma that closes what was put in between commas.
const GOING_ON: &[&str] = &[
    "by", "in", "from", "of", "for", "tagged", "within", "during", "under", "since", "before", "after", "until", "on",
    "about", "with", "between",
];
/// Cues that can stand in between commas, such as `, not drafts, from 2020`.
const IN_BETWEEN: &[&str] = &["not", "no", "without"];
/// Words directly after what is not wanted.
const AFTER: &[&str] = &["excluded", "excepted", "excluding", "aside"];
/// Words before `not` that say what somebody did not do.
const DOING: &[&str] = &["did", "do", "does", "has", "have", "had"];
/// Words after a value that are looked at.
const MAX_AFTER: usize = 5;

/// Returns the cue that plainly says that anything is asked for but what these words name.
pub(super) fn of_value(question: &Question<'_>, words: &Range<usize>) -> Option<Range<usize>> {
    if has_unequal_sign(question, words.start) {
        return Some(words.start..words.start);
    }
    let (mut before, mut is_plain) = (words.start, true);
    for _ in 0..=MAX_BETWEEN {
        let phrases = PLAIN.iter().filter(|_| is_plain).chain(EXCEPTING);
        if let Some(phrase) = phrases.into_iter().find(|phrase| question.ends_with(before, phrase)) {
            return Some(before - phrase.split(' ').count()..before);
        }
        let at = before.checked_sub(1)?;
        if BUT.contains(&question.words[at].folded.as_str()) && follows_all(question, at) {
            return Some(at..before);
        }
        let word = question.words[at].folded.as_str();
        let is_document = DOCUMENTS.iter().any(|it| question.words[at].is(it));
        if BETWEEN_EXCEPTING.contains(&word) || (is_document && !WRITING.contains(&word)) {
            is_plain = false;
        } else if !BETWEEN.contains(&word) && !WRITING.contains(&word) {
            return None;
        }
        before = at;
    }
    None
}

/// Returns whether `!=` or its like stands before a word.
fn has_unequal_sign(question: &Question<'_>, at: usize) -> bool {
    let before = &question.text[..question.words[at].place.start];
    let is_marked = before
        .strip_suffix('!')
        .is_some_and(|rest| rest.is_empty() || rest.ends_with(char::is_whitespace));
    is_marked || ["!=", "<>", "≠"].iter().any(|sign| before.trim_end().ends_with(sign))
}

/// Returns a cue that negates a clause, beside those words that say how it compares: what they say cannot be relied on.
pub(super) fn beside(question: &Question<'_>, words: &Range<usize>, said: &Range<usize>) -> Option<Range<usize>> {
    let mut cues = cues(question, words.start);
    let is_said = |cue: &Range<usize>| said.start <= cue.start && cue.end <= said.end;
    cues.retain(|cue| !is_said(cue) && !is_closed(question, cue, words.start));
    let is = |cue: &Range<usize>, wanted: &[&str]| wanted.contains(&question.words[cue.start].folded.as_str());
    // `neither German nor French` says no to both, once.
    if said.len() == 1 && is(said, &["nor"]) {
        cues.retain(|cue| !is(cue, &["nor"]));
        cues.truncate(usize::from(
            !(cues.len() == 1 && is(&cues[0], &["neither", "not", "no"])),
        ));
    }
    cues.pop().or_else(|| after(question, words))
}

/// Returns the cues that end before a word, in order.
fn cues(question: &Question<'_>, before: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < before {
        let cue = cue_at(question, at)
            .or_else(|| but_at(question, at, before))
            .filter(|cue| cue.end <= before);
        at = cue.as_ref().map_or(at + 1, |cue| cue.end);
        found.extend(cue);
    }
    found
}

fn cue_at(question: &Question<'_>, at: usize) -> Option<Range<usize>> {
    let word = |at: usize| question.words.get(at).map(|word| word.folded.as_str());
    if word(at + 1) == Some("t") && word(at)?.ends_with('n') && matches!(question.between(at, at + 1), "'" | "’") {
        return Some(at..at + 2);
    }
    // `in other years than 2020`
    if matches!(word(at)?, "other" | "else") {
        let than = (at + 1..at + 5).find(|at| word(*at) == Some("than"))?;
        return Some(at..than + 1);
    }
    let phrase = CUES.iter().find(|phrase| question.begins_with(at, phrase))?;
    Some(at..at + phrase.split(' ').count())
}

/// Returns `but`, or its like, where it takes something out: after a word for all, or right before a value.
fn but_at(question: &Question<'_>, at: usize, value: usize) -> Option<Range<usize>> {
    let goes_on = |word: &str| matches!(word, "also" | "only" | "just");
    let is_but = BUT.contains(&question.words[at].folded.as_str())
        && cue_at(question, at + 1).is_none()
        && !question.words.get(at + 1).is_some_and(|word| goes_on(&word.folded));
    let is_right_before = || {
        let between = &question.words[at + 1..value];
        between.iter().all(|word| BETWEEN.contains(&word.folded.as_str()))
    };
    (is_but && (follows_all(question, at) || is_right_before())).then_some(at..at + 1)
}

fn follows_all(question: &Question<'_>, at: usize) -> bool {
    let sentence = (0..at).rev().take_while(|at| !ends_sentence(question, *at));
    let mut words = sentence.map(|at| question.words[at].folded.as_str());
    words.any(|word| ALL.contains(&word))
}

/// Returns whether a sentence ends between a word and the next.
fn ends_sentence(question: &Question<'_>, at: usize) -> bool {
    let gap = question.between(at, at + 1);
    // `e.g.` ends no sentence.
    let is_full_stop = gap.starts_with('.') && gap.ends_with(char::is_whitespace);
    gap.contains(['?', '!', ';', '？', '。'])
        && !["!=", "≠"].iter().any(|sign| gap.contains(sign))
        && !gap.ends_with('!')
        || (is_full_stop && question.words[at].folded.len() > 1)
}

/// Returns whether the clause of a cue ends before a value.
fn is_closed(question: &Question<'_>, cue: &Range<usize>, value: usize) -> bool {
    let is = |at: usize, wanted: &[&str]| {
        let word = question.words.get(at);
        word.is_some_and(|word| wanted.contains(&word.folded.as_str()))
    };
    let follows_comma = cue
        .start
        .checked_sub(1)
        .is_some_and(|at| question.between(at, at + 1).contains(','));
    let is_in_between = follows_comma && is(cue.start, IN_BETWEEN);
    let mut is_open = false;
    (cue.end - 1..value.saturating_sub(1)).any(|at| {
        let gap = question.between(at, at + 1);
        let closes = gap.contains(')') && !is_open && at >= cue.end;
        is_open = (is_open && !gap.contains(')')) || gap.contains('(');
        let next = at + 1;
        closes
            || ends_sentence(question, at)
            || (gap.contains([',', ':']) && is(next, OPENINGS))
            || (is(next, &["and", "but"]) && is(next + 1, ASKING))
            || (is_in_between && at >= cue.end && gap.contains(',') && is(next, GOING_ON))
    })
}

/// Returns a cue after a value: `drafts excluded`, `what Maria did not write`.
fn after(question: &Question<'_>, words: &Range<usize>) -> Option<Range<usize>> {
    for at in words.end..(words.end + MAX_AFTER).min(question.words.len()) {
        let word = question.words[at].folded.as_str();
        let gap = question.between(at - 1, at);
        if gap.contains([',', ':', '(']) || ends_sentence(question, at - 1) || matches!(word, "that" | "which" | "who")
        {
            return None;
        }
        let is_directly_after = at <= words.end + 1;
        // `2020 excluding drafts` says nothing of 2020.
        let is_last = question.words.len() == at + 1 || question.between(at, at + 1).trim() != "";
        if is_directly_after && is_last && AFTER.contains(&word) {
            return Some(at..at + 1);
        }
        if let Some(cue) = cue_at(question, at) {
            let is_contracted = cue.len() == 2 || word.ends_with("nt");
            let is_done = at == words.end || DOING.contains(&question.words[at - 1].folded.as_str());
            let is_writing = |word: &str| WRITING.contains(&word);
            let says_so = question.words.get(cue.end).is_some_and(|word| is_writing(&word.folded));
            let is_not = is_contracted || (is_done && matches!(word, "not" | "never"));
            return (is_not && says_so).then_some(cue);
        }
    }
    None
}

/// Returns whether only words that go on with a list stand between two values.
pub(super) fn is_listed(question: &Question<'_>, first: &Range<usize>, second: &Range<usize>) -> bool {
    let goes_on = |at: usize| {
        let word = &question.words[at];
        let text = word.folded.as_str();
        matches!(text, "and" | "or" | "nor" | "team" | "those" | "ones")
            || BETWEEN.contains(&text)
            || DOCUMENTS.iter().any(|it| word.is(it))
    };
    first.end <= second.start
        && (first.end..second.start).all(goes_on)
        && !(first.end - 1..second.start).any(|at| ends_sentence(question, at))
}
