//! What a query asks for beyond the words, off the wire.

use std::time::Duration;

use super::filter::filter;
use super::implicit::implicit_filter_options;
use super::known;
use super::query::SEARCH_PATH;
use crate::knowledge_base::Error;
use crate::retrieve::options::{
    DEFAULT_CONTEXT_BYTES, DEFAULT_DUPLICATE_SIMILARITY, DEFAULT_LAMBDA, DEFAULT_RECENCY_FLOOR, DEFAULT_RERANK_WEIGHT,
};
use crate::retrieve::{
    Boost, Expansion, Extent, FusionMethod, Options, QueryTransformation, Recency, Rerank, TransformationKind,
};
use crate::service::pb;

/// Returns the options of a search; their bounds are the query's to check.
pub(super) fn options(search: &mut pb::VectorSearchConfiguration) -> Result<Options, Error> {
    let boosts = std::mem::take(&mut search.boosts).into_iter().enumerate();
    Ok(Options {
        fusion: fusion(search.fusion)?,
        candidates_per_leg: (search.candidates_per_leg > 0).then_some(search.candidates_per_leg as usize),
        rerank: search.reranking_configuration.map(rerank).transpose()?,
        diversity: search.diversity.map(|wire| wire.lambda.unwrap_or(DEFAULT_LAMBDA)),
        chunks_per_document: search.grouping.map(|wire| match wire.max_chunks_per_document {
            0 => 1,
            count => count as usize,
        }),
        near_duplicates: search
            .near_duplicates
            .map(|wire| wire.similarity.unwrap_or(DEFAULT_DUPLICATE_SIMILARITY)),
        expansion: search.context_expansion.and_then(expansion),
        boosts: boosts.map(|(at, wire)| boost(at, wire)).collect::<Result<_, _>>()?,
        recency: search.recency.take().map(recency).transpose()?,
        highlight: search.highlight,
        transformation: search
            .query_transformation_configuration
            .take()
            .map(transformation)
            .transpose()?,
        implicit_filter: search
            .implicit_filter_configuration
            .take()
            .map(implicit_filter_options)
            .transpose()?,
    })
}

fn fusion(number: i32) -> Result<FusionMethod, Error> {
    Ok(match known::<pb::FusionMethod>(&path("fusion"), number)? {
        pb::FusionMethod::Unspecified | pb::FusionMethod::WeightedSum => FusionMethod::WeightedSum,
        pb::FusionMethod::ReciprocalRank => FusionMethod::ReciprocalRank,
    })
}

fn rerank(wire: pb::RerankingConfiguration) -> Result<Rerank, Error> {
    let field = path("reranking_configuration.type");
    match known::<pb::RerankingType>(&field, wire.r#type)? {
        pb::RerankingType::Unspecified | pb::RerankingType::LateInteraction => Ok(Rerank {
            count: (wire.number_of_reranked_results > 0).then_some(wire.number_of_reranked_results as usize),
            weight: wire.weight.unwrap_or(DEFAULT_RERANK_WEIGHT),
        }),
    }
}

fn transformation(wire: pb::QueryTransformationConfiguration) -> Result<QueryTransformation, Error> {
    let field = path("query_transformation_configuration.type");
    let kind = match known::<pb::QueryTransformationType>(&field, wire.r#type)? {
        pb::QueryTransformationType::Unspecified => return Err(Error::invalid(field, "is required, but absent")),
        pb::QueryTransformationType::QueryDecomposition => TransformationKind::Decomposition,
        pb::QueryTransformationType::QueryRewriting => TransformationKind::Rewriting,
    };
    Ok(QueryTransformation {
        kind,
        model_id: wire.model_id,
    })
}

fn expansion(wire: pb::ContextExpansionConfiguration) -> Option<Expansion> {
    use pb::context_expansion_configuration::Extent as Wire;
    let extent = match wire.extent? {
        Wire::Neighbors(count) => Extent::Neighbors(count as usize),
        Wire::Section(true) => Extent::Section,
        Wire::Section(false) => return None,
    };
    let max_bytes = match wire.max_bytes {
        0 => DEFAULT_CONTEXT_BYTES,
        bytes => bytes as usize,
    };
    Some(Expansion { extent, max_bytes })
}

fn boost(at: usize, wire: pb::ScoreBoost) -> Result<Boost, Error> {
    let field = path(&format!("boosts[{at}].filter"));
    let wanted = wire
        .filter
        .ok_or_else(|| Error::invalid(&field, "is required, but absent"))?;
    Ok(Boost {
        filter: filter(&field, wanted)?,
        factor: wire.factor,
    })
}

fn recency(wire: pb::RecencyConfiguration) -> Result<Recency, Error> {
    let field = path("recency.half_life");
    let half_life = wire
        .half_life
        .ok_or_else(|| Error::invalid(&field, "is required, but absent"))?;
    let half_life = Duration::try_from(half_life)
        .map_err(|_| Error::invalid(&field, format!("must be above 0, is {half_life}")))?;
    Ok(Recency {
        attribute_key: wire.attribute_key,
        half_life,
        floor: wire.floor.unwrap_or(DEFAULT_RECENCY_FLOOR),
    })
}

fn path(name: &str) -> String {
    format!("{SEARCH_PATH}.{name}")
}
