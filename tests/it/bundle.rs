//! A bundle is the same for the same documents, is served from its file as it is, and never changes.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use groundwork::document::DocumentId;
use groundwork::embed::HashingEmbedder;
use groundwork::index::Epoch;
use groundwork::knowledge_base::{
    Acknowledgement, ContentRequest, Error, ErrorKind, Groundwork, KnowledgeBaseChange, KnowledgeBaseStatus,
    NewDocument, Next, PageRequest, ProvidedModels, ReadAt, RollbackTarget, Selection,
};
use groundwork::retrieve::{Hit, Query, SearchType};
use groundwork::worker::Cancel;

use crate::support::{DIMENSIONS, described, ingest, named, scripted, settings, text, with_base};

fn bundle(groundwork: &Groundwork, as_of: Option<Epoch>) -> Vec<u8> {
    let mut bytes = Vec::new();
    groundwork
        .seal("kb", as_of, &Cancel::new(), &mut |_| {})
        .expect("the bundle is made")
        .read_to_end(&mut bytes)
        .expect("the bundle can be read");
    bytes
}

/// Documents in several forms; one holds many chunks.
fn documents() -> Vec<NewDocument> {
    let mut documents: Vec<NewDocument> = (0..40)
        .map(|at| {
            let content = format!(
                "Log {at} tells of rivers and mills, number{at}. The mill has {} wheels.",
                at % 7
            );
            text(&format!("d{at:02}"), &content)
        })
        .collect();
    let page = "<html><head><title>Page</title></head><body><p>A page of markup about rivers.</p></body></html>";
    documents[9].bytes = page.as_bytes().to_vec();
    documents[9].media_type = Some("text/html".to_owned());
    let long: Vec<String> = (0..400)
        .map(|at| format!("Sentence {at} tells of harbour{at} and quays."))
        .collect();
    documents[3].bytes = long.join(" ").into_bytes();
    documents[3].title = Some("The long one".to_owned());
    documents
}

/// Opens a data directory of its own that serves these bundles.
fn serving(bundles: &[&Path]) -> (tempfile::TempDir, Groundwork) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut settings = settings(home.path());
    settings.bundles = bundles.iter().map(|path| (*path).to_owned()).collect();
    let provided = ProvidedModels {
        embedders: vec![Arc::new(HashingEmbedder::new(DIMENSIONS))],
        language_models: vec![scripted(&[])],
    };
    let groundwork = Groundwork::open_with(settings, provided).expect("the data directory opens");
    (home, groundwork)
}

fn written(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, bytes).expect("a new file");
    path
}

/// Document, text, the scores of both legs, and the score.
type Shown = (String, String, Option<f64>, Option<f64>, f64);

/// What a hit shows, but for the numbers that a bundle gives anew.
fn shown(hits: Vec<Hit>) -> Vec<Shown> {
    hits.into_iter()
        .map(|hit| {
            (
                hit.document_id.to_string(),
                hit.text,
                hit.bm25.map(|leg| leg.raw),
                hit.cosine.map(|leg| leg.raw),
                hit.score,
            )
        })
        .collect()
}

fn search(groundwork: &Groundwork, words: &str, search_type: SearchType) -> Vec<Hit> {
    let mut query = Query::new(words.to_owned());
    query.search_type = search_type;
    query.limit = 1000;
    groundwork
        .retrieve("kb", &query, ReadAt::default(), &Cancel::new())
        .expect("the search works")
        .hits
}

