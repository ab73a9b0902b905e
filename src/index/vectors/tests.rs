//! Tests of vectors.

mod damage;
mod upkeep;

use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::*;
use crate::index::best::best_first;
use crate::index::{ChunkSet, Pace};

pub(super) const DIMENSIONS: usize = 16;
const GO_ON: std::ops::ControlFlow<()> = std::ops::ControlFlow::Continue(());

/// Unit vectors in clusters, as passages on a few subjects are.
pub(super) fn unit_vectors(count: usize, seed: u64) -> Vec<Vec<f32>> {
    clustered(count, seed, 0)
}

/// Other vectors of the same clusters.
fn queries(count: usize, seed: u64) -> Vec<Vec<f32>> {
    clustered(count, seed, 1)
}

fn clustered(count: usize, seed: u64, stream: u64) -> Vec<Vec<f32>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let centres: Vec<_> = (0..20).map(|_| draw(&mut random, &[0.0; DIMENSIONS], 1.0)).collect();
    random.set_stream(stream);
    let drawn = (0..count).map(|at| draw(&mut random, &centres[at % centres.len()], 0.3));
    drawn.collect()
}

fn draw(random: &mut ChaCha8Rng, around: &[f32], width: f32) -> Vec<f32> {
    let moved = around
        .iter()
        .map(|number| number + width * random.random_range(-1.0_f32..1.0));
    let vector: Vec<f32> = moved.collect();
    let norm = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    vector.iter().map(|number| number / norm).collect()
}

pub(super) fn rows(vectors: &[Vec<f32>], first: u64) -> Vec<(ChunkId, &[f32])> {
    let numbered = vectors.iter().zip(first..);
    numbered.map(|(vector, id)| (ChunkId(id), vector.as_slice())).collect()
}

/// An index in a directory that goes away with it.
struct Index {
    vectors: Vectors,
    directory: TempDir,
}

impl Index {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let vectors = Vectors::create_anew(&directory.path().join("vectors"), DIMENSIONS).expect("made");
        Self { vectors, directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("vectors")
    }

    /// Inserts the vectors in parts, each of which is sealed by upkeep if it is large enough.
    fn filled(vectors: &[Vec<f32>], part: usize) -> Self {
        let index = Self::new();
        for (at, vectors) in vectors.chunks(part).enumerate() {
            let first = 1 + (at * part) as u64;
            index.vectors.insert(&rows(vectors, first)).expect("inserted");
            index.keep_up(&|_| true);
        }
        index
    }

    /// Does all upkeep that is due.
    fn keep_up(&self, exists: &Accept<'_>) -> Vec<Upkeep> {
        let mut done = Vec::new();
        loop {
            match self
                .vectors
                .upkeep(Epoch(7), exists, Pace::UnderLoad, 2, &mut |_| GO_ON)
                .expect("done")
            {
                Upkeep::Idle => return done,
                work => done.push(work),
            }
        }
    }

    fn files(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path()).expect("a directory");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string();
        entries.map(|entry| name(entry).expect("a name")).collect()
    }

    fn reopened(&self) -> Result<Vectors, Error> {
        Vectors::open(&self.path(), DIMENSIONS)
    }
}

fn ids(found: &[Scored]) -> BTreeSet<u64> {
    found.iter().map(|scored| scored.chunk_id.0).collect()
}

/// Searches as if nothing were known of the rows: scores each of them.
fn brute(index: &Vectors, query: &[f32], limit: usize, accept: &Accept<'_>) -> Vec<Scored> {
    let chunk_ids: Vec<ChunkId> = (0..=index.state().last.0)
        .map(ChunkId)
        .filter(|id| accept(*id))
        .collect();
    let scores = index.score(query, &chunk_ids).expect("scores");
    let scored = chunk_ids.into_iter().zip(scores);
    let mut found: Vec<Scored> = scored
        .filter_map(|(chunk_id, score)| {
            Some(Scored {
                chunk_id,
                score: score?,
            })
        })
        .collect();
    found.sort_unstable_by(best_first);
    found.truncate(limit);
    found
}

