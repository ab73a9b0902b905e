//! The border: what callers can ask for.
//!
//! Comes in: requests in our own nouns. Goes out: results, or an [`Error`] that says whose turn it is.
//! Always holds: every read sees one published epoch, whole; a write is answered once it is on disk.
//! Not here: the wire (see [`crate::service`]), the terminal (see [`crate::cli`]).
//!
//! All calls block; callers on an async runtime put them on blocking threads.

mod error;
mod request;

use crate::document::DocumentId;
use crate::generate::Sink;
use crate::index::Epoch;
use crate::models::Modality;
use crate::retrieve::Query;
use crate::worker::Cancel;

pub use error::{Error, ErrorKind, FieldViolation, Resource};
pub use request::*;

/// A data directory that is open: its knowledge bases and the models that serve them.
#[derive(Debug)]
pub struct Groundwork {}

impl Groundwork {
    /// Opens the data directory, or makes it. Only one process can hold it.
    pub fn open(_settings: Settings) -> Result<Self, Error> {
        todo!()
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        todo!()
    }

    /// Creates a knowledge base.
    pub fn create_knowledge_base(&self, _request: NewKnowledgeBase) -> Result<KnowledgeBaseInfo, Error> {
        todo!()
    }

    /// Describes a knowledge base, by id or name.
    pub fn knowledge_base(&self, _id_or_name: &str) -> Result<KnowledgeBaseInfo, Error> {
        todo!()
    }

    /// Lists knowledge bases, oldest first.
    pub fn knowledge_bases(&self, _page: &PageRequest) -> Result<Page<KnowledgeBaseInfo>, Error> {
        todo!()
    }

    /// Changes a knowledge base.
    pub fn update_knowledge_base(
        &self,
        _id_or_name: &str,
        _change: KnowledgeBaseChange,
    ) -> Result<KnowledgeBaseInfo, Error> {
        todo!()
    }

    /// Removes a knowledge base and returns its id.
    pub fn delete_knowledge_base(&self, _id_or_name: &str) -> Result<String, Error> {
        todo!()
    }

    /// Takes documents in until `next` ends or `cancel` stops; `on_outcome` is told of each as soon as it is decided.
    /// `next` waits at most the time that it is given. What was told stays, however the call ends.
    pub fn ingest(
        &self,
        _knowledge_base: &str,
        _next: &mut dyn FnMut(std::time::Duration) -> Next,
        _cancel: &Cancel,
        _on_outcome: &mut dyn FnMut(DocumentOutcome),
    ) -> Result<IngestSummary, Error> {
        todo!()
    }

    /// Describes a document; its text too, if wanted.
    pub fn document(
        &self,
        _knowledge_base: &str,
        _id: &DocumentId,
        _with_text: bool,
    ) -> Result<(DocumentInfo, Option<String>, Epoch), Error> {
        todo!()
    }

    /// Lists documents, ordered by id.
    pub fn documents(
        &self,
        _knowledge_base: &str,
        _status: Option<DocumentStatus>,
        _page: &PageRequest,
    ) -> Result<(Page<DocumentInfo>, Epoch), Error> {
        todo!()
    }

    /// Deletes documents in one commit.
    pub fn delete_documents(&self, _knowledge_base: &str, _ids: &[DocumentId]) -> Result<Deletion, Error> {
        todo!()
    }

    /// Finds the chunks that fit a query best.
    pub fn retrieve(
        &self,
        _knowledge_base: &str,
        _query: &Query,
        _at: ReadAt,
        _cancel: &Cancel,
    ) -> Result<Retrieval, Error> {
        todo!()
    }

    /// Answers a question; events go to `sink` as they come.
    pub fn answer(
        &self,
        _knowledge_base: &str,
        _question: &Question,
        _cancel: &Cancel,
        _sink: &mut Sink<'_>,
    ) -> Result<AnswerSummary, Error> {
        todo!()
    }

    /// Lists models, ordered by id.
    pub fn models(
        &self,
        _modality: Option<Modality>,
        _provider: &str,
        _page: &PageRequest,
    ) -> Result<Page<ModelInfo>, Error> {
        todo!()
    }

    /// Describes a model.
    pub fn model(&self, _id: &str) -> Result<ModelInfo, Error> {
        todo!()
    }

    /// Loads the default models, so that the first question does not wait for them.
    pub fn warm_up(&self) -> Result<(), Error> {
        todo!()
    }
}
