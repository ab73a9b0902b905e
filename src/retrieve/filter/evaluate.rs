//! A filter as a set of rows of the attribute index: what [`Filter::accepts`] says of every revision at once.

use super::compare::Comparison;
use super::{Condition, Filter, Shape};
use crate::document::metadata::MetadataValue;
use crate::index::{AttributeIndex, RowSet};

impl Filter {
    /// Returns the rows of the revisions that may be found.
    pub fn rows(&self, index: &AttributeIndex) -> RowSet {
        match self.shape() {
            Shape::Compare(condition) => condition.rows(index),
            Shape::Exists(key) => index.having(key),
            Shape::Not(filter) => filter.rows(index).opposite(),
            Shape::All(filters) => {
                let mut rows = index.all();
                for filter in filters {
                    rows.and(&filter.rows(index));
                }
                rows
            }
            Shape::Any(filters) => {
                let mut rows = index.none();
                for filter in filters {
                    rows.or(&filter.rows(index));
                }
                rows
            }
        }
    }
}

impl Condition<'_> {
    fn rows(&self, index: &AttributeIndex) -> RowSet {
        let rows = self.positive_rows(index);
        if self.is_negative { rows.opposite() } else { rows }
    }

    fn positive_rows(&self, index: &AttributeIndex) -> RowSet {
        let Self {
            comparison, key, value, ..
        } = *self;
        let kinds = comparison.comparable(value.kind());
        if kinds.is_empty() {
            return index.none();
        }
        match (comparison, value) {
            (Comparison::In, MetadataValue::StringList(list)) => index.equal_strings(key, kinds, list),
            (Comparison::In, MetadataValue::NumberList(list)) => {
                index.numbers(key, kinds, |number| list.contains(&number))
            }
            (Comparison::StartsWith | Comparison::StringContains, MetadataValue::String(wanted)) => {
                index.strings(key, kinds, |string| comparison.holds_of_string(string, wanted))
            }
            (_, MetadataValue::String(wanted)) => index.equal_strings(key, kinds, std::slice::from_ref(wanted)),
            (_, MetadataValue::Number(wanted)) => {
                index.numbers(key, kinds, |number| comparison.holds_of(&number, wanted))
            }
            (_, MetadataValue::Date(wanted)) => index.dates(key, |date| comparison.holds_of(&date, wanted)),
            (_, MetadataValue::Boolean(_) | MetadataValue::StringList(_) | MetadataValue::NumberList(_)) => {
                index.whole(key, value)
            }
        }
    }
}
