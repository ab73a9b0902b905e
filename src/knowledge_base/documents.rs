//! Documents in and out, and what is known of them.

use std::collections::HashSet;
use std::time::Duration;

use super::base::Base;
use super::{
    Acknowledgement, ContentRequest, Deletion, DocumentInfo, DocumentOutcome, DocumentStatus, Error, ErrorKind,
    Groundwork, IngestSummary, MAX_LISTED_DELETIONS, Next, Page, PageRequest, ReadAt, RevisionInfo, Selection, check,
};
use crate::document::DocumentId;
use crate::document::schema::MetadataSchema;
use crate::index::Epoch;
use crate::ingest::Pipeline;
use crate::retrieve::filter::Known;
use crate::store::Change;
use crate::worker::Cancel;

impl Groundwork {
    /// Takes documents in until `next` ends or `cancel` stops; `on_outcome` is told of each as soon as it is decided.
    /// `next` waits at most the time that it is given. What was told stays, however the call ends.
    pub fn ingest(
        &self,
        knowledge_base: &str,
        acknowledgement: Acknowledgement,
        next: &mut dyn FnMut(Duration) -> Next,
        cancel: &Cancel,
        on_outcome: &mut dyn FnMut(DocumentOutcome),
    ) -> Result<IngestSummary, Error> {
        let (record, base) = self.writable_base(knowledge_base)?;
        let embedder = self.models.embedder(&record.embedding_model_id, cancel)?;
        let pipeline = Pipeline {
            store: &base.store,
            embedder: &*embedder,
            chunking: record.chunking,
            original_content: record.original_content,
            metadata_schema: &record.metadata_schema,
            pdf: &self.pdf,
            max_document_bytes: self.settings.max_document_bytes,
            in_flight: &base.in_flight,
            acknowledgement,
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
        let lease = base.lease(at, cancel)?;
        let is_past = at.as_of.is_some();
        let status = base.in_flight.status(id).filter(|_| !is_past);
        let Some(mut info) = base.store.document(id, &lease, is_past)? else {
            return Err(Error::not_found("document", id.as_str()));
        };
        if let Some(status) = status {
            info.status = status;
        }
        let text = match base.store.revision(id, &lease)? {
            Some(revision) if with_text => base.store.text(revision.revision_id)?,
            _ => None,
        };
        Ok((info, text, lease.epoch()))
    }

    /// Lists documents as an epoch sees them, ordered by id.
    pub fn documents(
        &self,
        knowledge_base: &str,
        status: Option<DocumentStatus>,
        page: &PageRequest,
        at: ReadAt,
        cancel: &Cancel,
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
        let lease = base.lease(at, cancel)?;
        let documents = base
            .store
            .documents(after, status, size + 1, &lease, at.as_of.is_some())?;
        Ok((
            check::paged(documents, size, |info: &DocumentInfo| info.id.as_str()),
            lease.epoch(),
        ))
    }

    /// Deletes documents in one commit; `dry_run` only says which.
    pub fn delete_documents(
        &self,
        knowledge_base: &str,
        selection: &Selection,
        dry_run: bool,
    ) -> Result<Deletion, Error> {
        let (record, base) = self.writable_base(knowledge_base)?;
        base.check_selection(selection, &record.metadata_schema)?;
        let ids = base.selected(selection)?;
        if dry_run {
            return would_delete(&base, selection, &ids);
        }
        let changes: Vec<Change> = ids.iter().cloned().map(Change::Delete).collect();
        let committed = base.store.commit(changes, "delete")?;
        let listed = match selection {
            Selection::Ids(_) => ids.len(),
            Selection::Filter(_) | Selection::Source(_) => MAX_LISTED_DELETIONS,
        };
        Ok(Deletion {
            deleted_documents: committed.found.iter().filter(|found| **found).count() as u64,
            deleted_chunks: committed.retired_chunks(),
            documents: ids
                .into_iter()
                .zip(committed.found.into_iter().map(deletion_status))
                .take(listed)
                .collect(),
            epoch: committed.epoch,
        })
    }

    /// Lists the revisions of a document that are kept, newest first, with the published epoch.
    pub fn revisions(
        &self,
        knowledge_base: &str,
        id: &DocumentId,
        page: &PageRequest,
    ) -> Result<(Page<RevisionInfo>, Epoch), Error> {
        let (_, base) = self.base(knowledge_base)?;
        let (size, after) = check::page(page)?;
        let below = check::number_token(after)?;
        let lease = base.store.lease(None)?;
        let mut revisions = base.store.revisions(id, below, size + 1)?;
        // What is committed and not published yet is still to come.
        revisions.retain(|revision| revision.added <= lease.epoch());
        if revisions.is_empty() && after.is_empty() {
            return Err(Error::not_found("document", id.as_str()));
        }
        let page = check::paged_by(revisions, size, |revision| revision.revision_id.to_string());
        Ok((page, lease.epoch()))
    }

    /// Returns the bytes of a document as they came, with their revision and the epoch that was read.
    pub fn content(
        &self,
        knowledge_base: &str,
        request: &ContentRequest,
        cancel: &Cancel,
    ) -> Result<(RevisionInfo, Vec<u8>, Epoch), Error> {
        let (_, base) = self.base(knowledge_base)?;
        let at = match request {
            ContentRequest::Document(_, at) => *at,
            ContentRequest::Hash(_) => ReadAt::default(),
        };
        let lease = base.lease(at, cancel)?;
        let (revision, name) = match request {
            ContentRequest::Document(id, _) => (base.store.revision(id, &lease)?, id.as_str()),
            ContentRequest::Hash(hash) => (base.store.revision_of_content(hash)?, hash.as_str()),
        };
        let revision = revision.ok_or_else(|| Error::not_found("document", name))?;
        let bytes = base.store.content(&revision)?.ok_or_else(|| {
            let message = format!(
                "the bytes of `{}` were not kept when it was ingested; its text is there",
                revision.document_id
            );
            Error::new(ErrorKind::FailedPrecondition, "CONTENT_NOT_KEPT", message)
        })?;
        Ok((revision, bytes, lease.epoch()))
    }
}

fn deletion_status(found: bool) -> DocumentStatus {
    if found {
        DocumentStatus::Deleted
    } else {
        DocumentStatus::NotFound
    }
}

fn would_delete(base: &Base, selection: &Selection, ids: &[DocumentId]) -> Result<Deletion, Error> {
    let lease = base.store.lease(None)?;
    let mut deletion = Deletion {
        documents: Vec::new(),
        epoch: lease.epoch(),
        deleted_documents: 0,
        deleted_chunks: 0,
    };
    let mut seen = HashSet::new();
    for id in ids {
        let found = base.store.document(id, &lease, false)?.filter(|_| seen.insert(id));
        deletion.deleted_documents += u64::from(found.is_some());
        deletion.deleted_chunks += found.as_ref().map_or(0, |info| u64::from(info.chunk_count));
        if matches!(selection, Selection::Ids(_)) || deletion.documents.len() < MAX_LISTED_DELETIONS {
            deletion.documents.push((id.clone(), deletion_status(found.is_some())));
        }
    }
    Ok(deletion)
}

impl Base {
    /// Fails when a selection is not within its limits, or has a filter that the documents cannot answer.
    pub(super) fn check_selection(&self, selection: &Selection, schema: &MetadataSchema) -> Result<(), Error> {
        check::selection(selection)?;
        let Selection::Filter(filter) = selection else {
            return Ok(());
        };
        let checked = self.store.with_attributes(|index| {
            filter.check_known(&Known {
                index,
                schema,
                within: None,
            })
        })?;
        checked.map_err(|unfit| Error::invalid("filter", unfit.to_string()))
    }

