//! What people say around a question: greetings, thanks, stories, and how one asks to be told.
//!
//! Always holds: what is left are words of the text, in its order; the same text leaves the same words.

use super::super::words::content_words;

/// Phrases that say nothing of what is asked for. Words are separated by spaces, alternatives by `|`; a slot that ends in
/// `?` may be empty. The longest that fits is taken.
const SMALL_TALK: &[&str] = &[
    "good morning|afternoon|evening|day everyone|everybody|all|folks|team?",
    "hi|hello|hey|dear there|again? everyone|everybody|all|folks|team?",
    "thanks|thank you? so|very? much? a? lot|bunch|million? in? advance? for? any|your? help|pointers|hints|time?",
    "many thanks in? advance? for? any|your? help|pointers|hints|time?",
    "cheers",
    "best|kind regards|wishes",
    "have a nice|good|great day|evening|weekend",
    "i hope you|everyone are|is well|fine",
    "sorry to|for bother|bothering|disturb|disturbing you|everyone?",
    "sorry for|about the|this stupid|silly|dumb|basic question",
    "sorry if this|it was|is|has been? asked|answered|obvious before|already?",
    "excuse me",
    "just? a? quick|short|simple|small|basic|stupid|silly|dumb question",
    "any help|advice is|would be? very? much? appreciated|welcome",
    "much appreciated",
    "please",
    "by any chance",
    "if possible",
    "if i may ask",
    "as far as you know",
    "as you can imagine",
    "long story",
    "by the way",
];

/// Phrases after which stands what is asked for.
const LEADS: &[&str] = &[
    "my question is",
    "i|we was|were|am|are|have been? just|only? wondering if|whether|about?",
    "i'm|we're|i've|we've been? just|only? wondering if|whether|about?",
    "i|we wonder|wondered if|whether?",
    "i|we would|should like|love to know|ask|learn|understand|hear|find out? if|whether|about?",
    "i'd|we'd like|love to know|ask|learn|understand|hear|find out? if|whether|about?",
    "i|we|he|she|they|and|who need|needs|want|wants|wanted|have|has to know|ask|learn|understand|find out? if|whether?",
    "wants|want|would like? to know|understand|hear if|whether?",
    "i|we am|are|was|were trying to figure|find|work out if|whether?",
    "i'm|we're trying to figure|find|work out if|whether?",
    "i|we can't|cannot|couldn't figure|find|work out if|whether?",
    "could|can|would|will you|somebody|someone|anybody|anyone here? please|possibly|maybe|kindly? tell|explain|show|remind|help|advise|enlighten me|us|to? with? this? if|whether?",
    "if? you|somebody|someone|anybody|anyone here? could|can|would|might please|possibly|maybe|kindly? tell|explain|show|remind|help|advise me|us|to? with? this? if|whether?",
    "do|does|would|did you|somebody|someone|anybody|anyone here? happen? to? know if|whether?",
    "if? anybody|somebody|anyone|someone here? knows|knew if|whether?",
    "please? tell|remind|enlighten me|us if|whether?",
    "please? let me|us know if|whether?",
    "i'd be grateful|thankful|glad|happy if",
    "i would be grateful|thankful|glad|happy if",
    "it would be nice|great|good to know if|whether?",
    "any idea|clue if|whether?",
];

/// Content words from which a clause says by itself what is asked for.
const SAYS_ENOUGH: usize = 3;

/// A sentence, or a clause that begins after a colon, without small talk.
#[derive(Default)]
struct Clause<'a> {
    words: Vec<&'a str>,
    /// Where what is asked for begins, if something leads to it.
    led_from: Option<usize>,
    is_question: bool,
}

impl<'a> Clause<'a> {
    /// Returns what is asked for, if this clause asks.
    fn asked(&self) -> Option<&[&'a str]> {
        match self.led_from {
            Some(start) if start < self.words.len() => Some(&self.words[start..]),
            Some(_) => None,
            None => self.is_question.then_some(self.words.as_slice()),
        }
    }
}

/// Returns the words that say what is asked for: the clauses that ask, with the one before them where they say little by
/// themselves; all but small talk where no clause asks.
pub(super) fn without(text: &str) -> Vec<&str> {
    let clauses = clauses(text);
    let mut kept: Vec<&str> = Vec::new();
    for (at, clause) in clauses.iter().enumerate() {
        let Some(asked) = clause.asked() else { continue };
        let before = at.checked_sub(1).map(|before| &clauses[before]);
        if content_words(&asked.join(" ")).len() >= SAYS_ENOUGH {
            kept.extend(asked);
        } else {
            let before = before.filter(|before| before.asked().is_none());
            kept.extend(before.iter().flat_map(|before| &before.words));
            kept.extend(&clause.words);
        }
    }
    if kept.is_empty() {
        kept = clauses.into_iter().flat_map(|clause| clause.words).collect();
    }
    kept
}

fn clauses(text: &str) -> Vec<Clause<'_>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let lower: Vec<String> = words
        .iter()
        .map(|word| trimmed(word).to_lowercase().replace('’', "'"))
        .collect();
    let longest = |phrases: &[&str], at: usize| {
        let end = (at..words.len()).find(|at| ends_clause(words[*at]));
        let within = &lower[at..end.map_or(words.len(), |end| end + 1)];
        phrases.iter().filter_map(|phrase| matched(phrase, within)).max()
    };
    let mut found = vec![Clause::default()];
    let mut at = 0;
    while at < words.len() {
        let clause = found.last_mut().expect("there is one from the start");
        let next = match (longest(LEADS, at), longest(SMALL_TALK, at)) {
            (Some(length), _) => {
                clause.led_from = Some(clause.words.len());
                at + length
            }
            (None, Some(length)) => at + length,
            (None, None) => {
                clause
                    .words
                    .extend(Some(trimmed(words[at])).filter(|word| !word.is_empty()));
                at + 1
            }
        };
        let last = words[next - 1];
        if ends_clause(last) {
            clause.is_question = last.ends_with('?');
            found.push(Clause::default());
        }
        at = next;
    }
    found.retain(|clause| !clause.words.is_empty());
    found
}

fn ends_clause(word: &str) -> bool {
    word.ends_with(['.', '!', '?', ';', ':', '？', '。'])
}

/// Returns a word without the punctuation around it.
pub(super) fn trimmed(word: &str) -> &str {
    word.trim_matches(|character: char| {
        matches!(
            character,
            ',' | '.' | ';' | ':' | '!' | '?' | '"' | '\'' | '(' | ')' | '“' | '”' | '…' | '–' | '—' | '？' | '。'
        )
    })
}

/// Returns how many words at the beginning are the phrase, at least one.
fn matched(phrase: &str, words: &[String]) -> Option<usize> {
    let mut at = 0;
    for slot in phrase.split(' ') {
        let (slot, may_be_empty) = slot.strip_suffix('?').map_or((slot, false), |slot| (slot, true));
        let fits = words.get(at).is_some_and(|word| slot.split('|').any(|it| it == word));
        match (fits, may_be_empty) {
            (true, _) => at += 1,
            (false, true) => {}
            (false, false) => return None,
        }
    }
    (at > 0).then_some(at)
}
