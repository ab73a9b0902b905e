//! What callers ask for and what they get: the nouns of the border.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::Error;
use crate::chunk::ChunkConfig;
use crate::document::DocumentId;
use crate::document::schema::MetadataSchema;
use crate::generate::{GenerationSummary, Inference};
use crate::index::{ChunkId, Epoch, ExactRank};
use crate::models::Modality;
use crate::retrieve::stage::RerankEffect;
use crate::retrieve::{Filter, FilterOutcome, Hit, Leg, LegsWork, Query};
pub use crate::worker::Progress;

pub use crate::ingest::{Acknowledgement, DocumentOutcome, IngestSummary, NewDocument, Next};
pub use crate::store::{
    Archive, ArchiveFile, ArchiveKind, ArchiveModel, Certificate, Checked, ChunkDifference, DifferenceKind,
    DocumentDifference, DocumentInfo, DocumentStatus, EpochInfo, EpochRange, ErasedPlace, Erasure, Finding, Manifest,
    OriginalContent, Remainder, Retention, RevisionInfo, RolledBack, SearchedPlace, Vacuumed,
};

/// Longest name of a knowledge base in bytes.
pub const MAX_NAME_BYTES: usize = 100;
/// Longest description in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 2_000;
/// Most tags of a knowledge base.
pub const MAX_TAGS: usize = 50;
/// Longest client token in bytes.
pub const MAX_CLIENT_TOKEN_BYTES: usize = 256;
/// Most queries of a batch.
pub const MAX_BATCH_QUERIES: usize = 64;
/// Most documents of one deletion.
pub const MAX_DELETE_DOCUMENTS: usize = 10_000;
/// Most documents that a deletion by filter or source lists.
pub const MAX_LISTED_DELETIONS: usize = 1_000;
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
    /// Directory that backups are written to and read from by file name; without one they only stream.
    pub backup_dir: Option<PathBuf>,
    /// Sealed bundles that are served beside the knowledge bases of the data directory.
    pub bundles: Vec<PathBuf>,
    /// Bytes of memory in which results of searches are kept; 0 keeps none.
    pub result_cache_bytes: usize,
    /// Share of the walks over graphs whose recall is measured, 0 to 1; 0 measures none.
    pub live_recall_share: f64,
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

/// Which epoch a read wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadAt {
    /// Wait until this is published.
    pub min_epoch: Option<Epoch>,
    /// Read as of this.
    pub as_of: Option<AsOf>,
}

/// An earlier state, by number or by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// This epoch.
    Epoch(Epoch),
    /// The epoch that was the published one at this time.
    Time(SystemTime),
}

/// Asks how two epochs differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DifferenceRequest {
    /// The epoch to start from.
    pub from: Epoch,
    /// The epoch to arrive at; nothing takes the published one.
    pub to: Option<Epoch>,
    /// Whether the texts of chunks are wanted; counts are given always.
    pub with_chunks: bool,
    /// Ends after this many differences; 0 for no end.
    pub size: usize,
    /// Where to go on; empty at the start.
    pub token: String,
}

/// Totals of differences that were told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DifferenceSummary {
    /// The epoch that was started from.
    pub from: Epoch,
    /// The epoch that was arrived at.
    pub to: Epoch,
    /// Documents added.
    pub added: u64,
    /// Documents changed.
    pub changed: u64,
    /// Documents removed.
    pub removed: u64,
    /// Where to go on; empty when all was told.
    pub next_token: String,
}

/// Where a rollback goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollbackTarget {
    /// This epoch.
    Epoch(Epoch),
    /// The epoch of this pin.
    Pin(String),
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

/// How a backup is restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restoration {
    /// Name of the new knowledge base; empty takes that of the one that was backed up.
    pub name: String,
    /// Verifies everything, and makes nothing.
    pub dry_run: bool,
}

/// What a restoration made, or would make.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// The new knowledge base.
    pub knowledge_base: KnowledgeBaseInfo,
    /// What the archive said about itself.
    pub manifest: Manifest,
    /// What keeps it from being used as it is.
    pub warnings: Vec<String>,
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
    /// Looking closer at the best candidates.
    pub rerank: Duration,
    /// The whole call so far.
    pub total: Duration,
}

/// Asks how relevant texts are to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RerankQuestion {
    /// The query.
    pub query: String,
    /// The texts.
    pub sources: Vec<String>,
    /// Results wanted; nothing for all.
    pub limit: Option<usize>,
    /// An embedding model; empty takes the server's.
    pub model_id: String,
}

/// How relevant texts are to a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Reranked {
    /// Places of the texts with their scores, best first, equal ones by place.
    pub results: Vec<(usize, f64)>,
    /// The embedding model.
    pub model_id: String,
    /// Time per stage.
    pub times: StageTimes,
}

