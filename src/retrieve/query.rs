//! A query that is valid once built.

use std::borrow::Cow;

use super::options::Options;
use crate::document::metadata::{MAX_KEY_BYTES, MAX_LIST_MEMBERS, MAX_STRING_BYTES, Metadata, MetadataValue};

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

    /// Fails with what is wrong when the filter is not within all limits.
    pub fn check(&self) -> Result<(), String> {
        check_filter(self, 1)
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
    /// Weight of the dense leg, 0 to 1.
    pub dense_weight: f64,
    /// How scores are made, and what becomes of the candidates.
    pub options: Options,
    /// Whether each hit tells how its score came about.
    pub explain: bool,
}

const TEXT: &str = "retrieval_query.text";
const NUMBER_OF_RESULTS: &str = "retrieval_configuration.vector_search_configuration.number_of_results";
const FILTER: &str = "retrieval_configuration.vector_search_configuration.filter";
const SCORE_THRESHOLD: &str = "retrieval_configuration.vector_search_configuration.score_threshold";
const DENSE_WEIGHT: &str = "retrieval_configuration.vector_search_configuration.dense_weight";

impl Query {
    /// Returns a query for these words with the default of everything else.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            limit: DEFAULT_RESULTS,
            search_type: SearchType::default(),
            filter: None,
            score_threshold: None,
            dense_weight: DEFAULT_DENSE_WEIGHT,
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
        if !(0.0..=1.0).contains(&self.dense_weight) {
            let reason = format!("the weight of the dense leg is 0 to 1, not {}", self.dense_weight);
            return refuse(DENSE_WEIGHT, reason);
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

fn check_filter(filter: &Filter, depth: usize) -> Result<(), String> {
    // Asked first, so that a deep filter is not walked to its end.
    if depth > MAX_FILTER_DEPTH {
        return Err(format!("a filter is nested at most {MAX_FILTER_DEPTH} deep"));
    }
    match filter {
        Filter::Equals(key, value) | Filter::NotEquals(key, value) => check_attribute(key, value),
        Filter::AndAll(filters) | Filter::OrAll(filters) if filters.len() < 2 => Err(format!(
            "and_all and or_all join at least two conditions, this one has {}",
            filters.len()
        )),
        Filter::AndAll(filters) | Filter::OrAll(filters) => {
            filters.iter().try_for_each(|filter| check_filter(filter, depth + 1))
        }
    }
}

fn check_attribute(key: &str, value: &MetadataValue) -> Result<(), String> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(format!(
            "a metadata key has 1 to {MAX_KEY_BYTES} bytes, `{key}` has {}",
            key.len()
        ));
    }
    let strings = match value {
        MetadataValue::String(string) => std::slice::from_ref(string),
        MetadataValue::StringList(list) if list.len() > MAX_LIST_MEMBERS => {
            return Err(format!(
                "a list of `{key}` has at most {MAX_LIST_MEMBERS} members, not {}",
                list.len()
            ));
        }
        MetadataValue::StringList(list) => list,
        MetadataValue::Number(number) if !number.is_finite() => {
            return Err(format!("`{key}` is compared with {number}, which no document has"));
        }
        MetadataValue::Number(_) | MetadataValue::Boolean(_) => &[],
    };
    match strings.iter().find(|string| string.len() > MAX_STRING_BYTES) {
        Some(long) => Err(format!(
            "a string of `{key}` has at most {MAX_STRING_BYTES} bytes, not {}",
            long.len()
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
