//! Hits to the wire, with their ranges in bytes and in code points.

use std::time::Duration;

use super::metadata::wire_attributes;
use super::plan::plan;
use crate::document::ByteSpan;
use crate::knowledge_base::{Retrieval, StageTimes};
use crate::retrieve::{Hit, LegScore};
use crate::service::pb;

/// Returns the answer to a search.
pub(in crate::service) fn retrieval(found: Retrieval) -> pb::RetrieveResponse {
    pb::RetrieveResponse {
        retrieval_results: found.hits.into_iter().map(hit).collect(),
        epoch: found.epoch.0,
        metrics: Some(metrics(found.times)),
        plan: Some(plan(found.plan)),
    }
}

/// Returns one hit.
pub(super) fn hit(hit: Hit) -> pb::RetrievalResult {
    let span = span(hit.span, hit.code_point_start, &hit.text);
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
    }
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
        total_micros: micros(times.total),
        ..pb::StageMetrics::default()
    }
}

/// Returns a time in the unit of the wire.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
