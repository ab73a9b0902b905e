//! Searches: what they gave, and how.

use std::time::Duration;

pub use crate::generate::RejectedClause;
use crate::index::Epoch;
use crate::knowledge_base::Error;
use crate::retrieve::{Filter, Hit, LegsWork};

/// Most queries of a batch.
pub const MAX_BATCH_QUERIES: usize = 64;

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
    /// Asking a language model what the question asks for.
    pub transform: Duration,
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
    /// What was derived from the question, where that was asked for.
    pub implicit_filter: Option<ImplicitFilter>,
    /// Parts that were searched for beside the question.
    pub transformed_queries: Vec<String>,
}

/// A filter that was derived from a question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImplicitFilter {
    /// The filter, beside the caller's own; nothing when the question asks for no restriction.
    pub filter: Option<Filter>,
    /// Language model that judged; empty when none was asked.
    pub model_id: String,
    /// Clauses that were left out, in the order of the question.
    pub rejected: Vec<RejectedClause>,
    /// Tokens that the model read.
    pub input_tokens: u64,
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
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FoundHits {
    /// The hits, best first.
    pub hits: Vec<Hit>,
    /// Whether they were known from an earlier search.
    pub is_cached: bool,
    /// What was derived from the question, where that was asked for.
    pub implicit_filter: Option<ImplicitFilter>,
    /// Parts that were searched for beside the question.
    pub transformed_queries: Vec<String>,
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
