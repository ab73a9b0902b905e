//! Knowledge bases: what is asked for, and how they are described.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::chunk::ChunkConfig;
use crate::document::schema::MetadataSchema;
use crate::index::Epoch;
use crate::store::{OriginalContent, Retention};
use crate::worker::Progress;

/// Longest name of a knowledge base in bytes.
pub const MAX_NAME_BYTES: usize = 100;
/// Longest description in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 2_000;
/// Most tags of a knowledge base.
pub const MAX_TAGS: usize = 50;
/// Longest client token in bytes.
pub const MAX_CLIENT_TOKEN_BYTES: usize = 256;

/// Asks for a new knowledge base.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewKnowledgeBase {
    /// Its name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Embedding model; empty takes the server's.
    pub embedding_model_id: String,
    /// How documents are split.
    pub chunking: ChunkConfig,
    /// Analyzer of the keyword leg; empty takes `auto`.
    pub language: String,
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// Makes the call safe to repeat; empty when the caller gives none.
    pub client_token: String,
    /// Which epochs are kept; nothing takes the default.
    pub retention: Option<Retention>,
    /// Whether the bytes of documents are kept.
    pub original_content: OriginalContent,
    /// Attributes that documents are held to.
    pub metadata_schema: MetadataSchema,
}

/// Changes to a knowledge base; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnowledgeBaseChange {
    /// New name.
    pub name: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New tags in place of the old.
    pub tags: Option<BTreeMap<String, String>>,
    /// New retention in place of the old.
    pub retention: Option<Retention>,
    /// New rule for the bytes of documents that come from now on.
    pub original_content: Option<OriginalContent>,
    /// New declared attributes in place of all old ones; documents that are there already are left as they are.
    pub metadata_schema: Option<MetadataSchema>,
}

/// State of a knowledge base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnowledgeBaseStatus {
    /// Serves reads and writes.
    Active,
    /// Could not be opened.
    Failed,
    /// Being removed.
    Deleting,
}

/// A knowledge base, described.
#[derive(Debug, Clone, PartialEq)]
pub struct KnowledgeBaseInfo {
    /// Server-made id.
    pub id: String,
    /// The caller's name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Embedding model.
    pub embedding_model_id: String,
    /// Dimension of its vectors.
    pub dimensions: usize,
    /// How documents are split.
    pub chunking: ChunkConfig,
    /// Analyzer of the keyword leg.
    pub language: String,
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// State.
    pub status: KnowledgeBaseStatus,
    /// Why the state is failed.
    pub failure_reasons: Vec<String>,
    /// The published epoch.
    pub epoch: Epoch,
    /// Documents visible.
    pub document_count: u64,
    /// Chunks visible.
    pub chunk_count: u64,
    /// When it was created.
    pub created_at: SystemTime,
    /// When its description or settings last changed.
    pub updated_at: SystemTime,
    /// Which epochs are kept.
    pub retention: Retention,
    /// Whether the bytes of documents are kept.
    pub original_content: OriginalContent,
    /// Attributes that documents are held to.
    pub metadata_schema: MetadataSchema,
    /// Oldest epoch that every read may name.
    pub oldest_epoch: Epoch,
    /// What it takes on disk; only where it was asked for.
    pub storage: Option<StorageInfo>,
    /// How many of the nearest chunks searches find; only where it was asked for and is measured.
    pub live_recall: Option<LiveRecallInfo>,
    /// Whether it is served from a sealed bundle.
    pub read_only: bool,
}

/// What a knowledge base takes on disk, and what its upkeep does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageInfo {
    /// Bytes of the store.
    pub store_bytes: u64,
    /// Bytes of the keyword index.
    pub terms_bytes: u64,
    /// Bytes of the vector index.
    pub vectors_bytes: u64,
    /// Chunks in the indexes that the published epoch does not see.
    pub retired_chunks: u64,
    /// Segments of the keyword index.
    pub terms_segments: u32,
    /// Sealed segments of the vector index.
    pub vectors_segments: u32,
    /// Chunks whose vectors wait to be sealed.
    pub fresh_chunks: u64,
    /// What the upkeep is doing.
    pub upkeep: Option<Progress>,
    /// Why writes are refused.
    pub write_failure: Option<String>,
}

/// How many of the nearest chunks the walks over graphs find, measured on queries as they came.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LiveRecallInfo {
    /// Queries that were checked since the knowledge base was opened.
    pub checked_queries: u64,
    /// Queries that were to be checked and were not: too many waited, or what they had read was gone.
    pub dropped_queries: u64,
    /// The last checks; nothing when there were none.
    pub all: Option<RecallFigures>,
    /// Those of them where all chunks could be found.
    pub unfiltered: Option<RecallFigures>,
    /// Those of them where a filter or access lists said what can be found.
    pub filtered: Option<RecallFigures>,
}

/// Recall of some queries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecallFigures {
    /// Queries.
    pub queries: u64,
    /// Mean share of the ten nearest chunks that were among the first ten listed, 0 to 1.
    pub recall_at_10: f64,
    /// The same among as many as the dense leg was asked for.
    pub recall: f64,
    /// The lowest share of the ten nearest.
    pub lowest_recall_at_10: f64,
}
