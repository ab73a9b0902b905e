//! Tests of the store: commits that stop half-way, indexes that are behind, ahead or gone, and what the catalog sweeps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::chunk::{Chunk, ChunkConfig};
use crate::document::access::AccessList;
use crate::document::metadata::{AttributeType, MetadataValue};
use crate::document::schema::MetadataSchema;
use crate::document::{ByteSpan, content_hash, hex};
use crate::embed::Embedding;
use crate::index::{AttributeIndex, ChunkId, Language, Lifetime, Scored};
use crate::worker::{Cancel, Stopped};

const OPTIONS: fn() -> OpenOptions = || OpenOptions {
    language: Language::parse("en").expect("a known language"),
    dimensions: 3,
};

fn id(text: &str) -> DocumentId {
    DocumentId::parse(text).expect("a document id")
}

mod check;
mod erasure;
mod history;

/// A document whose every line is a chunk; `axis` is where its vectors point.
fn put(document: &str, lines: &[&str], axis: usize) -> Change {
    let text = lines.join("\n");
    let mut vector = vec![0.1; 3];
    vector[axis] = 1.0;
    let embedding = Embedding::normalized(vector).expect("a vector");
    let mut start = 0;
    let chunks = lines.iter().enumerate().map(|(ordinal, line)| {
        let span = ByteSpan::new(start, start + line.len());
        start = span.end + 1;
        NewChunk {
            chunk: Chunk {
                ordinal: ordinal as u32,
                span,
                heading_path: vec!["Heading".to_owned()],
                page: Some(7),
                token_count: 3,
            },
            embedding: embedding.clone(),
        }
    });
    Change::Put(Box::new(NewRevision {
        document_id: id(document),
        content_hash: hex(&content_hash(text.as_bytes())),
        settings_hash: "settings".to_owned(),
        title: Some("Title".to_owned()),
        media_type: "text/plain".to_owned(),
        source_name: "file.txt".to_owned(),
        metadata: Metadata::from([("line".to_owned(), MetadataValue::String(lines[0].to_owned()))]),
        access: AccessList::default(),
        byte_size: text.len() as u64,
        chunks: chunks.collect(),
        content: KeptContent::Text,
        text,
    }))
}

fn create(directory: &Path) -> EpochStore {
    EpochStore::create(directory).expect("a new store");
    EpochStore::open(directory, OPTIONS()).expect("it opens")
}

fn reopen(directory: &Path) -> EpochStore {
    EpochStore::open(directory, OPTIONS()).expect("it opens again")
}

/// What is known of a document now.
fn describe(store: &EpochStore, document: &str) -> Option<DocumentInfo> {
    let lease = store.lease(None).expect("the epoch can be read");
    store.document(&id(document), &lease, false).expect("it works")
}

/// Texts that each leg finds at an epoch, in the order of their chunks.
fn check(store: &EpochStore, epoch: Option<Epoch>, expected: &[&str]) {
    let lease = store.lease(epoch).expect("the epoch can be read");
    let snapshot = store.snapshot(&lease);
    let accept = |chunk_id| snapshot.contains(chunk_id);
    let by_terms = snapshot
        .terms()
        .search("tale", 100, &accept)
        .expect("the keyword leg works");
    let accepted = snapshot.chunk_count();
    let by_vectors = snapshot
        .vectors()
        .search(&[0.6, 0.6, 0.5], 100, &accept, accepted)
        .expect("the dense leg works");
    drop(snapshot);
    let texts = |found: Vec<Scored>| {
        let mut ids: Vec<ChunkId> = found.into_iter().map(|scored| scored.chunk_id).collect();
        ids.sort();
        let records = store.chunks(&ids).expect("the records are there");
        records.into_iter().map(|record| record.text).collect::<Vec<_>>()
    };
    assert_eq!(accepted, expected.len());
    assert_eq!(texts(by_terms), expected, "keyword leg");
    assert_eq!(texts(by_vectors), expected, "dense leg");
}

