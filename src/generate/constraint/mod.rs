//! Logits to the logits that a grammar allows.
//!
//! Comes in: a JSON Schema, a regular expression or tools, and the tokens of a model. Goes out: a [`Constraint`], which
//! masks logits, is told each token that was chosen, and lets only the end come once the text is complete.
//! Always holds: whatever the logits, text that comes to its end is in the grammar, and it can always come to an end;
//! special tokens never come; one token takes a bounded amount of work; the same grammar and tokens give the same masks.
//! Not here: how tokens are drawn (see [`super::sampler`]), what the model is told of the grammar (see
//! [`super::dialogue`]).

mod compiled;
mod grammar;
mod places;
mod satisfiable;
mod schema;
mod vocabulary;

use std::sync::Arc;

use llguidance::Matcher;
use llguidance::toktrie::SimpleVob;

pub(super) use grammar::Grammar;
pub use schema::{MAX_SCHEMA_BYTES, SchemaError, parse_schema};
pub use vocabulary::ConstraintVocabulary;

use super::Error;

/// Tokens after which a matcher that has no room left is made again.
const RENEWED_TOKENS: usize = 64;
/// Stands for a logit without end below all others, of which none could be drawn.
const IMPOSSIBLE: f32 = -1e30;

/// What a message must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// JSON that fits a schema, on one line.
    Json {
        /// The schema.
        schema: serde_json::Value,
        /// What it is called; may be empty.
        name: String,
        /// What it is for; may be empty.
        description: String,
    },
    /// Text that fits a regular expression, from its beginning to its end.
    Regex(String),
}

/// A part of a request that asks for a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstraintPart {
    /// The shape of the message.
    Shape,
    /// The input of a tool, by its place among the tools.
    Tool(usize),
    /// All of them together.
    Whole,
}

/// What a grammar allows of a text that grows token by token.
pub(super) struct Constraint {
    matcher: Matcher,
    /// Where it began.
    start: Arc<Matcher>,
    /// The tokens since.
    taken: Vec<u32>,
    /// How many tokens were taken when the matcher was last made again.
    renewed_at: usize,
}

impl Constraint {
    /// Compiles a grammar for the tokens of a model.
    pub(super) fn new(vocabulary: &ConstraintVocabulary, grammar: &Grammar) -> Result<Self, Error> {
        if let Some((part, reason)) = grammar.flaw() {
            return Err(Error::Constraint {
                part: *part,
                reason: reason.clone(),
            });
        }
        let start = vocabulary.compiled(grammar.whole()).map_err(|reason| {
            let mut parts = grammar.parts().into_iter();
            let wrong = parts.find_map(|(part, alone)| Some((part, vocabulary.compiled(alone).err()?)));
            let (part, reason) = wrong.unwrap_or((ConstraintPart::Whole, reason));
            Error::Constraint { part, reason }
        })?;
        Ok(Self {
            matcher: start.deep_clone(),
            start,
            taken: Vec::new(),
            renewed_at: 0,
        })
    }

    /// Returns the logits, with those of tokens that may not come no numbers.
    pub(super) fn mask(&mut self, logits: &[f32]) -> Result<Vec<f32>, Error> {
        let allowed = match self.matcher.compute_mask_or_eos() {
            Err(_) if self.taken.len() >= self.renewed_at + RENEWED_TOKENS => self.renew(),
            allowed => allowed.map_err(|error| beyond(&error)),
        }?;
        let mut masked = vec![f32::NAN; logits.len()];
        for token in allowed.iter() {
            let token = token as usize;
            if let (Some(masked), Some(logit)) = (masked.get_mut(token), logits.get(token)) {
                // What the model finds impossible comes where nothing else may.
                *masked = if *logit == f32::NEG_INFINITY {
                    IMPOSSIBLE
                } else {
                    *logit
                };
            }
        }
        Ok(masked)
    }

    /// Goes on with a token that was chosen, not an end.
    pub(super) fn take(&mut self, token: u32) -> Result<(), Error> {
        self.matcher.consume_token(token).map_err(|error| beyond(&error))?;
        self.taken.push(token);
        Ok(())
    }

    /// Returns whether only the end may come.
    pub(super) fn is_complete(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// Begins anew with what was taken, so that the states of tokens that did not come make room.
    fn renew(&mut self) -> Result<SimpleVob, Error> {
        self.renewed_at = self.taken.len();
        self.matcher = self.start.deep_clone();
        let again = self.matcher.consume_tokens(&self.taken);
        again
            .and_then(|()| self.matcher.compute_mask_or_eos())
            .map_err(|error| beyond(&error))
    }
}

/// Says of a text that it cannot go on.
fn beyond(error: &impl ToString) -> Error {
    Error::Constraint {
        part: ConstraintPart::Whole,
        reason: compiled::in_our_words(error),
    }
}

#[cfg(test)]
mod tests;
