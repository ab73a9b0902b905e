//! Two lists of scores to one, pure.
//!
//! The fused score is `w * cosine + (1 - w) * bm25 / best bm25`. Every candidate has both scores, whichever leg found
//! it. The cosine stays as it is: its scale is the same for every query, where BM25's is not.

use super::{Candidate, LegScore};
use crate::index::{ChunkId, Scored};

/// The `k` of reciprocal rank fusion: how little the first ranks stand out.
const RANK_CONSTANT: f64 = 60.0;

/// A candidate's score in one leg.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Listed {
    /// Rank in the leg's own list, from 1; nothing when the score was completed afterwards.
    pub(super) rank: Option<u32>,
    /// The leg's own score.
    pub(super) raw: f64,
}

impl Listed {
    /// Returns the `at`th of a leg's own list.
    pub(super) fn at(at: usize, scored: &Scored) -> Self {
        Self {
            rank: Some(at as u32 + 1),
            raw: f64::from(scored.score),
        }
    }

    fn leg_score(self, normalized: f64) -> LegScore {
        LegScore {
            rank: self.rank,
            raw: self.raw,
            normalized,
        }
    }
}

/// A candidate with both scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Both {
    pub(super) chunk_id: ChunkId,
    pub(super) bm25: Listed,
    pub(super) cosine: Listed,
    /// Cosine similarity to the query after feedback; without feedback to the query.
    pub(super) near: f64,
}

/// Fuses both legs, best first, equal ones by chunk id.
pub(super) fn fuse(candidates: &[Both], dense_weight: f64) -> Vec<Candidate> {
    let best_bm25 = best(candidates.iter().map(|candidate| candidate.bm25.raw));
    let fused = candidates.iter().map(|candidate| {
        let bm25 = candidate.bm25.leg_score(share(candidate.bm25.raw, best_bm25));
        let cosine = candidate.cosine.leg_score(candidate.near);
        Candidate {
            chunk_id: candidate.chunk_id,
            score: dense_weight * cosine.normalized + (1.0 - dense_weight) * bm25.normalized,
            bm25: Some(bm25),
            cosine: Some(cosine),
        }
    });
    sorted(fused.collect())
}

/// Fuses both legs by [reciprocal ranks](https://doi.org/10.1145/1571941.1572114), best first, equal ones by chunk id.
///
/// Ranks are those among all candidates, whichever leg listed them: else a chunk that one leg missed by a hair would
/// count as if it were not there. A chunk that no term matches has no rank in the keyword leg.
pub(super) fn fuse_ranks(candidates: &[Both], dense_weight: f64) -> Vec<Candidate> {
    let by_bm25 = inverse_ranks(candidates, |candidate| candidate.bm25.raw);
    let by_cosine = inverse_ranks(candidates, |candidate| candidate.near);
    let ranked = candidates.iter().zip(by_bm25).zip(by_cosine);
    let fused = ranked.map(|((candidate, by_bm25), by_cosine)| {
        let by_bm25 = if candidate.bm25.raw > 0.0 { by_bm25 } else { 0.0 };
        let bm25 = candidate.bm25.leg_score(by_bm25);
        let cosine = candidate.cosine.leg_score(by_cosine);
        Candidate {
            chunk_id: candidate.chunk_id,
            score: dense_weight * cosine.normalized + (1.0 - dense_weight) * bm25.normalized,
            bm25: Some(bm25),
            cosine: Some(cosine),
        }
    });
    sorted(fused.collect())
}

/// Returns `1 / (k + rank)` of each candidate, in their order; equal scores are ranked by chunk id.
fn inverse_ranks(candidates: &[Both], score: fn(&Both) -> f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_unstable_by(|left, right| {
        let (left, right) = (&candidates[*left], &candidates[*right]);
        let by_score = score(right).total_cmp(&score(left));
        by_score.then(left.chunk_id.cmp(&right.chunk_id))
    });
    let mut inverse = vec![0.0; candidates.len()];
    for (rank, at) in (1_u32..).zip(order) {
        inverse[at] = 1.0 / (RANK_CONSTANT + f64::from(rank));
    }
    inverse
}

/// Returns the keyword leg's list as candidates.
pub(super) fn keyword_only(list: &[Scored]) -> Vec<Candidate> {
    let best_bm25 = best(list.iter().map(|scored| f64::from(scored.score)));
    let candidates = list.iter().enumerate().map(|(at, scored)| {
        let listed = Listed::at(at, scored);
        Candidate {
            chunk_id: scored.chunk_id,
            score: listed.raw,
            bm25: Some(listed.leg_score(share(listed.raw, best_bm25))),
            cosine: None,
        }
    });
    sorted(candidates.collect())
}

/// Returns the dense leg's list as candidates.
pub(super) fn dense_only(list: &[Scored]) -> Vec<Candidate> {
    let candidates = list.iter().enumerate().map(|(at, scored)| {
        let listed = Listed::at(at, scored);
        Candidate {
            chunk_id: scored.chunk_id,
            score: listed.raw,
            bm25: None,
            cosine: Some(listed.leg_score(listed.raw)),
        }
    });
    sorted(candidates.collect())
}

fn best(scores: impl Iterator<Item = f64>) -> f64 {
    scores.fold(0.0, f64::max)
}

/// Where nothing matches, the share of the best is 0 and not 0/0.
fn share(score: f64, best: f64) -> f64 {
    if best > 0.0 { score / best } else { 0.0 }
}

fn sorted(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_unstable_by(|left, right| {
        let by_score = right.score.total_cmp(&left.score);
        by_score.then(left.chunk_id.cmp(&right.chunk_id))
    });
    candidates
}

#[cfg(test)]
mod tests;
