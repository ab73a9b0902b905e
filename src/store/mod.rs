//! What is durable, and which epoch is current.
//!
//! Comes in: prepared commits. Goes out: epochs, snapshots of one epoch, records by id.
//! Always holds: the records (`SQLite`) are the truth and are synced before a commit is answered; both indexes are
//! derived, checked against the records when opened, and brought up by replay; readers see one published epoch, whole.
//! Not here: reading, splitting and embedding documents (see [`crate::ingest`]); ranking (see [`crate::retrieve`]).

mod archive;
mod attributes;
mod bundle;
mod catalog;
mod check;
mod checksum;
mod commit;
mod epoch_store;
mod erasure;
mod error;
mod exact;
mod facts;
mod history;
mod in_place;
mod layout;
mod lock;
mod migrate;
mod records;
mod recover;
mod retained;
mod settle;
mod snapshot;
mod sqlite;
#[cfg(test)]
mod tests;
mod upkeep;
mod vacuum;

use std::time::SystemTime;

use crate::document::DocumentId;
use crate::document::access::AccessList;
use crate::document::metadata::Metadata;
use crate::index::Epoch;

pub use archive::{Archive, ArchiveFile, ArchiveKind, ArchiveModel, ArchiveReader, Manifest, NewBase, Refusal};
pub use bundle::Bundle;
pub use catalog::{BaseRecord, Catalog};
pub use check::{Checked, Finding};
pub use commit::{Change, Committed, KeptContent, NewChunk, NewRevision};
pub use epoch_store::{EpochStore, OpenOptions};
pub use erasure::{Certificate, ErasedPlace, Erasure, MAX_REMAINDERS, Remainder, SearchedPlace, Wanted};
pub use error::Error;
pub use facts::{ChunkFacts, EpochRange, OutlinedChunk};
pub use history::{
    ChunkDifference, DEFAULT_RETENTION, DifferenceKind, DocumentDifference, EpochInfo, OriginalContent, Retention,
    RevisionInfo, RolledBack, compress,
};
pub use layout::Layout;
pub use lock::DirectoryLock;
pub use records::{ChunkRecord, IndexedContent};
pub use retained::Lease;
pub use snapshot::Snapshot;
pub use upkeep::{Storage, UpkeepTurn};
pub use vacuum::Vacuumed;

/// How far a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentStatus {
    /// Waiting.
    Pending,
    /// Being worked on.
    InProgress,
    /// Searchable.
    Indexed,
    /// Refused or unreadable.
    Failed,
    /// Unchanged.
    Ignored,
    /// Being deleted.
    Deleting,
    /// Deleted by this call.
    Deleted,
    /// Never seen.
    NotFound,
}

/// A document, described.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentInfo {
    /// The caller's id.
    pub id: DocumentId,
    /// State of the last attempt.
    pub status: DocumentStatus,
    /// Why it failed.
    pub reason: String,
    /// Title.
    pub title: Option<String>,
    /// Media type that it was read as; empty when never indexed.
    pub media_type: String,
    /// Where it came from.
    pub source_name: String,
    /// Attributes.
    pub metadata: Metadata,
    /// Who may find it.
    pub access: AccessList,
    /// SHA-256 of the content, in lowercase hexadecimal; empty when never indexed.
    pub content_hash: String,
    /// Size of the content.
    pub byte_size: u64,
    /// Size of the extracted text.
    pub text_bytes: u64,
    /// Chunks of the indexed revision.
    pub chunk_count: u32,
    /// Epoch of the indexed revision; 0 when there is none.
    pub epoch: Epoch,
    /// When first seen.
    pub created_at: SystemTime,
    /// When its status last changed.
    pub updated_at: SystemTime,
}
