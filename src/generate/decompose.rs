//! A compound question to its parts.
//!
//! Comes in: a question. Goes out: up to [`MAX_PARTS`] questions, each made of words of the question alone; none when it
//! asks for one thing. Parts are cut where one question ends and another begins, and where two things are compared.
//! Always holds: no part has a word that the question lacks; parts differ; the same question gives the same parts.

use std::collections::BTreeSet;

use super::judge::{Judge, PrefixCache};
use super::prompt::defused;
use super::words::content_words;
use super::{Error, LanguageModel};
use crate::worker::Cancel;

/// What the model reads before each question: how many things others ask for.
const EXAMPLES: &str = include_str!("prompts/decomposition.md");
/// The same with a question that says nothing: what the model is inclined to anyway.
const UNASKED: &str = concat!(include_str!("prompts/decomposition.md"), "\n\nQuestion: N/A\nParts:");
/// Preference for one part, beyond what the model is inclined to anyway, from which its word holds.
const SURE_OF_ONE: f64 = 8.0;

/// Parts of a question at most.
pub const MAX_PARTS: usize = 4;
/// Content words of a part at least.
const MIN_CONTENT_WORDS: usize = 1;
/// Longest question that is taken apart, in bytes.
const MAX_BYTES: usize = 1_000;
/// Words that a question begins with.
const ASKS: &[&str] = &[
    "am", "are", "can", "could", "did", "do", "does", "has", "have", "how", "is", "may", "must", "should", "was",
    "were", "what", "when", "where", "which", "who", "whom", "whose", "why", "will", "would",
];
/// Words that join two questions.
const JOINS: &[&str] = &["and", "or", "but", "also", "then", "as well as", "plus"];
/// Prepositions that a question can begin with, before a word that asks.
const BEFORE_ASKS: &[&str] = &[
    "in", "on", "at", "by", "for", "from", "of", "to", "under", "with", "until", "since",
];
/// Phrases that set two things side by side, each with the word between the two.
const COMPARISONS: &[(&str, &[&str])] = &[
    ("difference between", &["and"]),
    ("differences between", &["and"]),
    ("compare", &["and", "with", "to"]),
    ("comparison of", &["and", "with", "to"]),
    ("comparison between", &["and"]),
    ("both", &["and"]),
    ("either", &["or"]),
];
/// Phrases that set what stands before and after them side by side.
const VERSUS: &[&str] = &[
    "versus",
    "vs",
    "differ from",
    "differs from",
    "different from",
    "rather than",
    "instead of",
];
/// Words that stand for something that was said before.
const PRONOUNS: &[&str] = &[
    "it", "its", "they", "them", "their", "this", "these", "those", "he", "she", "his", "her",
];
/// Words that say nothing before a thing that stands alone.
const ARTICLES: &[&str] = &["the", "a", "an"];