#[test]
fn chunks_come_back_as_they_were_put() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    let committed = store
        .commit(&[put("a", &["Ein Märchen tale", "zweite Zeile tale"], 0)], "test")
        .expect("a commit");
    assert_eq!(committed.epoch, Epoch(1));
    let records = store
        .chunks(&[ChunkId(2), ChunkId(99), ChunkId(1)])
        .expect("the records are there");
    assert_eq!(records.len(), 2, "an unknown chunk is left out");
    let second = &records[0];
    assert_eq!(
        (second.chunk_id, second.text.as_str()),
        (ChunkId(2), "zweite Zeile tale")
    );
    assert_eq!(
        (second.span.start, second.code_point_start),
        (18, 17),
        "ä has two bytes"
    );
    assert_eq!((second.page, second.heading_path.len()), (Some(7), 1));
    assert_eq!(
        second.metadata["line"],
        MetadataValue::String("Ein Märchen tale".to_owned())
    );
    assert_eq!(store.text(1).expect("it works").expect("it is there").len(), 35);
}

#[test]
fn a_commit_that_stopped_before_the_indexes_is_replayed() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    store
        .commit(&[put("a", &["old tale"], 0), put("b", &["other tale"], 1)], "test")
        .expect("a commit");
    drop(store);
    // What a kill right after the transaction leaves: the record of truth is an epoch ahead of both indexes.
    let path = layout::records(home.path());
    let mut connection = sqlite::open_writer(&path, &records::SCHEMA).expect("the database opens");
    let changes = [put("a", &["new tale", "and more tale"], 2), Change::Delete(id("b"))];
    commit::write(&mut connection, &path, &changes, "test", SystemTime::now()).expect("the transaction");
    drop(connection);
    let store = reopen(home.path());
    assert_eq!(store.epoch(), Epoch(2));
    check(&store, None, &["new tale", "and more tale"]);
    check(&store, Some(Epoch(1)), &["old tale", "other tale"]);
}

#[test]
fn a_commit_that_failed_half_way_is_caught_up_by_the_next() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    store.commit(&[put("a", &["old tale"], 0)], "test").expect("a commit");
    // What a disk that is full for tantivy and not for SQLite leaves behind.
    let mut writer = store.writer.lock();
    let path = layout::records(home.path());
    let changes = [put("a", &["new tale"], 1)];
    commit::write(&mut writer.connection, &path, &changes, "test", SystemTime::now()).expect("the transaction");
    store.stop_writes("no space".to_owned());
    drop(writer);
    check(&store, None, &["old tale"]);
    assert_eq!(store.counts(store.epoch()).expect("it works"), (1, 1));
    store
        .commit(&[put("b", &["second tale"], 2)], "test")
        .expect("the next commit catches up");
    assert_eq!(store.epoch(), Epoch(3));
    check(&store, None, &["new tale", "second tale"]);
    check(&store, Some(Epoch(1)), &["old tale"]);
    drop(store);
    check(&reopen(home.path()), None, &["new tale", "second tale"]);
}

#[test]
fn nothing_is_published_on_top_of_what_failed() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    let first = store.commit_durable([put("a", &["tale one"], 0)], "test");
    store.stop_writes("no space".to_owned());
    // As if the first had failed on its way into the indexes, while the second was waiting for them.
    store.unsettled.forget();
    let mut writer = store.writer.lock();
    let second = store.write_held(&mut writer, vec![put("b", &["tale two"], 1)], "test");
    drop(writer);
    for committed in [first, second] {
        let epoch = committed.expect("it is on disk").epoch;
        assert!(matches!(store.settle(epoch), Err(Error::Poisoned { .. })), "{epoch}");
    }
    check(&store, None, &[]);

    store.commit([put("c", &["tale three"], 2)], "test").expect("it mends");
    check(&store, None, &["tale one", "tale two", "tale three"]);
}

#[test]
fn records_that_lost_commits_are_refused() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    store.commit(&[put("a", &["first tale"], 0)], "test").expect("a commit");
    let copy = home.path().join("copy.sqlite");
    drop(store);
    std::fs::copy(layout::records(home.path()), &copy).expect("a copy of the records");
    let store = reopen(home.path());
    store
        .commit(&[put("b", &["second tale"], 1)], "test")
        .expect("a commit");
    drop(store);
    for name in ["store.sqlite-wal", "store.sqlite-shm"] {
        // There may be none after an orderly close.
        let _ = std::fs::remove_file(home.path().join(name));
    }
    std::fs::rename(&copy, layout::records(home.path())).expect("the older records are back");
    let refused = EpochStore::open(home.path(), OPTIONS())
        .expect_err("a commit is lost")
        .to_string();
    assert!(
        refused.contains("ends with epoch 1, and an index has seen epoch 2"),
        "{refused}"
    );
    // As the message says.
    for directory in ["terms", "vectors"] {
        std::fs::remove_dir_all(home.path().join(directory)).expect("it can be removed");
    }
    check(&reopen(home.path()), None, &["first tale"]);
}

