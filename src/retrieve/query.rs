//! A query that is valid once built.

use crate::document::metadata::{Metadata, MetadataValue};

/// Most hits of a query.
pub const MAX_RESULTS: usize = 1_000;
/// Hits when the caller does not say.
pub const DEFAULT_RESULTS: usize = 5;
/// Longest query in characters.
pub const MAX_QUERY_CHARS: usize = 20_000;
/// Weight of the dense leg when the caller does not say; found on training queries.
pub const DEFAULT_DENSE_WEIGHT: f64 = 0.75;
/// Deepest nesting of a filter.
pub const MAX_FILTER_DEPTH: usize = 8;

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

/// Which documents may be found.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The attribute equals the value; a list equals a string when one of its members does.
    Equals(String, MetadataValue),
    /// The attribute differs, or is not there.
    NotEquals(String, MetadataValue),
    /// All hold.
    AndAll(Vec<Filter>),
    /// One holds.
    OrAll(Vec<Filter>),
}

impl Filter {
    /// Returns whether a document of these attributes may be found.
    pub fn accepts(&self, metadata: &Metadata) -> bool {
        match self {
            Self::Equals(key, value) => metadata.get(key).is_some_and(|found| equals(found, value)),
            Self::NotEquals(key, value) => !metadata.get(key).is_some_and(|found| equals(found, value)),
            Self::AndAll(filters) => filters.iter().all(|filter| filter.accepts(metadata)),
            Self::OrAll(filters) => filters.iter().any(|filter| filter.accepts(metadata)),
        }
    }
}

fn equals(found: &MetadataValue, wanted: &MetadataValue) -> bool {
    match (found, wanted) {
        (MetadataValue::StringList(members), MetadataValue::String(wanted)) => members.contains(wanted),
        _ => found == wanted,
    }
}

/// Why a query is refused. `field` is the path in the request.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidQuery {
    /// Path of the field.
    pub field: &'static str,
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
    /// Weight of the dense leg, 0 to 1.
    pub dense_weight: f64,
}

impl Query {
    /// Returns a query for these words, with the default of everything else.
    pub fn new(text: String) -> Self {
        Self {
            text,
            limit: DEFAULT_RESULTS,
            search_type: SearchType::default(),
            filter: None,
            score_threshold: None,
            dense_weight: DEFAULT_DENSE_WEIGHT,
        }
    }

    /// Fails when a part is out of its bounds.
    pub fn check(&self) -> Result<(), InvalidQuery> {
        let characters = self.text.chars().count();
        if self.text.trim().is_empty() || characters > MAX_QUERY_CHARS {
            return Err(InvalidQuery {
                field: "retrieval_query.text",
                reason: format!("must have 1 to {MAX_QUERY_CHARS} characters, has {characters}"),
            });
        }
        if !(1..=MAX_RESULTS).contains(&self.limit) {
            return Err(InvalidQuery {
                field: "number_of_results",
                reason: format!("must be 1 to {MAX_RESULTS}, is {}", self.limit),
            });
        }
        if !(0.0..=1.0).contains(&self.dense_weight) {
            return Err(InvalidQuery {
                field: "dense_weight",
                reason: format!("must be 0 to 1, is {}", self.dense_weight),
            });
        }
        Ok(())
    }
}
