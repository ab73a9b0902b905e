//! Tests of building.

use std::path::Path;

use super::super::fresh;
use super::super::segment::Segment;
use super::super::tests::{DIMENSIONS, rows, unit_vectors};
use super::super::write::Gathered;
use super::*;

/// Writes the rows as one segment, built upon the first part if wanted, and returns its bytes.
fn written(directory: &Path, vectors: &[Vec<f32>], base: Option<&Segment>, threads: usize) -> Vec<u8> {
    let first = base.map_or(0, Segment::len);
    let blocks = fresh::blocks(DIMENSIONS, &rows(&vectors[first..], first as u64 + 1)).expect("blocks");
    let mut gathered = Gathered::default();
    if let Some(base) = base {
        gathered.add(base.rows(), Some(base.links()), &|_| true);
    }
    for block in &blocks {
        gathered.add(block.rows(), None, &|_| true);
    }
    let path = directory.join("segment");
    let go_on = &mut |_| ControlFlow::Continue(());
    gathered
        .write(&path, DIMENSIONS, threads, go_on)
        .expect("written")
        .expect("not cancelled");
    std::fs::read(&path).expect("a file")
}

#[test]
fn threads_do_not_change_a_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    let vectors = unit_vectors(5_000, 51);
    for count in [1, 2, 300, 4_000] {
        let alone = written(directory.path(), &vectors[..count], None, 1);
        for threads in [2, 3] {
            assert!(
                written(directory.path(), &vectors[..count], None, threads) == alone,
                "{count} rows"
            );
        }
    }
    let base = Segment::open(&directory.path().join("segment"), DIMENSIONS).expect("opened");
    let alone = written(directory.path(), &vectors, Some(&base), 1);
    for threads in [2, 3] {
        assert!(written(directory.path(), &vectors, Some(&base), threads) == alone);
    }
}

#[test]
fn every_row_has_links_that_reach_rows() {
    let directory = tempfile::tempdir().expect("a directory");
    written(directory.path(), &unit_vectors(3_000, 52), None, 2);
    let segment = Segment::open(&directory.path().join("segment"), DIMENSIONS).expect("opened");
    let links = segment.links();
    let mut seen = vec![false; segment.len()];
    let mut open = vec![links.entry];
    while let Some(row) = open.pop() {
        if !std::mem::replace(&mut seen[row as usize], true) {
            open.extend(links.of(0, row));
        }
    }
    let reached = seen.iter().filter(|seen| **seen).count();
    assert!(reached > 2_990, "{reached} of 3000 rows can be reached");
    for row in 0..segment.len() as u32 {
        let level = links.level(row);
        assert_eq!(level, level_of(u64::from(row) + 1));
        for level in 0..=level {
            let mut own: Vec<u32> = links.of(level, row).collect();
            assert!(
                own.iter().all(|link| *link != row && links.level(*link) >= level),
                "{row}: {own:?}"
            );
            let count = own.len();
            own.sort_unstable();
            own.dedup();
            assert!(own.len() == count && (count > 0 || level > 0), "{row}: {own:?}");
        }
    }
}

#[test]
fn pauses_see_progress_and_end_the_work() {
    let vectors = unit_vectors(2_000, 53);
    let blocks = fresh::blocks(DIMENSIONS, &rows(&vectors, 1)).expect("blocks");
    let directory = tempfile::tempdir().expect("a directory");
    let mut gathered = Gathered::default();
    for block in &blocks {
        gathered.add(block.rows(), None, &|_| true);
    }
    let mut seen = Vec::new();
    let ended = gathered.write(&directory.path().join("segment"), DIMENSIONS, 2, &mut |done| {
        seen.push(done);
        if done >= 1_000 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(ended.expect("no error").is_none());
    assert_eq!(seen, [0, 256, 512, 1_024]);
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
}