/// What a search gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieval {
    /// The hits, best first.
    pub hits: Vec<Hit>,
    /// Epoch that was searched.
    pub epoch: Epoch,
    /// Chunks that this epoch sees and the caller may find.
    pub chunk_count: usize,
    /// Time per stage.
    pub times: StageTimes,
    /// How it was searched.
    pub plan: RetrievalPlan,
    /// Whether the result was known from an earlier search; hits and plan are those of that search.
    pub is_cached: bool,
}

/// How a search was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetrievalPlan {
    /// Chunks that the epoch sees and the caller may find.
    pub visible_chunks: usize,
    /// Those of them that pass the filter.
    pub accepted_chunks: usize,
    /// Whether the set of accepted chunks was known from an earlier search.
    pub is_cached: bool,
    /// What each leg did.
    pub work: LegsWork,
}

/// What one of several searches gave.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundHits {
    /// The hits, best first.
    pub hits: Vec<Hit>,
    /// Whether they were known from an earlier search.
    pub is_cached: bool,
}

/// What several searches of one epoch gave.
#[derive(Debug)]
pub struct BatchRetrieval {
    /// What each query found, or why it failed, in the order of the queries.
    pub results: Vec<Result<FoundHits, Error>>,
    /// Epoch that was searched.
    pub epoch: Epoch,
    /// Time per stage, of all queries together.
    pub times: StageTimes,
}

/// Asks why a document is not among the results of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct MissingQuestion {
    /// The query.
    pub query: Query,
    /// The document.
    pub document_id: DocumentId,
    /// One chunk of it; else the one that came farthest.
    pub chunk_id: Option<ChunkId>,
    /// Which epoch to read.
    pub at: ReadAt,
}

/// Where a document was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingStage {
    /// It is among the results.
    Found,
    /// No revision of it is known.
    NoSuchDocument,
    /// The epoch does not see it.
    NotVisible,
    /// It has no text.
    NoChunks,
    /// The filter does not let it through.
    FilteredOut,
    /// None of the query's terms stand in it, and no other leg was asked.
    NoMatchingTerms,
    /// It ranks beyond the candidates of each leg.
    NotListed,
    /// The walk over the graph did not reach it.
    NotReached,
    /// Its score is below the threshold.
    BelowThreshold,
    /// It was folded into a passage of another document.
    NearDuplicate,
    /// Better chunks of its document took its places.
    GroupedAway,
    /// Reranking moved it behind the results.
    Reranked,
    /// Diversity chose others.
    NotDiverse,
    /// Enough others stand before it.
    CutOff,
}

/// How a chunk stands in one leg.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExactLeg {
    /// The leg.
    pub leg: Leg,
    /// Rank and score among all chunks that may be found; nothing when no term matches.
    pub exact: Option<ExactRank>,
    /// Whether the leg's own list had it.
    pub is_listed: bool,
    /// Candidates that the leg was asked for.
    pub candidates: usize,
}

/// What is to be done with a field of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SuggestedChange {
    /// Set it to this number or a larger one.
    AtLeast(f64),
    /// Set it to this number or a smaller one.
    AtMost(f64),
    /// Leave it out.
    Remove,
    /// Set it to true.
    Set,
}

/// A change of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// Path of the field.
    pub field: String,
    /// What to do with it.
    pub change: SuggestedChange,
    /// The change as a sentence for people.
    pub text: String,
}

/// Why a document is not among the results of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Missing {
    /// Where it was lost.
    pub stage: MissingStage,
    /// The reason as a sentence for people.
    pub reason: String,
    /// The chunk that came farthest.
    pub chunk_id: Option<ChunkId>,
    /// Its rank among the results.
    pub rank: Option<u32>,
    /// How it stands in each leg that took part.
    pub legs: Vec<ExactLeg>,
    /// Its place after fusion.
    pub fused_rank: Option<u32>,
    /// What reranking did.
    pub rerank: Option<RerankEffect>,
    /// Its score after fusion, reranking, boosts and recency.
    pub score: f64,
    /// Its place in the list that was cut.
    pub place_before_cut: Option<u32>,
    /// The chunk that took its place, with its document.
    pub other: Option<(ChunkId, DocumentId)>,
    /// Conditions of the filter.
    pub filter: Vec<FilterOutcome>,
    /// Epochs that see the document, where this one does not.
    pub visible: Vec<EpochRange>,
    /// Changes that together bring it in.
    pub suggestions: Vec<Suggestion>,
    /// Epoch that was searched.
    pub epoch: Epoch,
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
    /// The published epoch when the answer ended.
    pub current_epoch: Epoch,
    /// Numbers of the references whose documents were replaced or deleted while the answer was made.
    pub outdated_references: Vec<u32>,
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
