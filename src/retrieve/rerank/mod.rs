//! Passages read once more beside the query: slower than a leg, and better at the top.
//!
//! Comes in: a query and the passages that it found. Goes out: how relevant each is.
//! Always holds: a passage has the same score whichever others are scored with it.
//! Not here: what becomes of the scores (see [`stage`](super::stage)).

mod late_interaction;
mod max_sim;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::cache::{Cache, Part};
use crate::embed::{self, TokenVectors};
use crate::index::{self, ChunkId};
use crate::worker::{Cancel, Stopped};

pub use late_interaction::LateInteraction;

/// Vectors of the tokens of chunks, of all knowledge bases together. A chunk never changes and its id is never given
/// again, so what is kept stays true until it is forgotten.
pub type TokenCache = Cache<ChunkId, Arc<TokenVectors>>;
/// The part of it that one search of one knowledge base sees.
pub type KeptTokens<'a> = Part<'a, ChunkId, Arc<TokenVectors>>;

/// A passage to be scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage<'a> {
    /// The chunk that it is the text of, if it is one.
    pub chunk_id: Option<ChunkId>,
    /// What the model reads.
    pub text: std::borrow::Cow<'a, str>,
}

/// Why passages cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model failed, or the caller wants no more.
    #[error(transparent)]
    Model(#[from] embed::Error),
    /// The keyword index cannot say how rare words are.
    #[error(transparent)]
    Index(#[from] index::Error),
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        Self::Model(stopped.into())
    }
}

/// Says how relevant passages are to a query.
pub trait Reranker {
    /// Scores passages, in their order; a larger number is more relevant. Looks at `cancel` once a passage.
    fn score(&self, query: &str, passages: &[Passage<'_>], cancel: &Cancel) -> Result<Vec<f64>, Error>;
}
