//! Documents and what became of them, both ways.

use super::access::{access_list, wire_access_list};
use super::known;
use super::metadata::{attributes, wire_attributes};
use crate::document::DocumentId;
use crate::document::metadata::Metadata;
use crate::knowledge_base::{
    Acknowledgement, Deletion, DocumentInfo, DocumentOutcome, DocumentStatus, Error, IngestSummary, NewDocument,
};
use crate::service::pb;
use crate::service::pb::ingest_documents_response::Payload;

/// Returns the id of a document.
pub(in crate::service) fn document_id(field: &str, text: String) -> Result<DocumentId, Error> {
    DocumentId::parse(text).map_err(|invalid| Error::invalid(field, invalid.to_string()))
}

/// Returns a document without its content.
pub(in crate::service) fn header(wire: pb::DocumentHeader) -> Result<NewDocument, Error> {
    let given = |text: String| (!text.is_empty()).then_some(text);
    let metadata: Metadata = attributes("metadata", wire.metadata)?;
    Ok(NewDocument {
        id: document_id("document_id", wire.document_id)?,
        media_type: given(wire.mime_type),
        title: given(wire.title),
        source_name: wire.source_name,
        metadata,
        access: access_list("access", wire.access)?,
        bytes: Vec::new(),
    })
}

/// Returns when documents are to be answered.
pub(in crate::service) fn acknowledgement(number: i32) -> Result<Acknowledgement, Error> {
    Ok(match known("start.acknowledgement", number)? {
        pb::Acknowledgement::Unspecified | pb::Acknowledgement::Indexed => Acknowledgement::Indexed,
        pb::Acknowledgement::Durable => Acknowledgement::Durable,
    })
}

/// Returns which documents a list is to hold.
pub(in crate::service) fn status_filter(number: i32) -> Result<Option<DocumentStatus>, Error> {
    Ok(match known("status", number)? {
        pb::DocumentStatus::Unspecified => None,
        pb::DocumentStatus::Pending => Some(DocumentStatus::Pending),
        pb::DocumentStatus::InProgress => Some(DocumentStatus::InProgress),
        pb::DocumentStatus::Indexed => Some(DocumentStatus::Indexed),
        pb::DocumentStatus::Failed => Some(DocumentStatus::Failed),
        pb::DocumentStatus::Ignored => Some(DocumentStatus::Ignored),
        pb::DocumentStatus::Deleting => Some(DocumentStatus::Deleting),
        pb::DocumentStatus::Deleted => Some(DocumentStatus::Deleted),
        pb::DocumentStatus::NotFound => Some(DocumentStatus::NotFound),
    })
}

/// Returns a description for the wire.
pub(in crate::service) fn document(info: DocumentInfo) -> pb::Document {
    pb::Document {
        document_id: info.id.to_string(),
        status: status(info.status).into(),
        status_reason: info.reason,
        title: info.title.unwrap_or_default(),
        mime_type: info.media_type,
        source_name: info.source_name,
        metadata: wire_attributes(info.metadata),
        content_hash: info.content_hash,
        byte_size: info.byte_size,
        text_bytes: info.text_bytes,
        chunk_count: info.chunk_count,
        epoch: info.epoch.0,
        created_at: Some(info.created_at.into()),
        updated_at: Some(info.updated_at.into()),
        access: wire_access_list(info.access),
    }
}

/// Returns the message that answers one document.
pub(in crate::service) fn outcome(outcome: DocumentOutcome) -> pb::IngestDocumentsResponse {
    let outcome = pb::DocumentOutcome {
        document_id: outcome.document_id,
        status: status(outcome.status).into(),
        status_reason: outcome.reason,
        epoch: outcome.epoch.0,
        chunk_count: outcome.chunk_count,
        sequence: outcome.sequence,
    };
    pb::IngestDocumentsResponse {
        payload: Some(Payload::Outcome(outcome)),
    }
}

/// Returns the message that ends an ingestion.
pub(in crate::service) fn summary(summary: IngestSummary) -> pb::IngestDocumentsResponse {
    let summary = pb::IngestSummary {
        number_of_documents_scanned: summary.scanned,
        number_of_new_documents_indexed: summary.new,
        number_of_modified_documents_indexed: summary.modified,
        number_of_documents_failed: summary.failed,
        number_of_documents_skipped: summary.skipped,
        epoch: summary.epoch.0,
    };
    pb::IngestDocumentsResponse {
        payload: Some(Payload::Summary(summary)),
    }
}

/// Returns what became of documents that were to be deleted.
pub(in crate::service) fn delete_response(deletion: Deletion) -> pb::DeleteDocumentsResponse {
    let entry = |(id, state): (DocumentId, DocumentStatus)| pb::DeletedDocument {
        document_id: id.to_string(),
        status: status(state).into(),
    };
    pb::DeleteDocumentsResponse {
        documents: deletion.documents.into_iter().map(entry).collect(),
        epoch: deletion.epoch.0,
        deleted_document_count: deletion.deleted_documents,
        deleted_chunk_count: deletion.deleted_chunks,
    }
}

fn status(status: DocumentStatus) -> pb::DocumentStatus {
    match status {
        DocumentStatus::Pending => pb::DocumentStatus::Pending,
        DocumentStatus::InProgress => pb::DocumentStatus::InProgress,
        DocumentStatus::Indexed => pb::DocumentStatus::Indexed,
        DocumentStatus::Failed => pb::DocumentStatus::Failed,
        DocumentStatus::Ignored => pb::DocumentStatus::Ignored,
        DocumentStatus::Deleting => pb::DocumentStatus::Deleting,
        DocumentStatus::Deleted => pb::DocumentStatus::Deleted,
        DocumentStatus::NotFound => pb::DocumentStatus::NotFound,
    }
}
