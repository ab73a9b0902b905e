//! Epochs: which one a read wants, how they are listed, how two of them differ.

use std::time::SystemTime;

use super::filter::contradiction;
use super::required;
use crate::index::Epoch;
use crate::knowledge_base::{
    AsOf, ChunkDifference, DifferenceKind, DifferenceRequest, DifferenceSummary, DocumentDifference, EpochInfo, Error,
    ReadAt, RollbackTarget, RolledBack,
};
use crate::service::pb;
use crate::service::pb::diff_knowledge_base_response::Payload;

const AS_OF_EPOCH: &str = "as_of_epoch";
const AS_OF_TIME: &str = "as_of_time";
const TO_EPOCH: &str = "to_epoch";
const TO_PIN_NAME: &str = "to_pin_name";
/// Bytes of chunk texts in one message of a comparison, far below what clients take.
const MAX_PART_BYTES: usize = 1 << 20;
const NANOS: std::ops::Range<i32> = 0..1_000_000_000;

/// Returns which epoch a read wants; 0 is how the wire says "any".
pub(in crate::service) fn read_at(
    min_epoch: u64,
    as_of_epoch: u64,
    as_of_time: Option<prost_types::Timestamp>,
) -> Result<ReadAt, Error> {
    let as_of = match (epoch(as_of_epoch), as_of_time) {
        (Some(_), Some(_)) => return Err(contradiction(&[AS_OF_EPOCH, AS_OF_TIME])),
        (Some(epoch), None) => Some(AsOf::Epoch(epoch)),
        (None, Some(wire)) => Some(AsOf::Time(time(AS_OF_TIME, wire)?)),
        (None, None) => None,
    };
    Ok(ReadAt {
        min_epoch: epoch(min_epoch),
        as_of,
    })
}

/// Returns the epoch of this number; 0 is how the wire says "none in particular".
pub(in crate::service) fn epoch(number: u64) -> Option<Epoch> {
    (number > 0).then_some(Epoch(number))
}

fn time(field: &str, wire: prost_types::Timestamp) -> Result<SystemTime, Error> {
    let refused = || Error::invalid(field, format!("`{wire}` is not a time that this server can count"));
    if !NANOS.contains(&wire.nanos) {
        return Err(refused());
    }
    SystemTime::try_from(wire).map_err(|_| refused())
}

/// Returns an epoch for the wire.
pub(in crate::service) fn epoch_info(info: EpochInfo) -> pb::Epoch {
    pb::Epoch {
        epoch: info.epoch.0,
        committed_at: Some(info.committed_at.into()),
        cause: info.cause,
        document_count: info.document_count,
        chunk_count: info.chunk_count,
        pin_names: info.pins,
    }
}

/// Returns which two epochs are to be compared.
pub(in crate::service) fn difference_request(request: pb::DiffKnowledgeBaseRequest) -> DifferenceRequest {
    DifferenceRequest {
        from: Epoch(request.from_epoch),
        to: epoch(request.to_epoch),
        with_chunks: request.include_chunks,
        size: request.page_size as usize,
        token: request.page_token,
    }
}

/// Returns the messages of one document that differs: one, or several when its chunks are too much for one.
pub(in crate::service) fn difference(
    found: DocumentDifference,
    include_chunks: bool,
) -> Vec<pb::DiffKnowledgeBaseResponse> {
    let count = |kind: DifferenceKind| {
        let chunks = found.chunks.iter().filter(|chunk| chunk.kind == kind);
        u32::try_from(chunks.count()).unwrap_or(u32::MAX)
    };
    let whole = pb::DocumentDifference {
        added_chunk_count: count(DifferenceKind::Added),
        removed_chunk_count: count(DifferenceKind::Removed),
        unchanged_chunk_count: found.unchanged_chunks,
        document_id: found.document_id.to_string(),
        kind: kind(found.kind).into(),
        from_content_hash: found.from_content_hash,
        to_content_hash: found.to_content_hash,
        ..pb::DocumentDifference::default()
    };
    let mut parts = vec![whole];
    let mut bytes = 0;
    for chunk in found.chunks.into_iter().filter(|_| include_chunks) {
        bytes += chunk.text.len();
        if bytes > MAX_PART_BYTES
            && let Some(last) = parts.last_mut().filter(|last| !last.chunks.is_empty())
        {
            last.continued = true;
            bytes = chunk.text.len();
            let next = pb::DocumentDifference {
                document_id: last.document_id.clone(),
                kind: last.kind,
                ..pb::DocumentDifference::default()
            };
            parts.push(next);
        }
        if let Some(last) = parts.last_mut() {
            last.chunks.push(chunk_difference(chunk));
        }
    }
    let message = |part| pb::DiffKnowledgeBaseResponse {
        payload: Some(Payload::Difference(part)),
    };
    parts.into_iter().map(message).collect()
}

fn chunk_difference(chunk: ChunkDifference) -> pb::ChunkDifference {
    pb::ChunkDifference {
        kind: kind(chunk.kind).into(),
        chunk_id: chunk.chunk_id.to_string(),
        text: chunk.text,
    }
}

fn kind(kind: DifferenceKind) -> pb::DifferenceKind {
    match kind {
        DifferenceKind::Added => pb::DifferenceKind::Added,
        DifferenceKind::Changed => pb::DifferenceKind::Changed,
        DifferenceKind::Removed => pb::DifferenceKind::Removed,
    }
}

/// Returns the message that ends a comparison.
pub(in crate::service) fn difference_summary(summary: DifferenceSummary) -> pb::DiffKnowledgeBaseResponse {
    let summary = pb::DifferenceSummary {
        from_epoch: summary.from.0,
        to_epoch: summary.to.0,
        added_document_count: summary.added,
        changed_document_count: summary.changed,
        removed_document_count: summary.removed,
        next_page_token: summary.next_token,
    };
    pb::DiffKnowledgeBaseResponse {
        payload: Some(Payload::Summary(summary)),
    }
}

/// Returns where a rollback goes: to an epoch or to a pin, exactly one of the two. Epoch 0 is one too.
pub(in crate::service) fn rollback_target(to_epoch: Option<u64>, to_pin_name: String) -> Result<RollbackTarget, Error> {
    match to_epoch {
        Some(_) if !to_pin_name.is_empty() => Err(contradiction(&[TO_EPOCH, TO_PIN_NAME])),
        Some(epoch) => Ok(RollbackTarget::Epoch(Epoch(epoch))),
        None if to_pin_name.is_empty() => Err(Error::invalid(
            TO_EPOCH,
            format!("exactly one of {TO_EPOCH} and {TO_PIN_NAME} is required, none is set"),
        )),
        None => Ok(RollbackTarget::Pin(required(TO_PIN_NAME, to_pin_name)?)),
    }
}

/// Returns what a rollback did.
pub(in crate::service) fn rolled_back((done, to): (RolledBack, Epoch)) -> pb::RollbackKnowledgeBaseResponse {
    pb::RollbackKnowledgeBaseResponse {
        epoch: done.epoch.0,
        to_epoch: to.0,
        restored_document_count: done.restored_documents,
        removed_document_count: done.removed_documents,
    }
}
