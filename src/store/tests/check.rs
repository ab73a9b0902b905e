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
        "the text of revision 3 of document `a` differs",
    );
    check(
        "UPDATE chunk SET page = 8 WHERE chunk_id = 2",
        "chunk 2 of document `b` differs from its checksum",
    );
    check(
        "UPDATE embedding SET vector = zeroblob(6) WHERE chunk_id = 2",
        "the vector of chunk 2 of document `b` differs",
    );
    check(
        "UPDATE revision SET title = 'Lie' WHERE revision_id = 2",
        "revision 2 of document `b`",
    );
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
fn rows_that_are_gone_are_refused_when_they_are_read() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = filled(home.path());
    tamper(home.path(), "DELETE FROM revision_text WHERE revision_id = 3");
    tamper(home.path(), "DELETE FROM chunk WHERE chunk_id = 2");
    for refused in [store.text(3).map(drop), store.chunks(&[ChunkId(2)]).map(drop)] {
        let message = refused.expect_err("it is gone").to_string();
        assert!(message.contains("is missing; restore it from a backup"), "{message}");
    }
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

#[test]
fn contents_that_are_gone_are_found() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    let Change::Put(mut revision) = put("a", &["a tale"], 0) else {
        unreachable!("it is put");
    };
    let bytes = b"%PDF a tale";
    revision.content_hash = hex(&content_hash(bytes));
    revision.byte_size = bytes.len() as u64;
    revision.content = KeptContent::Compressed(compress(bytes).expect("it can be compressed"));
    store.commit([Change::Put(revision)], "test").expect("a commit");
    assert_eq!(findings(&store, false).1, []);

    tamper(home.path(), "DELETE FROM content");
    let (checked, found) = findings(&store, true);
    assert_eq!((checked.contents, checked.repaired), (1, 0));
    let [finding] = &found[..] else {
        panic!("one is found: {found:?}");
    };
    assert_eq!(finding.place, "contents");
    assert!(
        finding.description.contains("revision 1 of document `a`") && finding.description.contains("is missing"),
        "{finding:?}"
    );
}

#[test]
fn checks_while_writes_are_stopped_say_so() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = filled(home.path());
    store.halt("a worker died".to_owned());
    let (checked, found) = findings(&store, false);
    assert_eq!((checked.documents, checked.chunks), (2, 4));
    let [finding] = &found[..] else {
        panic!("one is found: {found:?}");
    };
    assert!(finding.description.contains("a worker died"), "{finding:?}");
}

/// Runs the upkeep to its end.
fn keep_up(store: &EpochStore) -> Result<(), Error> {
    let gate = crate::worker::ComputeGate::default();
    store.keep_up(&UpkeepTurn {
        gate: &gate,
        threads: 1,
        cancel: &Cancel::new(),
    })
}

#[test]
fn indexes_removed_while_open_are_made_again() {
    #[track_caller]
    fn check(lost: &[fn(&Path) -> std::path::PathBuf], mend: impl FnOnce(&EpochStore)) {
        let home = tempfile::tempdir().expect("a temporary directory");
        let store = filled(home.path());
        for place in lost {
            std::fs::remove_dir_all(place(home.path())).expect("it was there");
        }
        mend(&store);
        super::check(&store, None, &["second tale", "third tale", "fourth tale"]);
        super::check(&store, Some(Epoch(1)), &["first tale", "second tale", "third tale"]);
        assert_eq!(findings(&store, false).1, []);
        store
            .commit([put("c", &["fifth tale"], 0)], "test")
            .expect("writes go on");
        drop(store);
        let all = ["second tale", "third tale", "fourth tale", "fifth tale"];
        super::check(&reopen(home.path()), None, &all);
    }
    let repair = |store: &EpochStore| {
        findings(store, true);
    };
    let keeper = |store: &EpochStore| keep_up(store).expect("it makes them again");
    check(&[layout::terms], repair);
    check(&[layout::vectors], repair);
    check(&[layout::terms, layout::vectors], keeper);
}

#[test]
fn single_files_removed_while_open_are_found() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = filled(home.path());
    let mut files = layout::files(&layout::terms(home.path()));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "idx"));
    std::fs::remove_file(files.first().expect("there are terms")).expect("it was there");
    let (checked, found) = findings(&store, true);
    assert!(checked.findings > 0 && found.iter().all(|finding| finding.place == "terms" && finding.repaired));
    assert_eq!(findings(&store, false).1, []);
    let all = ["second tale", "third tale", "fourth tale"];
    super::check(&store, None, &all);
    drop(store);
    super::check(&reopen(home.path()), None, &all);
}

#[test]
fn a_commit_without_its_keyword_index_is_mended_by_the_next() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = filled(home.path());
    std::fs::remove_dir_all(layout::terms(home.path())).expect("it was there");
    let failed = store.commit([put("c", &["fifth tale"], 0)], "test");
    assert!(failed.is_err(), "there is nowhere to write to");
    store.commit([put("d", &["sixth tale"], 1)], "test").expect("it mends");
    let all = ["second tale", "third tale", "fourth tale", "fifth tale", "sixth tale"];
    super::check(&store, None, &all);
    assert_eq!(findings(&store, false).1, []);
}