#[test]
fn damaged_terms_are_made_again() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    store.commit(&[put("a", &["first tale"], 0)], "test").expect("a commit");
    drop(store);
    for entry in std::fs::read_dir(layout::terms(home.path())).expect("it can be read") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            std::fs::write(path, b"noise").expect("it can be written");
        }
    }
    check(&reopen(home.path()), None, &["first tale"]);
}

#[test]
fn failed_attempts_move_no_epoch() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    let fail = |reason: &str| Change::Fail(id("a"), reason.to_owned());
    let committed = store.commit(&[fail("unreadable")], "test").expect("a commit");
    assert_eq!((committed.epoch, committed.found), (Epoch(0), vec![false]));
    let info = describe(&store, "a").expect("it is known");
    assert_eq!(
        (info.status, info.reason.as_str()),
        (DocumentStatus::Failed, "unreadable")
    );
    assert_eq!((info.epoch, info.content_hash.as_str()), (Epoch(0), ""));
    store.commit(&[put("a", &["a tale"], 0)], "test").expect("a commit");
    store.commit(&[fail("broken now")], "test").expect("a commit");
    let info = describe(&store, "a").expect("it is known");
    assert_eq!(
        (info.status, info.epoch),
        (DocumentStatus::Failed, Epoch(1)),
        "the indexed revision stays"
    );
    check(&store, None, &["a tale"]);
    let indexed = store
        .indexed_content(&id("a"))
        .expect("it works")
        .expect("it is indexed");
    assert!(indexed.later_attempt_failed);
}

#[test]
fn one_commit_can_put_a_document_twice() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    let committed = store
        .commit(&[put("a", &["first tale"], 0), put("a", &["second tale"], 1)], "test")
        .expect("a commit");
    assert_eq!(committed.found, [false, true]);
    check(&store, None, &["second tale"]);
    drop(store);
    check(&reopen(home.path()), None, &["second tale"]);
}

#[test]
fn filters_choose_by_the_attributes_of_the_revision() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    store.commit(&[put("a", &["old tale"], 0)], "test").expect("a commit");
    store.commit(&[put("a", &["new tale"], 0)], "test").expect("a commit");
    for store in [store, reopen_after(home.path())] {
        let matching = |epoch| {
            let lease = store.lease(epoch).expect("the epoch can be read");
            let old = |index: &AttributeIndex| {
                Ok::<_, Error>(index.equal_strings("line", &[AttributeType::String], &["old tale".to_owned()]))
            };
            let (first, was_known) = store.snapshot(&lease).choose("old", old).expect("it works");
            assert!(!was_known);
            let (again, was_known) = store.snapshot(&lease).choose("old", old).expect("it works");
            assert!(was_known && Arc::ptr_eq(&first, &again));
            first
        };
        assert_eq!(matching(None).len(), 0);
        let earlier = matching(Some(Epoch(1)));
        assert!(earlier.len() == 1 && earlier.contains(ChunkId(1)));
    }
}

/// A second store over a copy of the directory, as if it had been opened anew.
fn reopen_after(directory: &Path) -> EpochStore {
    let copy = directory.join("copy");
    std::fs::create_dir(&copy).expect("a directory");
    for name in ["store.sqlite", "store.sqlite-wal"] {
        let from = directory.join(name);
        if from.exists() {
            std::fs::copy(from, copy.join(name)).expect("a copy");
        }
    }
    reopen(&copy)
}

