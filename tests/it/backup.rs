//! A backup is one whole epoch in one file; what is restored from it is the same, and what was altered is refused.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use groundwork::document::DocumentId;
use groundwork::embed::{Embedder, Embedding, HashingEmbedder, Purpose};
use groundwork::index::Epoch;
use groundwork::knowledge_base::{
    AsOf, ContentRequest, Error, ErrorKind, Groundwork, KnowledgeBaseChange, ProvidedModels, ReadAt, Restoration,
    Restored,
};
use groundwork::retrieve::{Hit, Query, SearchType};
use groundwork::service::pb;
use groundwork::service::pb::backup_knowledge_base_response::Payload;
use groundwork::service::pb::restore_knowledge_base_request::Payload as RestorePayload;
use groundwork::worker::Cancel;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::server::{Server, run};
use crate::support::{DIMENSIONS, described, ingest, open, scripted, settings, text, with_base};

/// Counts the texts that it embeds.
struct Counting {
    inner: HashingEmbedder,
    texts: AtomicUsize,
}

impl Embedder for Counting {
    fn model_id(&self) -> &str {
        self.inner.model_id()
    }

    fn dimensions(&self) -> usize {
        self.inner.dimensions()
    }

    fn max_tokens(&self) -> usize {
        self.inner.max_tokens()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.inner.count_tokens(text)
    }

    fn embed(
        &self,
        texts: &[&str],
        purpose: Purpose,
        cancel: &Cancel,
    ) -> Result<Vec<Embedding>, groundwork::embed::Error> {
        self.texts.fetch_add(texts.len(), Ordering::Relaxed);
        self.inner.embed(texts, purpose, cancel)
    }
}

/// The whole archive of a backup of `kb`.
fn archive(groundwork: &Groundwork) -> Vec<u8> {
    let mut bytes = Vec::new();
    groundwork
        .back_up("kb", &Cancel::new(), &mut |_| {})
        .expect("the backup is made")
        .read_to_end(&mut bytes)
        .expect("the backup can be read");
    bytes
}

fn restore(groundwork: &Groundwork, mut archive: &[u8], name: &str) -> Result<Restored, Error> {
    let wanted = Restoration {
        name: name.to_owned(),
        dry_run: false,
    };
    groundwork.restore(&mut archive, &wanted, &Cancel::new(), &mut |_| {})
}

/// Names in the directory of all knowledge bases.
fn directories(home: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(home.join("knowledge-bases")).expect("the folder can be read");
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.sort();
    found
}

fn search(groundwork: &Groundwork, base: &str, words: &str, search_type: SearchType, as_of: Option<Epoch>) -> Vec<Hit> {
    let mut query = Query::new(words.to_owned());
    query.search_type = search_type;
    query.limit = 1000;
    let at = ReadAt {
        min_epoch: None,
        as_of: as_of.map(AsOf::Epoch),
    };
    groundwork
        .retrieve(base, &query, at, &Cancel::new())
        .expect("the search works")
        .hits
}

/// Ten documents, two of them replaced, one deleted; epoch 1 is pinned.
fn with_history() -> (tempfile::TempDir, Groundwork) {
    let (home, groundwork) = with_base(&[]);
    let page = "<html><head><title>Page</title></head><body><p>A page of markup about rivers.</p></body></html>";
    let mut documents: Vec<_> = (0..10)
        .map(|at| {
            text(
                &format!("d{at}"),
                &format!("Log {at} tells of rivers and mills, number{at}."),
            )
        })
        .collect();
    documents[9].bytes = page.as_bytes().to_vec();
    documents[9].media_type = Some("text/html".to_owned());
    ingest(&groundwork, documents);
    let first = described(&groundwork, "kb").expect("it is there").epoch;
    groundwork
        .pin_epoch("kb", "first", Some(first))
        .expect("it is retained");
    ingest(
        &groundwork,
        vec![
            text("d0", "Log zero now tells of harbours."),
            text("d1", "Log one of quays."),
        ],
    );
    let gone = DocumentId::parse("d2").expect("an id");
    groundwork
        .delete_documents("kb", &groundwork::knowledge_base::Selection::Ids(vec![gone]), false)
        .expect("the deletion works");
    (home, groundwork)
}

