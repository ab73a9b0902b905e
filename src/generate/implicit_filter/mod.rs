//! A question to a filter.
//!
//! Comes in: a question, the attributes that may be restricted, and a way to look values up. Goes out: a filter, and the
//! clauses that are no part of it.
//! Always holds: every value stands in the question or in the index; the same question gives the same filter; no
//! clause selects what the question excludes.
//! Not here: whether the documents can answer the filter, and putting it to them.

mod candidate;
mod clause;
mod negation;
mod period;
mod question;
mod relation;
#[cfg(test)]
mod tests;

use super::judge::{Judge, PrefixCache};
use super::prompt::defused;
use super::{Error, LanguageModel};
use crate::document::schema::DeclaredAttribute as Attribute;
use crate::retrieve::Filter;
use crate::worker::Cancel;
use candidate::{Candidate, Cue, Lookup, candidates};
use question::Question;

/// What the model reads before each question: filters of others.
const EXAMPLES: &str = include_str!("../prompts/implicit_filter.md");
/// The same with a question that says nothing: what the model is inclined to anyway.
const UNASKED: &str = concat!(
    include_str!("../prompts/implicit_filter.md"),
    "\n\nQuestion: N/A\nFilter:"
);
/// How a model goes on that sees no restriction.
const NONE: &str = " none";
/// Preference of the model, beyond what it is inclined to anyway, that restricts what the question merely names.
const SURE: f64 = 3.5;
/// Preference for none that outweighs words which say that documents of a kind are looked for. A model of a hundred million
/// parameters is never so sure: the few times that it disagreed with such words by half as much, it was wrong.
const SURE_OF_NONE: f64 = -8.0;

/// A clause that is no part of a derived filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedClause {
    /// The clause, such as `year >= 2020`.
    pub text: String,
    /// Why it was left out.
    pub reason: String,
}

/// A question with the clauses that it may ask for.
#[derive(Debug)]
pub struct FilterQuestion<'a> {
    question: Question<'a>,
    attributes: &'a [Attribute],
    /// Clauses with the reasons of those that were left out.
    clauses: Vec<(Candidate, Option<String>)>,
    input_tokens: u64,
}

impl<'a> FilterQuestion<'a> {
    /// Looks for clauses. `lookup` returns the strings of an attribute that pass a test.
    pub fn read(question: &'a str, attributes: &'a [Attribute], lookup: &mut Lookup<'_>) -> Self {
        let question = Question::read(question);
        let found = candidates(&question, attributes, lookup);
        let judged = found.into_iter().map(|candidate| {
            let reason = candidate.negation.as_ref().map(|cue| {
                let cue = question.written(cue);
                format!("the question excludes or negates it: `{cue}`")
            });
            (candidate, reason)
        });
        Self {
            clauses: judged.collect(),
            question,
            attributes,
            input_tokens: 0,
        }
    }

    /// Leaves out the clauses that do not pass a check, each by itself, with the reason.
    pub fn check(&mut self, check: impl Fn(&Filter) -> Result<(), String>) {
        let (question, attributes) = (&self.question, self.attributes);
        for (candidate, reason) in &mut self.clauses {
            if let Some(filter) = clause::filter(&[candidate], attributes, question) {
                *reason = reason.take().or_else(|| check(&filter).err());
            }
        }
    }

    /// Returns whether there is nothing to judge.
    pub fn is_empty(&self) -> bool {
        self.clauses.iter().all(|(_, reason)| reason.is_some())
    }