#[test]
fn records_removed_while_open_refuse_writes_until_they_are_back() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = filled(home.path());
    let (path, away) = (layout::records(home.path()), home.path().join("away"));
    std::fs::rename(&path, &away).expect("it can be moved");
    for stranger in [false, true] {
        if stranger {
            std::fs::copy(&away, &path).expect("it can be copied");
        }
        let refused = store.commit([put("c", &["fifth tale"], 0)], "test");
        assert!(matches!(refused, Err(Error::Replaced { .. })), "{refused:?}");
        let failure = store.write_failure().expect("health knows");
        assert!(failure.contains("store.sqlite was removed or replaced"), "{failure}");
    }
    std::fs::rename(&away, &path).expect("it can be put back");
    assert_eq!(store.write_failure(), None);
    store
        .commit([put("c", &["fifth tale"], 0)], "test")
        .expect("writes go on");
    super::check(
        &store,
        None,
        &["second tale", "third tale", "fourth tale", "fifth tale"],
    );
}

/// Alters a content hash in an index of the records, as a bit that flips on disk does.
fn flip_in_index(directory: &Path) {
    let path = layout::records(directory);
    let mut bytes = std::fs::read(&path).expect("it can be read");
    let hash = hex(&content_hash(b"first tale"));
    let places: Vec<usize> = bytes
        .windows(hash.len())
        .enumerate()
        .filter_map(|(at, window)| (window == hash.as_bytes()).then_some(at))
        .collect();
    assert!(places.len() >= 2, "a row and its entry in the index");
    bytes[places[0]] ^= 1;
    std::fs::write(&path, bytes).expect("it can be written");
}

#[test]
fn small_records_with_a_damaged_structure_are_refused() {
    let home = tempfile::tempdir().expect("a temporary directory");
    drop(filled(home.path()));
    flip_in_index(home.path());
    let refused = EpochStore::open(home.path(), OPTIONS()).expect_err("it is damaged");
    let message = refused.to_string();
    assert!(
        message.contains("store.sqlite is damaged: the database says") && message.contains("backup"),
        "{message}"
    );
}

#[test]
fn larger_records_are_verified_while_they_are_served() {
    let home = tempfile::tempdir().expect("a temporary directory");
    drop(filled(home.path()));
    let store = reopen(home.path());
    store.is_verified.store(false, std::sync::atomic::Ordering::Release);
    keep_up(&store).expect("it is sound");
    assert_eq!(store.write_failure(), None);

    flip_in_index(home.path());
    store.is_verified.store(false, std::sync::atomic::Ordering::Release);
    keep_up(&store).expect("it goes on");
    let failure = store.write_failure().expect("health knows");
    assert!(failure.contains("the database says"), "{failure}");
    let refused = store.commit([put("c", &["fifth tale"], 0)], "test");
    assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
    super::check(&store, None, &["second tale", "third tale", "fourth tale"]);
}

#[test]
fn a_log_removed_while_open_loses_nothing() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = filled(home.path());
    let log = home.path().join("store.sqlite-wal");
    assert_eq!(store.write_failure(), None);
    std::fs::remove_file(&log).expect("it was there");
    let refused = store.commit([put("c", &["fifth tale"], 0)], "test");
    assert!(matches!(refused, Err(Error::LogReplaced { .. })), "{refused:?}");
    assert!(
        store
            .write_failure()
            .is_some_and(|failure| failure.contains("store.sqlite-wal"))
    );
    // As a kill leaves it: the log is nowhere, and the connections never ended in order.
    let killed = tempfile::tempdir().expect("a temporary directory");
    for file in layout::files(home.path()) {
        let to = killed
            .path()
            .join(file.strip_prefix(home.path()).expect("it lies below"));
        std::fs::create_dir_all(to.parent().expect("it has one")).expect("a directory");
        std::fs::copy(&file, &to).expect("it can be copied");
    }
    super::check(
        &reopen(killed.path()),
        None,
        &["second tale", "third tale", "fourth tale"],
    );
}

#[test]
fn records_with_a_damaged_name_in_their_schema_are_refused() {
    let home = tempfile::tempdir().expect("a temporary directory");
    drop(filled(home.path()));
    let path = layout::records(home.path());
    let mut bytes = std::fs::read(&path).expect("it can be read");
    let name = b"byte_size";
    let place = bytes.windows(name.len()).position(|window| window == name);
    bytes[place.expect("the schema names the column")] ^= 1;
    std::fs::write(&path, bytes).expect("it can be written");
    let refused = EpochStore::open(home.path(), OPTIONS()).expect_err("it is damaged");
    let message = refused.to_string();
    assert!(
        message.contains("it has no table revision.byte_size; restore"),
        "{message}"
    );
}
