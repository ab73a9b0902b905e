//! Documents that are missed: where they were lost, and what would bring them in.

use super::ImplicitFilter;
use super::epoch::ReadAt;
use crate::document::DocumentId;
use crate::index::{ChunkId, Epoch, ExactRank};
use crate::retrieve::stage::RerankEffect;
use crate::retrieve::{FilterOutcome, Leg, Query};
use crate::store::EpochRange;

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
    /// Set it to this number.
    Exactly(f64),
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
    /// What was derived from the question, where that was asked for.
    pub implicit_filter: Option<ImplicitFilter>,
}
