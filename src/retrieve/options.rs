//! What a query may ask for beyond the words: how scores are made, and what becomes of the candidates.

use std::time::Duration;

use super::Filter;
use super::query::InvalidQuery;
use crate::document::metadata::MAX_KEY_BYTES;
use crate::document::schema::{DeclaredAttribute, MetadataSchema};

/// Most candidates that a caller may ask of each leg.
pub const MAX_CANDIDATES_PER_LEG: usize = 1_000;
/// Least candidates of each leg where a later stage chooses among them: what one leg ranks low, the other may lift.
pub const MIN_CANDIDATES: usize = 100;
/// Most candidates that each leg lists by itself while later stages leave too few results.
pub const MAX_LISTED_DEEPER: usize = 10_000;
/// Weight of relevance under diversity when the caller does not say.
pub const DEFAULT_LAMBDA: f64 = 0.5;
/// Most chunks of one document under grouping.
pub const MAX_CHUNKS_PER_DOCUMENT: usize = 100;
/// Similarity of near duplicates when the caller does not say: one changed word in about sixty.
pub const DEFAULT_DUPLICATE_SIMILARITY: f64 = 0.9;
/// Most chunks before and after a hit.
pub const MAX_NEIGHBORS: usize = 8;
/// Least bytes of a context.
pub const MIN_CONTEXT_BYTES: usize = 256;
/// Most bytes of a context.
pub const MAX_CONTEXT_BYTES: usize = 65_536;
/// Bytes of a context when the caller does not say.
pub const DEFAULT_CONTEXT_BYTES: usize = 8_192;
/// Most boosts of a query.
pub const MAX_BOOSTS: usize = 32;
/// Largest factor of a boost.
pub const MAX_BOOST_FACTOR: f64 = 1_000.0;
/// Share of a score that never fades when the caller does not say.
pub const DEFAULT_RECENCY_FLOOR: f64 = 0.5;

/// Most attributes that a query names for a derived filter.
pub const MAX_IMPLICIT_ATTRIBUTES: usize = 25;

/// Most candidates that are reranked.
pub const MAX_RERANKED: usize = 100;
/// Candidates that are reranked when the caller does not say and wants no more results.
pub const DEFAULT_RERANKED: usize = 10;
/// Weight of late interaction beside the fused score when the caller does not say; found on training queries.
pub const DEFAULT_RERANK_WEIGHT: f64 = 0.8;

/// How the scores of both legs become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FusionMethod {
    /// The weighted sum of scores.
    #[default]
    WeightedSum,
    /// The weighted sum of inverse ranks.
    ReciprocalRank,
}

/// How far the text around a hit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// This many chunks before and after it.
    Neighbors(usize),
    /// All chunks around it under the same headings.
    Section,
}

/// Adds the text around each hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expansion {
    /// How far it goes.
    pub extent: Extent,
    /// Its bytes at most.
    pub max_bytes: usize,
}

/// Multiplies the scores of some documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Boost {
    /// Which documents.
    pub filter: Filter,
    /// Above 0, up to [`MAX_BOOST_FACTOR`].
    pub factor: f64,
}

/// Lets scores fade with the age of a date in the metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Recency {
    /// Name of the attribute.
    pub attribute_key: String,
    /// Age at which half of what can fade is gone; above 0.
    pub half_life: Duration,
    /// Share that never fades, 0 to 1.
    pub floor: f64,
}

/// Looks at the best candidates more closely, and orders them by what it finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rerank {
    /// How many of the best candidates; nothing for [`DEFAULT_RERANKED`], or as many as results are wanted.
    pub count: Option<usize>,
    /// Weight of what is found beside the score before, 0 to 1.
    pub weight: f64,
}

impl Default for Rerank {
    fn default() -> Self {
        Self {
            count: None,
            weight: DEFAULT_RERANK_WEIGHT,
        }
    }
}

impl Rerank {
    /// Returns how many candidates are looked at when `limit` results are wanted.
    pub fn count_for(self, limit: usize) -> usize {
        self.count.unwrap_or(DEFAULT_RERANKED.max(limit)).min(MAX_RERANKED)
    }
}

