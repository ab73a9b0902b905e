//! Documents in: outcomes, failures that cost nothing else, what is unchanged.

use groundwork::knowledge_base::{Acknowledgement, DocumentStatus, Next, PageRequest, ReadAt, Selection};
use groundwork::retrieve::SearchType;
use groundwork::worker::Cancel;

use crate::support::{described, found, ingest, open, text, with_base};

#[test]
fn one_bad_document_never_costs_the_others() {
    let (_home, groundwork) = with_base(&[]);
    let mut broken = text("broken", "");
    broken.media_type = Some("application/pdf".to_owned());
    broken.bytes = b"%PDF-1.7 and then nothing that makes sense".to_vec();
    let mut binary = text("binary", "");
    binary.media_type = None;
    binary.bytes = vec![0, 159, 146, 150, 0, 0, 0, 1, 2, 3];
    let (outcomes, summary) = ingest(
        &groundwork,
        vec![
            text("first", "The lighthouse keeper counts ships."),
            broken,
            text("blank", "  \n\t "),
            binary,
            text("last", "The baker counts loaves."),
        ],
    );
    let statuses: Vec<_> = outcomes.iter().map(|outcome| outcome.status).collect();
    let failed = DocumentStatus::Failed;
    assert_eq!(
        statuses,
        [DocumentStatus::Indexed, failed, failed, failed, DocumentStatus::Indexed]
    );
    assert_eq!((summary.scanned, summary.new, summary.failed), (5, 2, 3));
    for outcome in outcomes.iter().filter(|outcome| outcome.status == failed) {
        assert!(!outcome.reason.is_empty(), "{} says why", outcome.document_id);
    }
    assert_eq!(found(&groundwork, "counts", SearchType::Keyword), ["first", "last"]);
}

#[test]
fn failed_documents_are_listed_with_reason_and_can_be_deleted() {
    let (_home, groundwork) = with_base(&[]);
    ingest(&groundwork, vec![text("good", "Some text."), text("blank", " ")]);
    let failed = || {
        let page = groundwork
            .documents(
                "kb",
                Some(DocumentStatus::Failed),
                &PageRequest::default(),
                ReadAt::default(),
                &Cancel::new(),
            )
            .expect("a page");
        page.0.items
    };
    let before = failed();
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].id.as_str(), "blank");
    assert!(!before[0].reason.is_empty());
    let deletion = groundwork
        .delete_documents("kb", &Selection::Ids(vec![before[0].id.clone()]), false)
        .expect("the deletion works");
    assert_eq!(deletion.documents[0].1, DocumentStatus::Deleted);
    assert!(failed().is_empty());
}

#[test]
fn unchanged_documents_are_left_alone() {
    let (_home, groundwork) = with_base(&[]);
    let documents = || vec![text("a", "Alpha text."), text("b", "Beta text.")];
    let (_, first) = ingest(&groundwork, documents());
    let (outcomes, second) = ingest(&groundwork, documents());
    assert!(outcomes.iter().all(|outcome| outcome.status == DocumentStatus::Ignored));
    assert_eq!((second.skipped, second.epoch), (2, first.epoch));
    let mut titled = text("a", "Alpha text.");
    titled.title = Some("A title".to_owned());
    let (outcomes, _) = ingest(&groundwork, vec![titled]);
    assert_eq!(
        outcomes[0].status,
        DocumentStatus::Indexed,
        "another title is another embedding"
    );
}

#[test]
fn a_failed_replacement_keeps_the_earlier_revision() {
    let (_home, groundwork) = with_base(&[]);
    ingest(&groundwork, vec![text("note", "Gulls nest on the roof.")]);
    let (outcomes, _) = ingest(&groundwork, vec![text("note", " ")]);
    assert_eq!(outcomes[0].status, DocumentStatus::Failed);
    assert_eq!(found(&groundwork, "gulls", SearchType::Keyword), ["note"]);
    let (outcomes, _) = ingest(&groundwork, vec![text("note", "Gulls nest on the roof.")]);
    assert_eq!(outcomes[0].status, DocumentStatus::Ignored);
    let id = text("note", "").id;
    let (info, _, _) = groundwork
        .document("kb", &id, false, ReadAt::default(), &Cancel::new())
        .expect("the document is known");
    assert_eq!((info.status, info.reason.as_str()), (DocumentStatus::Indexed, ""));
}

#[test]
fn the_same_id_twice_in_one_stream_ends_as_the_second() {
    let (_home, groundwork) = with_base(&[]);
    let (outcomes, summary) = ingest(
        &groundwork,
        vec![text("note", "Herons wade."), text("note", "Otters swim.")],
    );
    assert!(outcomes.iter().all(|outcome| outcome.status == DocumentStatus::Indexed));
    assert_eq!((summary.new, summary.modified), (1, 1));
    assert_eq!(found(&groundwork, "herons", SearchType::Keyword), [""; 0]);
    assert_eq!(found(&groundwork, "otters", SearchType::Keyword), ["note"]);
}

#[test]
fn cancelled_ingestion_keeps_what_it_told() {
    let (_home, groundwork) = with_base(&[]);
    let cancel = Cancel::new();
    let mut told = Vec::new();
    let mut sequence = 0;
    let mut next = |_| {
        sequence += 1;
        if sequence == 4 {
            cancel.cancel();
        }
        if sequence == 3 {
            // A pause lets the group be committed before the cancellation.
            std::thread::sleep(std::time::Duration::from_millis(400));
            return Next::Idle;
        }
        Next::Document {
            sequence,
            document: Box::new(text(&format!("doc-{sequence}"), "Herring swim north.")),
        }
    };
    let ended = groundwork.ingest("kb", Acknowledgement::Indexed, &mut next, &cancel, &mut |outcome| {
        told.push(outcome.document_id);
    });
    assert!(ended.is_err());
    assert_eq!(told, ["doc-1", "doc-2"]);
    assert_eq!(found(&groundwork, "herring", SearchType::Semantic), told);
}

#[test]
fn reopened_directory_finds_the_same() {
    let (home, groundwork) = with_base(&[]);
    let documents = (0..40).map(|at| text(&format!("doc-{at:02}"), &format!("Entry {at} tells of herring.")));
    let (_, summary) = ingest(&groundwork, documents.collect());
    let before = found(&groundwork, "herring", SearchType::Hybrid);
    assert_eq!(before.len(), 40);
    drop(groundwork);
    let reopened = open(home.path());
    assert_eq!(described(&reopened, "kb").expect("it is there").epoch, summary.epoch);
    for leg in [SearchType::Keyword, SearchType::Semantic, SearchType::Hybrid] {
        assert_eq!(found(&reopened, "herring", leg), before, "{leg:?}");
    }
}

#[test]
fn deleted_indexes_are_made_again() {
    let (home, groundwork) = with_base(&[]);
    ingest(
        &groundwork,
        vec![text("a", "Alpha herring."), text("b", "Beta herring.")],
    );
    let id = described(&groundwork, "kb").expect("it is there").id;
    drop(groundwork);
    for index in ["terms", "vectors"] {
        let path = home.path().join("knowledge-bases").join(&id).join(index);
        if path.exists() {
            std::fs::remove_dir_all(path).expect("the index can be removed");
        }
    }
    let reopened = open(home.path());
    for leg in [SearchType::Keyword, SearchType::Semantic] {
        assert_eq!(found(&reopened, "herring", leg), ["a", "b"], "{leg:?}");
    }
}
