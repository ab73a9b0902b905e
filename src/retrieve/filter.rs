//! Which documents may be found, by their attributes.
//!
//! The operators are those of Amazon Bedrock's retrieval filters. A comparison with a list attribute holds when it holds
//! for one of the members. The negative operators (`not_equals`, `not_in`, `not`) are the exact complements of the
//! positive ones, so that they accept documents that lack the attribute.

mod compare;
mod evaluate;
mod known;
mod limits;

use crate::document::metadata::{Metadata, MetadataValue};
use compare::Comparison;

pub use known::{Known, UnfitFilter};

/// Deepest nesting of a filter.
pub const MAX_FILTER_DEPTH: usize = 8;
/// Most conditions of a filter, nested ones counted.
pub const MAX_CONDITIONS: usize = 1_000;

/// Which documents may be found.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The attribute equals the value; a list equals a string or number when one of its members does.
    Equals(String, MetadataValue),
    /// The attribute differs, or is not there.
    NotEquals(String, MetadataValue),
    /// The number or date is above the value.
    GreaterThan(String, MetadataValue),
    /// The number or date is the value or above it.
    GreaterThanOrEquals(String, MetadataValue),
    /// The number or date is below the value.
    LessThan(String, MetadataValue),
    /// The number or date is the value or below it.
    LessThanOrEquals(String, MetadataValue),
    /// The attribute equals a member of the value, which is a list.
    In(String, MetadataValue),
    /// The attribute equals no member of the value, or is not there.
    NotIn(String, MetadataValue),
    /// The string begins with the value.
    StartsWith(String, MetadataValue),
    /// The attribute is a list that holds the value.
    ListContains(String, MetadataValue),
    /// The value is a part of the string, or of a string in the list.
    StringContains(String, MetadataValue),
    /// The attribute is there, whatever its value.
    Exists(String),
    /// The condition does not hold.
    Not(Box<Filter>),
    /// All hold.
    AndAll(Vec<Filter>),
    /// One holds.
    OrAll(Vec<Filter>),
}

/// A condition, taken apart.
enum Shape<'a> {
    Compare(Condition<'a>),
    Exists(&'a str),
    Not(&'a Filter),
    All(&'a [Filter]),
    Any(&'a [Filter]),
}

/// A comparison of an attribute with a value.
#[derive(Clone, Copy)]
struct Condition<'a> {
    comparison: Comparison,
    key: &'a str,
    value: &'a MetadataValue,
    /// Whether it is the opposite that is wanted.
    is_negative: bool,
}

impl Filter {
    /// Returns whether a document of these attributes may be found.
    pub fn accepts(&self, metadata: &Metadata) -> bool {
        match self.shape() {
            Shape::Compare(condition) => {
                let found = metadata.get(condition.key);
                found.is_some_and(|found| condition.comparison.holds(found, condition.value)) != condition.is_negative
            }
            Shape::Exists(key) => metadata.contains_key(key),
            Shape::Not(filter) => !filter.accepts(metadata),
            Shape::All(filters) => filters.iter().all(|filter| filter.accepts(metadata)),
            Shape::Any(filters) => filters.iter().any(|filter| filter.accepts(metadata)),
        }
    }

    fn shape(&self) -> Shape<'_> {
        let (comparison, key, value, is_negative) = match self {
            Self::Equals(key, value) => (Comparison::Equals, key, value, false),
            Self::NotEquals(key, value) => (Comparison::Equals, key, value, true),
            Self::GreaterThan(key, value) => (Comparison::GreaterThan, key, value, false),
            Self::GreaterThanOrEquals(key, value) => (Comparison::GreaterThanOrEquals, key, value, false),
            Self::LessThan(key, value) => (Comparison::LessThan, key, value, false),
            Self::LessThanOrEquals(key, value) => (Comparison::LessThanOrEquals, key, value, false),
            Self::In(key, value) => (Comparison::In, key, value, false),
            Self::NotIn(key, value) => (Comparison::In, key, value, true),
            Self::StartsWith(key, value) => (Comparison::StartsWith, key, value, false),
            Self::ListContains(key, value) => (Comparison::ListContains, key, value, false),
            Self::StringContains(key, value) => (Comparison::StringContains, key, value, false),
            Self::Exists(key) => return Shape::Exists(key),
            Self::Not(filter) => return Shape::Not(filter),
            Self::AndAll(filters) => return Shape::All(filters),
            Self::OrAll(filters) => return Shape::Any(filters),
        };
        Shape::Compare(Condition {
            comparison,
            key,
            value,
            is_negative,
        })
    }
}

#[cfg(test)]
mod tests;
