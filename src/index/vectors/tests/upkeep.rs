//! Tests of sealing, merging and purging.

use std::ops::ControlFlow;

use half::f16;

use super::*;
use crate::index::vectors::policy::SEAL_ROWS;

fn work(index: &Index, exists: &Accept<'_>) -> Upkeep {
    index
        .vectors
        .upkeep(Epoch(9), exists, Pace::UnderLoad, 2, &mut |_| GO_ON)
        .expect("done")
}

/// Bytes of a vector as any file of the index would hold it.
fn stored(vector: &[f32]) -> Vec<u8> {
    vector
        .iter()
        .flat_map(|number| f16::from_f32(*number).to_le_bytes())
        .collect()
}

fn is_on_disk(index: &Index, bytes: &[u8]) -> bool {
    index.files().iter().any(|file| {
        let content = fs::read(index.path().join(file)).expect("a file");
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test]
fn fresh_rows_are_sealed_and_found_again() {
    let vectors = unit_vectors(SEAL_ROWS + 10, 21);
    let index = Index::new();
    index
        .vectors
        .insert(&rows(&vectors[..SEAL_ROWS - 1], 5))
        .expect("inserted");
    assert_eq!(work(&index, &|_| true), Upkeep::Idle);
    assert_eq!(index.vectors.sealed_through(), ChunkId(0));
    let rest = rows(&vectors[SEAL_ROWS - 1..SEAL_ROWS], 5 + SEAL_ROWS as u64);
    index.vectors.insert(&rest).expect("inserted");
    let sealed = Upkeep::Sealed {
        rows: SEAL_ROWS,
        merged: 0,
    };
    assert_eq!(work(&index, &|_| true), sealed);
    let last = ChunkId(5 + SEAL_ROWS as u64);
    assert_eq!(index.vectors.sealed_through(), last);
    assert_eq!(index.vectors.sealed_epoch(), Epoch(9));
    index
        .vectors
        .insert(&rows(&vectors[SEAL_ROWS..], last.0 + 1))
        .expect("inserted");
    let reopened = index.reopened().expect("opened");
    assert_eq!((reopened.sealed_through(), reopened.sealed_epoch()), (last, Epoch(9)));
    assert_eq!(
        (reopened.len(), reopened.sealed_rows(&|id| id.0 > 14)),
        (SEAL_ROWS, SEAL_ROWS - 10)
    );
    let query = &vectors[3];
    let sealed = |index: &Vectors| index.search(query, 10, &|id| id <= last, SEAL_ROWS).expect("found");
    assert_eq!(sealed(&reopened), sealed(&index.vectors));
    let figures = reopened.figures();
    let files = reopened.files();
    assert_eq!(figures.disk_bytes, fs::metadata(&files[0].path).expect("a file").len());
    assert_eq!(
        (files.len(), files[0].rows, figures.sealed_rows),
        (1, SEAL_ROWS, SEAL_ROWS)
    );
    assert!(reopened.verify().expect("read").is_empty());
}

#[test]
fn removed_fresh_rows_leave_memory() {
    let vectors = unit_vectors(100, 23);
    let index = Index::new();
    index.vectors.insert(&rows(&vectors, 1)).expect("inserted");
    let memory = index.vectors.figures().memory_bytes;
    index.vectors.forget_fresh(&|id| id.0 > 60);
    let figures = index.vectors.figures();
    assert_eq!((figures.fresh_rows, figures.memory_bytes), (40, memory / 100 * 40));
    let found = index.vectors.search(&vectors[0], 100, &|_| true, 40).expect("found");
    assert_eq!(found.len(), 40);
    // What is removed while nobody vacuums goes with the upkeep, also when there is too little to seal.
    assert_eq!(work(&index, &|id| id.0 > 90), Upkeep::Idle);
    assert_eq!(index.vectors.figures().fresh_rows, 10);
    let more = unit_vectors(5, 24);
    index.vectors.insert(&rows(&more, 101)).expect("inserted");
    assert_eq!(index.vectors.figures().fresh_rows, 15);
}

#[test]
fn merges_keep_all_rows_and_few_files() {
    let vectors = unit_vectors(40_000, 22);
    let index = Index::filled(&vectors, 4_100);
    let figures = index.vectors.figures();
    assert!(figures.segments <= 3, "{figures:?}");
    assert_eq!(figures.sealed_rows + figures.fresh_rows, 40_000);
    assert_eq!(index.files().len(), figures.segments + 1, "{:?}", index.files());
    check_recall(&index.vectors, &queries(20, 22), &|_| true, 0.98);
    let reopened = index.reopened().expect("opened");
    assert_eq!(reopened.len(), figures.sealed_rows);
}

#[test]
fn segments_of_dead_rows_are_rebuilt() {
    let index = Index::filled(&unit_vectors(6_000, 24), 6_000);
    assert_eq!(work(&index, &|id| id.0 % 10 != 0), Upkeep::Idle);
    let rebuilt = Upkeep::Rebuilt { removed: 2_000 };
    let exists = |id: ChunkId| !id.0.is_multiple_of(3);
    assert_eq!(work(&index, &exists), rebuilt);
    assert_eq!(
        (index.vectors.len(), index.vectors.sealed_rows(&exists)),
        (4_000, 4_000)
    );
    assert_eq!(index.vectors.sealed_through(), ChunkId(6_000));
    assert_eq!(index.files().len(), 2);
    check_recall(&index.vectors, &queries(20, 24), &|_| true, 0.98);
    assert_eq!(work(&index, &|_| false), Upkeep::Rebuilt { removed: 4_000 });
    assert_eq!(index.files().len(), 1);
    assert!(index.reopened().expect("opened").is_empty());
}

#[test]
fn rows_that_died_fresh_are_not_sealed() {
    let index = Index::new();
    index
        .vectors
        .insert(&rows(&unit_vectors(5_000, 26), 1))
        .expect("inserted");
    let sealed = Upkeep::Sealed { rows: 5_000, merged: 0 };
    assert_eq!(work(&index, &|id| id.0 > 5_000), sealed);
    assert!(index.vectors.is_empty());
    assert_eq!(index.reopened().expect("opened").sealed_through(), ChunkId(5_000));
}

#[test]
fn purged_vectors_leave_no_bytes() {
    let vectors = unit_vectors(46_200, 27);
    let index = Index::filled(&vectors, 41_000);
    assert_eq!(index.vectors.figures().segments, 2);
    index
        .vectors
        .insert(&rows(&unit_vectors(100, 28), 46_201))
        .expect("inserted");
    let erased = [5_u64, 45_000, 46_250].map(ChunkId);
    let bytes = [stored(&vectors[4]), stored(&vectors[44_999])];
    assert!(bytes.iter().all(|bytes| is_on_disk(&index, bytes)));
    let exists = |id: ChunkId| !erased.contains(&id);
    let purged = index.vectors.purge(&exists, 2, &mut |_| GO_ON).expect("purged");
    let expected = Purged {
        rows: 3,
        files: 2,
        cancelled: false,
    };
    assert_eq!(purged, expected);
    assert!(!bytes.iter().any(|bytes| is_on_disk(&index, bytes)));
    assert!(erased.iter().all(|id| !index.vectors.contains(*id)));
    assert_eq!((index.vectors.len(), index.files().len()), (46_297, 3));
    let again = index.vectors.purge(&exists, 2, &mut |_| GO_ON).expect("purged");
    assert_eq!(again, Purged::default());
    assert!(index.vectors.verify().expect("read").is_empty());
    check_recall(&index.vectors, &queries(10, 27), &|_| true, 0.98);
}

#[test]
fn cancelled_work_changes_nothing() {
    let vectors = unit_vectors(9_000, 30);
    let index = Index::filled(&vectors[..4_500], 4_500);
    index.vectors.insert(&rows(&vectors[4_500..], 4_501)).expect("inserted");
    let before = (index.files(), index.vectors.figures());
    for after in [1, 3] {
        let mut asked = 0;
        let cancelled = index
            .vectors
            .upkeep(Epoch(9), &|_| true, Pace::UnderLoad, 2, &mut |progress| {
                assert!(progress.done <= progress.total && progress.total == 9_000);
                asked += 1;
                if asked == after { ControlFlow::Break(()) } else { GO_ON }
            });
        assert_eq!(cancelled.expect("no error"), Upkeep::Cancelled);
        assert_eq!((index.files(), index.vectors.figures()), before);
    }
    let exists = |id: ChunkId| id.0 != 3;
    let purged = index
        .vectors
        .purge(&exists, 1, &mut |_| ControlFlow::Break(()))
        .expect("no error");
    assert!(purged.cancelled);
    assert_eq!(index.files(), before.0);
    let sealed = Upkeep::Sealed { rows: 4_500, merged: 1 };
    assert_eq!(work(&index, &|_| true), sealed);
    assert_eq!(index.vectors.len(), 9_000);
}

#[test]
fn failed_seals_leave_rows_searchable() {
    let vectors = unit_vectors(12_000, 31);
    let index = Index::new();
    index.vectors.insert(&rows(&vectors[..9_000], 1)).expect("inserted");
    // A directory lies where the file would be written.
    let obstacle = index.path().join("segment-00000001.tmp");
    fs::create_dir(&obstacle).expect("made");
    let failed = || {
        index
            .vectors
            .upkeep(Epoch(9), &|_| true, Pace::UnderLoad, 2, &mut |_| GO_ON)
    };
    failed().expect_err("no file can be written");
    assert_eq!(index.vectors.figures().fresh_rows, 9_000);
    // Now rows go into a graph in memory, and sealing is tried again.
    assert_eq!(work(&index, &|_| true), Upkeep::Graphed { rows: 9_000 });
    assert_eq!(index.vectors.figures().graphed_rows, 9_000);
    index.vectors.insert(&rows(&vectors[9_000..], 9_001)).expect("inserted");
    let queries = queries(20, 31);
    check_recall(&index.vectors, &queries, &|_| true, 0.98);
    check_recall(&index.vectors, &queries, &|id| id.0 % 2 == 0, 0.98);
    failed().expect_err("no file can be written");
    assert_eq!(index.vectors.len(), 12_000);
    fs::remove_dir(&obstacle).expect("removed");
    assert_eq!(
        work(&index, &|_| true),
        Upkeep::Sealed {
            rows: 12_000,
            merged: 0
        }
    );
    check_recall(&index.vectors, &queries, &|_| true, 0.98);
}

#[test]
fn rows_that_come_beside_a_build_stay_fresh() {
    let vectors = unit_vectors(30_000, 33);
    let index = Index::new();
    index.vectors.insert(&rows(&vectors[..20_000], 1)).expect("inserted");
    let mut next = 20_000;
    let done = index.vectors.upkeep(Epoch(9), &|_| true, Pace::UnderLoad, 1, &mut |_| {
        let end = (next + 2_900).min(vectors.len());
        index
            .vectors
            .insert(&rows(&vectors[next..end], next as u64 + 1))
            .expect("inserted");
        next = end;
        assert_eq!(index.vectors.len(), end);
        let found = index
            .vectors
            .search(&vectors[end - 1], 1, &|_| true, end)
            .expect("found");
        assert_eq!(found[0].chunk_id, ChunkId(end as u64));
        GO_ON
    });
    assert_eq!(
        done.expect("done"),
        Upkeep::Sealed {
            rows: 20_000,
            merged: 0
        }
    );
    let figures = index.vectors.figures();
    assert_eq!((figures.sealed_rows, figures.fresh_rows), (20_000, next - 20_000));
    assert_eq!(index.vectors.sealed_through(), ChunkId(20_000));
    assert!(figures.graphed_rows > 0, "{figures:?}");
    check_recall(&index.vectors, &queries(20, 33), &|_| true, 0.98);
}

#[test]
fn bundles_hold_what_was_kept() {
    let vectors = unit_vectors(9_000, 35);
    let index = Index::filled(&vectors, 8_500);
    let path = index.directory.path().join("bundle");
    let keep = |id: ChunkId| id.0.is_multiple_of(2);
    let file = index
        .vectors
        .write_bundle(&path, &keep, 2, &mut |_| GO_ON)
        .expect("written")
        .expect("rows");
    assert_eq!(file.rows, 4_500);
    // As a part of a larger file.
    let mut bytes = vec![9; 64 * 3];
    bytes.extend(fs::read(&path).expect("a file"));
    bytes.extend([9; 100]);
    fs::write(&path, bytes).expect("written");
    let bundle = Vectors::open_bundle(&path, 192..192 + file.bytes, DIMENSIONS).expect("opened");
    assert_eq!(bundle.len(), 4_500);
    for query in &vectors[..20] {
        let expected = index.vectors.search_exact(query, 10, &keep).expect("found");
        assert_eq!(bundle.search_exact(query, 10, &|_| true).expect("found"), expected);
    }
    check_recall(&bundle, &queries(20, 35), &|_| true, 0.98);
    assert!(matches!(
        bundle.insert(&[(ChunkId(10_000), &vectors[0])]),
        Err(Error::Sealed)
    ));
    assert_eq!(
        bundle
            .upkeep(Epoch(1), &|_| true, Pace::UnderLoad, 1, &mut |_| GO_ON)
            .expect("idle"),
        Upkeep::Idle
    );
    for wrong in [
        191..191 + file.bytes,
        192..191 + file.bytes,
        192..193 + file.bytes,
        0..50,
    ] {
        Vectors::open_bundle(&path, wrong, DIMENSIONS).expect_err("no segment lies there");
    }
    let none = index
        .vectors
        .write_bundle(&path, &|_| false, 2, &mut |_| GO_ON)
        .expect("nothing to write");
    assert_eq!(none, None);
}
