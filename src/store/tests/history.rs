//! Epochs that were: reading, pinning, comparing, going back, forgetting.

use std::collections::BTreeMap;

use super::*;

const ALL: Retention = Retention {
    epochs: Some(1_000),
    age: None,
};
const NEWEST: Retention = Retention {
    epochs: Some(1),
    age: None,
};

/// Epoch 1 has a and b, epoch 2 another a, epoch 3 no b, epoch 4 a new c.
fn with_history(directory: &Path) -> EpochStore {
    let store = create(directory);
    let commits: [&[Change]; 4] = [
        &[put("a", &["first tale"], 0), put("b", &["second tale"], 1)],
        &[put("a", &["third tale", "fourth tale"], 0)],
        &[Change::Delete(id("b"))],
        &[put("c", &["fifth tale"], 2)],
    ];
    for changes in commits {
        store.commit(changes, "test").expect("a commit");
    }
    store
}

const AT_1: &[&str] = &["first tale", "second tale"];
const AT_2: &[&str] = &["second tale", "third tale", "fourth tale"];
const AT_4: &[&str] = &["third tale", "fourth tale", "fifth tale"];

fn listed(store: &EpochStore, epoch: Option<Epoch>) -> Vec<(String, u64)> {
    let lease = store.lease(epoch).expect("the epoch can be read");
    let documents = store
        .documents("", None, 100, &lease, epoch.is_some())
        .expect("it works");
    documents
        .into_iter()
        .map(|info| (info.id.to_string(), info.epoch.0))
        .collect()
}

fn entries(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(id, epoch)| ((*id).to_owned(), *epoch)).collect()
}

#[test]
fn earlier_epochs_list_what_they_saw() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_history(home.path());
    for store in [store, reopen_after(home.path())] {
        assert_eq!(listed(&store, Some(Epoch(1))), entries(&[("a", 1), ("b", 1)]));
        assert_eq!(listed(&store, Some(Epoch(2))), entries(&[("a", 2), ("b", 1)]));
        assert_eq!(listed(&store, None), entries(&[("a", 2), ("c", 4)]));
        let lease = store.lease(Some(Epoch(1))).expect("it is kept");
        let revision = store
            .revision(&id("a"), &lease)
            .expect("it works")
            .expect("it was there");
        let text = store.text(revision.revision_id).expect("it works").expect("it is kept");
        assert_eq!((text.as_str(), revision.retired), ("first tale", Some(Epoch(2))));
        assert!(describe(&store, "b").is_none(), "deleted documents are not described");
        let counts: Vec<_> = (1..=4)
            .map(|epoch| store.counts(Epoch(epoch)).expect("it works"))
            .collect();
        assert_eq!(counts, [(2, 2), (2, 3), (1, 2), (2, 3)]);
    }
}

#[test]
fn a_rollback_sees_what_was_and_can_be_rolled_back() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_history(home.path());
    let would = store.roll_back(Epoch(1), true).expect("a dry run");
    assert_eq!(
        (would.epoch, would.restored_documents, would.removed_documents),
        (Epoch(4), 2, 1)
    );
    let done = store.roll_back(Epoch(1), false).expect("a rollback");
    assert_eq!(
        (done.epoch, done.restored_documents, done.removed_documents),
        (Epoch(5), 2, 1)
    );
    store.roll_back(Epoch(4), false).expect("a rollback of the rollback");
    store.roll_back(Epoch(2), false).expect("another");
    let unchanged = store.roll_back(Epoch(2), false).expect("nothing to do");
    assert_eq!((unchanged.epoch, unchanged.restored_documents), (Epoch(7), 0));
    store
        .commit(&[put("a", &["sixth tale"], 0)], "test")
        .expect("writes go on");
    for store in [store, reopen_after(home.path())] {
        assert_eq!(store.epoch(), Epoch(8));
        for (epoch, expected) in [(1, AT_1), (2, AT_2), (4, AT_4), (5, AT_1), (6, AT_4), (7, AT_2)] {
            check(&store, Some(Epoch(epoch)), expected);
            let counted = store.counts(Epoch(epoch)).expect("it works").1;
            assert_eq!(counted, expected.len() as u64, "chunks counted at {epoch}");
        }
        check(&store, Some(Epoch(3)), &["third tale", "fourth tale"]);
        check(&store, None, &["second tale", "sixth tale"]);
        assert_eq!(listed(&store, Some(Epoch(5))), entries(&[("a", 1), ("b", 1)]));
        let causes: Vec<_> = store
            .epochs(Epoch(u64::MAX), 4, false)
            .expect("it works")
            .into_iter()
            .map(|info| info.cause)
            .collect();
        assert_eq!(causes, ["test", "rollback to 2", "rollback to 4", "rollback to 1"]);
    }
}

