//! Tests of consolidation.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::index::terms::{TermRow, Terms};
use crate::index::{ChunkId, Epoch, Language};

/// An index of one segment for each number of rows.
fn index(directory: &TempDir, segments: &[u64]) -> Terms {
    let (terms, _) = Terms::open(directory.path(), Language::default()).expect("a new index");
    let mut chunk_id = 0;
    for (epoch, rows) in (1..).zip(segments) {
        for _ in 0..*rows {
            chunk_id += 1;
            let row = TermRow {
                chunk_id: ChunkId(chunk_id),
                ordinal: 0,
                title: "",
                headings: &[],
                text: "a word",
            };
            terms.add(&row).expect("a row");
        }
        terms.commit(Epoch(epoch), 0).expect("a commit");
    }
    terms
}

/// Consolidates until nothing is left to do.
fn settle(terms: &Terms) {
    let patience = Instant::now() + Duration::from_mins(1);
    while terms.consolidate().expect("it works") {
        assert!(Instant::now() < patience, "a merge ends");
        std::thread::sleep(Duration::from_millis(5));
    }
    terms.refresh().expect("it can be read");
}

#[test]
fn small_segments_become_one() {
    #[track_caller]
    fn check(segments: &[u64], left: usize) {
        let directory = TempDir::new().expect("a temporary directory");
        let terms = index(&directory, segments);
        assert_eq!(terms.segments(), segments.len());
        settle(&terms);
        assert_eq!(terms.segments(), left, "{segments:?}");
        let rows: u64 = segments.iter().sum();
        let held = terms.snapshot().held_chunks();
        assert_eq!(
            held,
            (1..=rows).map(ChunkId).collect::<Vec<_>>(),
            "in order of their chunks"
        );
        let found = terms.snapshot().search("word", 1_000, &|_| true).expect("a result");
        assert_eq!(found.len() as u64, rows);
    }
    check(&[5], 1);
    check(&[5, 5, 5], 1);
    check(&[100, 5], 2);
    check(&[100, 7], 1);
    check(&[3, 100, 2, 1], 1);
}

#[test]
fn merges_leave_the_payload_and_what_was_removed() {
    let directory = TempDir::new().expect("a temporary directory");
    let terms = index(&directory, &[3, 3]);
    terms.remove(&[ChunkId(2)]).expect("it is removed");
    terms.commit(Epoch(9), 4).expect("a commit");
    let state = terms.state().expect("a state");
    settle(&terms);
    assert_eq!(terms.segments(), 1);
    assert_eq!(terms.state().expect("a state"), state);
    assert_eq!(terms.snapshot().alive_chunks().len(), 5);
    drop(terms);
    let (reopened, found) = Terms::open(directory.path(), Language::default()).expect("it opens");
    assert_eq!((found, reopened.rows()), (state, 5));
}
