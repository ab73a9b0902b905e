//! A query that is valid once built.

use std::borrow::Cow;

use super::Filter;
use super::options::Options;
use crate::document::access::UserContext;

/// Most hits of a query.
pub const MAX_RESULTS: usize = 1_000;
/// Hits when the caller does not say.
pub const DEFAULT_RESULTS: usize = 5;
/// Longest query in characters.
pub const MAX_QUERY_CHARS: usize = 20_000;
/// Weight of the best hit beside the query in the dense leg when the caller does not say; found on training queries.
pub const DEFAULT_FEEDBACK_WEIGHT: f64 = 0.2;

/// Which legs answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SearchType {
    /// Both, fused.
    #[default]
    Hybrid,
    /// Vectors only.
    Semantic,
    /// Keywords only.
    Keyword,
}

/// Why a query is refused. `field` is the path in the request.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidQuery {
    /// Path of the field.
    pub field: Cow<'static, str>,
    /// What is wrong with it: the limit and the value.
    pub reason: String,
}

/// A checked query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The words: 1 to [`MAX_QUERY_CHARS`] characters, not only white space.
    pub text: String,
    /// Hits wanted, 1 to [`MAX_RESULTS`].
    pub limit: usize,
    /// Which legs answer.
    pub search_type: SearchType,
    /// Which documents may be found.
    pub filter: Option<Filter>,
    /// Hits below this are left out.
    pub score_threshold: Option<f64>,
    /// Weight of the dense leg, 0 to 1. Without one it is [`DEFAULT_DENSE_WEIGHT`](super::DEFAULT_DENSE_WEIGHT), or less
    /// where the embedding model does not know the language of the query.
    pub dense_weight: Option<f64>,
    /// Weight of the best hit beside the query in the dense leg, 0 to 1, under [`SearchType::Hybrid`].
    pub feedback_weight: f64,
    /// Whether the dense leg scores all chunks that may be found, whatever it takes.
    pub exact: bool,
    /// Who asks; nothing when that is not known.
    pub caller: Option<UserContext>,
    /// How scores are made, and what becomes of the candidates.
    pub options: Options,
    /// Whether each hit tells how its score came about.
    pub explain: bool,
}

const TEXT: &str = "retrieval_query.text";
const NUMBER_OF_RESULTS: &str = "retrieval_configuration.vector_search_configuration.number_of_results";
/// Path of the filter in a request.
pub const FILTER: &str = "retrieval_configuration.vector_search_configuration.filter";
/// Path of what says how a filter is derived.
pub const IMPLICIT_FILTER: &str = "retrieval_configuration.vector_search_configuration.implicit_filter_configuration";
/// Path of what says how the question is transformed.
pub const QUERY_TRANSFORMATION: &str =
    "retrieval_configuration.vector_search_configuration.query_transformation_configuration";
const SCORE_THRESHOLD: &str = "retrieval_configuration.vector_search_configuration.score_threshold";
const DENSE_WEIGHT: &str = "retrieval_configuration.vector_search_configuration.dense_weight";
const FEEDBACK_WEIGHT: &str = "retrieval_configuration.vector_search_configuration.feedback_weight";

impl Query {
    /// Returns a query for these words with the default of everything else.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            limit: DEFAULT_RESULTS,
            search_type: SearchType::default(),
            filter: None,
            score_threshold: None,
            dense_weight: None,
            feedback_weight: DEFAULT_FEEDBACK_WEIGHT,
            exact: false,
            caller: None,
            options: Options::default(),
            explain: false,
        }
    }

    /// Returns the query if it is within all limits.
    pub fn check(self) -> Result<Self, InvalidQuery> {
        let refuse = |field: &'static str, reason| {
            let field = field.into();
            Err(InvalidQuery { field, reason })
        };
        if self.text.trim().is_empty() {
            return refuse(TEXT, "the query has no words: give it some".to_owned());
        }
        let chars = self.text.chars().count();
        if chars > MAX_QUERY_CHARS {
            let reason = format!("a query has at most {MAX_QUERY_CHARS} characters, this one has {chars}");
            return refuse(TEXT, reason);
        }
        if !(1..=MAX_RESULTS).contains(&self.limit) {
            let reason = format!("1 to {MAX_RESULTS} results can be asked for, not {}", self.limit);
            return refuse(NUMBER_OF_RESULTS, reason);
        }
        if let Some(weight) = self.dense_weight
            && !(0.0..=1.0).contains(&weight)
        {
            let reason = format!("the weight of the dense leg is 0 to 1, not {weight}");
            return refuse(DENSE_WEIGHT, reason);
        }
        if !(0.0..=1.0).contains(&self.feedback_weight) {
            let reason = format!("the weight of the best hit is 0 to 1, not {}", self.feedback_weight);
            return refuse(FEEDBACK_WEIGHT, reason);
        }
        if let Some(threshold) = self.score_threshold
            && !threshold.is_finite()
        {
            let reason = format!("the score threshold is a finite number, not {threshold}");
            return refuse(SCORE_THRESHOLD, reason);
        }
        if let Some(filter) = &self.filter {
            let field = FILTER.into();
            filter.check().map_err(|reason| InvalidQuery { field, reason })?;
        }
        self.options.check()?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
