//! Whether what a filter asks for can be answered at all: a key that nobody knows, or a value of another type, would
//! silently find nothing, or everything.

use super::compare::Comparison;
use super::{Condition, Filter, Shape};
use crate::document::metadata::AttributeType;
use crate::document::schema::MetadataSchema;
use crate::index::{AttributeIndex, RowSet};

/// Known keys that an error names.
const NAMED_KEYS: usize = 3;
/// Longest part of a key that is compared with others, in characters.
const COMPARED_CHARS: usize = 64;

/// Why a filter cannot be answered by the documents that are there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitFilter {
    /// No document has the attribute, and none is declared.
    #[error("no document has the attribute `{key}`{}", suggestion(nearest))]
    UnknownKey {
        /// The key.
        key: String,
        /// Known ones that look like it, the nearest first.
        nearest: Vec<String>,
    },
    /// The attribute has types that are not compared so.
    #[error("`{key}` is a {}, {}", names(known), clash(operator, known, *value))]
    OtherType {
        /// The key.
        key: String,
        /// The operator, as requests name it.
        operator: &'static str,
        /// Types that the attribute has.
        known: Vec<AttributeType>,
        /// Type of the value that it is compared with.
        value: AttributeType,
    },
    /// The attribute has no type that says a date.
    #[error("`{key}` is a {}, which says no date", names(known))]
    NoDate {
        /// The key.
        key: String,
        /// Types that the attribute has.
        known: Vec<AttributeType>,
    },
}

impl Known<'_> {
    /// Fails when an attribute is unknown, or is never a date.
    pub fn check_dated(&self, key: &str) -> Result<(), UnfitFilter> {
        let known = self.types(key)?;
        let may_be_date = |kind| {
            matches!(
                kind,
                AttributeType::Date | AttributeType::String | AttributeType::Number
            )
        };
        if known.is_empty() || known.iter().any(|kind| may_be_date(*kind)) {
            return Ok(());
        }
        Err(UnfitFilter::NoDate {
            key: key.to_owned(),
            known,
        })
    }
}

fn suggestion(nearest: &[String]) -> String {
    match nearest {
        [] => ", and none has any that could be meant".to_owned(),
        _ => format!("; the nearest that is known: `{}`", nearest.join("`, `")),
    }
}

fn clash(operator: &str, known: &[AttributeType], value: AttributeType) -> String {
    let is_list = |kind: &AttributeType| matches!(kind, AttributeType::StringList | AttributeType::NumberList);
    if operator == Comparison::ListContains.name(false) && !known.iter().any(is_list) {
        return format!("no list, and {operator} looks into lists only");
    }
    format!("which {operator} does not compare with a {value}")
}

fn names(types: &[AttributeType]) -> String {
    let names: Vec<&str> = types.iter().map(|kind| kind.name()).collect();
    names.join(" or ")
}

/// What is known of attributes: those that are declared, and those of the revisions that are kept.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The attributes of revisions.
    pub index: &'a AttributeIndex,
    /// Those that are declared.
    pub schema: &'a MetadataSchema,
    /// The rows that the caller may find; nothing for all. What others have is not known to the caller.
    pub within: Option<&'a RowSet>,
}

impl Filter {
    /// Fails when a key is unknown, or has no type that is compared with the value. Where there are no documents, and so
    /// nothing is known, every key that is not declared is taken.
    pub fn check_known(&self, known: &Known<'_>) -> Result<(), UnfitFilter> {
        match self.shape() {
            Shape::Compare(condition) => {
                let types = known.types(condition.key)?;
                condition.check_types(types)
            }
            Shape::Exists(key) => known.types(key).map(drop),
            Shape::Not(filter) => filter.check_known(known),
            Shape::All(filters) | Shape::Any(filters) => {
                filters.iter().try_for_each(|filter| filter.check_known(known))
            }
        }
    }
}

impl Condition<'_> {
    fn check_types(&self, known: Vec<AttributeType>) -> Result<(), UnfitFilter> {
        let comparable = self.comparison.comparable(self.value.kind());
        if known.is_empty() || known.iter().any(|kind| comparable.contains(kind)) {
            return Ok(());
        }
        Err(UnfitFilter::OtherType {
            key: self.key.to_owned(),
            operator: self.comparison.name(self.is_negative),
            known,
            value: self.value.kind(),
        })
    }
}

impl Known<'_> {
    /// Returns the types of an attribute; none where nothing is known of any.
    fn types(&self, key: &str) -> Result<Vec<AttributeType>, UnfitFilter> {
        let mut types = self.index.types(key, self.within);
        if let Some(declared) = self.schema.kind(key)
            && !types.contains(&declared)
        {
            types.push(declared);
        }
        if types.is_empty() && (self.schema.is_strict || self.index.is_any(self.within)) {
            return Err(UnfitFilter::UnknownKey {
                key: key.to_owned(),
                nearest: self.nearest(key),
            });
        }
        Ok(types)
    }

    fn nearest(&self, key: &str) -> Vec<String> {
        let declared = self.schema.attributes.iter().map(|attribute| attribute.key.as_str());
        let mut keys: Vec<(usize, &str)> = self
            .index
            .keys(self.within)
            .chain(declared)
            .map(|known| (distance(key, known), known))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .take(NAMED_KEYS)
            .map(|(_, known)| known.to_owned())
            .collect()
    }
}

/// Returns how many characters have to be put in, taken out or replaced to make one text of the other (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let fold = |text: &str| -> Vec<char> { text.chars().flat_map(char::to_lowercase).take(COMPARED_CHARS).collect() };
    let (left, right) = (fold(left), fold(right));
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, from) in left.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (place, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(row[place] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
