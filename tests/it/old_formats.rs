//! Data directories of earlier formats open, and lose nothing.

use std::path::Path;

use groundwork::document::DocumentId;
use groundwork::document::metadata::MetadataValue;
use groundwork::knowledge_base::{AsOf, ContentRequest, DocumentStatus, Groundwork, PageRequest, ReadAt, Settings};
use groundwork::retrieve::{Filter, Query, SearchType};
use groundwork::worker::Cancel;

use crate::support::{models, settings};

fn copied(format: &str) -> tempfile::TempDir {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(format);
    let home = tempfile::tempdir().expect("a temporary directory");
    copy(&fixture, home.path());
    home
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the fixture can be read") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            std::fs::create_dir(&target).expect("a directory");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn at(epoch: u64) -> ReadAt {
    ReadAt {
        as_of: Some(AsOf::Epoch(groundwork::index::Epoch(epoch))),
        ..ReadAt::default()
    }
}

fn listed(groundwork: &Groundwork, at: ReadAt) -> Vec<(String, DocumentStatus)> {
    let (page, _) = groundwork
        .documents("island", None, &PageRequest::default(), at, &Cancel::new())
        .expect("the documents can be listed");
    page.items
        .into_iter()
        .map(|info| (info.id.to_string(), info.status))
        .collect()
}

#[test]
fn directories_of_the_first_format_are_migrated() {
    let home = copied("format-1");
    let settings = || Settings {
        models_dir: models::directory(),
        embedding_model_id: "all-minilm-l6-v2".to_owned(),
        language_model_id: "smollm2-135m-instruct".to_owned(),
        ..settings(home.path())
    };
    // Twice: what was migrated opens as what it is now.
    for _ in 0..2 {
        let groundwork = Groundwork::open(settings()).expect("the directory opens");
        let cancel = Cancel::new();
        let info = groundwork
            .knowledge_base("island", ReadAt::default(), &cancel)
            .expect("it is there");
        assert_eq!(info.failure_reasons, Vec::<String>::new());
        assert_eq!((info.epoch.0, info.document_count, info.chunk_count), (3, 2, 2));
        let indexed = |id: &str| (id.to_owned(), DocumentStatus::Indexed);
        assert_eq!(
            listed(&groundwork, ReadAt::default()),
            [
                ("broken.pdf".to_owned(), DocumentStatus::Failed),
                indexed("ferry.txt"),
                indexed("lighthouse.md")
            ]
        );
        assert_eq!(
            listed(&groundwork, at(1)),
            [indexed("ferry.txt"), indexed("keeper.md"), indexed("lighthouse.md")]
        );
        for (epoch, hour) in [(1, "seven"), (2, "nine"), (3, "nine")] {
            for search_type in [SearchType::Keyword, SearchType::Semantic] {
                let query = Query {
                    search_type,
                    limit: 1,
                    ..Query::new("When does the ferry leave?")
                };
                let found = groundwork
                    .retrieve("island", &query, at(epoch), &cancel)
                    .expect("it is searched");
                assert!(
                    found.hits[0].text.contains(hour),
                    "epoch {epoch}: {}",
                    found.hits[0].text
                );
            }
        }
        let ferry = DocumentId::parse("ferry.txt").expect("a document id");
        let (_, bytes, _) = groundwork
            .content("island", &ContentRequest::Document(ferry.clone(), at(1)), &cancel)
            .expect("a text is its own content");
        assert_eq!(bytes, b"The ferry to Skerrow leaves at seven in the morning.\n");
        let (revisions, _) = groundwork
            .revisions("island", &ferry, &PageRequest::default())
            .expect("they are listed");
        assert_eq!(revisions.items.len(), 2);
        let mut findings = Vec::new();
        groundwork
            .check("island", false, &cancel, &mut |_| {}, &mut |finding| {
                findings.push(finding);
            })
            .expect("it is checked");
        assert_eq!(findings, []);
    }
    let groundwork = Groundwork::open(settings()).expect("the directory opens");
    let target = groundwork::knowledge_base::RollbackTarget::Epoch(groundwork::index::Epoch(1));
    let (rolled_back, _) = groundwork.rollback("island", &target, false).expect("history goes on");
    assert_eq!((rolled_back.epoch.0, rolled_back.restored_documents), (4, 2));
}

#[test]
fn directories_of_the_second_format_are_migrated() {
    let home = copied("format-2");
    let bundle = home.path().join("island.bundle");
    let home_of_bundle = tempfile::tempdir().expect("a temporary directory");
    let settings = |data_dir: &Path, bundles: Vec<std::path::PathBuf>| Settings {
        models_dir: models::directory(),
        embedding_model_id: "all-minilm-l6-v2".to_owned(),
        language_model_id: "smollm2-135m-instruct".to_owned(),
        bundles,
        ..settings(data_dir)
    };
    let directory = || settings(home.path(), Vec::new());
    // The directory twice: what was migrated opens as what it is now. The bundle is read as it is.
    for settings in [directory(), directory(), settings(home_of_bundle.path(), vec![bundle])] {
        let groundwork = Groundwork::open(settings).expect("the directory opens");
        let cancel = Cancel::new();
        let info = groundwork
            .knowledge_base("island", ReadAt::default(), &cancel)
            .expect("it is there");
        assert_eq!(info.failure_reasons, Vec::<String>::new());
        assert_eq!((info.document_count, info.metadata_schema.is_empty()), (2, true));
        let of = |filter| {
            let query = Query {
                filter: Some(filter),
                ..Query::new("Skerrow")
            };
            let found = groundwork.retrieve("island", &query, ReadAt::default(), &cancel);
            crate::support::ids(&found.expect("it is searched").hits)
        };
        let year = Filter::LessThan("year".to_owned(), MetadataValue::Number(1900.0));
        assert_eq!(of(year), ["lighthouse.md"]);
        let stop = Filter::ListContains("stops".to_owned(), MetadataValue::String("Holm".to_owned()));
        assert_eq!(of(stop), ["ferry.txt"]);
        if !info.read_only {
            let mut findings = Vec::new();
            groundwork
                .check("island", false, &cancel, &mut |_| {}, &mut |finding| {
                    findings.push(finding);
                })
                .expect("it is checked");
            assert_eq!(findings, []);
        }
    }
}