#[test]
fn a_rollback_to_nothing_empties_the_knowledge_base() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_history(home.path());
    let done = store.roll_back(Epoch(0), false).expect("a rollback");
    assert_eq!((done.restored_documents, done.removed_documents), (0, 2));
    check(&store, None, &[]);
    check(&store, Some(Epoch(4)), AT_4);
}

#[test]
fn epochs_that_are_not_kept_are_refused() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_history(home.path());
    store.pin("release", Some(Epoch(2))).expect("a pin");
    let removed = store.vacuum(NEWEST, &Cancel::new(), &mut |_| {}).expect("a vacuum");
    // The first revision of a is seen by no pin; b is seen by one.
    assert_eq!(
        (removed.oldest_epoch, removed.revisions, removed.chunks),
        (Epoch(4), 1, 1)
    );
    for store in [store, reopen_after(home.path())] {
        assert!(matches!(store.lease(Some(Epoch(9))), Err(Error::NotPublished { .. })));
        for gone in [1, 3] {
            let refused = store.lease(Some(Epoch(gone))).expect_err("it is not kept").to_string();
            assert!(
                refused.contains(&format!("epoch {gone} is no longer kept; 4 is the oldest")),
                "{refused}"
            );
        }
        check(&store, Some(Epoch(2)), AT_2);
        check(&store, None, AT_4);
        let epochs: Vec<_> = store
            .epochs(Epoch(u64::MAX), 10, false)
            .expect("it works")
            .into_iter()
            .map(|info| (info.epoch.0, info.pins))
            .collect();
        assert_eq!(epochs, [(4, vec![]), (2, vec!["release".to_owned()])]);
    }
}

#[test]
fn a_vacuum_takes_fresh_vectors_out_of_memory() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_history(home.path());
    assert_eq!(store.storage().fresh_chunks, 5);
    let memory = store.vectors.figures().memory_bytes;
    store.vacuum(NEWEST, &Cancel::new(), &mut |_| {}).expect("a vacuum");
    let figures = store.vectors.figures();
    assert_eq!((store.storage().fresh_chunks, figures.fresh_rows), (3, 3));
    assert_eq!(figures.memory_bytes, memory / 5 * 3);
    check(&store, None, AT_4);
    store
        .commit([put("d", &["sixth tale"], 2)], "test")
        .expect("later chunks still fit behind");
    for store in [store, reopen_after(home.path())] {
        assert_eq!(store.storage().fresh_chunks, 4);
    }
}

#[test]
fn an_unpinned_epoch_goes_with_the_next_vacuum() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_history(home.path());
    store.pin("release", Some(Epoch(2))).expect("a pin");
    store.pin("release", Some(Epoch(2))).expect("the same again");
    let taken = store
        .pin("release", Some(Epoch(3)))
        .expect_err("it stands for another")
        .to_string();
    assert!(taken.contains("stands for epoch 2"), "{taken}");
    store.vacuum(NEWEST, &Cancel::new(), &mut |_| {}).expect("a vacuum");
    assert_eq!(store.unpin("release").expect("it is there"), Epoch(2));
    assert!(matches!(store.unpin("release"), Err(Error::UnknownPin { .. })));
    assert!(store.lease(Some(Epoch(2))).is_err(), "it is not kept any more");
    let removed = store.vacuum(NEWEST, &Cancel::new(), &mut |_| {}).expect("a vacuum");
    assert_eq!(removed.revisions, 1);
    assert!(store.revisions(&id("b"), u64::MAX, 10).expect("it works").is_empty());
    drop(store);
    check(&reopen(home.path()), None, AT_4);
}

#[test]
fn a_reader_keeps_its_epoch_from_the_vacuum() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_history(home.path());
    let lease = store.lease(Some(Epoch(1))).expect("it is kept");
    let removed = store.vacuum(NEWEST, &Cancel::new(), &mut |_| {}).expect("a vacuum");
    assert_eq!(removed.revisions, 0, "the reader sees both old revisions");
    let revision = store
        .revision(&id("a"), &lease)
        .expect("it works")
        .expect("it is still there");
    assert_eq!(revision.chunk_count, 1);
    drop(lease);
    assert!(store.lease(Some(Epoch(1))).is_err(), "nobody else begins to read it");
    let removed = store.vacuum(NEWEST, &Cancel::new(), &mut |_| {}).expect("a vacuum");
    assert_eq!(removed.revisions, 2);
}

