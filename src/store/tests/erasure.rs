//! Erasing documents, and proving that nothing is left.

use super::*;

const SECRET: &str = "The tale of the silver comb that Ada Thorne hid under the third stair of the lighthouse.";

fn erase(store: &EpochStore, document: &str, include_pinned: bool) -> Result<Erasure, Error> {
    store.erase(&[id(document)], false, include_pinned, &Cancel::new(), &mut |_| {})
}

fn search_for(store: &EpochStore, document: &str, phrases: &[String]) -> Certificate {
    let document_id = id(document);
    let wanted = Wanted {
        document_id: Some(&document_id),
        content_hash: Some(&hex(&content_hash(SECRET.as_bytes()))),
        phrases,
    };
    store
        .verify_erasure(&wanted, &Cancel::new(), &mut |_| {})
        .expect("the search works")
}

/// Files below the directory that hold these bytes.
fn holders(directory: &Path, bytes: &[u8]) -> Vec<std::path::PathBuf> {
    let holds = |path: &std::path::PathBuf| {
        let content = std::fs::read(path).expect("it can be read");
        content.windows(bytes.len()).any(|window| window == bytes)
    };
    layout::files(directory).into_iter().filter(holds).collect()
}

fn with_secret(directory: &Path) -> EpochStore {
    let store = create(directory);
    store
        .commit(
            &[put("secret-document", &[SECRET], 0), put("other", &["another tale"], 1)],
            "test",
        )
        .expect("a commit");
    store
        .commit(&[put("secret-document", &["a harmless tale"], 0)], "test")
        .expect("a commit");
    store
}

#[test]
fn erased_documents_leave_no_bytes() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_secret(home.path());
    let phrase = "silver comb that Ada Thorne";
    assert!(
        !holders(home.path(), phrase.as_bytes()).is_empty(),
        "it is there at first"
    );
    let before = search_for(&store, "secret-document", &[phrase.to_owned()]);
    assert!(!before.is_erased() && before.remainders.iter().any(|remainder| remainder.place == "files"));

    let erasure = erase(&store, "secret-document", false).expect("it is erased");
    assert_eq!((erasure.epoch, erasure.documents), (Epoch(3), 1));
    let count = |place| {
        erasure
            .places
            .iter()
            .find(|erased| erased.place == place)
            .map(|erased| erased.count)
    };
    assert_eq!(
        (count("revisions"), count("chunks"), count("contents")),
        (Some(2), Some(2), Some(0))
    );

    for bytes in [phrase.as_bytes(), b"secret-document", b"harmless tale"] {
        assert_eq!(holders(home.path(), bytes), Vec::<std::path::PathBuf>::new());
    }
    let certificate = search_for(&store, "secret-document", &[phrase.to_owned()]);
    assert_eq!(certificate.remainders, []);
    assert!(certificate.is_erased() && certificate.fingerprints > 2);
    check(&store, None, &["another tale"]);
    drop(store);
    let store = reopen(home.path());
    assert!(
        search_for(&store, "secret-document", &[]).is_erased(),
        "the fingerprints are kept"
    );
    check(&store, None, &["another tale"]);
}

#[test]
fn what_another_document_holds_explains_itself() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_secret(home.path());
    store.commit(&[put("copy", &[SECRET], 0)], "test").expect("a commit");
    erase(&store, "secret-document", false).expect("it is erased");
    let certificate = search_for(&store, "secret-document", &[]);
    let in_files: Vec<_> = certificate
        .remainders
        .iter()
        .filter(|remainder| remainder.place == "files")
        .collect();
    assert!(!in_files.is_empty());
    assert!(
        in_files
            .iter()
            .all(|remainder| remainder.also_in.as_deref() == Some("copy")),
        "{in_files:?}"
    );
}

