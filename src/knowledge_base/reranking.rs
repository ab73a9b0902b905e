//! A closer look: at the candidates of a search, and at texts that the caller brings.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::results::Asked;
use super::{Error, Groundwork, RerankQuestion, Reranked, StageTimes};
use crate::chunk::embedded_text;
use crate::embed::Embedder;
use crate::index::ChunkId;
use crate::retrieve::options::{FusionMethod, Rerank};
use crate::retrieve::query::{MAX_QUERY_CHARS, MAX_RESULTS};
use crate::retrieve::rerank::{self, LateInteraction, Passage, Reranker as _, TokenCache};
use crate::retrieve::stage::{self, Line};
use crate::retrieve::{Query, SearchType};
use crate::worker::Cancel;

/// Most texts of a call that are scored.
pub const MAX_RERANK_SOURCES: usize = 1_000;
/// Longest of these texts in characters.
pub const MAX_RERANK_SOURCE_CHARS: usize = 32_000;
/// Bytes of these texts at most, all together.
pub const MAX_RERANK_BYTES: usize = 4 << 20;
/// Bytes of memory in which vectors of chunks' tokens are kept: some hundreds of chunks.
pub(super) const TOKEN_CACHE_BYTES: usize = 64 << 20;

/// What a search needs to look closer.
#[derive(Clone, Copy)]
pub(super) struct Reranking<'a> {
    pub(super) embedder: &'a dyn Embedder,
    pub(super) cache: &'a TokenCache,
    pub(super) cancel: &'a Cancel,
}

/// Reranks the best candidates if the query asks for it, and returns how long that took.
pub(super) fn rerank(asked: Asked<'_>, line: &mut Line) -> Result<Duration, Error> {
    let (Some(rerank), Some(reranking)) = (asked.query.options.rerank, asked.reranking) else {
        return Ok(Duration::ZERO);
    };
    let started = Instant::now();
    let relevances = relevances(asked, reranking, rerank, line)?;
    stage::rerank(line, &relevances, rerank.weight, has_relative_scores(asked.query));
    Ok(started.elapsed())
}

/// Returns whether scores say nothing but how candidates of one query stand to each other.
fn has_relative_scores(query: &Query) -> bool {
    match query.search_type {
        SearchType::Keyword => true,
        SearchType::Semantic => false,
        SearchType::Hybrid => query.options.fusion == FusionMethod::ReciprocalRank,
    }
}

/// Scores the first candidates, as many as are to be reranked.
fn relevances(asked: Asked<'_>, reranking: Reranking<'_>, rerank: Rerank, line: &Line) -> Result<Vec<f64>, Error> {
    let kept = reranking.cache.of(&asked.record.id);
    let mut ids = line.chunk_ids();
    ids.truncate(rerank.count_for(asked.query.limit));
    let store = &asked.base.store;
    let records = store.chunks(&ids)?;
    let passages = records.iter().map(|record| Passage {
        chunk_id: Some(record.chunk_id),
        // As it was embedded when it came.
        text: embedded_text(record.title.as_deref(), &record.heading_path, &record.text).into(),
    });
    let passages: Vec<Passage<'_>> = passages.collect();
    let reranker = LateInteraction {
        embedder: reranking.embedder,
        kept: Some(kept),
    };
    let scores = reranker.score(&asked.query.text, &passages, reranking.cancel)?;
    let scored = records.iter().map(|record| record.chunk_id).zip(scores);
    let scored: HashMap<ChunkId, f64> = scored.collect();
    // What was erased meanwhile has no text, and will be no hit.
    Ok(ids
        .iter()
        .map(|id| scored.get(id).copied().unwrap_or_default())
        .collect())
}

impl Groundwork {
    /// Scores texts that the caller brings by how relevant they are to a query.
    pub fn rerank(&self, question: &RerankQuestion, cancel: &Cancel) -> Result<Reranked, Error> {
        check(question)?;
        let started = Instant::now();
        let model_id = match question.model_id.as_str() {
            "" => &self.settings.embedding_model_id,
            id => id,
        };
        let embedder = self.models.embedder(model_id, cancel)?;
        let passages = question.sources.iter().map(|text| Passage {
            chunk_id: None,
            text: text.into(),
        });
        let passages: Vec<Passage<'_>> = passages.collect();
        let reranker = LateInteraction {
            embedder: &*embedder,
            kept: None,
        };
        let rerank_started = Instant::now();
        let scores = reranker.score(&question.query, &passages, cancel)?;
        let mut results: Vec<(usize, f64)> = scores.into_iter().enumerate().collect();
        results.sort_by(|left, right| right.1.total_cmp(&left.1));
        results.truncate(question.limit.unwrap_or(usize::MAX));
        Ok(Reranked {
            results,
            model_id: model_id.to_owned(),
            times: StageTimes {
                rerank: rerank_started.elapsed(),
                total: started.elapsed(),
                ..StageTimes::default()
            },
        })
    }
}

fn check(question: &RerankQuestion) -> Result<(), Error> {
    const QUERY: &str = "queries[0].text_query.text";
    if question.query.trim().is_empty() {
        return Err(Error::invalid(QUERY, "the query has no words: give it some"));
    }
    let chars = question.query.chars().count();
    if chars > MAX_QUERY_CHARS {
        let reason = format!("a query has at most {MAX_QUERY_CHARS} characters, this one has {chars}");
        return Err(Error::invalid(QUERY, reason));
    }
    let count = question.sources.len();
    if !(1..=MAX_RERANK_SOURCES).contains(&count) {
        let reason = format!("1 to {MAX_RERANK_SOURCES} texts can be reranked, not {count}");
        return Err(Error::invalid("sources", reason));
    }
    for (at, source) in question.sources.iter().enumerate() {
        let chars = source.chars().count();
        if chars > MAX_RERANK_SOURCE_CHARS {
            let field = format!("sources[{at}].text_document.text");
            let reason = format!("a text has at most {MAX_RERANK_SOURCE_CHARS} characters, this one has {chars}");
            return Err(Error::invalid(field, reason));
        }
    }
    let bytes: usize = question.sources.iter().map(String::len).sum();
    if bytes > MAX_RERANK_BYTES {
        let reason = format!("all texts together have at most {MAX_RERANK_BYTES} bytes, these have {bytes}");
        return Err(Error::invalid("sources", reason));
    }
    if let Some(limit) = question.limit
        && !(1..=MAX_RESULTS).contains(&limit)
    {
        let reason = format!("1 to {MAX_RESULTS} results can be asked for, not {limit}");
        return Err(Error::invalid("number_of_results", reason));
    }
    Ok(())
}

impl From<rerank::Error> for Error {
    fn from(error: rerank::Error) -> Self {
        match error {
            rerank::Error::Model(error) => error.into(),
            rerank::Error::Index(error) => error.into(),
        }
    }
}
