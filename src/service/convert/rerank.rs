//! Texts to be scored, off the wire, and their scores to it.

use super::hit::metrics;
use crate::knowledge_base::{Error, RerankQuestion, Reranked};
use crate::service::pb;

/// Returns what is asked; bounds are checked behind the border.
pub(in crate::service) fn rerank_question(request: pb::RerankRequest) -> Result<RerankQuestion, Error> {
    let [query]: [pb::RerankQuery; 1] = request.queries.try_into().map_err(|queries: Vec<_>| {
        let reason = format!("exactly one query can be reranked for, not {}", queries.len());
        Error::invalid("queries", reason)
    })?;
    let query = text("queries[0].text_query", query.text_query)?;
    let sources = request.sources.into_iter().enumerate();
    let sources = sources.map(|(at, source)| text(&format!("sources[{at}].text_document"), source.text_document));
    Ok(RerankQuestion {
        query,
        sources: sources.collect::<Result<_, _>>()?,
        limit: (request.number_of_results > 0).then_some(request.number_of_results as usize),
        model_id: request.model_id,
    })
}

fn text(field: &str, document: Option<pb::RerankTextDocument>) -> Result<String, Error> {
    let document = document.ok_or_else(|| Error::invalid(field, "is required, but absent"))?;
    Ok(document.text)
}

/// Returns the scores.
pub(in crate::service) fn reranked(reranked: Reranked) -> pb::RerankResponse {
    let results = reranked.results.into_iter().map(|(index, score)| pb::RerankResult {
        index: index as u32,
        relevance_score: score,
    });
    pb::RerankResponse {
        results: results.collect(),
        model_id: reranked.model_id,
        metrics: Some(metrics(reranked.times)),
    }
}
