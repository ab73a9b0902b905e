//! Tests of vectors.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const DIMENSIONS: usize = 16;

/// Unit vectors in clusters, as passages on a few subjects are.
fn unit_vectors(count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |around: &[f32], width: f32| -> Vec<f32> {
        let moved = around
            .iter()
            .map(|number| number + width * random.random_range(-1.0_f32..1.0));
        let vector: Vec<f32> = moved.collect();
        let norm = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        vector.iter().map(|number| number / norm).collect()
    };
    let centres: Vec<_> = (0..20).map(|_| draw(&[0.0; DIMENSIONS], 1.0)).collect();
    (0..count).map(|at| draw(&centres[at % centres.len()], 0.3)).collect()
}

fn filled(vectors: &[Vec<f32>]) -> Vectors {
    let index = Vectors::new(DIMENSIONS);
    index.insert(&rows(vectors, 1)).expect("inserted");
    index
}

fn rows(vectors: &[Vec<f32>], first: u64) -> Vec<(ChunkId, &[f32])> {
    let numbered = vectors.iter().zip(first..);
    numbered.map(|(vector, id)| (ChunkId(id), vector.as_slice())).collect()
}

fn ids(found: &[Scored]) -> BTreeSet<u64> {
    found.iter().map(|scored| scored.chunk_id.0).collect()
}

#[track_caller]
fn check_recall(index: &Vectors, queries: &[Vec<f32>], accept: &Accept<'_>, least: f64) {
    let accepted = index
        .rows
        .read()
        .iter()
        .filter(|(chunk_id, _)| accept(*chunk_id))
        .count();
    let (mut right, mut all) = (0, 0);
    for query in queries {
        let found = index.search(query, 10, accept, accepted).expect("found");
        let exact = index.scan(query, 10, accept);
        assert!(
            found.is_sorted_by(|left, right| best_first(left, right).is_lt()),
            "{found:?}"
        );
        assert!(found.iter().all(|scored| accept(scored.chunk_id)));
        assert_eq!(found.len(), exact.len());
        right += ids(&found).intersection(&ids(&exact)).count();
        all += exact.len();
    }
    let recall = right as f64 / all as f64;
    assert!(recall >= least, "recall is {recall} of {accepted}");
}

#[test]
fn graph_finds_nearly_all_neighbours() {
    let index = filled(&unit_vectors(5_000, 1));
    assert!(matches!(
        Plan::new(5_000, 5_000, 10),
        Plan::Walk { filtered: false, .. }
    ));
    assert!(matches!(Plan::new(5_000, 3_334, 10), Plan::Walk { filtered: true, .. }));
    let queries = unit_vectors(40, 2);
    check_recall(&index, &queries, &|_| true, 0.97);
    check_recall(&index, &queries, &|chunk_id| chunk_id.0 % 3 != 0, 0.97);
    check_recall(&index, &queries, &|chunk_id| chunk_id.0 % 100 == 0, 1.0);
    let walked = index.walk(&queries[0], 128, 10, &|chunk_id| chunk_id.0 % 3 == 0, true);
    assert_eq!(walked.len(), 10);
}

#[test]
fn plans_follow_the_accepted_share() {
    #[track_caller]
    fn check(len: usize, accepted: usize, limit: usize, plan: Plan) {
        assert_eq!(Plan::new(len, accepted, limit), plan, "{accepted} of {len}");
    }
    check(0, 0, 10, Plan::Scan);
    check(2_000, 2_000, 10, Plan::Scan);
    check(40_000, 400, 10, Plan::Scan);
    check(40_000, 4_000, 10, Plan::Scan);
    check(
        40_000,
        20_000,
        10,
        Plan::Walk {
            ef: 128,
            filtered: true,
        },
    );
    check(
        40_000,
        40_000,
        10,
        Plan::Walk {
            ef: 128,
            filtered: false,
        },
    );
    check(
        40_000,
        32_000,
        100,
        Plan::Walk {
            ef: 250,
            filtered: false,
        },
    );
    check(40_000, usize::MAX, usize::MAX, Plan::Scan);
}

