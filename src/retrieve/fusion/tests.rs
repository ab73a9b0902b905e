//! Tests of fusion.

use proptest::prelude::*;

use super::*;

fn completed(score: f32) -> Listed {
    Listed {
        rank: None,
        raw: f64::from(score),
    }
}

fn both(chunk_id: u64, bm25: f32, cosine: f32) -> Both {
    Both {
        chunk_id: ChunkId(chunk_id),
        bm25: completed(bm25),
        cosine: completed(cosine),
        near: f64::from(cosine),
    }
}

#[track_caller]
fn check(candidates: &[Both], dense_weight: f64, expected: &[(u64, f64)]) {
    let fused = fuse(candidates, dense_weight);
    let found: Vec<_> = fused
        .iter()
        .map(|candidate| (candidate.chunk_id.0, candidate.score))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn legs_are_weighed_against_each_other() {
    let candidates = [both(1, 8.0, 0.25), both(2, 4.0, 0.75), both(3, 0.0, 0.5)];
    check(&candidates, 0.0, &[(1, 1.0), (2, 0.5), (3, 0.0)]);
    check(&candidates, 1.0, &[(2, 0.75), (3, 0.5), (1, 0.25)]);
    check(&candidates, 0.5, &[(1, 0.625), (2, 0.625), (3, 0.25)]);
    check(&[], 0.5, &[]);
}

#[test]
fn no_matching_term_leaves_cosine() {
    check(&[both(2, 0.0, 0.5), both(1, 0.0, -0.5)], 0.5, &[(2, 0.25), (1, -0.25)]);
}

#[test]
fn single_legs_keep_rank_and_score() {
    let list = [(3, 4.0), (1, 2.0)].map(|(chunk_id, score)| Scored {
        chunk_id: ChunkId(chunk_id),
        score,
    });
    let keyword = keyword_only(&list);
    let bm25 = keyword[1].bm25.expect("it took part");
    assert_eq!((keyword[1].score, bm25.rank, bm25.normalized), (2.0, Some(2), 0.5));
    assert_eq!(keyword[1].cosine, None);
    let dense = dense_only(&list);
    let cosine = dense[0].cosine.expect("it took part");
    assert_eq!((dense[0].score, cosine.rank, cosine.normalized), (4.0, Some(1), 4.0));
    assert_eq!(dense[0].bm25, None);
}

#[test]
fn ranks_are_those_among_all_candidates() {
    let candidates = [both(1, 8.0, 0.25), both(2, 4.0, 0.75), both(3, 0.0, 0.5)];
    let found: Vec<_> = fuse_ranks(&candidates, 0.5)
        .iter()
        .map(|candidate| (candidate.chunk_id.0, candidate.score))
        .collect();
    let inverse = |rank: f64| 1.0 / (60.0 + rank);
    let expected = [
        (2, 0.5 * inverse(1.0) + 0.5 * inverse(2.0)),
        (1, 0.5 * inverse(3.0) + 0.5 * inverse(1.0)),
        (3, 0.5 * inverse(2.0)),
    ];
    assert_eq!(found, expected);
    assert_eq!(fuse_ranks(&[], 0.5), []);
    let tied = fuse_ranks(&[both(2, 1.0, 0.5), both(1, 1.0, 0.5)], 0.5);
    assert_eq!(tied[0].chunk_id, ChunkId(1));
}

proptest! {
    #[test]
    fn contributions_add_up_to_the_score(
        scores in prop::collection::vec((0.0_f32..30.0, -1.0_f32..1.0), 0..60),
        dense_weight in 0.0..=1.0,
    ) {
        let candidates: Vec<_> = (1..).zip(&scores).map(|(id, (bm25, cosine))| both(id, *bm25, *cosine)).collect();
        for fused in [fuse(&candidates, dense_weight), fuse_ranks(&candidates, dense_weight)] {
            for candidate in fused {
                let normalized = |leg: Option<LegScore>| leg.expect("both legs took part").normalized;
                let sum = dense_weight * normalized(candidate.cosine) + (1.0 - dense_weight) * normalized(candidate.bm25);
                prop_assert_eq!(sum.to_bits(), candidate.score.to_bits());
            }
        }
    }

    #[test]
    fn fused_order_is_total_and_bounded(
        scores in prop::collection::vec((0.0_f32..30.0, -1.0_f32..1.0), 0..60),
        dense_weight in 0.0..=1.0,
    ) {
        let mut candidates: Vec<_> = (1..).zip(&scores).map(|(id, (bm25, cosine))| both(id, *bm25, *cosine)).collect();
        let fused = fuse(&candidates, dense_weight);
        prop_assert_eq!(fused.len(), candidates.len());
        for pair in fused.windows(2) {
            let (first, second) = (&pair[0], &pair[1]);
            prop_assert!((first.score, second.chunk_id) > (second.score, first.chunk_id));
        }
        for candidate in &fused {
            prop_assert!((-1.0..=1.0).contains(&candidate.score));
            let bm25 = candidate.bm25.expect("both legs took part").normalized;
            prop_assert!((0.0..=1.0).contains(&bm25));
        }
        candidates.reverse();
        prop_assert_eq!(fuse(&candidates, dense_weight), fused);
    }

    #[test]
    fn better_in_both_legs_is_never_below(
        (bm25, cosine) in (0.0_f32..30.0, -1.0_f32..1.0),
        (more_bm25, more_cosine) in (0.0_f32..5.0, 0.0_f32..1.0),
        dense_weight in 0.0..=1.0,
    ) {
        let fused = fuse(&[both(2, bm25, cosine), both(1, bm25 + more_bm25, cosine + more_cosine)], dense_weight);
        prop_assert_eq!(fused[0].chunk_id, ChunkId(1));
    }
}