/// Lets a language model derive a filter from the question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImplicitFilterOptions {
    /// The language model; empty takes the server's.
    pub model_id: String,
    /// Attributes that may be restricted; none for those that the knowledge base declares.
    pub attributes: Vec<DeclaredAttribute>,
}

/// What is made of a question before the search, and searched for beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransformationKind {
    /// The parts of a question that asks for several things.
    Decomposition,
    /// The words of a chatty question that say what is asked for.
    Rewriting,
}

/// Lets a language model look at the question before the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryTransformation {
    /// What is made of the question.
    pub kind: TransformationKind,
    /// The language model; empty takes the server's.
    pub model_id: String,
}

impl QueryTransformation {
    /// Returns the transformation with the server's model.
    #[must_use]
    pub fn new(kind: TransformationKind) -> Self {
        Self {
            kind,
            model_id: String::new(),
        }
    }
}

/// What a query may ask for beyond the words. The default changes nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// How the legs are fused.
    pub fusion: FusionMethod,
    /// Candidates that each leg lists.
    pub candidates_per_leg: Option<usize>,
    /// A closer look at the best candidates.
    pub rerank: Option<Rerank>,
    /// Weight of relevance against difference, 0 to 1.
    pub diversity: Option<f64>,
    /// Chunks of one document at most.
    pub chunks_per_document: Option<usize>,
    /// Similarity from which passages of different documents are folded.
    pub near_duplicates: Option<f64>,
    /// Text around each hit.
    pub expansion: Option<Expansion>,
    /// Documents that are lifted or lowered.
    pub boosts: Vec<Boost>,
    /// Fading with age.
    pub recency: Option<Recency>,
    /// Whether places of the query's words are wanted.
    pub highlight: bool,
    /// A filter that is derived from the words.
    pub implicit_filter: Option<ImplicitFilterOptions>,
    /// What is made of the question.
    pub transformation: Option<QueryTransformation>,
}

const SEARCH: &str = "retrieval_configuration.vector_search_configuration";

impl Options {
    /// Returns whether scores or order change after fusion.
    pub fn has_stages(&self) -> bool {
        self.rerank.is_some() || self.changes_scores() || self.drops() || self.diversity.is_some()
    }

    /// Returns whether what is known of documents changes scores after fusion.
    pub fn changes_scores(&self) -> bool {
        !self.boosts.is_empty() || self.recency.is_some()
    }

    /// Returns whether a stage can leave fewer results than there are candidates.
    pub fn drops(&self) -> bool {
        self.chunks_per_document.is_some() || self.near_duplicates.is_some()
    }

    /// Fails with the field and what is wrong with it when something is beyond its limit.
    pub fn check(&self) -> Result<(), InvalidQuery> {
        let within = |name: &str, is_within: bool, reason: String| {
            if is_within { Ok(()) } else { Err(invalid(name, reason)) }
        };
        if let Some(count) = self.candidates_per_leg {
            let reason = format!("each leg can list 1 to {MAX_CANDIDATES_PER_LEG} candidates, not {count}");
            within(
                "candidates_per_leg",
                (1..=MAX_CANDIDATES_PER_LEG).contains(&count),
                reason,
            )?;
        }
        if let Some(rerank) = self.rerank {
            let count = rerank.count.unwrap_or(DEFAULT_RERANKED);
            let reason = format!("1 to {MAX_RERANKED} candidates can be reranked, not {count}");
            let is_within = (1..=MAX_RERANKED).contains(&count);
            within("reranking_configuration.number_of_reranked_results", is_within, reason)?;
            let reason = format!("the weight of reranking is 0 to 1, not {}", rerank.weight);
            let is_within = (0.0..=1.0).contains(&rerank.weight);
            within("reranking_configuration.weight", is_within, reason)?;
        }
        if let Some(lambda) = self.diversity {
            let reason = format!("the weight of relevance is 0 to 1, not {lambda}");
            within("diversity.lambda", (0.0..=1.0).contains(&lambda), reason)?;
        }
        if let Some(count) = self.chunks_per_document {
            let reason = format!("1 to {MAX_CHUNKS_PER_DOCUMENT} chunks of a document can be results, not {count}");
            let is_within = (1..=MAX_CHUNKS_PER_DOCUMENT).contains(&count);
            within("grouping.max_chunks_per_document", is_within, reason)?;
        }
        if let Some(similarity) = self.near_duplicates {
            let reason = format!("the similarity of near duplicates is above 0, up to 1, not {similarity}");
            within(
                "near_duplicates.similarity",
                similarity > 0.0 && similarity <= 1.0,
                reason,
            )?;
        }
        if let Some(expansion) = &self.expansion {
            check_expansion(*expansion)?;
        }
        check_boosts(&self.boosts)?;
        if let Some(implicit) = &self.implicit_filter {
            check_implicit_filter(implicit)?;
        }
        match &self.recency {
            Some(recency) => check_recency(recency),
            None => Ok(()),
        }
    }
}

