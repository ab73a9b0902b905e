//! How a search was done, to the wire.

use crate::index::{TermsMode, VectorsMode};
use crate::knowledge_base::RetrievalPlan;
use crate::service::pb;

/// Returns a plan for the wire.
pub(super) fn plan(plan: RetrievalPlan) -> pb::RetrievalPlan {
    let (vectors, terms) = (plan.work.vectors, plan.work.terms);
    pb::RetrievalPlan {
        filter: Some(pb::FilterPlan {
            visible_chunk_count: plan.visible_chunks as u64,
            accepted_chunk_count: plan.accepted_chunks as u64,
            cached: plan.is_cached,
        }),
        vector: Some(pb::VectorPlan {
            mode: vectors_mode(vectors.mode).into(),
            candidate_count: vectors.candidates,
            visited_count: vectors.visited,
        }),
        keyword: Some(pb::KeywordPlan {
            mode: terms_mode(terms.mode).into(),
            candidate_count: terms.candidates,
            visited_count: terms.visited,
        }),
    }
}

fn vectors_mode(mode: VectorsMode) -> pb::VectorSearchMode {
    match mode {
        VectorsMode::None => pb::VectorSearchMode::Unspecified,
        VectorsMode::ExactScan => pb::VectorSearchMode::ExactScan,
        VectorsMode::GraphWalk => pb::VectorSearchMode::GraphWalk,
        VectorsMode::FilteredGraphWalk => pb::VectorSearchMode::FilteredGraphWalk,
    }
}

fn terms_mode(mode: TermsMode) -> pb::KeywordSearchMode {
    match mode {
        TermsMode::None => pb::KeywordSearchMode::Unspecified,
        TermsMode::Postings => pb::KeywordSearchMode::Postings,
        TermsMode::AcceptedChunks => pb::KeywordSearchMode::AcceptedChunks,
    }
}
