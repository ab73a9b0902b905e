//! Candidates of a question and of its parts, as one list.

use std::collections::HashMap;

use super::{Candidate, Candidates};
use crate::index::ChunkId;

/// Unites what was found for a question with what was found for its parts. The scores of a part are scaled so that its best
/// is the best of the question, and a chunk has the largest score that it gets: so the best of each part is among the first,
/// and what lies far behind in a part stays behind. Best first, equal ones by their places in what was found, then by chunk id.
#[must_use]
pub fn united(whole: Candidates, parts: Vec<Candidates>) -> Candidates {
    let best = whole.fused.first().map(|candidate| candidate.score);
    let mut may_go_deeper = whole.may_go_deeper;
    let mut by_chunk: HashMap<ChunkId, (Candidate, usize)> = HashMap::new();
    let mut add = |candidates: Vec<Candidate>, scale: f64| {
        for (place, mut candidate) in candidates.into_iter().enumerate() {
            candidate.score *= scale;
            let known = by_chunk.entry(candidate.chunk_id).or_insert((candidate, place));
            let is_better = candidate.score.total_cmp(&known.0.score).then(known.1.cmp(&place));
            if is_better.is_gt() {
                *known = (candidate, place);
            }
        }
    };
    add(whole.fused, 1.0);
    for part in parts {
        may_go_deeper |= part.may_go_deeper;
        let own_best = part.fused.first().map(|candidate| candidate.score);
        // Without a score above 0 on both sides there is nothing to scale to.
        let scale = match (best, own_best) {
            (Some(best), Some(own)) if best > 0.0 && own > 0.0 => best / own,
            _ => 1.0,
        };
        add(part.fused, scale);
    }
    let mut fused: Vec<(Candidate, usize)> = by_chunk.into_values().collect();
    fused.sort_unstable_by(|(left, place), (right, other_place)| {
        let by_score = right.score.total_cmp(&left.score);
        let by_place = by_score.then(place.cmp(other_place));
        by_place.then(left.chunk_id.cmp(&right.chunk_id))
    });
    let fused = fused.into_iter().map(|(candidate, _)| candidate).collect();
    Candidates {
        fused,
        may_go_deeper,
        ..whole
    }
}

/// Joins what was found for a question with what was found for a shorter wording of it. Scores of the wording are scaled
/// so that its best is the best of the question, and a chunk has the mean of both; where one side does not list
/// it, it has the lowest score of that side.
#[must_use]
pub fn averaged(whole: Candidates, rewrite: Candidates) -> Candidates {
    if rewrite.fused.is_empty() {
        return whole;
    }
    let best = |found: &Candidates| found.fused.first().map(|candidate| candidate.score);
    let scale = match (best(&whole), best(&rewrite)) {
        (Some(best), Some(own)) if best > 0.0 && own > 0.0 => best / own,
        _ => 1.0,
    };
    let lowest = |found: &Candidates| found.fused.last().map_or(0.0, |candidate| candidate.score);
    let (low_whole, low_rewrite) = (lowest(&whole), lowest(&rewrite) * scale);
    let mut of_rewrite: HashMap<ChunkId, Candidate> = rewrite
        .fused
        .into_iter()
        .map(|candidate| (candidate.chunk_id, candidate))
        .collect();
    let mean = |whole: f64, rewrite: f64| f64::midpoint(whole, rewrite);
    let mut fused: Vec<Candidate> = Vec::new();
    for mut candidate in whole.fused {
        let other = of_rewrite.remove(&candidate.chunk_id);
        candidate.score = mean(candidate.score, other.map_or(low_rewrite, |other| other.score * scale));
        fused.push(candidate);
    }
    fused.extend(of_rewrite.into_values().map(|candidate| Candidate {
        score: mean(low_whole, candidate.score * scale),
        ..candidate
    }));
    fused.sort_unstable_by(|left, right| {
        let by_score = right.score.total_cmp(&left.score);
        by_score.then(left.chunk_id.cmp(&right.chunk_id))
    });
    Candidates {
        fused,
        may_go_deeper: whole.may_go_deeper || rewrite.may_go_deeper,
        ..whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrieve::LegsWork;

    fn found(scores: &[(u64, f64)]) -> Candidates {
        let candidate = |(id, score): &(u64, f64)| Candidate {
            chunk_id: ChunkId(*id),
            score: *score,
            bm25: None,
            cosine: None,
        };
        Candidates {
            fused: scores.iter().map(candidate).collect(),
            dense_weight: 0.75,
            may_go_deeper: false,
            work: LegsWork::default(),
        }
    }

    #[track_caller]
    fn check(whole: &[(u64, f64)], parts: &[&[(u64, f64)]], expected: &[(u64, f64)]) {
        let united = united(found(whole), parts.iter().map(|part| found(part)).collect());
        let scores: Vec<(u64, f64)> = united.fused.iter().map(|it| (it.chunk_id.0, it.score)).collect();
        assert_eq!(scores, expected);
    }

    #[test]
    fn two_wordings_of_a_question_have_the_mean() {
        let scores = |found: Candidates| {
            found
                .fused
                .iter()
                .map(|it| (it.chunk_id.0, it.score))
                .collect::<Vec<_>>()
        };
        let joined = averaged(found(&[(1, 1.0), (2, 0.75)]), found(&[(2, 0.5), (3, 0.25)]));
        assert_eq!(scores(joined), [(2, 0.875), (1, 0.75), (3, 0.625)]);
        assert_eq!(scores(averaged(found(&[(1, 0.5)]), found(&[]))), [(1, 0.5)]);
    }

    #[test]
    fn the_best_of_each_part_comes_first() {
        check(&[(1, 0.8), (2, 0.7)], &[], &[(1, 0.8), (2, 0.7)]);
        check(
            &[(1, 0.8), (2, 0.6)],
            &[&[(1, 0.5), (3, 0.25)], &[(4, 0.4), (2, 0.1)]],
            &[(1, 0.8), (4, 0.8), (2, 0.6), (3, 0.4)],
        );
    }

    #[test]
    fn equal_hits_of_one_part_leave_room_for_another() {
        let equal = [(1, 0.8), (2, 0.8), (3, 0.8)];
        check(
            &equal,
            &[&equal, &[(4, 0.4)]],
            &[(1, 0.8), (4, 0.8), (2, 0.8), (3, 0.8)],
        );
    }

    #[test]
    fn scores_below_zero_are_left_as_they_are() {
        check(&[(1, -0.5)], &[&[(2, 0.5)], &[]], &[(2, 0.5), (1, -0.5)]);
        check(&[], &[&[(2, 0.5)]], &[(2, 0.5)]);
    }
}
