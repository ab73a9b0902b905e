//! What callers ask for and what they get: the nouns of the border.
//!
//! Comes in: nothing; these are plain values. Goes out: the words that the calls of this module are made of.
//! Always holds: nothing here knows the wire or the terminal.
//! Not here: nouns that are those of a lower layer already; they are handed on as they are.

mod answer;
mod conversation;
mod document;
mod embedding;
mod epoch;
mod knowledge_base;
mod missing;
mod model;
mod page;
mod restoration;
mod retrieval;
mod serving;
mod settings;

pub use crate::ingest::{Acknowledgement, DocumentOutcome, IngestSummary, NewDocument, Next};
pub use crate::store::{
    Archive, ArchiveFile, ArchiveKind, ArchiveModel, Certificate, Checked, ChunkDifference, DifferenceKind,
    DocumentDifference, DocumentInfo, DocumentStatus, EpochInfo, EpochRange, ErasedPlace, Erasure, Finding, Manifest,
    OriginalContent, Remainder, Retention, RevisionInfo, RolledBack, SearchedPlace, Vacuumed,
};
pub use crate::worker::{Progress, ServiceTier};
pub use answer::*;
pub use conversation::*;
pub use document::*;
pub use embedding::*;
pub use epoch::*;
pub use knowledge_base::*;
pub use missing::*;
pub use model::*;
pub use page::*;
pub use restoration::*;
pub use retrieval::*;
pub use serving::*;
pub use settings::*;
