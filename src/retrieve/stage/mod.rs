//! What becomes of the candidates after fusion, stage by stage, pure.
//!
//! Comes in: candidates, best first, and what is known of their chunks. Goes out: results in order, and for every
//! candidate that is none the stage that lost it.
//! Always holds: each candidate is either kept or lost, once; a stage that was not asked for changes nothing.
//! Not here: reading texts, vectors and attributes; the caller brings them.
//!
//! The order is fixed: reranking, boosts and recency, threshold, near duplicates, grouping, diversity, cut.

mod boost;
mod cut;
mod date;
mod diversity;
mod duplicates;
mod grouping;
mod recency;
mod rerank;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Candidate;
use crate::index::ChunkId;
use crate::store::ChunkFacts;

pub use boost::boost;
pub use cut::{cut, leave_out_low};
pub use diversity::{diversify, pool_size};
pub use duplicates::fold;
pub use grouping::group;
pub use recency::fade;
pub use rerank::rerank;

/// What is known of chunks, by their ids. A chunk that is missing has no attributes and a document of its own.
pub type Facts = HashMap<ChunkId, Arc<ChunkFacts>>;

/// Texts of chunks, by their ids.
pub type Texts = HashMap<ChunkId, String>;

/// Vectors of chunks, by their ids.
pub type UnitVectors = HashMap<ChunkId, Vec<f32>>;

/// A boost that applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AppliedBoost {
    /// Its place in the query.
    pub index: usize,
    /// What the score was multiplied by.
    pub multiplier: f64,
}

/// How recency changed a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecencyEffect {
    /// Age of the date, if the document has one.
    pub age: Option<Duration>,
    /// What the score was multiplied by.
    pub multiplier: f64,
}

/// How reranking placed a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RerankEffect {
    /// Its place before, from 1.
    pub place_before: u32,
    /// Its place afterwards, from 1.
    pub place: u32,
    /// How relevant a closer look found it; nothing when it was not among those that were looked at.
    pub relevance: Option<f64>,
    /// Weight of the relevance beside the score before.
    pub weight: f64,
    /// Its score afterwards.
    pub score: f64,
}

/// How diversity placed a result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiversityEffect {
    /// The score divided by the best score.
    pub relevance: f64,
    /// Largest cosine similarity to a result before it.
    pub similarity: f64,
    /// The result that it is most similar to.
    pub similar_to: Option<ChunkId>,
    /// What the similarity took away.
    pub penalty: f64,
    /// What it was chosen by.
    pub marginal_relevance: f64,
}

/// A chunk that was folded into another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Folded {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its score.
    pub score: f64,
    /// Its similarity to the chunk that it was folded into.
    pub similarity: f64,
}

/// A candidate on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// The candidate as it was fused.
    pub candidate: Candidate,
    /// Its place after fusion, from 1.
    pub fused_rank: u32,
    /// Its score as it is now.
    pub score: f64,
    /// What reranking did.
    pub rerank: Option<RerankEffect>,
    /// Boosts that applied.
    pub boosts: Vec<AppliedBoost>,
    /// What recency did.
    pub recency: Option<RecencyEffect>,
    /// What diversity did.
    pub diversity: Option<DiversityEffect>,
    /// Chunks that were folded into it, best first.
    pub folded: Vec<Folded>,
}

impl Staged {
    /// Returns the chunk.
    pub fn chunk_id(&self) -> ChunkId {
        self.candidate.chunk_id
    }

    /// Multiplies the score; one below 0 is divided, so that a factor above 1 always lifts. Returns what it was
    /// multiplied by.
    fn multiply(&mut self, factor: f64) -> f64 {
        let multiplier = if self.score < 0.0 {
            factor.max(LEAST_DIVISOR).recip()
        } else {
            factor
        };
        self.score *= multiplier;
        multiplier
    }
}

/// Keeps a score below 0 finite when a factor is nearly 0.
const LEAST_DIVISOR: f64 = 1e-6;

/// Why a candidate is no result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Its score is below the threshold.
    BelowThreshold,
    /// It says nearly the same as this chunk of another document.
    DuplicateOf(ChunkId),
    /// Better chunks of its document are there; this is the best.
    GroupedUnder(ChunkId),
    /// It is too similar to results before it.
    NotDiverse,
    /// Enough stand before it.
    CutOff,
}

/// A candidate that is no result.
#[derive(Debug, Clone, PartialEq)]
pub struct Lost {
    /// The candidate as it was then.
    pub staged: Staged,
    /// Why.
    pub loss: Loss,
    /// Its place in the list of the stage that lost it, from 1.
    pub place: u32,
}

/// The candidates: those that are still there, in order, and those that are not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line {
    /// Still there, best first.
    pub kept: Vec<Staged>,
    /// Lost, in the order of the stages.
    pub lost: Vec<Lost>,
}

impl Line {
    /// Lines up candidates as fusion ordered them.
    pub fn new(candidates: Vec<Candidate>) -> Self {
        let kept = (1..).zip(candidates).map(|(fused_rank, candidate)| Staged {
            candidate,
            fused_rank,
            score: candidate.score,
            rerank: None,
            boosts: Vec::new(),
            recency: None,
            diversity: None,
            folded: Vec::new(),
        });
        Self {
            kept: kept.collect(),
            lost: Vec::new(),
        }
    }

    /// Returns the chunks that are still there.
    pub fn chunk_ids(&self) -> Vec<ChunkId> {
        self.kept.iter().map(Staged::chunk_id).collect()
    }

    /// Orders by score again, equal ones by chunk id.
    pub fn sort(&mut self) {
        self.kept.sort_by(|left, right| {
            let by_score = right.score.total_cmp(&left.score);
            by_score.then(left.chunk_id().cmp(&right.chunk_id()))
        });
    }

    /// Keeps those that `judge` finds no loss for. It is told of what was kept before.
    fn sift(&mut self, mut judge: impl FnMut(&mut [Staged], &Staged) -> Option<Loss>) {
        let mut kept = Vec::with_capacity(self.kept.len());
        for (place, staged) in (1..).zip(std::mem::take(&mut self.kept)) {
            match judge(&mut kept, &staged) {
                Some(loss) => self.lost.push(Lost { staged, loss, place }),
                None => kept.push(staged),
            }
        }
        self.kept = kept;
    }
}

#[cfg(test)]
mod tests;