#[test]
fn a_vacuum_that_was_killed_is_finished_by_the_opening() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_history(home.path());
    store.expire(NEWEST, SystemTime::now()).expect("it works");
    let doomed = vacuum::Doomed {
        revision_id: 1,
        document_id: "a".to_owned(),
        content_hash: String::new(),
        chunks: records::ChunkRange {
            first: ChunkId(1),
            count: 1,
        },
    };
    let mut writer = store.writer.lock();
    // What a kill between the records and the keyword index leaves.
    store
        .in_transaction(&mut writer, |connection| vacuum::remove(connection, &[doomed]))
        .expect("the transaction");
    drop(writer);
    drop(store);
    let store = reopen(home.path());
    assert_eq!(store.terms.rows(), 4);
    assert!(!store.visibility.has(ChunkId(1)));
    check(&store, None, AT_4);
}

#[test]
fn retention_keeps_by_number_and_by_age() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_history(home.path());
    let hour = Duration::from_hours(1);
    let now = SystemTime::now();
    let oldest = |epochs, age, now| {
        let retention = Retention { epochs, age };
        retained::oldest_kept(&store.records, retention, store.epoch(), now)
            .expect("it works")
            .0
    };
    assert_eq!(oldest(Some(2), None, now), 3);
    assert_eq!(oldest(Some(50), None, now), 0);
    assert_eq!(oldest(None, Some(hour), now), 0, "all are younger than an hour");
    assert_eq!(oldest(None, Some(hour), now + 2 * hour), 4, "the published one stays");
    assert_eq!(oldest(Some(2), Some(hour), now + 2 * hour), 3, "either limit keeps it");
    assert_eq!(oldest(None, None, now), 4);
    assert_eq!(store.epoch_at(now + hour).expect("it works"), Epoch(4));
    assert_eq!(store.epoch_at(SystemTime::UNIX_EPOCH).expect("it works"), Epoch(0));
    store.expire(NEWEST, now).expect("it works");
    assert!(matches!(
        store.epoch_at(SystemTime::UNIX_EPOCH),
        Err(Error::TimeNotRetained { .. })
    ));
    assert_eq!(
        store.expire(ALL, now).expect("it works"),
        Epoch(4),
        "what is gone does not come back"
    );
}

#[test]
fn differences_name_documents_and_chunks() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_history(home.path());
    store
        .commit(&[put("a", &["third tale", "sixth tale"], 0)], "test")
        .expect("a commit");
    let difference = |epochs, after: &str, limit| {
        let mut told = Vec::new();
        let is_end = store
            .difference(epochs, after, limit, &Cancel::new(), &mut |difference| {
                let texts: BTreeMap<_, _> = difference
                    .chunks
                    .iter()
                    .map(|chunk| (chunk.text.clone(), chunk.kind == DifferenceKind::Added))
                    .collect();
                told.push((
                    difference.document_id.to_string(),
                    difference.kind,
                    texts,
                    difference.unchanged_chunks,
                ));
            })
            .expect("it works");
        (told, is_end)
    };
    let texts = |texts: &[(&str, bool)]| texts.iter().map(|(text, added)| ((*text).to_owned(), *added)).collect();
    let (told, is_end) = difference((Epoch(2), Epoch(5)), "", 10);
    let expected: Vec<(String, DifferenceKind, BTreeMap<String, bool>, u32)> = vec![
        (
            "a".to_owned(),
            DifferenceKind::Changed,
            texts(&[("fourth tale", false), ("sixth tale", true)]),
            1,
        ),
        (
            "b".to_owned(),
            DifferenceKind::Removed,
            texts(&[("second tale", false)]),
            0,
        ),
        ("c".to_owned(), DifferenceKind::Added, texts(&[("fifth tale", true)]), 0),
    ];
    assert_eq!((told, is_end), (expected.clone(), true));
    let (first, is_end) = difference((Epoch(2), Epoch(5)), "", 2);
    assert_eq!((first.as_slice(), is_end), (&expected[..2], false));
    let (rest, is_end) = difference((Epoch(2), Epoch(5)), "b", 2);
    assert_eq!((rest.as_slice(), is_end), (&expected[2..], true));
    let (backwards, _) = difference((Epoch(5), Epoch(0)), "", 10);
    assert!(backwards.iter().all(|(_, kind, _, _)| *kind == DifferenceKind::Removed) && backwards.len() == 2);
    assert!(difference((Epoch(3), Epoch(3)), "", 10).0.is_empty());
}
