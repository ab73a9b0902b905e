//! Scores of the best candidates, blended with what a closer look gave.

use super::{Line, RerankEffect, Staged};

/// Blends the scores of the first candidates, as many as there are relevances, and orders them by the result:
/// `(1 - weight) * score + weight * relevance`. Where scores are `relative`, they are divided by the best of them first.
///
/// The others stay below, in their order: their scores are capped just under the worst of those that were reranked, each
/// a little more than the one after it.
pub fn rerank(line: &mut Line, relevances: &[f64], weight: f64, relative: bool) {
    let best = line.kept.first().map_or(0.0, |staged| staged.score);
    let scale = if relative && best > 0.0 { best } else { 1.0 };
    for staged in &mut line.kept {
        staged.score /= scale;
    }
    let mut below = line.kept.split_off(relevances.len().min(line.kept.len()));
    for (staged, relevance) in line.kept.iter_mut().zip(relevances) {
        staged.score = (1.0 - weight) * staged.score + weight * relevance;
    }
    let relevances = line.kept.iter().map(Staged::chunk_id).zip(relevances.iter().copied());
    let relevances: std::collections::HashMap<_, _> = relevances.collect();
    line.sort();
    let mut most = line.kept.last().map_or(f64::INFINITY, |worst| worst.score.next_down());
    for staged in &mut below {
        if staged.score < most {
            most = staged.score;
        } else {
            staged.score = most;
            most = most.next_down();
        }
    }
    line.kept.append(&mut below);
    for (place, staged) in (1..).zip(&mut line.kept) {
        staged.rerank = Some(RerankEffect {
            place_before: staged.fused_rank,
            place,
            relevance: relevances.get(&staged.chunk_id()).copied(),
            weight,
            score: staged.score,
        });
    }
}