    /// Returns the documents that a selection names among those of the published epoch.
    pub(super) fn selected(&self, selection: &Selection) -> Result<Vec<DocumentId>, Error> {
        if let Selection::Ids(ids) = selection {
            return Ok(ids.clone());
        }
        let mut ids = Vec::new();
        let lease = self.store.lease(None)?;
        self.store.revisions_at(&lease, |revision| {
            if selection.accepts(&revision) {
                ids.push(revision.document_id);
            }
        })?;
        Ok(ids)
    }

    /// Returns the documents of which any kept revision is what a selection names.
    pub(super) fn ever_selected(&self, selection: &Selection) -> Result<Vec<DocumentId>, Error> {
        if let Selection::Ids(ids) = selection {
            return Ok(ids.clone());
        }
        let mut ids: Vec<DocumentId> = Vec::new();
        self.store.all_revisions(|revision| {
            if selection.accepts(&revision) && ids.last() != Some(&revision.document_id) {
                ids.push(revision.document_id);
            }
        })?;
        Ok(ids)
    }
}

impl Selection {
    fn accepts(&self, revision: &RevisionInfo) -> bool {
        match self {
            Self::Ids(ids) => ids.contains(&revision.document_id),
            Self::Filter(filter) => filter.accepts(&revision.metadata),
            Self::Source(source_name) => revision.source_name == *source_name,
        }
    }
}
