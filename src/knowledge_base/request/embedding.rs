//! Texts to be embedded for the caller, and their vectors.

use super::StageTimes;
use crate::embed::Purpose;

/// What becomes of a text that has more tokens than the model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truncation {
    /// It is refused.
    #[default]
    None,
    /// Its end is left out.
    End,
}

/// How texts are embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedOptions {
    /// An embedding model; empty takes the server's.
    pub model_id: String,
    /// What the texts are.
    pub purpose: Purpose,
    /// What becomes of a text that is too long.
    pub truncation: Truncation,
    /// Whether vectors that were cut are scaled to unit length again.
    pub normalize: bool,
    /// Components to keep, from the first on; nothing for all.
    pub dimensions: Option<usize>,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        Self {
            model_id: String::new(),
            purpose: Purpose::Passage,
            truncation: Truncation::None,
            normalize: true,
            dimensions: None,
        }
    }
}

/// The vector of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedText {
    /// Its components.
    pub values: Vec<f32>,
    /// Tokens that the model read, special ones included.
    pub input_tokens: usize,
    /// Whether the end of the text was left out.
    pub is_truncated: bool,
}

/// The vectors of texts, or whatever became of each of them.
#[derive(Debug)]
pub struct Embedded<T> {
    /// One for each text, in their order.
    pub results: Vec<T>,
    /// Time per stage.
    pub times: StageTimes,
}

/// How many tokens an input has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenCount {
    /// The tokens.
    pub input_tokens: usize,
    /// The model whose tokens they are.
    pub model_id: String,
    /// Tokens that the model reads at most.
    pub max_input_tokens: usize,
}
