//! Epochs and revisions: what was, what is kept of it, and how two epochs differ.

use std::time::{Duration, SystemTime};

use crate::document::DocumentId;
use crate::document::metadata::Metadata;
use crate::index::{ChunkId, Epoch};

/// Time for which epochs are kept when nothing else is said.
pub const DEFAULT_RETENTION: Duration = Duration::from_hours(7 * 24);

/// Which epochs are kept beside the published and the pinned ones. An epoch goes when neither limit keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Keeps this many of the newest.
    pub epochs: Option<u64>,
    /// Keeps those that were the published one within this time.
    pub age: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            epochs: None,
            age: Some(DEFAULT_RETENTION),
        }
    }
}

/// Whether the bytes of documents are kept as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OriginalContent {
    /// Kept once for each content, compressed.
    #[default]
    Keep,
    /// Only the extracted text is kept.
    Discard,
}

/// An epoch, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochInfo {
    /// Its number.
    pub epoch: Epoch,
    /// When it was committed.
    pub committed_at: SystemTime,
    /// What made it, for people.
    pub cause: String,
    /// Documents that it sees.
    pub document_count: u64,
    /// Chunks that it sees.
    pub chunk_count: u64,
    /// Names that keep it, sorted.
    pub pins: Vec<String>,
}

/// A revision, described.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionInfo {
    /// Its number.
    pub revision_id: u64,
    /// Its document.
    pub document_id: DocumentId,
    /// SHA-256 of its content, in lowercase hexadecimal.
    pub content_hash: String,
    /// Title.
    pub title: Option<String>,
    /// Media type that it was read as.
    pub media_type: String,
    /// Where it came from.
    pub source_name: String,
    /// Attributes.
    pub metadata: Metadata,
    /// Size of its content.
    pub byte_size: u64,
    /// Size of its extracted text.
    pub text_bytes: u64,
    /// Its chunks.
    pub chunk_count: u32,
    /// First epoch that sees it.
    pub added: Epoch,
    /// First epoch that no longer sees it; nothing while it is seen.
    pub retired: Option<Epoch>,
    /// When it was indexed.
    pub created_at: SystemTime,
    /// Whether its bytes are kept.
    pub has_content: bool,
}

/// How something differs between two epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// Only the later sees it.
    Added,
    /// Both see it, in different revisions.
    Changed,
    /// Only the earlier sees it.
    Removed,
}

/// A chunk whose text only one of two epochs sees in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkDifference {
    /// Added or removed.
    pub kind: DifferenceKind,
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its text.
    pub text: String,
}

/// A document that two epochs see differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentDifference {
    /// The document.
    pub document_id: DocumentId,
    /// How it differs.
    pub kind: DifferenceKind,
    /// Content that the earlier epoch sees; empty when it sees none.
    pub from_content_hash: String,
    /// Content that the later epoch sees; empty when it sees none.
    pub to_content_hash: String,
    /// Added and removed chunks.
    pub chunks: Vec<ChunkDifference>,
    /// Chunks whose text both see.
    pub unchanged_chunks: u32,
}

/// What a rollback did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RolledBack {
    /// The new epoch; the published one when nothing changed.
    pub epoch: Epoch,
    /// Documents that came back or changed back.
    pub restored_documents: u64,
    /// Documents that are gone.
    pub removed_documents: u64,
}
