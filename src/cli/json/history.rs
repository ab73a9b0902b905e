//! Epochs, revisions and what upkeep found, as JSON.

use serde_json::{Value, json};

use super::{metadata, time};
use crate::service::pb;

pub(in crate::cli) fn epoch(epoch: &pb::Epoch) -> Value {
    json!({
        "epoch": epoch.epoch,
        "committed_at": time(epoch.committed_at.as_ref()),
        "cause": epoch.cause,
        "document_count": epoch.document_count,
        "chunk_count": epoch.chunk_count,
        "pin_names": epoch.pin_names,
    })
}

pub(in crate::cli) fn difference(difference: &pb::DocumentDifference) -> Value {
    let chunk = |chunk: &pb::ChunkDifference| {
        json!({
            "kind": chunk.kind().as_str_name(),
            "chunk_id": chunk.chunk_id,
            "text": chunk.text,
        })
    };
    json!({
        "document_id": difference.document_id,
        "kind": difference.kind().as_str_name(),
        "from_content_hash": difference.from_content_hash,
        "to_content_hash": difference.to_content_hash,
        "added_chunk_count": difference.added_chunk_count,
        "removed_chunk_count": difference.removed_chunk_count,
        "unchanged_chunk_count": difference.unchanged_chunk_count,
        "chunks": difference.chunks.iter().map(chunk).collect::<Vec<_>>(),
        "continued": difference.continued,
    })
}

pub(in crate::cli) fn difference_summary(summary: &pb::DifferenceSummary) -> Value {
    json!({
        "from_epoch": summary.from_epoch,
        "to_epoch": summary.to_epoch,
        "added_document_count": summary.added_document_count,
        "changed_document_count": summary.changed_document_count,
        "removed_document_count": summary.removed_document_count,
        "next_page_token": summary.next_page_token,
    })
}

pub(in crate::cli) fn revision(revision: &pb::Revision) -> Value {
    json!({
        "revision_id": revision.revision_id,
        "content_hash": revision.content_hash,
        "title": revision.title,
        "mime_type": revision.mime_type,
        "source_name": revision.source_name,
        "metadata": metadata(&revision.metadata),
        "byte_size": revision.byte_size,
        "text_bytes": revision.text_bytes,
        "chunk_count": revision.chunk_count,
        "added_epoch": revision.added_epoch,
        "retired_epoch": revision.retired_epoch,
        "created_at": time(revision.created_at.as_ref()),
        "has_content": revision.has_content,
    })
}

pub(in crate::cli) fn vacuum(summary: &pb::VacuumSummary) -> Value {
    json!({
        "oldest_epoch": summary.oldest_epoch,
        "revision_count": summary.revision_count,
        "chunk_count": summary.chunk_count,
        "content_count": summary.content_count,
        "freed_bytes": summary.freed_bytes,
    })
}

pub(in crate::cli) fn check_finding(finding: &pb::CheckFinding) -> Value {
    json!({
        "place": finding.place,
        "path": finding.path,
        "description": finding.description,
        "remedy": finding.remedy,
        "repaired": finding.repaired,
    })
}

pub(in crate::cli) fn check_summary(summary: &pb::CheckSummary) -> Value {
    json!({
        "epoch": summary.epoch,
        "document_count": summary.document_count,
        "revision_count": summary.revision_count,
        "chunk_count": summary.chunk_count,
        "content_count": summary.content_count,
        "finding_count": summary.finding_count,
        "repaired_count": summary.repaired_count,
    })
}

pub(in crate::cli) fn erasure(summary: &pb::ErasureSummary, dry_run: bool) -> Value {
    let place = |place: &pb::ErasedPlace| json!({ "place": place.place, "count": place.count });
    json!({
        "epoch": summary.epoch,
        "document_count": summary.document_count,
        "places": summary.places.iter().map(place).collect::<Vec<_>>(),
        "not_found_document_ids": summary.not_found_document_ids,
        "dry_run": dry_run,
    })
}

pub(in crate::cli) fn certificate(certificate: &pb::ErasureCertificate) -> Value {
    let searched = |place: &pb::SearchedPlace| {
        json!({
            "place": place.place,
            "entry_count": place.entry_count,
            "byte_count": place.byte_count,
        })
    };
    let remainder = |left: &pb::ErasureRemainder| {
        json!({
            "place": left.place,
            "path": left.path,
            "offset": left.offset,
            "description": left.description,
            "also_in_document_id": left.also_in_document_id,
        })
    };
    json!({
        "erased": certificate.erased,
        "epoch": certificate.epoch,
        "searched": certificate.searched.iter().map(searched).collect::<Vec<_>>(),
        "remainders": certificate.remainders.iter().map(remainder).collect::<Vec<_>>(),
        "fingerprint_count": certificate.fingerprint_count,
        "issued_at": time(certificate.issued_at.as_ref()),
    })
}