#[test]
fn same_documents_give_the_same_bytes() {
    let (_home, groundwork) = with_base(&[]);
    ingest(&groundwork, documents());
    let first = bundle(&groundwork, None);
    assert_eq!(first, bundle(&groundwork, None), "built twice");
    // In another order, in several commits, with a history that the bundle does not hold.
    let (_other_home, other) = with_base(&[]);
    let mut shuffled = documents();
    shuffled.reverse();
    let late = shuffled.split_off(17);
    ingest(
        &other,
        vec![
            text("gone", "Of rivers that are gone."),
            text("d00", "Of what was once."),
        ],
    );
    ingest(&other, shuffled);
    ingest(&other, late);
    let gone = Selection::Ids(vec![DocumentId::parse("gone").expect("an id")]);
    other.delete_documents("kb", &gone, false).expect("the deletion works");
    assert!(
        bundle(&other, None) == first,
        "the same documents in another order give another bundle"
    );
    // As of the epoch before that last deletion it holds one document more.
    let before = described(&other, "kb").expect("it is there").epoch;
    assert!(bundle(&other, Some(Epoch(before.0 - 1))) != first);
    ingest(&groundwork, vec![text("d01", "Another text.")]);
    assert!(
        bundle(&groundwork, None) != first,
        "other documents give another bundle"
    );
    assert!(
        bundle(&groundwork, Some(Epoch(1))) == first,
        "the earlier epoch still gives the first"
    );
}

