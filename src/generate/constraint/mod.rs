//! Logits to the logits that a grammar allows.
//!
//! Comes in: a JSON Schema, a regular expression or tools, and the tokens of a model. Goes out: a [`Constraint`], which
//! masks logits, is told each token that was chosen, and lets only the end come once the text is complete.
//! Always holds: whatever the logits, text that comes to its end is in the grammar; special tokens never come; one token
//! takes a bounded amount of work; the same grammar and tokens give the same masks.
//! Not here: how tokens are drawn (see [`super::sampler`]), what the model is told of the grammar (see
//! [`super::dialogue`]).

mod grammar;
mod schema;
mod vocabulary;

use llguidance::Matcher;

pub(super) use grammar::Grammar;
pub use schema::{MAX_SCHEMA_BYTES, SchemaError, parse_schema};
pub use vocabulary::ConstraintVocabulary;

use super::Error;

/// How the grammar's engine says that nothing fits a grammar.
const UNSATISFIABLE: &str = "noExtensionBias";
/// Lines of an error that its first line announces at most: a pattern, a mark below it, what is wrong.
const MAX_LINES: usize = 3;

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
        let compiled = |grammar| {
            let mut matcher = Matcher::new(vocabulary.factory.create_parser(grammar));
            // A grammar that nothing fits shows with the first token.
            match matcher.get_error() {
                Some(reason) => Err(reason),
                None => matcher
                    .compute_mask_or_eos()
                    .map_err(|error| error.to_string())
                    .map(|_| matcher),
            }
        };
        compiled(grammar.whole())
            .map(|matcher| Self { matcher })
            .map_err(|reason| {
                let wrong = grammar
                    .parts()
                    .into_iter()
                    .find_map(|(part, alone)| Some((part, compiled(alone).err()?)));
                let (part, reason) = wrong.unwrap_or((ConstraintPart::Whole, reason));
                Error::Constraint {
                    part,
                    reason: in_one_line(&reason),
                }
            })
    }

    /// Returns the logits, with those of tokens that may not come no numbers.
    pub(super) fn mask(&mut self, logits: &[f32]) -> Result<Vec<f32>, Error> {
        let allowed = self
            .matcher
            .compute_mask_or_eos()
            .map_err(|error| too_complex(&error))?;
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
        self.matcher.consume_token(token).map_err(|error| too_complex(&error))
    }

    /// Returns whether only the end may come.
    pub(super) fn is_complete(&self) -> bool {
        self.matcher.is_stopped()
    }
}

fn too_complex(error: &impl ToString) -> Error {
    Error::Constraint {
        part: ConstraintPart::Whole,
        reason: in_one_line(&error.to_string()),
    }
}

/// Returns the first line of an error, and those that it announces: the rest is about the engine's own grammar.
fn in_one_line(reason: &str) -> String {
    if reason.contains(UNSATISFIABLE) {
        return "nothing can fit it".to_owned();
    }
    let mut lines = reason.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut line = lines.next().unwrap_or("unknown").to_owned();
    if line.ends_with(':') {
        for more in lines.take(MAX_LINES) {
            line.extend([" ", more]);
        }
    }
    let mut chars = line.trim_end_matches('.').chars();
    let first = chars
        .next()
        .map(|first| first.to_lowercase().to_string())
        .unwrap_or_default();
    first + chars.as_str()
}

#[cfg(test)]
mod tests;