#[track_caller]
fn check_recall(index: &Vectors, queries: &[Vec<f32>], accept: &Accept<'_>, least: f64) {
    let accepted = (0..=index.state().last.0).filter(|id| accept(ChunkId(*id)) && index.contains(ChunkId(*id)));
    let accepted = accepted.count();
    let mut set = ChunkSet::default();
    (0..=index.state().last.0)
        .map(ChunkId)
        .filter(|id| accept(*id))
        .for_each(|id| set.insert(id, 1));
    let (mut right, mut of_sets, mut all) = (0, 0, 0);
    for query in queries {
        let found = index.search(query, 10, accept, accepted).expect("found");
        let exact = brute(index, query, 10, accept);
        assert_eq!(index.search_exact(query, 10, accept).expect("found"), exact);
        let set = Accepted::Set(&set);
        assert_eq!(index.scan_accepted(query, 10, set).expect("found").0, exact);
        let (of_set, work) = index.search_accepted(query, 10, set).expect("found");
        assert_eq!(of_set.len(), exact.len());
        assert!(work.candidates >= exact.len() as u64 && work.visited >= work.candidates);
        of_sets += exact.iter().filter(|one| of_set.contains(one)).count();
        assert!(
            found.is_sorted_by(|left, right| best_first(left, right).is_lt()),
            "{found:?}"
        );
        assert!(found.iter().all(|scored| accept(scored.chunk_id)));
        assert_eq!(found.len(), exact.len());
        right += ids(&found).intersection(&ids(&exact)).count();
        all += exact.len();
    }
    let recall = right as f64 / all.max(1) as f64;
    assert!(recall >= least, "recall is {recall} of {accepted}");
    let recall = of_sets as f64 / all.max(1) as f64;
    assert!(recall >= least, "recall within a set is {recall} of {accepted}");
}

#[test]
fn graphs_find_nearly_all_neighbours() {
    let vectors = unit_vectors(13_000, 1);
    let queries = queries(40, 1);
    // One segment and a few fresh rows; several segments; fresh rows only.
    for (part, segments) in [(12_500, 1), (5_000, 1), (9_500, 1), (20_000, 1)] {
        let index = Index::filled(&vectors, part);
        assert_eq!(index.vectors.figures().segments, segments, "{part}");
        check_recall(&index.vectors, &queries, &|_| true, 0.98);
    }
}

#[test]
fn filters_of_any_width_find_their_share() {
    let vectors = unit_vectors(20_500, 3);
    let index = Index::filled(&vectors, 20_000);
    let queries = queries(20, 3);
    for one_of in [10_000, 1_000, 100, 20, 4, 2] {
        check_recall(&index.vectors, &queries, &|id| id.0.is_multiple_of(one_of), 0.98);
    }
    check_recall(&index.vectors, &queries, &|id| !id.0.is_multiple_of(10), 0.98);
    check_recall(&index.vectors, &queries, &|id| id.0 > 15_000, 0.98);
    check_recall(&index.vectors, &queries, &|id| id.0 > 20_100, 1.0);
    check_recall(&index.vectors, &queries, &|_| false, 0.0);
}

#[test]
fn filters_that_lie_together_find_their_share() {
    let index = Index::filled(&unit_vectors(30_000, 5), 22_000);
    assert_eq!(index.vectors.figures().segments, 1);
    let small = Index::filled(&unit_vectors(46_000, 5), 41_000);
    assert_eq!(small.vectors.figures().segments, 2);
    let queries = queries(10, 5);
    for index in [&index.vectors, &small.vectors] {
        check_recall(index, &queries, &|id| id.0 > 24_000, 0.98);
        // Every row of one cluster: a walk may have to cross all others.
        check_recall(index, &queries, &|id| id.0 % 20 == 3, 0.98);
        check_recall(index, &queries, &|id| id.0 % 20 < 8, 0.98);
    }
}

#[test]
fn few_accepted_chunks_are_all_found() {
    let index = Index::filled(&unit_vectors(7_000, 7), 6_000);
    let query = &queries(1, 7)[0];
    for wrong_guess in [3, 7_000] {
        let found = index
            .vectors
            .search(query, 10, &|chunk_id| chunk_id.0 > 6_997, wrong_guess)
            .expect("found");
        assert_eq!(ids(&found), BTreeSet::from([6_998, 6_999, 7_000]));
    }
    assert_eq!(index.vectors.search(query, 10, &|_| false, 0).expect("found"), []);
    assert_eq!(index.vectors.search(query, 0, &|_| true, 7_000).expect("found"), []);
    assert_eq!(index.vectors.search_exact(query, 0, &|_| true).expect("found"), []);
}