/// Returns whether a model is sure that a question asks for one thing alone. One that cannot read the question is not.
pub fn sees_one_part(
    model: &dyn LanguageModel,
    question: &str,
    prefixes: &PrefixCache,
    cancel: &Cancel,
) -> Result<bool, Error> {
    match preference_for_one(model, question, prefixes, cancel) {
        Ok(preference) => Ok(preference >= SURE_OF_ONE),
        Err(Error::QuestionTooLong { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns how much rather the model sees one part than two, beyond its inclination.
fn preference_for_one(
    model: &dyn LanguageModel,
    question: &str,
    prefixes: &PrefixCache,
    cancel: &Cancel,
) -> Result<f64, Error> {
    let mut judge = Judge::new(model, cancel);
    let examples = judge.begin(EXAMPLES, prefixes)?;
    let written = defused(&question.split_whitespace().collect::<Vec<_>>().join(" "));
    let asked = judge.read_on(&examples, &format!("\n\nQuestion: {written}\nParts:"))?;
    let unasked = judge.begin(UNASKED, prefixes)?;
    Ok(judge.preference(&asked, " one", " two")? - judge.preference(&unasked, " one", " two")?)
}

/// Returns the parts of a compound question, in its order; none when it asks for one thing.
pub fn parts(question: &str) -> Vec<String> {
    if question.len() > MAX_BYTES {
        return Vec::new();
    }
    let mut parts: Vec<String> = Vec::new();
    for sentence in sentences(question) {
        for clause in clauses(sentence) {
            let compared = compared(clause);
            match parts.last_mut() {
                // It says something of what came before, and nothing without it.
                Some(before) if refers_back(clause) => *before = format!("{before}, {clause}"),
                _ if compared.is_empty() => parts.push(clause.to_owned()),
                _ => parts.extend(compared),
            }
        }
    }
    valid(question, parts)
}

/// Keeps the parts that say something of their own; nothing when fewer than two do.
fn valid(question: &str, parts: Vec<String>) -> Vec<String> {
    let whole = content_words(question);
    let mut said: Vec<BTreeSet<String>> = Vec::new();
    let mut kept = Vec::new();
    for part in parts {
        let words = content_words(&part);
        let says_enough = words.len() >= MIN_CONTENT_WORDS && words.is_subset(&whole) && words != whole;
        if says_enough && !said.contains(&words) && kept.len() < MAX_PARTS {
            said.push(words);
            kept.push(part);
        }
    }
    if kept.len() < 2 { Vec::new() } else { kept }
}

fn refers_back(clause: &str) -> bool {
    words(clause)
        .iter()
        .any(|(_, _, word)| PRONOUNS.contains(&word.as_str()))
}

/// Cuts after question marks and full stops.
fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let is_border = characters.peek().is_none_or(|(_, next)| next.is_whitespace());
        // `vs.` ends no sentence.
        let is_border = is_border && !(character == '.' && text[..at].ends_with(" vs"));
        if (matches!(character, '?' | '!' | '.' | ';') && is_border) || matches!(character, '？' | '。' | '\n') {
            found.push(&text[start..at]);
            start = at + character.len_utf8();
        }
    }
    found.push(&text[start..]);
    found
        .into_iter()
        .map(str::trim)
        .filter(|sentence| !sentence.is_empty())
        .collect()
}

/// Words of a text with the bytes where they begin and end.
fn words(text: &str) -> Vec<(usize, usize, String)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, character) in text.char_indices().chain([(text.len(), ' ')]) {
        match (
            character.is_alphanumeric() || matches!(character, '\'' | '’' | '_' | '-' | '.'),
            start,
        ) {
            (true, None) => start = Some(at),
            (false, Some(first)) => {
                found.push((first, at, text[first..at].trim_end_matches('.').to_lowercase()));
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// Cuts a sentence before each joining word after which another question begins.
fn clauses(sentence: &str) -> Vec<&str> {
    let words = words(sentence);
    let asks = |at: usize| {
        words
            .get(at)
            .is_some_and(|(_, _, word)| ASKS.binary_search(&word.as_str()).is_ok())
    };
    let leads = |at: usize| {
        words
            .get(at)
            .is_some_and(|(_, _, word)| BEFORE_ASKS.contains(&word.as_str()))
    };
    let mut found = Vec::new();
    let mut start = 0;
    for (at, (first, _, word)) in words.iter().enumerate().skip(1) {
        let follows_comma = sentence[..*first].trim_end().ends_with(',');
        let is_join = JOINS.contains(&word.as_str());
        let begins = |at: usize| asks(at) || (leads(at) && asks(at + 1));
        let cut = if is_join && begins(at + 1) {
            words.get(at + 1).map(|(next, _, _)| *next)
        } else if follows_comma && begins(at) && *first > start {
            Some(*first)
        } else {
            None
        };
        if let Some(next) = cut {
            found.push(sentence[start..*first].trim().trim_end_matches(','));
            start = next;
        }
    }
    found.push(sentence[start..].trim());
    found.into_iter().filter(|clause| !clause.is_empty()).collect()
}

/// Returns a question for each of two things that are set side by side: the rest of the words with one of them.
fn compared(clause: &str) -> Vec<String> {
    let words = words(clause);
    let is = |at: usize, wanted: &[&str]| {
        words
            .get(at)
            .is_some_and(|(_, _, word)| wanted.contains(&word.as_str()))
    };
    for (phrase, between) in COMPARISONS {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        let mut places = 0..words.len().saturating_sub(phrase.len());
        let found = places.find(|at| (0..phrase.len()).all(|next| is(at + next, &phrase[next..=next])));
        let Some(at) = found else { continue };
        let first = at + phrase.len();
        if let Some(middle) = (first + 1..words.len()).find(|at| is(*at, between)) {
            let before = &clause[..words[at].0];
            return sides(
                before,
                &clause[words[first].0..words[middle].0],
                clause.get(words[middle].1..),
            );
        }
    }
    for phrase in VERSUS {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        let is_phrase = |at: &usize| (0..phrase.len()).all(|next| is(at + next, &phrase[next..=next]));
        if let Some(at) = (1..words.len()).find(is_phrase) {
            return sides("", &clause[..words[at].0], clause.get(words[at + phrase.len() - 1].1..));
        }
    }
    Vec::new()
}

fn sides(before: &str, left: &str, right: Option<&str>) -> Vec<String> {
    let Some(right) = right.map(str::trim).filter(|right| !right.is_empty()) else {
        return Vec::new();
    };
    let side = |side: &str| {
        let mut words: Vec<&str> = before.split_whitespace().collect();
        while words
            .last()
            .is_some_and(|word| ARTICLES.contains(&word.to_lowercase().as_str()))
        {
            words.pop();
        }
        words.extend(side.split_whitespace());
        words.join(" ")
    };
    vec![side(left), side(right)]
}

#[cfg(test)]
mod tests;
