//! Hits to the wire, with their ranges in bytes and in code points.

use std::time::Duration;

use super::explanation::explanation;
use super::implicit::implicit_filter;
use super::metadata::wire_attributes;
use super::plan::plan;
use crate::document::ByteSpan;
use crate::knowledge_base::{BatchRetrieval, Retrieval, StageTimes};
use crate::retrieve::{Hit, LegScore};
use crate::service::{pb, status};

/// Returns the answer to a search.
pub(in crate::service) fn retrieval(found: Retrieval) -> pb::RetrieveResponse {
    pb::RetrieveResponse {
        retrieval_results: found.hits.into_iter().map(hit).collect(),
        epoch: found.epoch.0,
        metrics: Some(metrics(found.times)),
        plan: Some(plan(found.plan)),
        cached: found.is_cached,
        implicit_filter: found.implicit_filter.map(implicit_filter),
        transformed_queries: found.transformed_queries,
    }
}

/// Returns what became of a batch.
pub(in crate::service) fn batch(found: BatchRetrieval) -> pb::BatchRetrieveResponse {
    let results = found.results.into_iter().map(|result| match result {
        Ok(found) => pb::BatchRetrieveResult {
            retrieval_results: found.hits.into_iter().map(hit).collect(),
            error: None,
            cached: found.is_cached,
            implicit_filter: found.implicit_filter.map(implicit_filter),
            transformed_queries: found.transformed_queries,
        },
        Err(error) => pb::BatchRetrieveResult {
            retrieval_results: Vec::new(),
            implicit_filter: None,
            transformed_queries: Vec::new(),
            error: Some(pb::BatchRetrieveError {
                code: status::code(error.kind).into(),
                message: error.message.clone(),
                reason: error.reason.to_owned(),
                field: error.violations.first().map(|it| it.field.clone()).unwrap_or_default(),
            }),
            cached: false,
        },
    });
    pb::BatchRetrieveResponse {
        results: results.collect(),
        epoch: found.epoch.0,
        metrics: Some(metrics(found.times)),
    }
}

/// Returns one hit.
pub(super) fn hit(hit: Hit) -> pb::RetrievalResult {
    let highlights = highlights(&hit);
    let span = span(hit.span, hit.code_point_start, &hit.text);
    let context = hit.context.map(|context| pb::ExpandedContext {
        span: Some(self::span(context.span, context.code_point_start, &context.text)),
        text: context.text,
    });
    let folded = hit.folded.into_iter().map(|folded| pb::FoldedChunk {
        chunk_id: folded.chunk_id.to_string(),
        document_id: folded.document_id.to_string(),
        score: folded.score,
        similarity: folded.similarity,
    });
    pb::RetrievalResult {
        chunk_id: hit.chunk_id.to_string(),
        document_id: hit.document_id.to_string(),
        content: Some(pb::RetrievalResultContent { text: hit.text }),
        location: Some(pb::RetrievalResultLocation {
            title: hit.title.unwrap_or_default(),
            source_name: hit.source_name,
            heading_path: hit.heading_path,
            page: hit.page.unwrap_or_default(),
            span: Some(span),
        }),
        score: hit.score,
        bm25: hit.bm25.map(leg_score),
        cosine: hit.cosine.map(leg_score),
        metadata: wire_attributes(hit.metadata),
        content_hash: hit.content_hash,
        explanation: hit.explanation.map(|it| explanation(*it)),
        highlights,
        context,
        folded_chunks: folded.collect(),
    }
}

/// Returns the places of the query's words, in order, with the code points counted once from each to the next.
fn highlights(hit: &Hit) -> Vec<pb::Span> {
    let (mut byte, mut code_point) = (hit.span.start, hit.code_point_start);
    let mut count_to = |end: usize| {
        let between = (byte - hit.span.start)..end.saturating_sub(hit.span.start);
        code_point += hit.text.get(between).map_or(0, |text| text.chars().count());
        byte = end;
        code_point as u64
    };
    let place = |place: &ByteSpan| pb::Span {
        start: place.start as u64,
        end: place.end as u64,
        code_point_start: count_to(place.start),
        code_point_end: count_to(place.end),
    };
    hit.highlights.iter().map(place).collect()
}

/// Returns the range of `text`, which begins after `code_point_start` code points.
pub(super) fn span(bytes: ByteSpan, code_point_start: usize, text: &str) -> pb::Span {
    pb::Span {
        start: bytes.start as u64,
        end: bytes.end as u64,
        code_point_start: code_point_start as u64,
        code_point_end: (code_point_start + text.chars().count()) as u64,
    }
}

fn leg_score(score: LegScore) -> pb::LegScore {
    pb::LegScore {
        rank: score.rank.unwrap_or_default(),
        raw: score.raw,
        normalized: score.normalized,
    }
}

/// Returns the stages of a search; those of a generation are 0.
pub(super) fn metrics(times: StageTimes) -> pb::StageMetrics {
    pb::StageMetrics {
        queue_micros: micros(times.queue),
        embed_micros: micros(times.embed),
        search_micros: micros(times.search),
        rerank_micros: micros(times.rerank),
        transform_micros: micros(times.transform),
        total_micros: micros(times.total),
        ..pb::StageMetrics::default()
    }
}

/// Returns the tokens of a call.
pub(super) fn usage(input_tokens: u64, output_tokens: u64) -> pb::TokenUsage {
    pb::TokenUsage {
        input_tokens,
        output_tokens,
        total_tokens: input_tokens + output_tokens,
        ..pb::TokenUsage::default()
    }
}

/// Returns a time in the unit of the wire.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
