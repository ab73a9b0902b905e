//! What long calls tell: contents in parts, findings, certificates.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::super::*;
use crate::document::DocumentId;
use crate::index::Epoch;
use crate::knowledge_base::{
    Certificate, Checked, ErasedPlace, Erasure, Finding, Remainder, RevisionInfo, SearchedPlace, Vacuumed,
};
use crate::service::pb;
use crate::service::pb::{
    check_knowledge_base_response, erase_documents_response, vacuum_knowledge_base_response, verify_erasure_response,
};

fn info(retired: Option<Epoch>) -> RevisionInfo {
    RevisionInfo {
        revision_id: 5,
        document_id: DocumentId::parse("doc").expect("it is valid"),
        content_hash: "hash".to_owned(),
        title: None,
        media_type: "text/plain".to_owned(),
        source_name: "doc.txt".to_owned(),
        metadata: BTreeMap::new(),
        access: crate::document::access::AccessList::default(),
        byte_size: 10,
        text_bytes: 9,
        chunk_count: 2,
        added: Epoch(3),
        retired,
        created_at: SystemTime::UNIX_EPOCH,
        has_content: true,
        text_is_content: true,
    }
}

#[test]
fn revision_that_is_seen_has_no_end() {
    assert_eq!(revision(info(None)).retired_epoch, 0);
    let ended = revision(info(Some(Epoch(8))));
    assert_eq!((ended.added_epoch, ended.retired_epoch), (3, 8));
    assert_eq!((ended.byte_size, ended.text_bytes, ended.chunk_count), (10, 9, 2));
    assert!(ended.title.is_empty() && ended.has_content);
}

#[test]
fn content_parts_join_to_the_content() {
    #[track_caller]
    fn check_parts(bytes: &[u8], sizes: &[usize]) {
        let messages: Vec<_> = content_messages(info(None), Epoch(4), bytes, 4).collect();
        let found: Vec<usize> = messages.iter().map(|message| message.part.len()).collect();
        assert_eq!(found, sizes);
        let joined: Vec<u8> = messages.iter().flat_map(|message| message.part.clone()).collect();
        assert_eq!(joined, bytes);
        let heads: Vec<bool> = messages.iter().map(|message| message.revision.is_some()).collect();
        assert!(heads[0] && heads[1..].iter().all(|is_head| !is_head));
        assert_eq!(messages[0].epoch, 4);
    }
    check_parts(b"", &[0]);
    check_parts(b"four", &[4]);
    check_parts(b"fivefivef", &[4, 4, 1]);
}

#[test]
fn summaries_keep_all_their_numbers() {
    let vacuumed = pb::VacuumKnowledgeBaseResponse::from(Vacuumed {
        oldest_epoch: Epoch(1),
        revisions: 2,
        chunks: 3,
        contents: 4,
        freed_bytes: 5,
    });
    let Some(vacuum_knowledge_base_response::Payload::Summary(summary)) = vacuumed.payload else {
        panic!("a summary became something else");
    };
    assert_eq!(
        (summary.oldest_epoch, summary.revision_count, summary.chunk_count),
        (1, 2, 3)
    );
    assert_eq!((summary.content_count, summary.freed_bytes), (4, 5));
    let checked = pb::CheckKnowledgeBaseResponse::from(Checked {
        epoch: Epoch(1),
        documents: 2,
        revisions: 3,
        chunks: 4,
        contents: 5,
        findings: 6,
        repaired: 7,
    });
    let Some(check_knowledge_base_response::Payload::Summary(summary)) = checked.payload else {
        panic!("a summary became something else");
    };
    assert_eq!(
        (summary.document_count, summary.revision_count, summary.chunk_count),
        (2, 3, 4)
    );
    assert_eq!(
        (summary.content_count, summary.finding_count, summary.repaired_count),
        (5, 6, 7)
    );
}

#[test]
fn finding_says_where_and_what_to_do() {
    let wire = pb::CheckKnowledgeBaseResponse::from(Finding {
        place: "terms",
        path: "terms/meta.json".to_owned(),
        description: "is missing".to_owned(),
        remedy: "repair".to_owned(),
        repaired: true,
    });
    let Some(check_knowledge_base_response::Payload::Finding(finding)) = wire.payload else {
        panic!("a finding became something else");
    };
    assert_eq!(
        (finding.place.as_str(), finding.path.as_str()),
        ("terms", "terms/meta.json")
    );
    assert_eq!((finding.remedy.as_str(), finding.repaired), ("repair", true));
}

#[test]
fn erasure_counts_every_place() {
    let wire = pb::EraseDocumentsResponse::from(Erasure {
        epoch: Epoch(9),
        documents: 1,
        places: vec![ErasedPlace {
            place: "texts",
            count: 2,
        }],
        not_found: vec!["gone".to_owned()],
    });
    let Some(erase_documents_response::Payload::Summary(summary)) = wire.payload else {
        panic!("a summary became something else");
    };
    assert_eq!((summary.epoch, summary.document_count), (9, 1));
    assert_eq!(summary.places[0].place, "texts");
    assert_eq!(summary.not_found_document_ids, ["gone"]);
}

#[test]
fn certificate_is_refused_for_unexplained_remainders() {
    #[track_caller]
    fn check_erased(also_in: &[Option<&str>], expected: bool) {
        let remainder = |also_in: Option<&str>| Remainder {
            place: "files",
            path: "store.sqlite".to_owned(),
            offset: 7,
            description: "a fingerprint".to_owned(),
            also_in: also_in.map(str::to_owned),
        };
        let found = Certificate {
            epoch: Epoch(2),
            searched: vec![SearchedPlace {
                place: "files",
                entries: 3,
                bytes: 4,
            }],
            remainders: also_in.iter().copied().map(remainder).collect(),
            fingerprints: 5,
        };
        let wire = certificate(found, SystemTime::UNIX_EPOCH);
        let Some(verify_erasure_response::Payload::Certificate(wire)) = wire.payload else {
            panic!("a certificate became something else");
        };
        assert_eq!(wire.erased, expected);
        assert_eq!((wire.epoch, wire.fingerprint_count, wire.searched.len()), (2, 5, 1));
        assert_eq!(wire.remainders.len(), also_in.len());
        assert!(wire.issued_at.is_some());
    }
    check_erased(&[], true);
    check_erased(&[Some("twin")], true);
    check_erased(&[Some("twin"), None], false);
}
