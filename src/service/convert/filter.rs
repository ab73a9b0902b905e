//! Filters and selections of documents off the wire.

use super::metadata::{value, wire_value};
use crate::document::DocumentId;
use crate::document::metadata::{MAX_KEY_BYTES, MetadataValue};
use crate::knowledge_base::{Error, FieldViolation, Selection};
use crate::retrieve::Filter;
use crate::retrieve::filter::MAX_FILTER_DEPTH;
use crate::service::pb;
use crate::service::pb::retrieval_filter::Condition;

const IDS: &str = "document_ids";
const FILTER: &str = "filter";
const SOURCE: &str = "source_name";

/// Returns which documents a request names: by ids, by filter or by source, exactly one of the three.
pub(in crate::service) fn selection(
    document_ids: Vec<String>,
    wire_filter: Option<pb::RetrievalFilter>,
    source_name: String,
) -> Result<Selection, Error> {
    match (document_ids.is_empty(), wire_filter, source_name.is_empty()) {
        (false, None, true) => ids(document_ids).map(Selection::Ids),
        (true, Some(wire), true) => filter(FILTER, wire).map(Selection::Filter),
        (true, None, false) => Ok(Selection::Source(source_name)),
        (true, None, true) => Err(Error::invalid(
            IDS,
            format!("exactly one of {IDS}, {FILTER} and {SOURCE} is required, none is set"),
        )),
        (no_ids, filter, no_source) => {
            let set = [(IDS, !no_ids), (FILTER, filter.is_some()), (SOURCE, !no_source)];
            let set = set.into_iter().filter_map(|(field, is_set)| is_set.then_some(field));
            Err(contradiction(&set.collect::<Vec<_>>()))
        }
    }
}

/// Returns the error of fields of which one alone may be set.
pub(super) fn contradiction(fields: &[&str]) -> Error {
    let named = fields.join(" and ");
    let mut error = Error::invalid(named.as_str(), "only one of them may be set");
    let violation = |field: &&str| FieldViolation {
        field: (*field).to_owned(),
        description: format!("{named} are set, only one of them may be"),
    };
    error.violations = fields.iter().map(violation).collect();
    error
}

fn ids(wire: Vec<String>) -> Result<Vec<DocumentId>, Error> {
    let ids = wire.into_iter().enumerate();
    ids.map(|(at, id)| super::document_id(&format!("{IDS}[{at}]"), id))
        .collect()
}

/// Returns the filter that stands at `field`.
pub(super) fn filter(field: &str, wire: pb::RetrievalFilter) -> Result<Filter, Error> {
    Nested { root: field }.filter(field, wire, 1)
}

/// The filter that a condition belongs to.
struct Nested<'a> {
    root: &'a str,
}

