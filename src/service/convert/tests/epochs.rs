//! Which epoch is meant, what is retained, how two epochs differ.

use std::time::{Duration, SystemTime};

use super::super::knowledge_base::{change, new_knowledge_base};
use super::super::*;
use super::check;
use crate::document::DocumentId;
use crate::index::{ChunkId, Epoch};
use crate::knowledge_base::{
    AsOf, ChunkDifference, DifferenceKind, DocumentDifference, EpochInfo, OriginalContent, Retention, RollbackTarget,
};
use crate::service::pb;
use crate::service::pb::diff_knowledge_base_response::Payload;

fn stamp(seconds: i64, nanos: i32) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos }
}

#[test]
fn zero_epochs_ask_for_nothing_special() {
    let now = read_at(0, 0, None).expect("it is valid");
    assert_eq!((now.min_epoch, now.as_of), (None, None));
    let earlier = read_at(3, 7, None).expect("it is valid");
    assert_eq!(earlier.min_epoch, Some(Epoch(3)));
    assert_eq!(earlier.as_of, Some(AsOf::Epoch(Epoch(7))));
    let then = read_at(0, 0, Some(stamp(1, 500_000_000))).expect("it is valid");
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
    assert_eq!(then.as_of, Some(AsOf::Time(time)));
}

#[test]
fn two_earlier_states_are_refused_by_both_names() {
    let error = read_at(0, 7, Some(stamp(1, 0))).expect_err("only one can be meant");
    let fields: Vec<&str> = error.violations.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(fields, ["as_of_epoch", "as_of_time"]);
    assert!(
        error.message.contains("as_of_epoch and as_of_time"),
        "{}",
        error.message
    );
}

#[test]
fn times_that_nobody_can_count_are_refused() {
    for wire in [stamp(1, -1), stamp(1, 1_000_000_000), stamp(i64::MIN, 0)] {
        check(read_at(0, 0, Some(wire)), "as_of_time", "not a time");
    }
}

#[test]
fn rollback_goes_to_exactly_one_place() {
    let to = |epoch, name: &str| rollback_target(epoch, name.to_owned());
    assert_eq!(to(Some(0), "").ok(), Some(RollbackTarget::Epoch(Epoch(0))));
    assert_eq!(to(None, "spring").ok(), Some(RollbackTarget::Pin("spring".to_owned())));
    check(to(None, ""), "to_epoch", "exactly one");
    check(to(Some(3), "spring"), "to_epoch", "only one");
}

fn retained(epochs: Option<u64>, age: Option<(i64, i32)>) -> Result<Option<Retention>, Error> {
    let wire = pb::RetentionConfiguration {
        epochs,
        age: age.map(|(seconds, nanos)| prost_types::Duration { seconds, nanos }),
    };
    let changed = change(pb::UpdateKnowledgeBaseRequest {
        retention_configuration: Some(wire),
        ..pb::UpdateKnowledgeBaseRequest::default()
    });
    changed.map(|changed| changed.retention)
}

#[test]
fn retention_takes_one_limit_or_both() {
    #[track_caller]
    fn check_retained(epochs: Option<u64>, age: Option<(i64, i32)>, expected: Retention) {
        assert_eq!(retained(epochs, age).expect("it is valid"), Some(expected));
    }
    check_retained(None, None, Retention::default());
    let of = |epochs, age| Retention { epochs, age };
    check_retained(Some(5), None, of(Some(5), None));
    check_retained(None, Some((0, 0)), of(None, Some(Duration::ZERO)));
    check_retained(Some(5), Some((60, 0)), of(Some(5), Some(Duration::from_mins(1))));
}

#[test]
fn retention_of_impossible_age_is_refused() {
    check(retained(None, Some((-1, 0))), "retention_configuration.age", "is -1s");
    check(
        retained(None, Some((i64::MAX, 0))),
        "retention_configuration.age",
        "0 to",
    );
}

#[test]
fn unset_content_rule_changes_nothing() {
    let unset = change(pb::UpdateKnowledgeBaseRequest::default()).expect("it is valid");
    assert_eq!((unset.original_content, unset.retention), (None, None));
    let create = |original_content| {
        new_knowledge_base(pb::CreateKnowledgeBaseRequest {
            name: "manuals".to_owned(),
            original_content,
            ..pb::CreateKnowledgeBaseRequest::default()
        })
    };
    assert_eq!(create(0).expect("it is valid").original_content, OriginalContent::Keep);
    let discard = create(pb::OriginalContent::Discard.into()).expect("it is valid");
    assert_eq!(discard.original_content, OriginalContent::Discard);
    check(create(9), "original_content", "9");
}

#[test]
fn epochs_keep_all_their_fields() {
    let wire = epoch_info(EpochInfo {
        epoch: Epoch(4),
        committed_at: SystemTime::UNIX_EPOCH,
        cause: "rollback to 2".to_owned(),
        document_count: 3,
        chunk_count: 9,
        pins: vec!["spring".to_owned()],
    });
    assert_eq!((wire.epoch, wire.document_count, wire.chunk_count), (4, 3, 9));
    assert_eq!((wire.cause.as_str(), wire.pin_names.len()), ("rollback to 2", 1));
    assert_eq!(wire.committed_at, Some(stamp(0, 0)));
}

/// A document with these chunks, each of so many bytes.
fn differing(sizes: &[(DifferenceKind, usize)]) -> DocumentDifference {
    let chunk = |(kind, bytes): &(DifferenceKind, usize)| ChunkDifference {
        kind: *kind,
        chunk_id: ChunkId(1),
        text: "x".repeat(*bytes),
    };
    DocumentDifference {
        document_id: DocumentId::parse("doc").expect("it is valid"),
        kind: DifferenceKind::Changed,
        from_content_hash: "from".to_owned(),
        to_content_hash: "to".to_owned(),
        chunks: sizes.iter().map(chunk).collect(),
        unchanged_chunks: 7,
    }
}

fn parts(sizes: &[(DifferenceKind, usize)], include_chunks: bool) -> Vec<pb::DocumentDifference> {
    let messages = difference(differing(sizes), include_chunks).into_iter();
    messages
        .map(|message| match message.payload {
            Some(Payload::Difference(part)) => part,
            other => panic!("a difference became {other:?}"),
        })
        .collect()
}

#[test]
fn difference_counts_chunks_without_listing_them() {
    let (added, removed) = (DifferenceKind::Added, DifferenceKind::Removed);
    let parts = parts(&[(added, 3), (removed, 3), (added, 3)], false);
    assert_eq!(parts.len(), 1);
    let counts = (
        parts[0].added_chunk_count,
        parts[0].removed_chunk_count,
        parts[0].unchanged_chunk_count,
    );
    assert_eq!(counts, (2, 1, 7));
    assert!(parts[0].chunks.is_empty() && !parts[0].continued);
    assert_eq!(parts[0].kind(), pb::DifferenceKind::Changed);
}

#[test]
fn large_difference_goes_on_in_more_messages() {
    let added = DifferenceKind::Added;
    let parts = parts(
        &[(added, 900_000), (added, 900_000), (added, 2_000_000), (added, 1)],
        true,
    );
    let shape: Vec<(usize, bool)> = parts.iter().map(|part| (part.chunks.len(), part.continued)).collect();
    assert_eq!(shape, [(1, true), (1, true), (1, true), (1, false)]);
    assert_eq!(parts[0].added_chunk_count, 4);
    assert!(
        parts[1..].iter().all(|part| {
            part.document_id == "doc" && part.added_chunk_count == 0 && part.to_content_hash.is_empty()
        })
    );
}
