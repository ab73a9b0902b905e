//! Documents to a committed epoch.
//!
//! Comes in: documents as bytes, one after the other. Goes out: one outcome each, and a summary.
//! Always holds: an outcome is given after its commit is on disk; a document that fails costs nothing but itself; a
//! document whose content and settings are as indexed is left alone.
//! Not here: where documents come from (the wire, a directory).

mod in_flight;
mod pipeline;

use crate::document::DocumentId;
use crate::document::access::AccessList;
use crate::document::metadata::Metadata;
use crate::index::Epoch;
use crate::store::DocumentStatus;

pub use in_flight::InFlight;
pub use pipeline::{Error, Pipeline};

/// When a document is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledgement {
    /// Once it is on disk and every read finds it.
    #[default]
    Indexed,
    /// Once it is on disk; reads find it soon after.
    Durable,
}

/// A document on its way in.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDocument {
    /// The caller's id.
    pub id: DocumentId,
    /// Media type, if the caller says.
    pub media_type: Option<String>,
    /// Title, if the caller says.
    pub title: Option<String>,
    /// File name or address; empty when the caller gives none.
    pub source_name: String,
    /// Attributes, within their limits.
    pub metadata: Metadata,
    /// Who may find it, within its limits.
    pub access: AccessList,
    /// The content.
    pub bytes: Vec<u8>,
}

/// What a source of documents says when it is asked for the next.
#[derive(Debug)]
pub enum Next {
    /// A document, with its position in the stream.
    Document {
        /// Position, from 0.
        sequence: u64,
        /// The document.
        document: Box<NewDocument>,
    },
    /// Something that is not a document: it fails by itself, in its turn.
    Refused {
        /// Position, from 0.
        sequence: u64,
        /// Its id as far as known.
        document_id: String,
        /// Why.
        reason: String,
    },
    /// None came within the time.
    Idle,
    /// There are no more.
    End,
}

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentOutcome {
    /// Position in the stream.
    pub sequence: u64,
    /// The caller's id, as far as known.
    pub document_id: String,
    /// Indexed, ignored or failed.
    pub status: DocumentStatus,
    /// Why it failed; else empty.
    pub reason: String,
    /// Epoch that sees it; 0 when it failed.
    pub epoch: Epoch,
    /// Its chunks.
    pub chunk_count: u32,
}

/// Totals of an ingestion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IngestSummary {
    /// Received.
    pub scanned: u64,
    /// New.
    pub new: u64,
    /// Replaced.
    pub modified: u64,
    /// Failed.
    pub failed: u64,
    /// Unchanged.
    pub skipped: u64,
    /// The published epoch at the end.
    pub epoch: Epoch,
}