#[test]
fn bytes_that_are_left_in_a_file_are_named() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_secret(home.path());
    erase(&store, "secret-document", false).expect("it is erased");
    std::fs::write(home.path().join("forgotten.tmp"), format!("noise {SECRET} noise")).expect("it can be written");
    let certificate = search_for(&store, "secret-document", &[]);
    assert!(!certificate.is_erased());
    let left = &certificate.remainders[0];
    assert_eq!(
        (left.path.as_str(), left.offset, left.also_in.as_ref()),
        ("forgotten.tmp", 6, None)
    );
    assert!(!left.description.contains("silver"), "its words are not told");
}

#[test]
fn pinned_epochs_hold_an_erasure_back() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_secret(home.path());
    store.pin("audit", Some(Epoch(1))).expect("a pin");
    let refused = erase(&store, "secret-document", false)
        .expect_err("it is pinned")
        .to_string();
    assert!(refused.contains("audit (1)"), "{refused}");
    check(&store, None, &["another tale", "a harmless tale"]);
    let would = store
        .erase(
            &[id("secret-document"), id("unknown")],
            true,
            true,
            &Cancel::new(),
            &mut |_| {},
        )
        .expect("a dry run");
    assert_eq!(
        (would.epoch, would.documents, would.not_found),
        (Epoch(2), 1, vec!["unknown".to_owned()])
    );
    let erasure = erase(&store, "secret-document", true).expect("it is erased");
    assert!(erasure.places.contains(&ErasedPlace {
        place: "pinned epochs",
        count: 1
    }));
    check(&store, Some(Epoch(1)), &["another tale"]);
    for epoch in 1..=3 {
        assert_eq!(
            store.counts(Epoch(epoch)).expect("it works"),
            (1, 1),
            "counted at {epoch}"
        );
    }
    assert_eq!(search_for(&store, "secret-document", &[]).remainders, []);
}

#[test]
fn failed_attempts_are_erased_too() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    store
        .commit(
            &[Change::Fail(id("unreadable-secret"), "it is broken".to_owned())],
            "test",
        )
        .expect("a commit");
    let erasure = erase(&store, "unreadable-secret", false).expect("it is erased");
    assert_eq!((erasure.epoch, erasure.documents), (Epoch(0), 1));
    assert_eq!(
        holders(home.path(), b"unreadable-secret"),
        Vec::<std::path::PathBuf>::new()
    );
}

#[test]
fn a_document_that_came_back_meanwhile_is_erased_too() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = with_secret(home.path());
    std::thread::scope(|scope| {
        let coming = scope.spawn(|| {
            for at in 0..40 {
                let change = put("secret-document", &[&format!("tale {at} of the comb")], 0);
                store.commit([change], "test").expect("a commit");
            }
        });
        while !coming.is_finished() {
            erase(&store, "secret-document", false).expect("it is erased");
        }
    });
    let erasure = erase(&store, "secret-document", false).expect("it is erased");
    assert_eq!(store.counts(erasure.epoch).expect("it works"), (1, 1));
    check(&store, None, &["another tale"]);
    assert_eq!(search_for(&store, "secret-document", &[]).remainders, []);
}

#[test]
fn restored_documents_can_be_erased_too() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    let name = |at: usize| format!("tales/secret-{at:04}.md");
    for first in (0..400).step_by(40) {
        let documents: Vec<Change> = (first..first + 40)
            .map(|at| put(&name(at), &["a tale", &format!("tale {at}")], at % 3))
            .collect();
        store.commit(documents, "test").expect("a commit");
    }
    let mut archive = store
        .back_up(&record("kb", "kb"), Vec::new(), None, &Cancel::new(), &mut |_| {})
        .expect("a backup");
    let restored = tempfile::tempdir().expect("a temporary directory");
    ArchiveReader::open(&mut archive, ArchiveKind::Backup)
        .and_then(|reader| reader.unpack(restored.path(), &Cancel::new(), &mut |_| {}))
        .expect("it is whole");
    let restored_store = reopen(restored.path());
    for at in (0..400).step_by(9) {
        erase(&restored_store, &name(at), false).expect("it is erased");
        assert_eq!(
            holders(restored.path(), name(at).as_bytes()),
            [] as [std::path::PathBuf; 0]
        );
    }
}
