//! How a score came about.

use super::stage::{AppliedBoost, DiversityEffect, RecencyEffect, RerankEffect, Staged};
use super::{FilterOutcome, FusionMethod, LegScore, Query, SearchType};
use crate::index::TermPart;

/// How far sums of the same parts lie from each other.
const ROUNDING: f64 = 1e-9;

/// A way to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// BM25.
    Keyword,
    /// Cosine similarity.
    Dense,
}

/// What one leg adds to a fused score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LegPart {
    /// The leg.
    pub leg: Leg,
    /// Its score.
    pub score: LegScore,
    /// Its weight.
    pub weight: f64,
    /// What it adds.
    pub contribution: f64,
}

/// How a score came about: the parts of the legs and what a transformation added make the fused score, and that, or the score that reranking made
/// of it, times all multipliers is the score.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Place among the results, from 1.
    pub rank: u32,
    /// Place after fusion, from 1.
    pub fused_rank: u32,
    /// Candidates that were fused.
    pub candidate_count: u32,
    /// How the legs were fused; nothing when there was one.
    pub fusion: Option<FusionMethod>,
    /// What each leg added.
    pub legs: Vec<LegPart>,
    /// The score after fusion.
    pub fused_score: f64,
    /// What uniting the results of the question with those of its parts, or of another wording, added.
    pub transformation: Option<f64>,
    /// What reranking did.
    pub rerank: Option<RerankEffect>,
    /// What each term added to BM25.
    pub terms: Vec<TermPart>,
    /// Boosts that applied.
    pub boosts: Vec<AppliedBoost>,
    /// What recency did.
    pub recency: Option<RecencyEffect>,
    /// What diversity did.
    pub diversity: Option<DiversityEffect>,
    /// Conditions of the filter.
    pub filter: Vec<FilterOutcome>,
}

impl Explanation {
    /// Explains a result from what was noted on its way.
    pub fn new(query: &Query, dense_weight: f64, staged: &Staged, rank: u32, candidate_count: u32) -> Self {
        let is_fused = query.search_type == SearchType::Hybrid;
        let part = |leg, score: LegScore, weight: f64| {
            // A leg that is alone is not normalised.
            let normalized = if is_fused { score.normalized } else { score.raw };
            LegPart {
                leg,
                score: LegScore { normalized, ..score },
                weight,
                contribution: weight * normalized,
            }
        };
        let weights = if is_fused {
            (dense_weight, 1.0 - dense_weight)
        } else {
            (1.0, 1.0)
        };
        let candidate = &staged.candidate;
        let dense = candidate.cosine.map(|score| part(Leg::Dense, score, weights.0));
        let keyword = candidate.bm25.map(|score| part(Leg::Keyword, score, weights.1));
        let legs: Vec<LegPart> = [dense, keyword].into_iter().flatten().collect();
        let of_legs: f64 = legs.iter().map(|part| part.contribution).sum();
        let added = candidate.score - of_legs;
        Self {
            rank,
            fused_rank: staged.fused_rank,
            candidate_count,
            fusion: is_fused.then_some(query.options.fusion),
            legs,
            fused_score: candidate.score,
            transformation: (added.abs() > ROUNDING).then_some(added),
            rerank: staged.rerank,
            terms: Vec::new(),
            boosts: staged.boosts.clone(),
            recency: staged.recency,
            diversity: staged.diversity,
            filter: Vec::new(),
        }
    }
}
