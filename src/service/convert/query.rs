//! Queries and filters off the wire.

use super::known;
use super::metadata::value;
use crate::index::Epoch;
use crate::knowledge_base::{AsOf, Error, ReadAt};
use crate::retrieve::query::MAX_FILTER_DEPTH;
use crate::retrieve::{Filter, Query, SearchType};
use crate::service::pb;
use crate::service::pb::retrieval_filter::Condition;

const SEARCH_PATH: &str = "retrieval_configuration.vector_search_configuration";

/// Returns a checked query; `words_field` is where the request holds the words.
pub(in crate::service) fn query(
    words_field: &str,
    words: Option<pb::RetrievalQuery>,
    configuration: Option<pb::RetrievalConfiguration>,
) -> Result<Query, Error> {
    let words = words.ok_or_else(|| Error::invalid(words_field, "is required, but absent"))?;
    let mut query = Query::new(words.text);
    let search = configuration.and_then(|configuration| configuration.vector_search_configuration);
    if let Some(search) = search {
        if search.number_of_results > 0 {
            query.limit = search.number_of_results as usize;
        }
        query.search_type = search_type(search.override_search_type)?;
        query.filter = match search.filter {
            Some(wire) => Some(filter(&format!("{SEARCH_PATH}.filter"), wire, 1)?),
            None => None,
        };
        query.score_threshold = finite("score_threshold", search.score_threshold)?;
        if let Some(weight) = finite("dense_weight", search.dense_weight)? {
            query.dense_weight = weight;
        }
    }
    query
        .check()
        .map_err(|invalid| Error::invalid(path(words_field, invalid.field), invalid.reason))
}

/// Returns which epoch a read wants; 0 is how the wire says "any".
pub(in crate::service) fn read_at(min_epoch: u64, as_of_epoch: u64) -> ReadAt {
    let wanted = |epoch: u64| (epoch > 0).then_some(Epoch(epoch));
    ReadAt {
        min_epoch: wanted(min_epoch),
        as_of: wanted(as_of_epoch).map(AsOf::Epoch),
    }
}

/// Returns the path of a query's field in the request: the words stand in fields of different names.
fn path(words_field: &str, field: &str) -> String {
    match field.rsplit_once('.').map_or(field, |(_, leaf)| leaf) {
        "text" => format!("{words_field}.text"),
        _ if field.starts_with(SEARCH_PATH) => field.to_owned(),
        leaf => format!("{SEARCH_PATH}.{leaf}"),
    }
}

fn search_type(number: i32) -> Result<SearchType, Error> {
    let field = format!("{SEARCH_PATH}.override_search_type");
    Ok(match known::<pb::SearchType>(&field, number)? {
        pb::SearchType::Unspecified | pb::SearchType::Hybrid => SearchType::Hybrid,
        pb::SearchType::Semantic => SearchType::Semantic,
        pb::SearchType::Keyword => SearchType::Keyword,
    })
}

fn finite(field: &str, number: Option<f64>) -> Result<Option<f64>, Error> {
    match number {
        Some(number) if !number.is_finite() => Err(Error::invalid(
            format!("{SEARCH_PATH}.{field}"),
            format!("must be a finite number, is {number}"),
        )),
        _ => Ok(number),
    }
}

/// `depth` counts from 1, so that the recursion ends at the filter's own limit.
fn filter(field: &str, wire: pb::RetrievalFilter, depth: usize) -> Result<Filter, Error> {
    if depth > MAX_FILTER_DEPTH {
        return Err(Error::invalid(
            format!("{SEARCH_PATH}.filter"),
            format!("conditions nest at most {MAX_FILTER_DEPTH} deep, these go deeper"),
        ));
    }
    match wire.condition {
        Some(Condition::Equals(wire)) => {
            let (key, value) = attribute(&format!("{field}.equals"), wire)?;
            Ok(Filter::Equals(key, value))
        }
        Some(Condition::NotEquals(wire)) => {
            let (key, value) = attribute(&format!("{field}.not_equals"), wire)?;
            Ok(Filter::NotEquals(key, value))
        }
        Some(Condition::AndAll(list)) => Ok(Filter::AndAll(filters(&format!("{field}.and_all"), list, depth)?)),
        Some(Condition::OrAll(list)) => Ok(Filter::OrAll(filters(&format!("{field}.or_all"), list, depth)?)),
        None => Err(Error::invalid(
            format!("{field}.condition"),
            "exactly one condition must be set, none is",
        )),
    }
}

fn filters(field: &str, list: pb::RetrievalFilterList, depth: usize) -> Result<Vec<Filter>, Error> {
    if list.filters.len() < 2 {
        return Err(Error::invalid(
            format!("{field}.filters"),
            format!("at least 2 conditions are required, there are {}", list.filters.len()),
        ));
    }
    list.filters
        .into_iter()
        .enumerate()
        .map(|(at, wire)| filter(&format!("{field}.filters[{at}]"), wire, depth + 1))
        .collect()
}

fn attribute(
    field: &str,
    wire: pb::FilterAttribute,
) -> Result<(String, crate::document::metadata::MetadataValue), Error> {
    let limit = crate::document::metadata::MAX_KEY_BYTES;
    if wire.key.is_empty() || wire.key.len() > limit {
        return Err(Error::invalid(
            format!("{field}.key"),
            format!("must have 1 to {limit} bytes, has {}", wire.key.len()),
        ));
    }
    let wanted = wire
        .value
        .ok_or_else(|| Error::invalid(format!("{field}.value"), "is required, but absent"))?;
    Ok((wire.key, value(&format!("{field}.value"), wanted)?))
}
