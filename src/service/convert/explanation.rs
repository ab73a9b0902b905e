//! Explanations to the wire: of scores, and of documents that are missing.

use std::time::Duration;

use super::implicit::implicit_filter;
use super::query::query;
use super::{caller, document_id, read_at};
use crate::index::{ChunkId, TermField, TermPart};
use crate::knowledge_base::{Error, ExactLeg, Missing, MissingQuestion, MissingStage, SuggestedChange, Suggestion};
use crate::retrieve::stage::RerankEffect;
use crate::retrieve::{Explanation, FilterOutcome, FusionMethod, Leg, LegPart, Query};
use crate::service::pb;

/// Returns how a score came about.
pub(super) fn explanation(explanation: Explanation) -> pb::ScoreExplanation {
    let fusion = match explanation.fusion {
        None => pb::FusionMethod::Unspecified,
        Some(FusionMethod::WeightedSum) => pb::FusionMethod::WeightedSum,
        Some(FusionMethod::ReciprocalRank) => pb::FusionMethod::ReciprocalRank,
    };
    let boosts = explanation.boosts.into_iter().map(|boost| pb::AppliedBoost {
        index: boost.index as u32,
        multiplier: boost.multiplier,
    });
    pb::ScoreExplanation {
        rank: explanation.rank,
        fused_rank: explanation.fused_rank,
        candidate_count: explanation.candidate_count,
        fusion: fusion.into(),
        legs: explanation.legs.into_iter().map(leg_part).collect(),
        fused_score: explanation.fused_score,
        terms: explanation.terms.into_iter().map(term_part).collect(),
        boosts: boosts.collect(),
        recency: explanation.recency.map(|effect| pb::RecencyEffect {
            age: effect.age.map(wire_duration),
            multiplier: effect.multiplier,
        }),
        diversity: explanation.diversity.map(|effect| pb::DiversityEffect {
            relevance: effect.relevance,
            similarity: effect.similarity,
            similar_chunk_id: effect.similar_to.map(|id| id.to_string()).unwrap_or_default(),
            penalty: effect.penalty,
            marginal_relevance: effect.marginal_relevance,
        }),
        filter: outcomes(explanation.filter),
        rerank: explanation.rerank.map(rerank_effect),
        transformation_contribution: explanation.transformation,
    }
}

fn rerank_effect(effect: RerankEffect) -> pb::RerankEffect {
    pb::RerankEffect {
        place_before: effect.place_before,
        place_after: effect.place,
        relevance: effect.relevance,
        weight: effect.weight,
        score: effect.score,
    }
}

