//! Explanations as JSON.

use serde_json::{Value, json};

use crate::service::pb;

pub(super) fn explanation(explanation: &pb::ScoreExplanation) -> Value {
    let legs = explanation.legs.iter().map(|leg| {
        json!({
            "leg": leg.leg().as_str_name(),
            "rank": leg.rank,
            "raw": leg.raw,
            "normalized": leg.normalized,
            "weight": leg.weight,
            "contribution": leg.contribution,
        })
    });
    let terms = explanation.terms.iter().map(|term| {
        json!({
            "term": term.term,
            "field": term.field().as_str_name(),
            "frequency": term.frequency,
            "chunk_frequency": term.chunk_frequency,
            "idf": term.idf,
            "weight": term.weight,
            "score": term.score,
        })
    });
    let boosts = explanation
        .boosts
        .iter()
        .map(|boost| json!({ "index": boost.index, "multiplier": boost.multiplier }));
    json!({
        "rank": explanation.rank,
        "fused_rank": explanation.fused_rank,
        "candidate_count": explanation.candidate_count,
        "fusion": explanation.fusion().as_str_name(),
        "legs": legs.collect::<Vec<_>>(),
        "fused_score": explanation.fused_score,
        "transformation_contribution": explanation.transformation_contribution,
        "terms": terms.collect::<Vec<_>>(),
        "boosts": boosts.collect::<Vec<_>>(),
        "recency": explanation.recency.as_ref().map(|effect| json!({
            "age": effect.age.as_ref().map(ToString::to_string),
            "multiplier": effect.multiplier,
        })),
        "diversity": explanation.diversity.as_ref().map(|effect| json!({
            "relevance": effect.relevance,
            "similarity": effect.similarity,
            "similar_chunk_id": effect.similar_chunk_id,
            "penalty": effect.penalty,
            "marginal_relevance": effect.marginal_relevance,
        })),
        "filter": outcomes(&explanation.filter),
        "rerank": explanation.rerank.as_ref().map(rerank_effect),
    })
}

fn rerank_effect(effect: &pb::RerankEffect) -> Value {
    json!({
        "place_before": effect.place_before,
        "place_after": effect.place_after,
        "relevance": effect.relevance,
        "weight": effect.weight,
        "score": effect.score,
    })
}

fn outcomes(outcomes: &[pb::FilterOutcome]) -> Vec<Value> {
    let outcome = |it: &pb::FilterOutcome| json!({ "path": it.path, "accepted": it.accepted });
    outcomes.iter().map(outcome).collect()
}

pub(super) fn folded(folded: &pb::FoldedChunk) -> Value {
    json!({
        "chunk_id": folded.chunk_id,
        "document_id": folded.document_id,
        "score": folded.score,
        "similarity": folded.similarity,
    })
}

pub(in crate::cli) fn missing(missing: &pb::ExplainMissingResponse) -> Value {
    let legs = missing.legs.iter().map(|leg| {
        json!({
            "leg": leg.leg().as_str_name(),
            "rank": leg.rank,
            "raw": leg.raw,
            "listed": leg.listed,
            "candidates": leg.candidates,
        })
    });
    let suggestions = missing.suggestions.iter().map(|suggestion| {
        json!({
            "field": suggestion.field,
            "change": suggestion.change().as_str_name(),
            "number": suggestion.number,
            "text": suggestion.text,
        })
    });
    let visible = missing
        .visible_epochs
        .iter()
        .map(|range| json!({ "first": range.first, "last": range.last }));
    json!({
        "stage": missing.stage().as_str_name(),
        "reason": missing.reason,
        "chunk_id": missing.chunk_id,
        "rank": missing.rank,
        "legs": legs.collect::<Vec<_>>(),
        "fused_rank": missing.fused_rank,
        "score": missing.score,
        "place_before_cut": missing.place_before_cut,
        "other_chunk_id": missing.other_chunk_id,
        "other_document_id": missing.other_document_id,
        "filter": outcomes(&missing.filter),
        "visible_epochs": visible.collect::<Vec<_>>(),
        "suggestions": suggestions.collect::<Vec<_>>(),
        "epoch": missing.epoch,
        "rerank": missing.rerank.as_ref().map(rerank_effect),
        "implicit_filter": missing.implicit_filter.as_ref().map(super::implicit_filter),
    })
}