#[test]
fn restored_base_answers_like_the_original() {
    let (_home, groundwork) = with_history();
    let archive = archive(&groundwork);
    let other_home = tempfile::tempdir().expect("a temporary directory");
    let counting = Arc::new(Counting {
        inner: HashingEmbedder::new(DIMENSIONS),
        texts: AtomicUsize::new(0),
    });
    let provided = ProvidedModels {
        embedders: vec![counting.clone()],
        language_models: vec![scripted(&[])],
    };
    let other = Groundwork::open_with(settings(other_home.path()), provided).expect("the data directory opens");
    let restored = restore(&other, &archive, "copy").expect("the archive is whole");
    assert_eq!(counting.texts.load(Ordering::Relaxed), 0, "something was embedded");
    assert_eq!(restored.warnings, Vec::<String>::new());
    let original = described(&groundwork, "kb").expect("it is there");
    let copy = described(&other, "copy").expect("it is there");
    assert_ne!(copy.id, original.id);
    assert_eq!(
        (
            copy.epoch,
            copy.oldest_epoch,
            copy.document_count,
            copy.chunk_count,
            copy.retention
        ),
        (
            original.epoch,
            original.oldest_epoch,
            original.document_count,
            original.chunk_count,
            original.retention
        )
    );
    for as_of in [None, Some(Epoch(1)), Some(Epoch(2))] {
        for search_type in [SearchType::Keyword, SearchType::Semantic, SearchType::Hybrid] {
            for words in ["rivers and mills", "harbours", "number2", "quays of rivers"] {
                assert_eq!(
                    search(&other, "copy", words, search_type, as_of),
                    search(&groundwork, "kb", words, search_type, as_of),
                    "{search_type:?} `{words}` at {as_of:?}"
                );
            }
        }
    }
    let pins = |groundwork: &Groundwork, base: &str| {
        let (page, _) = groundwork.epochs(base, true, &Default::default()).expect("a page");
        page.items
    };
    assert_eq!(pins(&other, "copy"), pins(&groundwork, "kb"));
    for at in [0, 3, 9] {
        let id = DocumentId::parse(format!("d{at}")).expect("an id");
        let wanted = ContentRequest::Document(id, ReadAt::default());
        let bytes = |groundwork: &Groundwork, base: &str| {
            groundwork.content(base, &wanted, &Cancel::new()).expect("it is kept").1
        };
        assert_eq!(bytes(&other, "copy"), bytes(&groundwork, "kb"));
    }
    let checked = other
        .check("copy", false, &Cancel::new(), &mut |_| {}, &mut |finding| {
            panic!("{finding:?}")
        })
        .expect("the check runs");
    assert_eq!((checked.findings, checked.documents), (0, original.document_count));
    drop(other);
    assert_eq!(
        described(&open(other_home.path()), "copy").expect("it is kept").epoch,
        original.epoch
    );
}

#[test]
fn backup_under_writes_is_a_whole_epoch() {
    const WRITES: u32 = 120;
    const IDS: u32 = 7;
    let (_home, groundwork) = with_base(&[]);
    let change = KnowledgeBaseChange {
        retention: Some(groundwork::knowledge_base::Retention {
            epochs: Some(1_000),
            age: None,
        }),
        ..KnowledgeBaseChange::default()
    };
    groundwork
        .update_knowledge_base("kb", change)
        .expect("the change works");
    let is_written = AtomicBool::new(false);
    let (archives, acknowledged) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut acknowledged: Vec<(Epoch, String, u32)> = Vec::new();
            for version in 0..WRITES {
                let id = format!("d{}", version % IDS);
                let content = format!("Logbook {id} of the voyage in its version{version}.");
                let (outcomes, _) = ingest(&groundwork, vec![text(&id, &content)]);
                acknowledged.push((outcomes[0].epoch, id, version));
            }
            is_written.store(true, Ordering::Release);
            acknowledged
        });
        let mut archives = Vec::new();
        while !is_written.load(Ordering::Acquire) {
            let before = described(&groundwork, "kb").expect("it is there").epoch;
            archives.push((before, archive(&groundwork)));
        }
        (archives, writer.join().expect("the writer ends"))
    });
    assert!(
        archives.len() > 1,
        "only {} backups were made beside the writes",
        archives.len()
    );
    let other_home = tempfile::tempdir().expect("a temporary directory");
    let other = open(other_home.path());
    let some = archives.len().div_ceil(6);
    for (at, (before, archive)) in archives.iter().enumerate().step_by(some) {
        let name = format!("copy{at}");
        let restored = restore(&other, archive, &name).expect("the archive is whole");
        let epoch = restored.manifest.epoch;
        assert!(
            *before <= epoch,
            "the caller had seen {before}, the backup holds {epoch}"
        );
        let mut expected: BTreeMap<String, u32> = BTreeMap::new();
        for (acknowledged, id, version) in &acknowledged {
            if *acknowledged <= epoch {
                expected.insert(id.clone(), *version);
            }
        }
        for search_type in [SearchType::Keyword, SearchType::Semantic] {
            let hits = search(&other, &name, "logbook voyage", search_type, None);
            let found: BTreeMap<String, u32> = hits
                .iter()
                .map(|hit| {
                    let version = hit
                        .text
                        .split("version")
                        .nth(1)
                        .expect("a version")
                        .trim_end_matches('.');
                    (hit.document_id.to_string(), version.parse().expect("a number"))
                })
                .collect();
            assert_eq!(hits.len(), found.len(), "a document shows two versions");
            assert_eq!(found, expected, "{search_type:?} at {epoch}");
        }
    }
}

