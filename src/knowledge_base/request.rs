//! What callers ask for and what they get: the nouns of the border.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::chunk::ChunkConfig;
use crate::document::DocumentId;
use crate::generate::{GenerationSummary, Inference};
use crate::index::Epoch;
use crate::models::Modality;
use crate::retrieve::{Hit, Query};

pub use crate::ingest::{DocumentOutcome, IngestSummary, NewDocument, Next};
pub use crate::store::{DocumentInfo, DocumentStatus};

/// Longest name of a knowledge base in bytes.
pub const MAX_NAME_BYTES: usize = 100;
/// Longest description in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 2_000;
/// Most tags of a knowledge base.
pub const MAX_TAGS: usize = 50;
/// Longest client token in bytes.
pub const MAX_CLIENT_TOKEN_BYTES: usize = 256;
/// Most documents of one deletion.
pub const MAX_DELETE_DOCUMENTS: usize = 10_000;
/// Most entries of a page.
pub const MAX_PAGE_SIZE: usize = 1_000;
/// Entries of a page when the caller does not say.
pub const DEFAULT_PAGE_SIZE: usize = 100;

/// How the process is set up. Valid once built.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where knowledge bases live.
    pub data_dir: PathBuf,
    /// Where model files live.
    pub models_dir: PathBuf,
    /// A user's own catalog of models, over the built-in one.
    pub model_catalog: Option<PathBuf>,
    /// Directories to look for model files in before anything is fetched.
    pub model_sources: Vec<PathBuf>,
    /// Directories that each hold a model: an encoder or one GGUF file, used under the directory's name.
    pub model_dirs: Vec<PathBuf>,
    /// Embedding model of new knowledge bases.
    pub embedding_model_id: String,
    /// Language model of answers.
    pub language_model_id: String,
    /// Program that reads PDFs in a child process: this very binary. Without one they are read in the process.
    pub pdf_reader: Option<PathBuf>,
    /// Largest document in bytes.
    pub max_document_bytes: usize,
    /// Answers that may wait for the language model.
    pub max_queued_answers: usize,
    /// Threads of heavy compute; 0 takes one for each core.
    pub compute_threads: usize,
}

/// Asks for a page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// Entries wanted; 0 takes [`DEFAULT_PAGE_SIZE`].
    pub size: usize,
    /// Where to go on; empty at the start.
    pub token: String,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Token of the next page; empty on the last.
    pub next_token: String,
}

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
    /// Analyzer of the keyword leg; empty takes `en`.
    pub language: String,
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// Makes the call safe to repeat; empty when the caller gives none.
    pub client_token: String,
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
    /// When its description last changed.
    pub updated_at: SystemTime,
}

/// What became of the documents of a deletion, in the order asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Id, and whether it was there.
    pub documents: Vec<(DocumentId, DocumentStatus)>,
    /// Epoch of the deletion.
    pub epoch: Epoch,
}

/// Which epoch a read wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadAt {
    /// Wait until this is published.
    pub min_epoch: Option<Epoch>,
    /// Read as of this.
    pub as_of_epoch: Option<Epoch>,
}

/// Time per stage of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Waiting for a worker.
    pub queue: Duration,
    /// Embedding the query.
    pub embed: Duration,
    /// Searching and fusing.
    pub search: Duration,
    /// The whole call so far.
    pub total: Duration,
}

/// What a search gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieval {
    /// The hits, best first.
    pub hits: Vec<Hit>,
    /// Epoch that was searched.
    pub epoch: Epoch,
    /// Time per stage.
    pub times: StageTimes,
}

/// Asks a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The question as a query.
    pub query: Query,
    /// Language model; empty takes the server's.
    pub model_id: String,
    /// How tokens are drawn.
    pub inference: Inference,
    /// Which epoch to read.
    pub at: ReadAt,
}

/// What made an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerSummary {
    /// The generation.
    pub generation: GenerationSummary,
    /// Epoch that was searched.
    pub epoch: Epoch,
    /// Model that was called, with the hash of its file.
    pub model: Option<(String, String)>,
    /// Seed of the draws.
    pub seed: u64,
    /// Time per stage.
    pub times: StageTimes,
}

/// Whether a model's files are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// In the catalog only.
    NotInstalled,
    /// Here and verified.
    Installed,
    /// In memory.
    Loaded,
}

/// A model, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Who made it.
    pub provider: String,
    /// SPDX id of its licence.
    pub license: String,
    /// What it makes.
    pub modality: Modality,
    /// Dimension of its vectors; 0 for language models.
    pub dimensions: usize,
    /// Tokens that it reads at most.
    pub max_input_tokens: usize,
    /// Whether its files are here.
    pub availability: Availability,
    /// Files: name, SHA-256, size in bytes (0 when not known).
    pub files: Vec<(String, String, u64)>,
    /// Whether it is the server's default for what it makes.
    pub is_default: bool,
}