fn wire_duration(age: Duration) -> prost_types::Duration {
    // Ages come from finite numbers of seconds; those that the wire cannot say are as good as endless.
    age.try_into().unwrap_or(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}

fn leg(leg: Leg) -> pb::SearchLeg {
    match leg {
        Leg::Keyword => pb::SearchLeg::Keyword,
        Leg::Dense => pb::SearchLeg::Dense,
    }
}

fn leg_part(part: LegPart) -> pb::LegContribution {
    pb::LegContribution {
        leg: leg(part.leg).into(),
        rank: part.score.rank.unwrap_or_default(),
        raw: part.score.raw,
        normalized: part.score.normalized,
        weight: part.weight,
        contribution: part.contribution,
    }
}

fn term_part(part: TermPart) -> pb::TermContribution {
    let field = match part.field {
        TermField::Text => pb::TermField::Text,
        TermField::Surroundings => pb::TermField::Surroundings,
        TermField::Proximity => pb::TermField::Proximity,
        TermField::Heading => pb::TermField::Heading,
    };
    pb::TermContribution {
        term: part.term,
        field: field.into(),
        frequency: part.frequency,
        chunk_frequency: part.chunk_frequency,
        idf: part.idf,
        weight: part.weight,
        score: part.score,
    }
}

fn outcomes(outcomes: Vec<FilterOutcome>) -> Vec<pb::FilterOutcome> {
    let wire = outcomes.into_iter().map(|outcome| pb::FilterOutcome {
        path: outcome.path,
        accepted: outcome.accepted,
    });
    wire.collect()
}

/// Returns which document is missed.
pub(in crate::service) fn missing_question(request: pb::ExplainMissingRequest) -> Result<MissingQuestion, Error> {
    let chunk_id = match request.chunk_id.as_str() {
        "" => None,
        text => Some(chunk_id(text)?),
    };
    let query = query(
        "retrieval_query",
        request.retrieval_query,
        request.retrieval_configuration,
    )?;
    Ok(MissingQuestion {
        query: Query {
            caller: caller(request.user_context)?,
            ..query
        },
        document_id: document_id("document_id", request.document_id)?,
        chunk_id,
        at: read_at(request.min_epoch, request.as_of_epoch, request.as_of_time)?,
    })
}

/// Reads what [`ChunkId`] writes.
fn chunk_id(text: &str) -> Result<ChunkId, Error> {
    text.strip_prefix("chunk-")
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .map(ChunkId)
        .filter(|id| id.to_string() == text)
        .ok_or_else(|| {
            Error::invalid(
                "chunk_id",
                format!("`{text}` is no id of a chunk, such as chunk-0000002a"),
            )
        })
}

/// Returns why a document is missing.
pub(in crate::service) fn missing(missing: Missing) -> pb::ExplainMissingResponse {
    let (other_chunk_id, other_document_id) = missing
        .other
        .map(|(chunk_id, document_id)| (chunk_id.to_string(), document_id.to_string()))
        .unwrap_or_default();
    let visible = missing.visible.into_iter().map(|range| pb::EpochRange {
        first: range.first.0,
        last: range.last.map_or(0, |last| last.0),
    });
    pb::ExplainMissingResponse {
        stage: stage(missing.stage).into(),
        reason: missing.reason,
        chunk_id: missing.chunk_id.map(|id| id.to_string()).unwrap_or_default(),
        rank: missing.rank.unwrap_or_default(),
        legs: missing.legs.into_iter().map(exact_leg).collect(),
        fused_rank: missing.fused_rank.unwrap_or_default(),
        score: missing.score,
        place_before_cut: missing.place_before_cut.unwrap_or_default(),
        other_chunk_id,
        other_document_id,
        filter: outcomes(missing.filter),
        visible_epochs: visible.collect(),
        suggestions: missing.suggestions.into_iter().map(suggestion).collect(),
        epoch: missing.epoch.0,
        rerank: missing.rerank.map(rerank_effect),
        implicit_filter: missing.implicit_filter.map(implicit_filter),
    }
}

fn stage(stage: MissingStage) -> pb::MissingStage {
    match stage {
        MissingStage::Found => pb::MissingStage::Found,
        MissingStage::NoSuchDocument => pb::MissingStage::NoSuchDocument,
        MissingStage::NotVisible => pb::MissingStage::NotVisible,
        MissingStage::NoChunks => pb::MissingStage::NoChunks,
        MissingStage::FilteredOut => pb::MissingStage::FilteredOut,
        MissingStage::NoMatchingTerms => pb::MissingStage::NoMatchingTerms,
        MissingStage::NotListed => pb::MissingStage::NotListed,
        MissingStage::NotReached => pb::MissingStage::NotReached,
        MissingStage::BelowThreshold => pb::MissingStage::BelowThreshold,
        MissingStage::NearDuplicate => pb::MissingStage::NearDuplicate,
        MissingStage::GroupedAway => pb::MissingStage::GroupedAway,
        MissingStage::NotDiverse => pb::MissingStage::NotDiverse,
        MissingStage::CutOff => pb::MissingStage::CutOff,
        MissingStage::Reranked => pb::MissingStage::Reranked,
    }
}

fn exact_leg(exact: ExactLeg) -> pb::ExactLegRank {
    pb::ExactLegRank {
        leg: leg(exact.leg).into(),
        rank: exact.exact.map_or(0, |exact| exact.rank),
        raw: exact.exact.map_or(0.0, |exact| f64::from(exact.score)),
        listed: exact.is_listed,
        candidates: exact.candidates as u32,
    }
}

fn suggestion(suggestion: Suggestion) -> pb::RetrievalSuggestion {
    let (change, number) = match suggestion.change {
        SuggestedChange::AtLeast(number) => (pb::SuggestedChange::AtLeast, number),
        SuggestedChange::AtMost(number) => (pb::SuggestedChange::AtMost, number),
        SuggestedChange::Exactly(number) => (pb::SuggestedChange::Exactly, number),
        SuggestedChange::Remove => (pb::SuggestedChange::Remove, 0.0),
        SuggestedChange::Set => (pb::SuggestedChange::Set, 0.0),
    };
    pb::RetrievalSuggestion {
        field: suggestion.field,
        change: change.into(),
        number,
        text: suggestion.text,
    }
}