#[test]
fn altered_archives_are_refused_and_leave_nothing() {
    let (home, groundwork) = with_history();
    let whole = archive(&groundwork);
    let before = directories(home.path());
    let check = |what: &str, bytes: &[u8]| {
        let refused = restore(&groundwork, bytes, "copy").expect_err(what);
        assert!(
            matches!(
                (refused.kind, refused.reason),
                (ErrorKind::InvalidRequest, "ARCHIVE_REFUSED") | (ErrorKind::FailedPrecondition, "NEWER_FORMAT")
            ),
            "{what}: {refused:?}"
        );
        assert_eq!(directories(home.path()), before, "{what} left something");
        assert_eq!(
            described(&groundwork, "copy").expect_err(what).kind,
            ErrorKind::NotFound
        );
    };
    // Every byte of the first entries and of the end, then a walk through the rest.
    let manifest_end = 512 + 4096;
    let tail = whole.len() - 1_600;
    let flips = (0..manifest_end)
        .step_by(7)
        .chain((manifest_end..tail).step_by(4_999))
        .chain((tail..whole.len()).step_by(13));
    for at in flips {
        let mut altered = whole.clone();
        altered[at] ^= 1 << (at % 8);
        check(&format!("bit {} of byte {at} flipped", at % 8), &altered);
    }
    let cuts = [
        0,
        1,
        511,
        512,
        700,
        2_048,
        whole.len() / 2,
        whole.len() - 1_025,
        whole.len() - 1_024,
        whole.len() - 512,
        whole.len() - 1,
    ];
    for length in cuts {
        check(&format!("cut at {length}"), &whole[..length]);
    }
    check("one byte more", &[whole.as_slice(), &[0]].concat());
    check("padded with a block", &[whole.as_slice(), &[0; 512]].concat());
    check("another file", b"PK\x03\x04 this is no tar archive at all");
    check("noise", &vec![0xa5; 4_096]);
    // The store before the manifest.
    check("reordered", &[&whole[manifest_end..], &whole[..manifest_end]].concat());
    restore(&groundwork, &whole, "copy").expect("the archive itself is whole");
}

#[test]
fn refusals_say_what_is_wrong_and_where() {
    let (_home, groundwork) = with_history();
    let whole = archive(&groundwork);
    let check = |bytes: &[u8], words: &[&str]| {
        let refused = restore(&groundwork, bytes, "copy")
            .expect_err("it is refused")
            .to_string();
        for word in words {
            assert!(refused.contains(word), "`{refused}` does not say `{word}`");
        }
    };
    let altered = |at: usize| {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        altered
    };
    let text = String::from_utf8_lossy(&whole);
    let place = |word: &str| text.find(word).expect("the manifest holds it");
    check(&[], &["empty"]);
    check(b"no archive", &["no backup", "manifest.json"]);
    check(&altered(place("hashing")), &["manifest.json", "root hash", "altered"]);
    check(&altered(whole.len() - 2_000), &["store.sqlite", "SHA-256"]);
    check(&whole[..whole.len() - 4_000], &["store.sqlite", "cut short"]);
    check(&[whole.as_slice(), b"more"].concat(), &["goes on after its end"]);
}