#[test]
fn served_bundle_answers_like_the_original() {
    let (_home, groundwork) = with_base(&[]);
    ingest(&groundwork, documents());
    let files = tempfile::tempdir().expect("a temporary directory");
    let path = written(files.path(), "kb.bundle", &bundle(&groundwork, None));
    let (_other_home, other) = serving(&[&path]);
    let original = described(&groundwork, "kb").expect("it is there");
    let served = described(&other, "kb").expect("it is served");
    assert_eq!((served.status, served.read_only), (KnowledgeBaseStatus::Active, true));
    assert_eq!(
        (
            served.document_count,
            served.chunk_count,
            served.dimensions,
            served.epoch
        ),
        (
            original.document_count,
            original.chunk_count,
            original.dimensions,
            Epoch(1)
        )
    );
    let storage = served.storage.expect("it is asked for");
    assert!(storage.terms_bytes > 0 && storage.vectors_bytes > 0, "{storage:?}");
    assert_eq!(
        storage.store_bytes + storage.terms_bytes + storage.vectors_bytes,
        std::fs::metadata(&path).expect("it is there").len()
    );
    for search_type in [SearchType::Keyword, SearchType::Semantic, SearchType::Hybrid] {
        for words in [
            "rivers and mills",
            "harbour77",
            "number21 wheels",
            "markup",
            "quays of the harbour",
        ] {
            let (expected, found) = (
                search(&groundwork, words, search_type),
                search(&other, words, search_type),
            );
            assert!(!expected.is_empty());
            // Equal scores are ordered by number, which a bundle gives anew.
            let sorted = |hits| {
                let mut shown = shown(hits);
                shown.sort_by(|a, b| b.4.total_cmp(&a.4).then_with(|| (&a.0, &a.1).cmp(&(&b.0, &b.1))));
                shown
            };
            let (expected, found) = (sorted(expected), sorted(found));
            if search_type == SearchType::Hybrid {
                let documents = |hits: &[Shown]| {
                    let mut ids: Vec<String> = hits.iter().map(|hit| hit.0.clone()).collect();
                    ids.sort();
                    ids
                };
                assert_eq!(documents(&found), documents(&expected), "{search_type:?} `{words}`");
            } else {
                assert_eq!(found, expected, "{search_type:?} `{words}`");
            }
        }
    }
    let listed = |groundwork: &Groundwork| {
        let page = groundwork.documents("kb", None, &PageRequest::default(), ReadAt::default(), &Cancel::new());
        let items = page.expect("a page").0.items;
        items
            .into_iter()
            .map(|info| {
                (
                    info.id,
                    info.title,
                    info.content_hash,
                    info.media_type,
                    info.chunk_count,
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&other), listed(&groundwork));
    for id in ["d03", "d09", "d10"] {
        let id = DocumentId::parse(id).expect("an id");
        let wanted = ContentRequest::Document(id.clone(), ReadAt::default());
        let content =
            |groundwork: &Groundwork| groundwork.content("kb", &wanted, &Cancel::new()).expect("it is kept").1;
        assert_eq!(content(&other), content(&groundwork));
        let read = |groundwork: &Groundwork| {
            let found = groundwork.document("kb", &id, true, ReadAt::default(), &Cancel::new());
            found.expect("it is there").1
        };
        assert_eq!(read(&other), read(&groundwork));
    }
    let (epochs, published) = other.epochs("kb", false, &PageRequest::default()).expect("a page");
    assert_eq!((epochs.items.len(), published), (1, Epoch(1)));
    let page = other.knowledge_bases(&PageRequest::default()).expect("a page");
    assert_eq!(page.items.len(), 1);
    assert!(page.items[0].id.starts_with("bundle-") && page.items[0].read_only);
    assert_eq!(described(&other, &page.items[0].id).expect("by its id").name, "kb");
}

#[test]
fn bundle_refuses_every_write() {
    let (_home, groundwork) = with_base(&[]);
    ingest(&groundwork, documents());
    let files = tempfile::tempdir().expect("a temporary directory");
    let bytes = bundle(&groundwork, None);
    let path = written(files.path(), "kb.bundle", &bytes);
    let (_other_home, other) = serving(&[&path]);
    let check = |what: &str, refused: Result<(), Error>| {
        let refused = refused.expect_err(what);
        assert_eq!(
            (refused.kind, refused.reason),
            (ErrorKind::FailedPrecondition, "READ_ONLY"),
            "{what}"
        );
    };
    let one = Selection::Ids(vec![DocumentId::parse("d01").expect("an id")]);
    let cancel = Cancel::new();
    let ingested = other.ingest(
        "kb",
        Acknowledgement::default(),
        &mut |_| Next::End,
        &cancel,
        &mut |_| {},
    );
    check("ingest", ingested.map(drop));
    check("delete", other.delete_documents("kb", &one, false).map(drop));
    check(
        "erase",
        other
            .erase_documents("kb", &one, false, true, &cancel, &mut |_| {})
            .map(drop),
    );
    check("vacuum", other.vacuum("kb", &cancel, &mut |_| {}).map(drop));
    check("pin", other.pin_epoch("kb", "name", None).map(drop));
    check("unpin", other.unpin_epoch("kb", "name").map(drop));
    check(
        "rollback",
        other.rollback("kb", &RollbackTarget::Epoch(Epoch(0)), false).map(drop),
    );
    check(
        "update",
        other
            .update_knowledge_base("kb", KnowledgeBaseChange::default())
            .map(drop),
    );
    check("remove", other.delete_knowledge_base("kb").map(drop));
    check("backup", other.back_up("kb", &cancel, &mut |_| {}).map(drop));
    let taken = other
        .create_knowledge_base(&named("kb"))
        .expect_err("a bundle has the name");
    assert_eq!(taken.reason, "NAME_TAKEN");
    other.create_knowledge_base(&named("other")).expect("others are taken");
    assert_eq!(std::fs::read(&path).expect("it is there"), bytes);
}

#[test]
fn damaged_bundle_fails_and_others_go_on() {
    let (_home, groundwork) = with_base(&[]);
    ingest(&groundwork, documents());
    let files = tempfile::tempdir().expect("a temporary directory");
    let bytes = bundle(&groundwork, None);
    let good = written(files.path(), "kb.bundle", &bytes);
    let mut paths = vec![good];
    let steps = bytes.len() / 23;
    for (number, at) in (0..bytes.len())
        .step_by(steps)
        .chain([600, 3_000, bytes.len() - 1])
        .enumerate()
    {
        let mut altered = bytes.clone();
        altered[at] ^= 1 << (number % 8);
        paths.push(written(files.path(), &format!("altered{number}.bundle"), &altered));
    }
    paths.push(written(files.path(), "cut.bundle", &bytes[..bytes.len() / 2]));
    paths.push(written(
        files.path(),
        "longer.bundle",
        &[bytes.as_slice(), b"more"].concat(),
    ));
    paths.push(written(files.path(), "foreign.bundle", b"this is something else"));
    paths.push(files.path().join("missing.bundle"));
    let mut backup = Vec::new();
    let mut archive = groundwork
        .back_up("kb", &Cancel::new(), &mut |_| {})
        .expect("the backup is made");
    archive.read_to_end(&mut backup).expect("it can be read");
    paths.push(written(files.path(), "backup.bundle", &backup));
    let named: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let (_other_home, other) = serving(&named);
    let page = other.knowledge_bases(&PageRequest::default()).expect("a page");
    assert_eq!(page.items.len(), paths.len());
    for info in page.items {
        if info.name == "kb" {
            assert_eq!(info.status, KnowledgeBaseStatus::Active, "{:?}", info.failure_reasons);
        } else {
            assert_eq!(info.status, KnowledgeBaseStatus::Failed, "{} is served", info.name);
            assert!(
                info.failure_reasons[0].contains(&info.name),
                "{:?}",
                info.failure_reasons
            );
            let refused = other.documents(
                &info.id,
                None,
                &PageRequest::default(),
                ReadAt::default(),
                &Cancel::new(),
            );
            assert_eq!(refused.expect_err("it is damaged").reason, "BUNDLE_REFUSED");
        }
    }
    assert!(!search(&other, "rivers", SearchType::Hybrid).is_empty());
}

#[test]
fn empty_knowledge_base_gives_an_empty_bundle() {
    let (_home, groundwork) = with_base(&[]);
    let empty = bundle(&groundwork, None);
    ingest(&groundwork, vec![text("blank", "   ")]);
    let files = tempfile::tempdir().expect("a temporary directory");
    let path = written(files.path(), "kb.bundle", &empty);
    let (_other_home, other) = serving(&[&path]);
    let served = described(&other, "kb").expect("it is served");
    assert_eq!(
        (served.status, served.document_count),
        (KnowledgeBaseStatus::Active, 0),
        "{served:?}"
    );
    for search_type in [SearchType::Keyword, SearchType::Semantic] {
        assert_eq!(search(&other, "rivers", search_type), Vec::new());
    }
}

#[test]
fn program_seals_and_serves_a_bundle() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_groundwork"))
            .args(arguments)
            .arg("--models-dir")
            .arg(crate::support::models::directory())
            .output()
            .expect("the program starts");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let path = |name: &str| home.path().join(name).to_str().expect("a path").to_owned();
    let (data, file, page) = (path("data"), path("kb.bundle"), path("bees.md"));
    std::fs::write(&page, "# Bees\n\nA colony keeps one queen.\n").expect("a new file");
    run(&["kb", "create", "kb", "--data-dir", &data]);
    run(&["ingest", "kb", &page, "--data-dir", &data]);
    let manifest = run(&["--json", "bundle", "kb", &file, "--data-dir", &data]);
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["models"][0]["model_id"], "all-minilm-l6-v2");
    let other = path("other");
    let server = crate::support::server::Server::start_with(Path::new(&other), &["--bundle", &file]);
    let found = run(&[
        "--json",
        "search",
        "kb",
        "queen of the colony",
        "--server",
        server.address(),
    ]);
    assert!(found.contains("bees.md"), "{found}");
    let told = run(&["--json", "kb", "get", "kb", "--server", server.address()]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["read_only"], true, "{told}");
    assert!(server.terminate());
}

#[test]
fn server_refuses_files_that_are_no_bundles() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let foreign = written(home.path(), "notes.txt", b"this is something else");
    let check = |path: &Path, cause: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_groundwork"))
            .args(["serve", "--offline", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(home.path().join("data"))
            .arg("--bundle")
            .arg(path)
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let expected = format!("error: cannot serve the bundle {} (--bundle): {cause}", path.display());
        assert!(said.contains(&expected), "{said}");
    };
    check(&home.path().join("missing.bundle"), "there is no such file");
    check(home.path(), "it is a directory");
    check(&foreign, "this is no bundle of groundwork");
    check(&written(home.path(), "empty", b""), "this is no bundle of groundwork");
}
