//! Checking everything against everything, and making anew what can be.

use rusqlite::Connection;

use super::*;

fn findings(store: &EpochStore, repair: bool) -> (Checked, Vec<Finding>) {
    let mut findings = Vec::new();
    let checked = store
        .check(repair, &Cancel::new(), &mut |_| {}, &mut |finding| {
            findings.push(finding);
        })
        .expect("the check runs to its end");
    (checked, findings)
}

fn filled(directory: &Path) -> EpochStore {
    let store = create(directory);
    store
        .commit(
            &[
                put("a", &["first tale"], 0),
                put("b", &["second tale", "third tale"], 1),
            ],
            "test",
        )
        .expect("a commit");
    store
        .commit(&[put("a", &["fourth tale"], 2)], "test")
        .expect("a commit");
    store
}

/// Changes the records behind the store's back.
fn tamper(directory: &Path, sql: &str) {
    let changed = Connection::open(layout::records(directory))
        .and_then(|connection| connection.execute(sql, []))
        .expect("it can be changed");
    assert_eq!(changed, 1, "{sql}");
}

#[test]
fn a_sound_store_has_no_findings() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = filled(home.path());
    let (checked, findings) = findings(&store, false);
    assert_eq!(findings, []);
    assert_eq!(
        (
            checked.epoch,
            checked.documents,
            checked.revisions,
            checked.chunks,
            checked.contents
        ),
        (Epoch(2), 2, 3, 4, 3)
    );
}

#[test]
fn damaged_records_are_found_and_never_served() {
    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let home = tempfile::tempdir().expect("a temporary directory");
        let store = filled(home.path());
        tamper(home.path(), sql);
        let (_, found) = findings(&store, true);
        let described: Vec<&str> = found.iter().map(|finding| finding.description.as_str()).collect();
        assert!(
            described.iter().any(|description| description.contains(expected)),
            "{sql}: {described:?}"
        );
        assert!(
            found
                .iter()
                .all(|finding| finding.place != "store" || (!finding.repaired && finding.remedy.contains("backup"))),
            "records are not made up: {found:?}"
        );
    }
    check(
        "UPDATE revision_text SET text = CAST('fourth lie.' AS BLOB) WHERE revision_id = 3",
        "the text of revision 3 differs",
    );
    check(
        "UPDATE chunk SET page = 8 WHERE chunk_id = 2",
        "chunk 2 differs from its checksum",
    );
    check(
        "UPDATE embedding SET vector = zeroblob(6) WHERE chunk_id = 2",
        "the vector of chunk 2 differs",
    );
    check("UPDATE revision SET title = 'Lie' WHERE revision_id = 2", "revision 2");
    check("DELETE FROM embedding WHERE chunk_id = 3", "1 chunks have no vector");
    check(
        "UPDATE document SET revision_id = 1 WHERE document_id = 'b'",
        "1 documents name a revision that is not theirs",
    );
    check(
        "UPDATE epoch SET chunk_count = 9 WHERE epoch = 2",
        "epoch 2 counts 2 documents and 9 chunks",
    );
}

#[test]
fn altered_texts_are_refused_when_they_are_read() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = filled(home.path());
    tamper(
        home.path(),
        "UPDATE revision_text SET text = CAST('fourth lie.' AS BLOB) WHERE revision_id = 3",
    );
    let by_hit = store.chunks(&[ChunkId(4)]).expect_err("the hit is damaged").to_string();
    assert!(
        by_hit.contains("chunk 4") && by_hit.contains("restore it from a backup"),
        "{by_hit}"
    );
    assert!(store.text(3).is_err(), "the text is damaged");
    assert_eq!(store.chunks(&[ChunkId(2)]).expect("others are read").len(), 1);
}

#[test]
fn indexes_that_differ_are_made_again() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = filled(home.path());
    store.terms.remove(&[ChunkId(2)]).expect("it works");
    store.terms.commit(store.epoch(), 0).expect("a commit");
    store.visibility.retire([ChunkId(3)].into_iter(), Epoch(1));
    store.vectors.replace_all(&[]).expect("it works");
    let (checked, found) = findings(&store, false);
    let places: Vec<_> = found.iter().map(|finding| (finding.place, finding.repaired)).collect();
    assert_eq!(places, [("visibility", false), ("terms", false), ("vectors", false)]);
    assert_eq!((checked.findings, checked.repaired), (3, 0));
    let (checked, _) = findings(&store, true);
    assert_eq!((checked.findings, checked.repaired), (3, 3));
    assert_eq!(findings(&store, false).1, []);
    super::check(&store, None, &["second tale", "third tale", "fourth tale"]);
    super::check(&store, Some(Epoch(1)), &["first tale", "second tale", "third tale"]);
    store
        .commit(&[put("c", &["fifth tale"], 0)], "test")
        .expect("writes go on");
    drop(store);
    super::check(
        &reopen(home.path()),
        None,
        &["second tale", "third tale", "fourth tale", "fifth tale"],
    );
}