#[test]
fn dry_run_makes_nothing() {
    let (home, groundwork) = with_history();
    let whole = archive(&groundwork);
    let before = directories(home.path());
    let wanted = Restoration {
        name: "copy".to_owned(),
        dry_run: true,
    };
    let told = groundwork
        .restore(&mut whole.as_slice(), &wanted, &Cancel::new(), &mut |_| {})
        .expect("the archive is whole");
    let original = described(&groundwork, "kb").expect("it is there");
    assert_eq!(
        (
            told.knowledge_base.name.as_str(),
            told.knowledge_base.document_count,
            told.knowledge_base.epoch
        ),
        ("copy", original.document_count, original.epoch)
    );
    assert_eq!(directories(home.path()), before);
    assert_eq!(
        described(&groundwork, "copy").expect_err("nothing was made").kind,
        ErrorKind::NotFound
    );
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    let refused = groundwork.restore(&mut altered.as_slice(), &wanted, &Cancel::new(), &mut |_| {});
    assert_eq!(refused.expect_err("it was altered").reason, "ARCHIVE_REFUSED");
}

#[test]
fn taken_names_and_other_dimensions_are_refused() {
    let (home, groundwork) = with_history();
    let whole = archive(&groundwork);
    let taken = restore(&groundwork, &whole, "").expect_err("the name is taken");
    assert_eq!((taken.kind, taken.reason), (ErrorKind::AlreadyExists, "NAME_TAKEN"));
    let wrong = restore(&groundwork, &whole, "no name").expect_err("a space");
    assert_eq!(
        (wrong.kind, wrong.violations[0].field.as_str()),
        (ErrorKind::InvalidRequest, "name")
    );
    assert_eq!(directories(home.path()).len(), 1);
    let other_home = tempfile::tempdir().expect("a temporary directory");
    let provided = |embedders: Vec<Arc<dyn Embedder>>| ProvidedModels {
        embedders,
        language_models: vec![scripted(&[])],
    };
    let wider = provided(vec![Arc::new(HashingEmbedder::new(DIMENSIONS * 2))]);
    let other = Groundwork::open_with(settings(other_home.path()), wider).expect("the data directory opens");
    let refused = restore(&other, &whole, "").expect_err("vectors have another length");
    assert_eq!(
        (refused.kind, refused.reason),
        (ErrorKind::FailedPrecondition, "DIMENSIONS_DIFFER")
    );
    drop(other);
    let other = Groundwork::open_with(settings(other_home.path()), provided(Vec::new())).expect("it opens");
    let restored = restore(&other, &whole, "").expect("a model that is not here is no hindrance");
    assert!(restored.warnings[0].contains("hashing"), "{:?}", restored.warnings);
    let hits = search(&other, "kb", "harbours", SearchType::Keyword, None);
    assert_eq!(hits[0].document_id.to_string(), "d0");
}

#[test]
fn cancelled_backups_and_restores_leave_nothing() {
    let (home, groundwork) = with_history();
    let whole = archive(&groundwork);
    let base = directories(home.path());
    let cancelled = Cancel::new();
    cancelled.cancel();
    let stopped = groundwork
        .back_up("kb", &cancelled, &mut |_| {})
        .expect_err("nobody wants it");
    assert_eq!(stopped.kind, ErrorKind::Cancelled);
    let begun = groundwork
        .back_up("kb", &Cancel::new(), &mut |_| {})
        .expect("the backup is made");
    let temporary = base[0].join("tmp");
    let left = || std::fs::read_dir(&temporary).expect("the folder is there").count();
    assert_eq!(left(), 1, "a backup that is read keeps its snapshot");
    drop(begun);
    assert_eq!(left(), 0);
    let stopped = groundwork
        .restore(
            &mut whole.as_slice(),
            &Restoration {
                name: "copy".to_owned(),
                dry_run: false,
            },
            &cancelled,
            &mut |_| {},
        )
        .expect_err("nobody wants it");
    assert_eq!(stopped.kind, ErrorKind::Cancelled);
    assert_eq!(directories(home.path()), base);
    std::fs::create_dir_all(temporary.join("backup-killed")).expect("a new folder");
    drop(groundwork);
    let groundwork = open(home.path());
    described(&groundwork, "kb").expect("it opens");
    assert!(!temporary.exists(), "what a kill left is swept at the next opening");
}

