//! A chatty question to the words that say what is asked for.
//!
//! Comes in: a question. Goes out: some of its words, unchanged and in their order, or nothing. Clauses that do not ask,
//! greetings and thanks are left out by rule; where too much is left, a language model chooses.
//! Always holds: the model adds no word; the same question gives the same words.

use super::judge::{Judge, PrefixCache};
use super::prompt::defused;
use super::words::content_words;
use super::{Error, LanguageModel};
use crate::worker::Cancel;

mod courtesy;

/// What the model reads before each question: what others searched for.
const EXAMPLES: &str = include_str!("prompts/rewriting.md");
/// Longest question that is rewritten, in bytes.
const MAX_BYTES: usize = 1_000;
/// Words of a question that is rewritten at most.
const MAX_QUESTION_WORDS: usize = 128;
/// Words up to which a question is search wording already.
const MAX_SHORT_WORDS: usize = 8;
/// Words of a rewrite at most.
const MAX_WORDS: usize = 24;
/// Content words of a rewrite at least.
const MIN_CONTENT_WORDS: usize = 2;

/// A question without what does not ask: what is left for a model to choose among.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft<'a> {
    words: Vec<&'a str>,
    /// Words of the whole question.
    count: usize,
}

impl<'a> Draft<'a> {
    /// Returns what is left of a question; nothing when it is short, too long to be read, or says too little.
    pub fn of(question: &'a str) -> Option<Self> {
        let count = question.split_whitespace().count();
        if question.len() > MAX_BYTES || !(MAX_SHORT_WORDS + 1..=MAX_QUESTION_WORDS).contains(&count) {
            return None;
        }
        let words = courtesy::without(question);
        says_enough(&words).then_some(Self { words, count })
    }

    /// Returns whether it is too long for a rewrite, so that a model must choose among its words.
    pub fn is_long(&self) -> bool {
        self.words.len() > MAX_WORDS
    }

    /// Returns the draft as it is; nothing when that is the question, or too long.
    pub fn into_text(self) -> Option<String> {
        let is_rewrite = self.words.len() < self.count && self.words.len() <= MAX_WORDS && says_enough(&self.words);
        is_rewrite.then(|| self.words.join(" "))
    }

    /// Lets a model choose among the words. One that cannot read them leaves them all.
    pub fn choose(mut self, model: &dyn LanguageModel, prefixes: &PrefixCache, cancel: &Cancel) -> Result<Self, Error> {
        match chosen(&self.words, model, prefixes, cancel) {
            Ok(words) => self.words = words,
            Err(Error::QuestionTooLong { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(self)
    }
}

/// Returns the words that the model goes on with after the examples, where it can go on with later words alone, or end.
fn chosen<'a>(
    words: &[&'a str],
    model: &dyn LanguageModel,
    prefixes: &PrefixCache,
    cancel: &Cancel,
) -> Result<Vec<&'a str>, Error> {
    let mut judge = Judge::new(model, cancel);
    let examples = judge.begin(EXAMPLES, prefixes)?;
    let written: Vec<String> = words.iter().map(|word| format!(" {}", defused(word))).collect();
    let mut read = judge.read_on(&examples, &format!("\n\nQuestion:{}\nSearch:", written.concat()))?;
    let mut chosen = Vec::new();
    let mut rest = 0;
    while rest < words.len() && chosen.len() < MAX_WORDS {
        // The first of equal ones is the nearest.
        let mut best: Option<(usize, f64)> = None;
        for (at, word) in written.iter().enumerate().skip(rest) {
            let logit = judge.logit(&read, word)?;
            if let Some(logit) = logit.filter(|logit| best.is_none_or(|(_, best)| *logit > best)) {
                best = Some((at, logit));
            }
        }
        let Some((at, logit)) = best else { break };
        let ends = [judge.logit(&read, "\n")?, judge.logit(&read, "\n\n")?];
        let would_end = ends.into_iter().flatten().any(|end| end > logit);
        if would_end && says_enough(&chosen) {
            break;
        }
        chosen.push(words[at]);
        rest = at + 1;
        read = judge.go_on(read, &written[at])?;
    }
    Ok(chosen)
}

fn says_enough(words: &[&str]) -> bool {
    content_words(&words.join(" ")).len() >= MIN_CONTENT_WORDS
}

#[cfg(test)]
mod tests;