fn invalid(name: &str, reason: String) -> InvalidQuery {
    InvalidQuery {
        field: format!("{SEARCH}.{name}").into(),
        reason,
    }
}

fn check_implicit_filter(implicit: &ImplicitFilterOptions) -> Result<(), InvalidQuery> {
    const FIELD: &str = "implicit_filter_configuration.metadata_attributes";
    let count = implicit.attributes.len();
    if count > MAX_IMPLICIT_ATTRIBUTES {
        let reason = format!("a derived filter restricts at most {MAX_IMPLICIT_ATTRIBUTES} attributes, not {count}");
        return Err(invalid(FIELD, reason));
    }
    let schema = MetadataSchema {
        attributes: implicit.attributes.clone(),
        is_strict: false,
    };
    schema.check().map_err(|refused| invalid(FIELD, refused.to_string()))
}

fn check_expansion(expansion: Expansion) -> Result<(), InvalidQuery> {
    if let Extent::Neighbors(count) = expansion.extent
        && count > MAX_NEIGHBORS
    {
        let reason = format!("0 to {MAX_NEIGHBORS} chunks before and after can be added, not {count}");
        return Err(invalid("context_expansion.neighbors", reason));
    }
    if !(MIN_CONTEXT_BYTES..=MAX_CONTEXT_BYTES).contains(&expansion.max_bytes) {
        let reason = format!(
            "a context has {MIN_CONTEXT_BYTES} to {MAX_CONTEXT_BYTES} bytes at most, not {}",
            expansion.max_bytes
        );
        return Err(invalid("context_expansion.max_bytes", reason));
    }
    Ok(())
}

fn check_boosts(boosts: &[Boost]) -> Result<(), InvalidQuery> {
    if boosts.len() > MAX_BOOSTS {
        let reason = format!("at most {MAX_BOOSTS} boosts are taken, there are {}", boosts.len());
        return Err(invalid("boosts", reason));
    }
    for (at, boost) in boosts.iter().enumerate() {
        if !(boost.factor > 0.0 && boost.factor <= MAX_BOOST_FACTOR) {
            let reason = format!("a factor is above 0, up to {MAX_BOOST_FACTOR}, not {}", boost.factor);
            return Err(invalid(&format!("boosts[{at}].factor"), reason));
        }
        boost
            .filter
            .check()
            .map_err(|reason| invalid(&format!("boosts[{at}].filter"), reason))?;
    }
    Ok(())
}

fn check_recency(recency: &Recency) -> Result<(), InvalidQuery> {
    let bytes = recency.attribute_key.len();
    if !(1..=MAX_KEY_BYTES).contains(&bytes) {
        let reason = format!("a metadata key has 1 to {MAX_KEY_BYTES} bytes, this one has {bytes}");
        return Err(invalid("recency.attribute_key", reason));
    }
    if recency.half_life.is_zero() {
        return Err(invalid("recency.half_life", "a half-life is above 0".to_owned()));
    }
    if !(0.0..=1.0).contains(&recency.floor) {
        let reason = format!("the share that never fades is 0 to 1, not {}", recency.floor);
        return Err(invalid("recency.floor", reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
