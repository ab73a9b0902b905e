//! Documents: which are meant, and what became of them.

use super::epoch::ReadAt;
use crate::document::DocumentId;
use crate::index::Epoch;
use crate::retrieve::Filter;
use crate::store::DocumentStatus;

/// Most documents of one deletion.
pub const MAX_DELETE_DOCUMENTS: usize = 10_000;
/// Most documents that a deletion by filter or source lists.
pub const MAX_LISTED_DELETIONS: usize = 1_000;

/// Names documents: by ids, by filter or by source.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// These.
    Ids(Vec<DocumentId>),
    /// Those whose attributes pass.
    Filter(Filter),
    /// Those that came from this source.
    Source(String),
}

/// What became of the documents of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Id, and whether it was there: in the order asked, or the first [`MAX_LISTED_DELETIONS`] by id.
    pub documents: Vec<(DocumentId, DocumentStatus)>,
    /// Epoch of the deletion.
    pub epoch: Epoch,
    /// Documents deleted in all, or that would be.
    pub deleted_documents: u64,
    /// Chunks that are no longer seen, or would not be.
    pub deleted_chunks: u64,
}

/// Which content is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentRequest {
    /// That of a document, at an epoch.
    Document(DocumentId, ReadAt),
    /// That of this hash, whichever retained epoch sees it.
    Hash(String),
}

/// What is looked for after an erasure. At least one of the first two is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErasureQuery {
    /// The document.
    pub document_id: Option<DocumentId>,
    /// SHA-256 of the content, in lowercase hexadecimal.
    pub content_hash: Option<String>,
    /// Phrases to look for in all files.
    pub phrases: Vec<String>,
}
