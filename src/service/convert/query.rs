//! Queries off the wire.

use super::filter::filter;
use super::known;
use super::options::options;
use crate::knowledge_base::Error;
use crate::retrieve::{Query, SearchType};
use crate::service::pb;

/// Where the search stands in a request.
pub(super) const SEARCH_PATH: &str = "retrieval_configuration.vector_search_configuration";

/// Returns a checked query; `words_field` is where the request holds the words.
pub(in crate::service) fn query(
    words_field: &str,
    words: Option<pb::RetrievalQuery>,
    configuration: Option<pb::RetrievalConfiguration>,
) -> Result<Query, Error> {
    let words = words.ok_or_else(|| Error::invalid(words_field, "is required, but absent"))?;
    let mut query = Query::new(words.text);
    let search = configuration.and_then(|configuration| configuration.vector_search_configuration);
    if let Some(mut search) = search {
        query.options = options(&mut search)?;
        if search.number_of_results > 0 {
            query.limit = search.number_of_results as usize;
        }
        query.search_type = search_type(search.override_search_type)?;
        query.filter = match search.filter {
            Some(wire) => Some(filter(&format!("{SEARCH_PATH}.filter"), wire)?),
            None => None,
        };
        query.score_threshold = finite("score_threshold", search.score_threshold)?;
        if let Some(weight) = finite("dense_weight", search.dense_weight)? {
            query.dense_weight = Some(weight);
        }
        if let Some(weight) = finite("feedback_weight", search.feedback_weight)? {
            query.feedback_weight = weight;
        }
        query.exact = search.exact;
    }
    query
        .check()
        .map_err(|invalid| Error::invalid(path(words_field, &invalid.field), invalid.reason))
}

/// Returns a query of a batch, checked; fields are named within the query.
pub(in crate::service) fn batch_query(wire: pb::BatchRetrieveQuery) -> Result<Query, Error> {
    let query = query("retrieval_query", wire.retrieval_query, wire.retrieval_configuration)?;
    Ok(Query {
        explain: wire.explain,
        ..query
    })
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