#[test]
fn server_writes_and_reads_its_backup_directory() {
    let (home, groundwork) = with_history();
    let unset = groundwork.back_up_to("kb", "kb.tar", &Cancel::new(), &mut |_| {});
    assert_eq!(unset.expect_err("no directory").reason, "BACKUP_DIR_NOT_SET");
    drop(groundwork);
    let backups = tempfile::tempdir().expect("a temporary directory");
    let mut settings = settings(home.path());
    settings.backup_dir = Some(backups.path().to_owned());
    let provided = ProvidedModels {
        embedders: vec![Arc::new(HashingEmbedder::new(DIMENSIONS))],
        language_models: vec![scripted(&[])],
    };
    let groundwork = Groundwork::open_with(settings, provided).expect("the data directory opens");
    for name in ["../kb.tar", "a/b", "a\\b", ".hidden", "..", "."] {
        let wrong = groundwork
            .back_up_to("kb", name, &Cancel::new(), &mut |_| {})
            .expect_err(name);
        assert_eq!(wrong.violations[0].field, "file_name");
    }
    let written = groundwork
        .back_up_to("kb", "kb.tar", &Cancel::new(), &mut |_| {})
        .expect("the backup is written");
    let again = groundwork.back_up_to("kb", "kb.tar", &Cancel::new(), &mut |_| {});
    assert_eq!(again.expect_err("it is there").kind, ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_dir(backups.path()).expect("the folder").count(), 1);
    let wanted = Restoration {
        name: "copy".to_owned(),
        dry_run: false,
    };
    let restored = groundwork
        .restore_from("kb.tar", &wanted, &Cancel::new(), &mut |_| {})
        .expect("the archive is whole");
    assert_eq!(restored.manifest, written);
    let missing = groundwork.restore_from("other.tar", &wanted, &Cancel::new(), &mut |_| {});
    assert_eq!(missing.expect_err("no such file").kind, ErrorKind::NotFound);
}

fn part(payload: RestorePayload) -> pb::RestoreKnowledgeBaseRequest {
    pb::RestoreKnowledgeBaseRequest { payload: Some(payload) }
}

fn start(name: &str) -> pb::RestoreKnowledgeBaseRequest {
    part(RestorePayload::Start(pb::RestoreStart {
        name: name.to_owned(),
        ..pb::RestoreStart::default()
    }))
}

async fn ingest_over_the_wire(server: &Server) {
    let create = pb::CreateKnowledgeBaseRequest {
        name: "kb".to_owned(),
        ..pb::CreateKnowledgeBaseRequest::default()
    };
    server
        .knowledge_bases()
        .await
        .create_knowledge_base(create)
        .await
        .expect("it is new");
    let messages = ["rivers", "mills", "harbours"].map(|word| pb::IngestDocumentsRequest {
        payload: Some(pb::ingest_documents_request::Payload::Document(pb::InlineDocument {
            header: Some(pb::DocumentHeader {
                document_id: word.to_owned(),
                mime_type: "text/plain".to_owned(),
                ..pb::DocumentHeader::default()
            }),
            content: Some(pb::inline_document::Content::Text(format!("This tells of {word}."))),
        })),
    });
    let start = groundwork::service::client::ingest_start("kb");
    let stream = tokio_stream::iter(std::iter::once(start).chain(messages));
    let mut outcomes = server
        .documents()
        .await
        .ingest_documents(stream)
        .await
        .expect("it opens")
        .into_inner();
    while outcomes.message().await.expect("an outcome").is_some() {}
}

