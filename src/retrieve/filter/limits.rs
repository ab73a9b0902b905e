//! Limits of filters.

use super::{Condition, Filter, MAX_CONDITIONS, MAX_FILTER_DEPTH, Shape};
use crate::document::metadata::{MAX_KEY_BYTES, MAX_LIST_MEMBERS, MAX_STRING_BYTES, MetadataValue};

impl Filter {
    /// Fails with what is wrong when the filter is not within all limits, or compares with a value of a type that its
    /// operator does not take.
    pub fn check(&self) -> Result<(), String> {
        let mut conditions = 0;
        check(self, 1, &mut conditions)
    }
}

fn check(filter: &Filter, depth: usize, conditions: &mut usize) -> Result<(), String> {
    // Asked first, so that a deep filter is not walked to its end.
    if depth > MAX_FILTER_DEPTH {
        return Err(format!("a filter is nested at most {MAX_FILTER_DEPTH} deep"));
    }
    *conditions += 1;
    if *conditions > MAX_CONDITIONS {
        return Err(format!("a filter has at most {MAX_CONDITIONS} conditions"));
    }
    match filter.shape() {
        Shape::Compare(condition) => check_key(condition.key).and_then(|()| check_value(&condition)),
        Shape::Exists(key) => check_key(key),
        Shape::Not(filter) => check(filter, depth + 1, conditions),
        Shape::All(filters) | Shape::Any(filters) if filters.len() < 2 => Err(format!(
            "and_all and or_all join at least two conditions, this one has {}",
            filters.len()
        )),
        Shape::All(filters) | Shape::Any(filters) => filters
            .iter()
            .try_for_each(|filter| check(filter, depth + 1, conditions)),
    }
}

fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(format!(
            "a metadata key has 1 to {MAX_KEY_BYTES} bytes, `{key}` has {}",
            key.len()
        ));
    }
    Ok(())
}

fn check_value(condition: &Condition<'_>) -> Result<(), String> {
    let Condition {
        comparison, key, value, ..
    } = condition;
    let name = comparison.name(condition.is_negative);
    if comparison.comparable(value.kind()).is_empty() {
        return Err(format!(
            "{name} takes {}, `{key}` is compared with a {}",
            comparison.values(),
            value.kind()
        ));
    }
    match value.members() {
        Some(0) if name.ends_with("in") => {
            return Err(format!(
                "{name} takes a list of at least one value, that of `{key}` is empty"
            ));
        }
        Some(count) if count > MAX_LIST_MEMBERS => {
            return Err(format!(
                "a list of `{key}` has at most {MAX_LIST_MEMBERS} members, not {count}"
            ));
        }
        _ => {}
    }
    if let Some(number) = value.numbers().iter().find(|number| !number.is_finite()) {
        return Err(format!("`{key}` is compared with {number}, which no document has"));
    }
    match long_string(value) {
        Some(bytes) => Err(format!(
            "a string of `{key}` has at most {MAX_STRING_BYTES} bytes, not {bytes}"
        )),
        None => Ok(()),
    }
}

/// Returns the length of the first string that is too long.
fn long_string(value: &MetadataValue) -> Option<usize> {
    let lengths = value.strings().iter().map(String::len);
    lengths.into_iter().find(|bytes| *bytes > MAX_STRING_BYTES)
}
