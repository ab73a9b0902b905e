//! What became of the chunks of a document in one search.

use crate::index::ChunkId;
use crate::knowledge_base::{ExactLeg, MissingStage};
use crate::retrieve::stage::{Line, Loss, Lost, RerankEffect, Staged};
use crate::retrieve::{Candidate, Leg};

/// What became of a document.
#[derive(Debug, Clone)]
pub(super) struct Fate {
    pub(super) stage: MissingStage,
    /// The chunk that came farthest.
    pub(super) chunk_id: Option<ChunkId>,
    pub(super) rank: Option<u32>,
    pub(super) fused_rank: Option<u32>,
    pub(super) rerank: Option<RerankEffect>,
    pub(super) score: f64,
    pub(super) place_before_cut: Option<u32>,
    /// The chunk that took its place.
    pub(super) other: Option<ChunkId>,
    /// Its place in its group, when better chunks of its document took its places.
    pub(super) place_in_group: usize,
    pub(super) legs: Vec<ExactLeg>,
    /// Paths of conditions that do not let it through.
    pub(super) obstacles: Vec<String>,
}

impl Fate {
    pub(super) fn at(stage: MissingStage) -> Self {
        Self {
            stage,
            chunk_id: None,
            rank: None,
            fused_rank: None,
            rerank: None,
            score: 0.0,
            place_before_cut: None,
            other: None,
            place_in_group: 0,
            legs: Vec::new(),
            obstacles: Vec::new(),
        }
    }

    /// Returns what became of the chunk that came farthest; nothing when none was a candidate.
    /// `limit` results are wanted.
    pub(super) fn of(line: &Line, subject: &[ChunkId], limit: usize) -> Option<Self> {
        let found = (1..)
            .zip(&line.kept)
            .find(|(_, staged)| subject.contains(&staged.chunk_id()));
        if let Some((rank, staged)) = found {
            return Some(Self {
                chunk_id: Some(staged.chunk_id()),
                rank: Some(rank),
                fused_rank: Some(staged.fused_rank),
                rerank: staged.rerank,
                score: staged.score,
                ..Self::at(MissingStage::Found)
            });
        }
        let lost = line
            .lost
            .iter()
            .filter(|lost| subject.contains(&lost.staged.chunk_id()));
        let lost = lost.max_by_key(|lost| (depth(lost.loss), std::cmp::Reverse(lost.place)))?;
        Some(Self::of_lost(line, lost, limit))
    }

    fn of_lost(line: &Line, lost: &Lost, limit: usize) -> Self {
        let (stage, other) = match lost.loss {
            Loss::BelowThreshold => (MissingStage::BelowThreshold, None),
            Loss::DuplicateOf(other) => (MissingStage::NearDuplicate, Some(other)),
            Loss::GroupedUnder(best) => (MissingStage::GroupedAway, Some(best)),
            Loss::NotDiverse => (MissingStage::NotDiverse, None),
            Loss::CutOff if is_moved_out(&lost.staged, limit) => (MissingStage::Reranked, None),
            Loss::CutOff => (MissingStage::CutOff, None),
        };
        let is_at_cut = matches!(lost.loss, Loss::NotDiverse | Loss::CutOff);
        Self {
            chunk_id: Some(lost.staged.chunk_id()),
            fused_rank: Some(lost.staged.fused_rank),
            rerank: lost.staged.rerank,
            score: lost.staged.score,
            place_before_cut: is_at_cut.then_some(lost.place),
            other,
            place_in_group: place_in_group(line, lost),
            ..Self::at(stage)
        }
    }
}

/// Returns whether reranking moved a candidate from the results to behind them.
fn is_moved_out(staged: &Staged, limit: usize) -> bool {
    let is_result = |place: u32| place as usize <= limit;
    let effect = staged.rerank;
    effect.is_some_and(|effect| is_result(effect.place_before) && !is_result(effect.place))
}

/// Counts the chunks of the same group that were grouped away before, those that were kept not included.
fn place_in_group(line: &Line, lost: &Lost) -> usize {
    let Loss::GroupedUnder(best) = lost.loss else { return 0 };
    let in_group = line.lost.iter().filter(|other| other.loss == Loss::GroupedUnder(best));
    in_group.filter(|other| other.place <= lost.place).count()
}

fn depth(loss: Loss) -> usize {
    match loss {
        Loss::BelowThreshold => 0,
        Loss::DuplicateOf(_) => 1,
        Loss::GroupedUnder(_) => 2,
        Loss::CutOff | Loss::NotDiverse => 3,
    }
}

/// Returns a candidate, whatever became of it.
pub(super) fn candidate(line: &Line, chunk_id: ChunkId) -> Option<Candidate> {
    let lost = line.lost.iter().map(|lost| &lost.staged);
    let all = line.kept.iter().chain(lost);
    all.map(|staged| staged.candidate)
        .find(|candidate| candidate.chunk_id == chunk_id)
}

/// Says why no leg listed a chunk that stands in the legs like this.
pub(super) fn unlisted(legs: &[ExactLeg]) -> MissingStage {
    let is_within = |leg: &ExactLeg| leg.exact.is_some_and(|exact| exact.rank <= leg.candidates as u64);
    if legs.iter().any(|leg| leg.leg == Leg::Dense && is_within(leg)) {
        return MissingStage::NotReached;
    }
    if legs.iter().all(|leg| leg.exact.is_none()) {
        return MissingStage::NoMatchingTerms;
    }
    MissingStage::NotListed
}