#[test]
fn equal_vectors_are_ordered_by_chunk() {
    let same = vec![unit_vectors(1, 9).remove(0); 5_300];
    for part in [300, 5_000] {
        let index = Index::filled(&same, part);
        let found = index.vectors.search_exact(&same[0], 20, &|_| true).expect("found");
        assert!(found.iter().map(|scored| scored.chunk_id.0).eq(1..=20), "{found:?}");
        let found = index.vectors.search(&same[0], 20, &|_| true, 5_300).expect("found");
        assert_eq!(found.len(), 20);
        assert!(found.is_sorted_by_key(|scored| scored.chunk_id), "{found:?}");
    }
}

#[test]
fn copies_of_a_vector_do_not_hide_others() {
    let mut vectors = unit_vectors(8_000, 10);
    let copied = vectors[0].clone();
    for (at, vector) in vectors.iter_mut().enumerate() {
        if at % 3 == 0 {
            vector.clone_from(&copied);
        }
    }
    let index = Index::filled(&vectors, 8_000);
    let queries = queries(40, 10);
    check_recall(&index.vectors, &queries, &|id| id.0 % 3 != 1, 0.98);
}

#[test]
fn known_chunks_stay_as_they_are() {
    let vectors = unit_vectors(3, 11);
    let index = Index::filled(&vectors[..1], 1);
    let again = [
        (ChunkId(1), &vectors[1][..]),
        (ChunkId(5), &vectors[2]),
        (ChunkId(5), &vectors[1]),
    ];
    index.vectors.insert(&again).expect("inserted");
    index.vectors.insert(&again).expect("inserted");
    assert_eq!(index.vectors.len(), 2);
    let asked = [5, 1, 2, 9_999].map(ChunkId);
    let scores = index.vectors.score(&vectors[0], &asked).expect("scores");
    assert!((scores[1].expect("there") - 1.0).abs() < 1e-3);
    assert_eq!((scores[0].is_some(), scores[2], scores[3]), (true, None, None));
    let refused = index
        .vectors
        .insert(&[(ChunkId(3), &vectors[1])])
        .expect_err("too late");
    assert!(refused.wants_rebuild(), "{refused}");
}

#[test]
fn bad_vectors_are_refused_whole() {
    let index = Index::new();
    let long = [0.25; DIMENSIONS];
    let refused = index.vectors.insert(&[(ChunkId(1), &long), (ChunkId(2), &[1.0])]);
    let refused = refused.expect_err("too short").to_string();
    assert_eq!(
        refused,
        "vectors of this knowledge base have 16 dimensions, this one has 1"
    );
    for bad in [f32::NAN, f32::INFINITY, 1e9] {
        let refused = index
            .vectors
            .insert(&[(ChunkId(1), &long), (ChunkId(2), &[bad; DIMENSIONS])]);
        assert!(refused.expect_err("not finite").to_string().contains("chunk-00000002"));
    }
    assert!(index.vectors.is_empty());
    assert!(index.vectors.search(&[1.0], 1, &|_| true, 0).is_err());
    assert!(index.vectors.search_exact(&[1.0], 1, &|_| true).is_err());
    assert!(index.vectors.score(&[1.0], &[]).is_err());
    assert_eq!(
        index
            .vectors
            .search(&[f32::NAN; DIMENSIONS], 1, &|_| true, 0)
            .expect("nothing"),
        []
    );
}

#[test]
fn queries_without_sense_still_get_hits() {
    let index = Index::filled(&unit_vectors(6_000, 12), 5_000);
    for number in [f32::NAN, f32::INFINITY, 0.0, f32::MAX] {
        let found = index
            .vectors
            .search(&[number; DIMENSIONS], 7, &|_| true, 6_000)
            .expect("found");
        assert_eq!(found.len(), 7, "{number}");
    }
}