#[test]
fn wire_streams_backups_and_takes_them_back() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(home.path());
    let parts = run(async {
        ingest_over_the_wire(&server).await;
        let mut client = server.knowledge_bases().await;
        let request = pb::BackupKnowledgeBaseRequest {
            knowledge_base_id: "kb".to_owned(),
            file_name: String::new(),
        };
        let mut messages = client
            .backup_knowledge_base(request)
            .await
            .expect("it streams")
            .into_inner();
        let (mut manifest, mut parts) = (None, Vec::new());
        while let Some(message) = messages.message().await.expect("the stream goes on") {
            match message.payload {
                Some(Payload::Manifest(came)) => manifest = Some(came),
                Some(Payload::Part(bytes)) => {
                    assert!(manifest.is_some() && bytes.len() <= 1 << 20);
                    parts.push(bytes);
                }
                _ => assert!(manifest.is_none(), "progress comes before the manifest"),
            }
        }
        let manifest = manifest.expect("a manifest");
        assert_eq!(manifest.models[0].sha256.len(), 64, "the weights are known");
        let whole =
            std::iter::once(start("copy")).chain(parts.iter().cloned().map(|bytes| part(RestorePayload::Part(bytes))));
        let restored = client
            .restore_knowledge_base(tokio_stream::iter(whole.collect::<Vec<_>>()))
            .await
            .expect("the archive is whole")
            .into_inner();
        assert_eq!(restored.manifest, Some(manifest));
        assert_eq!(restored.knowledge_base.expect("it is described").document_count, 3);
        assert_eq!(restored.warnings, Vec::<String>::new());
        let cut = [start("cut"), part(RestorePayload::Part(parts[0][..9_000].to_vec()))];
        let refused = client
            .restore_knowledge_base(tokio_stream::iter(cut))
            .await
            .expect_err("it was cut short");
        let info = refused.get_error_details();
        assert_eq!(
            (refused.code(), info.error_info().map(|info| info.reason.as_str())),
            (Code::InvalidArgument, Some("ARCHIVE_REFUSED"))
        );
        let unset = pb::BackupKnowledgeBaseRequest {
            knowledge_base_id: "kb".to_owned(),
            file_name: "kb.tar".to_owned(),
        };
        let mut refused = client
            .backup_knowledge_base(unset)
            .await
            .expect("it streams")
            .into_inner();
        assert_eq!(
            refused.message().await.expect_err("no directory").code(),
            Code::FailedPrecondition
        );
        parts
    });
    // Killed in the middle of a restoration: the directory that it unpacks into is left, and swept.
    let before = directories(home.path()).len();
    run(async {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let mut client = server.knowledge_bases().await;
        let restoring = client.restore_knowledge_base(tokio_stream::wrappers::ReceiverStream::new(receiver));
        let killing = async {
            sender.send(start("killed")).await.expect("the server reads");
            let half = parts[0][..parts[0].len() / 2].to_vec();
            sender
                .send(part(RestorePayload::Part(half)))
                .await
                .expect("the server reads");
            while directories(home.path()).len() == before {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            ended = restoring => panic!("the archive is not whole yet: {ended:?}"),
            () = killing => {}
        }
    });
    server.kill();
    let server = Server::start(home.path());
    assert_eq!(directories(home.path()).len(), 2, "kb and copy");
    assert!(server.terminate());
}

/// Runs the program over `home`.
fn command(home: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_groundwork"))
        .args(arguments)
        .arg("--data-dir")
        .arg(home.join("data"))
        .arg("--models-dir")
        .arg(crate::support::models::directory())
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().expect("no signal ended it"),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn command_line_backs_up_and_restores() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let check = |arguments: &[&str], code: i32| {
        let ended = command(home.path(), arguments);
        assert_eq!(ended.0, code, "{arguments:?}: {} {}", ended.1, ended.2);
        ended
    };
    let path = home.path().join("kb.tar");
    let file = path.to_str().expect("a path");
    std::fs::write(home.path().join("bees.md"), "# Bees\n\nA colony keeps one queen.\n").expect("a new file");
    check(&["kb", "create", "kb"], 0);
    check(
        &["ingest", "kb", home.path().join("bees.md").to_str().expect("a path")],
        0,
    );
    check(&["backup", "kb", file], 0);
    let (_, _, told) = check(&["backup", "kb", file], 1);
    assert!(told.contains("--force"), "{told}");
    let (_, manifest, _) = check(&["--json", "backup", "kb", file, "--force"], 0);
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["knowledge_base"]["document_count"], 1);
    check(&["--json", "backup", "kb", "-"], 2);
    check(
        &[
            "backup",
            "other",
            home.path().join("other.tar").to_str().expect("a path"),
        ],
        3,
    );
    assert!(
        !home.path().join("other.tar").exists(),
        "nothing is left of a backup that failed"
    );
    check(&["restore", file], 1);
    let (_, told, _) = check(&["restore", file, "--name", "copy", "--dry-run"], 0);
    assert!(told.contains("would restore"), "{told}");
    let (_, restored, _) = check(&["--json", "restore", file, "--name", "copy"], 0);
    let restored: serde_json::Value = serde_json::from_str(&restored).expect("JSON");
    assert_eq!(restored["manifest"]["root_hash"], manifest["root_hash"]);
    let (_, found, _) = check(&["search", "copy", "queen"], 0);
    assert!(found.contains("bees"), "{found}");
    let mut bytes = std::fs::read(&path).expect("the backup");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).expect("it is written");
    let (_, _, told) = check(&["restore", file, "--name", "altered"], 2);
    assert!(told.contains("store.sqlite") && told.contains("altered"), "{told}");
}
