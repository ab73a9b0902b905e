//! Replacing and deleting: one commit, both legs, the same instant; earlier epochs stay as they were.

use groundwork::index::Epoch;
use groundwork::knowledge_base::{AsOf, DocumentStatus, ErrorKind, ReadAt, Selection};
use groundwork::retrieve::SearchType;
use groundwork::worker::Cancel;

use crate::support::{found, ids, ingest, open, search_at, text, with_base};

const LEGS: [SearchType; 3] = [SearchType::Keyword, SearchType::Semantic, SearchType::Hybrid];

#[test]
fn deleted_documents_leave_both_legs_at_once() {
    let (home, groundwork) = with_base(&[]);
    ingest(
        &groundwork,
        vec![text("a", "The anchor is iron."), text("b", "The anchor is lead.")],
    );
    let id = text("a", "").id;
    let missing = text("missing", "").id;
    let deletion = groundwork
        .delete_documents("kb", &Selection::Ids(vec![id.clone(), missing]), false)
        .expect("the deletion works");
    let statuses: Vec<_> = deletion.documents.iter().map(|(_, status)| *status).collect();
    assert_eq!(statuses, [DocumentStatus::Deleted, DocumentStatus::NotFound]);
    for leg in LEGS {
        assert_eq!(found(&groundwork, "anchor", leg), ["b"], "{leg:?}");
    }
    let gone = groundwork
        .document("kb", &id, false, ReadAt::default(), &Cancel::new())
        .expect_err("it is gone");
    assert_eq!(gone.kind, ErrorKind::NotFound);
    drop(groundwork);
    let reopened = open(home.path());
    for leg in LEGS {
        assert_eq!(found(&reopened, "anchor", leg), ["b"], "{leg:?} after reopening");
    }
}

#[test]
fn replaced_documents_show_only_their_new_content() {
    let (_home, groundwork) = with_base(&[]);
    ingest(&groundwork, vec![text("note", "The ferry leaves at nine.")]);
    ingest(&groundwork, vec![text("note", "The ferry leaves at eleven.")]);
    for leg in LEGS {
        let hits = search_at(&groundwork, "when does the ferry leave", leg, ReadAt::default()).expect("it works");
        assert_eq!(hits.len(), 1, "{leg:?}");
        assert_eq!(hits[0].text, "The ferry leaves at eleven.");
    }
    assert_eq!(found(&groundwork, "nine", SearchType::Keyword), [""; 0]);
}

#[test]
fn an_earlier_epoch_answers_as_it_was() {
    let (_home, groundwork) = with_base(&[]);
    let (_, first) = ingest(&groundwork, vec![text("note", "The ferry leaves at nine.")]);
    let (_, second) = ingest(
        &groundwork,
        vec![text("note", "The ferry leaves at eleven."), text("b", "Ferry two.")],
    );
    groundwork
        .delete_documents("kb", &Selection::Ids(vec![text("b", "").id]), false)
        .expect("the deletion works");
    for leg in LEGS {
        let at = |epoch| ReadAt {
            as_of: Some(AsOf::Epoch(epoch)),
            ..ReadAt::default()
        };
        let hits = search_at(&groundwork, "ferry", leg, at(first.epoch)).expect("it works");
        let texts: Vec<_> = hits.iter().map(|hit| hit.text.as_str()).collect();
        assert_eq!(texts, ["The ferry leaves at nine."], "{leg:?}");
        let hits = search_at(&groundwork, "ferry", leg, at(second.epoch)).expect("it works");
        assert_eq!(ids(&hits), ["b", "note"], "{leg:?}");
    }
}

#[test]
fn unpublished_epochs_are_refused() {
    let (_home, groundwork) = with_base(&[]);
    let ahead = Epoch(99);
    for at in [
        ReadAt {
            as_of: Some(AsOf::Epoch(ahead)),
            ..ReadAt::default()
        },
        ReadAt {
            min_epoch: Some(ahead),
            ..ReadAt::default()
        },
    ] {
        let error = search_at(&groundwork, "ferry", SearchType::Keyword, at).expect_err("nobody can read it yet");
        assert_eq!(
            (error.kind, error.reason),
            (ErrorKind::FailedPrecondition, "EPOCH_NOT_PUBLISHED")
        );
    }
}

#[test]
fn an_empty_deletion_is_refused() {
    let (_home, groundwork) = with_base(&[]);
    ingest(&groundwork, vec![text("a", "Alpha.")]);
    let error = groundwork
        .delete_documents("kb", &Selection::Ids(Vec::new()), false)
        .expect_err("nothing to delete");
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert_eq!(found(&groundwork, "alpha", SearchType::Keyword), ["a"]);
}