#[test]
fn waiting_for_an_epoch_ends_with_it_or_the_deadline() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    let soon = Cancel::with_deadline(Some(std::time::Instant::now() + Duration::from_millis(60)));
    assert_eq!(store.wait_for(Epoch(1), &soon), Err(Stopped::DeadlineExceeded));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.wait_for(Epoch(1), &Cancel::new()));
        store.commit(&[put("a", &["a tale"], 0)], "test").expect("a commit");
        assert_eq!(waiting.join().expect("no panic"), Ok(()));
    });
}

#[test]
fn removed_stores_refuse_writes() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = create(home.path());
    store.remove();
    let refused = store.commit(&[put("a", &["a tale"], 0)], "test");
    assert!(matches!(refused, Err(Error::Removed)));
}

#[test]
fn newer_formats_are_refused_by_number() {
    let home = tempfile::tempdir().expect("a temporary directory");
    drop(create(home.path()));
    let path = layout::records(home.path());
    let connection = sqlite::open_writer(&path, &records::SCHEMA).expect("the database opens");
    connection
        .pragma_update(None, "user_version", 99)
        .expect("the version is set");
    drop(connection);
    let refused = EpochStore::open(home.path(), OPTIONS()).expect_err("it is newer");
    assert!(refused.to_string().contains("format 99"), "{refused}");
}

fn record(id: &str, name: &str) -> BaseRecord {
    BaseRecord {
        id: id.to_owned(),
        name: name.to_owned(),
        description: String::new(),
        embedding_model_id: "model".to_owned(),
        dimensions: 3,
        chunking: ChunkConfig::default(),
        language: "en".to_owned(),
        tags: BTreeMap::from([("key".to_owned(), "value".to_owned())]),
        retention: Retention::default(),
        original_content: OriginalContent::Keep,
        metadata_schema: MetadataSchema::default(),
        created_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_234),
        updated_at: SystemTime::UNIX_EPOCH + Duration::from_millis(5_678),
    }
}

#[test]
fn the_catalog_keeps_records_and_sweeps_strangers() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let layout = Layout::new(home.path());
    let catalog = Catalog::open(layout.clone()).expect("a new catalog");
    let first = BaseRecord {
        chunking: ChunkConfig::None,
        ..record("01a", "first")
    };
    catalog.insert(&first, Some(("token", b"hash"))).expect("it is new");
    catalog.insert(&record("01b", "second"), None).expect("it is new");
    assert_eq!(catalog.find("first").expect("it works"), Some(first.clone()));
    assert_eq!(catalog.find("01a").expect("it works"), Some(first.clone()));
    assert_eq!(
        catalog.by_client_token("token").expect("it works"),
        Some((b"hash".to_vec(), first))
    );
    drop(catalog);
    let stranger = layout.knowledge_base("01c");
    std::fs::create_dir(&stranger).expect("a directory");
    let catalog = Catalog::open(layout.clone()).expect("it opens again");
    assert!(!stranger.exists(), "no row names it, and there is nothing in it");
    drop(catalog);
    // A creation that was killed left a mark; a catalog that lost a row leaves none.
    for is_marked in [true, false] {
        EpochStore::create(&stranger).expect("a directory with records");
        if is_marked {
            catalog::mark_unfinished(&stranger).expect("a mark");
            Catalog::open(layout.clone()).expect("it opens again");
            assert!(!stranger.exists(), "its creation was never finished");
        } else {
            let refused = Catalog::open(layout.clone()).expect_err("it is not swept").to_string();
            assert!(
                refused.contains("catalog.sqlite") && refused.contains("01c"),
                "{refused}"
            );
            std::fs::remove_dir_all(&stranger).expect("it is still there");
        }
    }
    let catalog = Catalog::open(layout.clone()).expect("it opens again");
    assert!(layout.knowledge_base("01a").is_dir());
    catalog.remove("01a").expect("it is there");
    assert!(!layout.knowledge_base("01a").exists());
    assert_eq!(
        catalog.by_client_token("token").expect("it works"),
        None,
        "the token goes with it"
    );
    assert_eq!(catalog.page("01a", 10).expect("it works").len(), 1);
}

#[test]
fn retired_at_the_epoch_that_added_it_is_never_seen() {
    let lifetime = Lifetime {
        added: Epoch(3),
        retired: Epoch(3),
    };
    assert!((0..6).all(|epoch| !lifetime.contains(Epoch(epoch))));
}
