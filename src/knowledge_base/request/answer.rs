//! Questions, and what made an answer.

use super::ImplicitFilter;
use super::epoch::ReadAt;
use super::retrieval::StageTimes;
use crate::generate::{GenerationSummary, Inference};
use crate::index::Epoch;
use crate::retrieve::Query;
use crate::worker::ServiceTier;

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
    /// How soon the answer is wanted.
    pub service_tier: ServiceTier,
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
    /// What was derived from the question, where that was asked for.
    pub implicit_filter: Option<ImplicitFilter>,
    /// Parts that were searched for beside the question.
    pub transformed_queries: Vec<String>,
}