#[test]
fn few_accepted_chunks_are_all_found() {
    let index = filled(&unit_vectors(2_500, 3));
    let query = &unit_vectors(1, 4)[0];
    for wrong_guess in [3, 2_500] {
        let found = index
            .search(query, 10, &|chunk_id| chunk_id.0 > 2_497, wrong_guess)
            .expect("found");
        assert_eq!(ids(&found), BTreeSet::from([2_498, 2_499, 2_500]));
    }
    assert_eq!(index.search(query, 10, &|_| false, 0).expect("found"), []);
    assert_eq!(index.search(query, 0, &|_| true, 2_500).expect("found"), []);
}

#[test]
fn equal_vectors_are_ordered_by_chunk() {
    let same = vec![unit_vectors(1, 5).remove(0); 300];
    let index = filled(&same);
    let found = index.search(&same[0], 20, &|_| true, 300).expect("found");
    assert!(found.iter().map(|scored| scored.chunk_id.0).eq(1..=20), "{found:?}");
}

#[test]
fn known_chunks_stay_as_they_are() {
    let vectors = unit_vectors(3, 6);
    let index = filled(&vectors[..1]);
    let again = [
        (ChunkId(1), &vectors[1][..]),
        (ChunkId(5), &vectors[2]),
        (ChunkId(5), &vectors[1]),
    ];
    index.insert(&again).expect("inserted");
    assert_eq!(index.len(), 2);
    let asked = [5, 1, 2, 9_999].map(ChunkId);
    let scores = index.score(&vectors[0], &asked).expect("scores");
    assert!((scores[1].expect("there") - 1.0).abs() < 1e-6);
    assert_eq!((scores[0].is_some(), scores[2], scores[3]), (true, None, None));
}

#[test]
fn bad_vectors_are_refused_whole() {
    let index = Vectors::new(2);
    let refused = index.insert(&[(ChunkId(1), &[1.0, 0.0]), (ChunkId(2), &[1.0])]);
    let refused = refused.expect_err("too short").to_string();
    assert_eq!(
        refused,
        "vectors of this knowledge base have 2 dimensions, this one has 1"
    );
    let refused = index.insert(&[(ChunkId(1), &[1.0, 0.0]), (ChunkId(2), &[f32::NAN, 0.0])]);
    assert!(refused.expect_err("not finite").to_string().contains("chunk-00000002"));
    assert!(index.is_empty());
    assert!(index.search(&[1.0], 1, &|_| true, 0).is_err());
    assert!(index.score(&[1.0], &[]).is_err());
    assert_eq!(index.search(&[f32::NAN, 0.0], 1, &|_| true, 0).expect("nothing"), []);
}

#[test]
fn searches_go_on_while_vectors_come() {
    let vectors = unit_vectors(4_000, 7);
    let index = filled(&vectors[..3_000]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (at, part) in vectors[3_000..].chunks(100).enumerate() {
                index.insert(&rows(part, 3_001 + at as u64 * 100)).expect("inserted");
            }
        });
        for query in &vectors[..200] {
            let found = index
                .search(query, 5, &|chunk_id| chunk_id.0 <= 3_000, 3_000)
                .expect("found");
            assert_eq!(found.len(), 5);
            assert!((found[0].score - 1.0).abs() < 1e-5);
        }
    });
    assert_eq!(index.len(), 4_000);
    check_recall(&index, &vectors[3_500..3_520], &|_| true, 0.97);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn never_fewer_hits_than_exist(
        count in 1..2_500_usize,
        limit in 1..200_usize,
        share in 1..50_u64,
        guess in 0..3_000_usize,
    ) {
        let vectors = unit_vectors(count, count as u64);
        let index = filled(&vectors);
        let accept = |chunk_id: ChunkId| chunk_id.0.is_multiple_of(share);
        let accepted = count / share as usize;
        let found = index.search(&vectors[0], limit, &accept, accepted.max(guess)).expect("found");
        prop_assert_eq!(found.len(), accepted.min(limit));
    }
}
