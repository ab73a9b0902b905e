//! Terms, vectors and attributes, in memory and on disk, without policy.
//!
//! Comes in: chunks with ids. Goes out: ids with scores, for those chunks that the caller accepts.
//! Always holds: both legs ask the same [`Visibility`], so they cannot disagree on what exists at an epoch.
//! Not here: what is durable (see [`crate::store`]); both indexes can be made again from there.

mod analyzer;
mod attributes;
mod best;
mod chunk_set;
mod error;
mod merging;
mod simd;
mod terms;
mod vectors;
mod visibility;
mod work;

use std::fmt;

pub use analyzer::{Language, MAX_QUERY_TERMS, UnknownLanguage};
pub use attributes::{AttributeIndex, RowSet};
pub(crate) use best::best_first;
pub use chunk_set::{Accepted, ChunkSet};
pub use error::Error;
pub use merging::Pace;
pub use terms::{
    AskedTerms, PassageScore, TermField, TermPart, TermRow, Terms, TermsBundle, TermsSnapshot, TermsState,
};
pub use vectors::{Finding, Progress, Purged, SegmentFile, Upkeep, Vectors, VectorsFigures};
pub use visibility::{Lifetime, Visibility, VisibleAt};
pub use work::{TermsMode, TermsWork, VectorsMode, VectorsWork};

/// Returns the dot product with a vector of IEEE half-precision numbers; what is longer than the other is left out.
pub fn half_dot(numbers: &[f32], halves: &[u16]) -> f32 {
    simd::dot(numbers, halves)
}

/// Number of a chunk in its knowledge base, from 1, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId(pub u64);

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chunk-{:08x}", self.0)
    }
}

/// Number of a commit. 0 is the empty knowledge base before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A chunk and its score in one leg.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its score: BM25 or cosine similarity.
    pub score: f32,
}

/// How a chunk stands in one leg among all chunks that may be found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExactRank {
    /// Its rank, from 1; equal scores are ordered by chunk id.
    pub rank: u64,
    /// Its score.
    pub score: f32,
}

/// Says which chunks may be found: those visible at the reader's epoch that pass its filter.
pub type Accept<'a> = dyn Fn(ChunkId) -> bool + Sync + 'a;