    /// Lets a model say of each clause whether the question asks for it.
    pub fn judge(&mut self, model: &dyn LanguageModel, prefixes: &PrefixCache, cancel: &Cancel) -> Result<(), Error> {
        let mut judge = Judge::new(model, cancel);
        let judged = self.preferences(&mut judge, prefixes);
        self.input_tokens += judge.input_tokens;
        match judged {
            Ok(preferences) => self.decide(&preferences),
            // What cannot be judged is not asked for.
            Err(Error::QuestionTooLong { .. }) => {
                let reason = "the question does not fit the language model's context window";
                self.reject(|_, _| Some(reason.to_owned()));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Returns for each attribute how much rather than none the model names it, beyond its inclination.
    fn preferences(&self, judge: &mut Judge<'_>, prefixes: &PrefixCache) -> Result<Vec<f64>, Error> {
        let examples = judge.begin(EXAMPLES, prefixes)?;
        // In one line, so that a question cannot pass for an answer.
        let written = defused(&self.question.text.split_whitespace().collect::<Vec<_>>().join(" "));
        let asked = judge.read_on(&examples, &format!("\n\nQuestion: {written}\nFilter:"))?;
        let unasked = judge.begin(UNASKED, prefixes)?;
        let preference = |attribute: &Attribute| {
            let key = format!(" {}", attribute.key);
            Ok(judge.preference(&asked, &key, NONE)? - judge.preference(&unasked, &key, NONE)?)
        };
        self.attributes.iter().map(preference).collect()
    }

    /// Leaves out what the question does not ask for: the words decide unless the model is sure.
    fn decide(&mut self, preferences: &[f64]) {
        let of = |candidate: &Candidate| preferences.get(candidate.attribute).copied().unwrap_or_default();
        self.reject(|candidate, key| match candidate.cue {
            Cue::Bare if of(candidate) < SURE => {
                Some("the question names it without asking for documents that have it".to_owned())
            }
            _ if of(candidate) < SURE_OF_NONE => {
                Some(format!("the question does not restrict `{key}`, says the model"))
            }
            _ => None,
        });
        // Words that could mean several attributes mean the one that they, and then the model, point to.
        let accepted = self.clauses.iter().filter(|(_, reason)| reason.is_none());
        let accepted: Vec<Candidate> = accepted.map(|(candidate, _)| candidate.clone()).collect();
        let weight = |candidate: &Candidate| (candidate.words.len(), candidate.cue, of(candidate));
        let attributes = self.attributes;
        self.reject(|candidate, _| {
            let is_better = |other: &&Candidate| {
                other.attribute != candidate.attribute
                    && other.words.start < candidate.words.end
                    && candidate.words.start < other.words.end
                    && weight(other)
                        .partial_cmp(&weight(candidate))
                        .is_none_or(|order| order.then(candidate.attribute.cmp(&other.attribute)).is_gt())
            };
            let better = accepted.iter().find(is_better)?;
            Some(format!(
                "the same words rather mean `{}`",
                attributes[better.attribute].key
            ))
        });
    }

    fn reject(&mut self, reason: impl Fn(&Candidate, &str) -> Option<String>) {
        for (candidate, known) in &mut self.clauses {
            let key = &self.attributes[candidate.attribute].key;
            *known = known.take().or_else(|| reason(candidate, key));
        }
    }

    /// Returns the filter of what was not left out; nothing when the question asks for no restriction.
    pub fn filter(&self) -> Option<Filter> {
        let accepted = self.clauses.iter().filter(|(_, reason)| reason.is_none());
        let accepted: Vec<&Candidate> = accepted.map(|(candidate, _)| candidate).collect();
        clause::filter(&accepted, self.attributes, &self.question)
    }

    /// Returns what was left out, in the order of the question.
    pub fn into_rejected(self) -> Vec<RejectedClause> {
        let (question, attributes) = (self.question, self.attributes);
        let rejected = self.clauses.into_iter().filter_map(|(candidate, reason)| {
            let text = clause::text(&candidate, &attributes[candidate.attribute], &question);
            reason.map(|reason| RejectedClause { text, reason })
        });
        rejected.collect()
    }

    /// Returns the clauses that were not left out, such as `year >= 2020`, in the order of the question.
    pub fn accepted(&self) -> Vec<String> {
        let accepted = self.clauses.iter().filter(|(_, reason)| reason.is_none());
        let text = |(candidate, _): &(Candidate, _)| {
            clause::text(candidate, &self.attributes[candidate.attribute], &self.question)
        };
        accepted.map(text).collect()
    }

    /// Returns how many tokens the model read.
    pub fn input_tokens(&self) -> u64 {
        self.input_tokens
    }
}