impl Nested<'_> {
    /// `depth` counts from 1, so that the recursion ends at the filter's own limit.
    fn filter(&self, field: &str, wire: pb::RetrievalFilter, depth: usize) -> Result<Filter, Error> {
        if depth > MAX_FILTER_DEPTH {
            return Err(Error::invalid(
                self.root,
                format!("conditions nest at most {MAX_FILTER_DEPTH} deep, these go deeper"),
            ));
        }
        let compared = |name: &str, wire, filter: fn(String, MetadataValue) -> Filter| {
            attribute(&format!("{field}.{name}"), wire).map(|(key, value)| filter(key, value))
        };
        match wire.condition {
            Some(Condition::Equals(wire)) => compared("equals", wire, Filter::Equals),
            Some(Condition::NotEquals(wire)) => compared("not_equals", wire, Filter::NotEquals),
            Some(Condition::GreaterThan(wire)) => compared("greater_than", wire, Filter::GreaterThan),
            Some(Condition::GreaterThanOrEquals(wire)) => {
                compared("greater_than_or_equals", wire, Filter::GreaterThanOrEquals)
            }
            Some(Condition::LessThan(wire)) => compared("less_than", wire, Filter::LessThan),
            Some(Condition::LessThanOrEquals(wire)) => compared("less_than_or_equals", wire, Filter::LessThanOrEquals),
            Some(Condition::In(wire)) => compared("in", wire, Filter::In),
            Some(Condition::NotIn(wire)) => compared("not_in", wire, Filter::NotIn),
            Some(Condition::StartsWith(wire)) => compared("starts_with", wire, Filter::StartsWith),
            Some(Condition::ListContains(wire)) => compared("list_contains", wire, Filter::ListContains),
            Some(Condition::StringContains(wire)) => compared("string_contains", wire, Filter::StringContains),
            Some(Condition::Exists(key)) => checked_key(&format!("{field}.exists"), key).map(Filter::Exists),
            Some(Condition::Not(wire)) => {
                let filter = self.filter(&format!("{field}.not"), *wire, depth + 1)?;
                Ok(Filter::Not(Box::new(filter)))
            }
            Some(Condition::AndAll(list)) => {
                let filters = self.filters(&format!("{field}.and_all"), list, depth)?;
                Ok(Filter::AndAll(filters))
            }
            Some(Condition::OrAll(list)) => {
                let filters = self.filters(&format!("{field}.or_all"), list, depth)?;
                Ok(Filter::OrAll(filters))
            }
            None => Err(Error::invalid(
                format!("{field}.condition"),
                "exactly one condition must be set, none is",
            )),
        }
    }

    fn filters(&self, field: &str, list: pb::RetrievalFilterList, depth: usize) -> Result<Vec<Filter>, Error> {
        if list.filters.len() < 2 {
            return Err(Error::invalid(
                format!("{field}.filters"),
                format!("at least 2 conditions are required, there are {}", list.filters.len()),
            ));
        }
        list.filters
            .into_iter()
            .enumerate()
            .map(|(at, wire)| self.filter(&format!("{field}.filters[{at}]"), wire, depth + 1))
            .collect()
    }
}

/// Returns a filter for the wire.
pub(super) fn wire_filter(filter: Filter) -> pb::RetrievalFilter {
    let attribute = |key, value| pb::FilterAttribute {
        key,
        value: Some(wire_value(value)),
    };
    let list = |filters: Vec<Filter>| pb::RetrievalFilterList {
        filters: filters.into_iter().map(wire_filter).collect(),
    };
    let condition = match filter {
        Filter::Equals(key, value) => Condition::Equals(attribute(key, value)),
        Filter::NotEquals(key, value) => Condition::NotEquals(attribute(key, value)),
        Filter::GreaterThan(key, value) => Condition::GreaterThan(attribute(key, value)),
        Filter::GreaterThanOrEquals(key, value) => Condition::GreaterThanOrEquals(attribute(key, value)),
        Filter::LessThan(key, value) => Condition::LessThan(attribute(key, value)),
        Filter::LessThanOrEquals(key, value) => Condition::LessThanOrEquals(attribute(key, value)),
        Filter::In(key, value) => Condition::In(attribute(key, value)),
        Filter::NotIn(key, value) => Condition::NotIn(attribute(key, value)),
        Filter::StartsWith(key, value) => Condition::StartsWith(attribute(key, value)),
        Filter::ListContains(key, value) => Condition::ListContains(attribute(key, value)),
        Filter::StringContains(key, value) => Condition::StringContains(attribute(key, value)),
        Filter::Exists(key) => Condition::Exists(key),
        Filter::Not(filter) => Condition::Not(Box::new(wire_filter(*filter))),
        Filter::AndAll(filters) => Condition::AndAll(list(filters)),
        Filter::OrAll(filters) => Condition::OrAll(list(filters)),
    };
    pb::RetrievalFilter {
        condition: Some(condition),
    }
}

fn attribute(field: &str, wire: pb::FilterAttribute) -> Result<(String, MetadataValue), Error> {
    let key = checked_key(&format!("{field}.key"), wire.key)?;
    let wanted = wire
        .value
        .ok_or_else(|| Error::invalid(format!("{field}.value"), "is required, but absent"))?;
    Ok((key, value(&format!("{field}.value"), wanted)?))
}

fn checked_key(field: &str, key: String) -> Result<String, Error> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        let reason = format!("must have 1 to {MAX_KEY_BYTES} bytes, has {}", key.len());
        return Err(Error::invalid(field, reason));
    }
    Ok(key)
}
