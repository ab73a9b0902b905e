//! Documents in and out, and what is known of them.

use std::time::Duration;

use super::{
    Deletion, DocumentInfo, DocumentOutcome, DocumentStatus, Error, Groundwork, IngestSummary, MAX_DELETE_DOCUMENTS,
    Next, Page, PageRequest, check,
};
use crate::document::DocumentId;
use crate::index::Epoch;
use crate::ingest::Pipeline;
use crate::store::Change;
use crate::worker::Cancel;

impl Groundwork {
    /// Takes documents in until `next` ends or `cancel` stops; `on_outcome` is told of each as soon as it is decided.
    /// `next` waits at most the time that it is given. What was told stays, however the call ends.
    pub fn ingest(
        &self,
        knowledge_base: &str,
        next: &mut dyn FnMut(Duration) -> Next,
        cancel: &Cancel,
        on_outcome: &mut dyn FnMut(DocumentOutcome),
    ) -> Result<IngestSummary, Error> {
        let (record, base) = self.base(knowledge_base)?;
        let embedder = self.models.embedder(&record.embedding_model_id)?;
        let pipeline = Pipeline {
            store: &base.store,
            embedder: &*embedder,
            chunking: record.chunking,
            pdf: &self.pdf,
            max_document_bytes: self.settings.max_document_bytes,
            in_flight: &base.in_flight,
        };
        Ok(pipeline.run(next, cancel, on_outcome)?)
    }

    /// Describes a document; its text too, if wanted.
    pub fn document(
        &self,
        knowledge_base: &str,
        id: &DocumentId,
        with_text: bool,
    ) -> Result<(DocumentInfo, Option<String>, Epoch), Error> {
        let (_, base) = self.base(knowledge_base)?;
        let epoch = base.store.epoch();
        let mut info = base
            .store
            .document(id)?
            .ok_or_else(|| Error::not_found("document", id.as_str()))?;
        if let Some(status) = base.in_flight.status(id) {
            info.status = status;
        }
        let text = if with_text { base.store.text(id)? } else { None };
        Ok((info, text, epoch))
    }

    /// Lists documents, ordered by id.
    pub fn documents(
        &self,
        knowledge_base: &str,
        status: Option<DocumentStatus>,
        page: &PageRequest,
    ) -> Result<(Page<DocumentInfo>, Epoch), Error> {
        let (_, base) = self.base(knowledge_base)?;
        let (size, after) = check::page(page)?;
        if let Some(status) = status
            && !matches!(status, DocumentStatus::Indexed | DocumentStatus::Failed)
        {
            return Err(Error::invalid(
                "status",
                "lists can be narrowed to INDEXED or FAILED; the other states pass too quickly",
            ));
        }
        let epoch = base.store.epoch();
        let documents = base.store.documents(after, status, size + 1)?;
        Ok((
            check::paged(documents, size, |info: &DocumentInfo| info.id.as_str()),
            epoch,
        ))
    }

    /// Deletes documents in one commit.
    pub fn delete_documents(&self, knowledge_base: &str, ids: &[DocumentId]) -> Result<Deletion, Error> {
        if ids.is_empty() {
            return Err(Error::invalid(
                "document_ids",
                "is required: an empty list deletes nothing",
            ));
        }
        if ids.len() > MAX_DELETE_DOCUMENTS {
            let found = ids.len();
            let description = format!("holds at most {MAX_DELETE_DOCUMENTS} ids, this one has {found}");
            return Err(Error::invalid("document_ids", description));
        }
        let (_, base) = self.base(knowledge_base)?;
        let changes: Vec<Change> = ids.iter().cloned().map(Change::Delete).collect();
        let committed = base.store.commit(&changes, "delete")?;
        let status = |found| {
            if found {
                DocumentStatus::Deleted
            } else {
                DocumentStatus::NotFound
            }
        };
        Ok(Deletion {
            documents: ids
                .iter()
                .cloned()
                .zip(committed.found.into_iter().map(status))
                .collect(),
            epoch: committed.epoch,
        })
    }
}