#[test]
fn scores_do_not_depend_on_where_rows_lie() {
    let vectors = unit_vectors(5_000, 13);
    let index = Index::new();
    index.vectors.insert(&rows(&vectors, 1)).expect("inserted");
    let chunk_ids: Vec<ChunkId> = (1..=5_000).map(ChunkId).collect();
    let query = &queries(1, 13)[0];
    let fresh = index.vectors.score(query, &chunk_ids).expect("scores");
    assert_eq!(index.keep_up(&|_| true).len(), 1);
    assert_eq!(index.vectors.figures().fresh_rows, 0);
    assert_eq!(index.vectors.score(query, &chunk_ids).expect("scores"), fresh);
    for scored in index.vectors.search(query, 50, &|_| true, 5_000).expect("found") {
        assert_eq!(fresh[scored.chunk_id.0 as usize - 1], Some(scored.score));
    }
}

#[test]
fn searches_go_on_while_vectors_come() {
    let vectors = unit_vectors(14_000, 15);
    let filled = Index::filled(&vectors[..6_000], 6_000);
    let index = &filled;
    std::thread::scope(|scope| {
        let inserting = scope.spawn(|| {
            for (at, part) in vectors[6_000..].chunks(100).enumerate() {
                let first = 6_001 + at as u64 * 100;
                index.vectors.insert(&rows(part, first)).expect("inserted");
            }
        });
        scope.spawn(move || {
            while !inserting.is_finished() {
                index.keep_up(&|_| true);
            }
        });
        for query in &vectors[..200] {
            let found = index
                .vectors
                .search(query, 5, &|chunk_id| chunk_id.0 <= 6_000, 6_000)
                .expect("found");
            assert_eq!(found.len(), 5);
            assert!((found[0].score - 1.0).abs() < 1e-2);
        }
    });
    index.keep_up(&|_| true);
    assert_eq!(index.vectors.len(), 14_000);
    check_recall(&index.vectors, &vectors[13_500..13_520], &|_| true, 0.98);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn never_fewer_hits_than_exist(
        count in 1..9_000_usize,
        part in 1_000..9_000_usize,
        limit in 1..200_usize,
        share in 1..50_u64,
        guess in 0..3_000_usize,
    ) {
        let vectors = unit_vectors(count, count as u64);
        let index = Index::filled(&vectors, part);
        let accept = |chunk_id: ChunkId| chunk_id.0.is_multiple_of(share);
        let accepted = count / share as usize;
        let found = index.vectors.search(&vectors[0], limit, &accept, accepted.max(guess)).expect("found");
        prop_assert_eq!(found.len(), accepted.min(limit));
        let exact = index.vectors.search_exact(&vectors[0], limit, &accept).expect("found");
        prop_assert_eq!(exact, brute(&index.vectors, &vectors[0], limit, &accept));
    }
}

#[test]
fn exact_ranks_and_vectors_are_those_of_the_rows() {
    let vectors = unit_vectors(1_500, 3);
    let index = Index::filled(&vectors[..1_200], 600);
    index.vectors.insert(&rows(&vectors[1_200..], 1_201)).expect("inserted");
    let query = &queries(1, 3)[0];
    for accept in [&(|_| true) as &Accept<'_>, &|id: ChunkId| !id.0.is_multiple_of(3)] {
        let all = index.vectors.search_exact(query, 1_500, accept).expect("scanned");
        for rank in [1, 2, 40, all.len()] {
            let scored = all[rank - 1];
            let exact = index.vectors.rank(query, scored.chunk_id, accept).expect("ranked");
            assert_eq!(
                exact.map(|exact| (exact.rank, exact.score)),
                Some((rank as u64, scored.score))
            );
        }
    }
    assert_eq!(
        index.vectors.rank(query, ChunkId(9_999), &|_| true).expect("ranked"),
        None
    );
    let stored = index.vectors.vectors_of(&[ChunkId(7), ChunkId(9_999), ChunkId(1_400)]);
    assert_eq!(stored[1], None);
    for (stored, inserted) in [(&stored[0], &vectors[6]), (&stored[2], &vectors[1_399])] {
        let stored = stored.as_ref().expect("it is there");
        assert!(
            stored.iter().zip(inserted).all(|(a, b)| (a - b).abs() < 1e-3),
            "{stored:?}"
        );
    }
}
