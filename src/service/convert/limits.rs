//! Limits and defaults to the wire.

use super::inference::{
    MAX_LOGIT_BIASES, MAX_STOP_SEQUENCE_BYTES, MAX_STOP_SEQUENCES, MAX_TEMPERATURE, MAX_TOKENS, MAX_TOP_K,
    MAX_TOP_LOGPROBS,
};
use super::knowledge_base;
use crate::document::MAX_DOCUMENT_ID_BYTES;
use crate::document::access::{self, MAX_ACCESS_ENTRIES, MAX_CALLER_GROUPS};
use crate::document::metadata::{MAX_ATTRIBUTES, MAX_KEY_BYTES, MAX_LIST_MEMBERS, MAX_STRING_BYTES};
use crate::document::schema::MAX_DECLARED;
use crate::generate::{Inference, MAX_PARTS, MAX_SCHEMA_BYTES};
use crate::index::MAX_QUERY_TERMS;
use crate::knowledge_base::{
    CONCURRENT_ANSWERS, DEFAULT_AGES_AFTER, DEFAULT_PAGE_SIZE, FLEX_AGES_AFTER, KnowledgeBaseInfo, MAX_BATCH_QUERIES,
    MAX_CACHE_POINTS, MAX_CLIENT_TOKEN_BYTES, MAX_DELETE_DOCUMENTS, MAX_DESCRIPTION_BYTES, MAX_DOCUMENT_NAME_CHARS,
    MAX_EMBED_BYTES, MAX_EMBED_TEXTS, MAX_NAME_BYTES, MAX_PAGE_SIZE, MAX_PATTERN_BYTES, MAX_RERANK_BYTES,
    MAX_RERANK_SOURCE_CHARS, MAX_RERANK_SOURCES, MAX_TAGS, MAX_TOOL_DESCRIPTION_BYTES, MAX_TOOLS, Settings,
};
use crate::retrieve::DEFAULT_DENSE_WEIGHT;
use crate::retrieve::filter::{MAX_CONDITIONS, MAX_FILTER_DEPTH};
use crate::retrieve::options::{
    DEFAULT_CONTEXT_BYTES, DEFAULT_DUPLICATE_SIMILARITY, DEFAULT_LAMBDA, DEFAULT_RECENCY_FLOOR, DEFAULT_RERANK_WEIGHT,
    DEFAULT_RERANKED, MAX_BOOST_FACTOR, MAX_BOOSTS, MAX_CANDIDATES_PER_LEG, MAX_CHUNKS_PER_DOCUMENT, MAX_CONTEXT_BYTES,
    MAX_IMPLICIT_ATTRIBUTES, MAX_LISTED_DEEPER, MAX_NEIGHBORS, MAX_RERANKED,
};
use crate::retrieve::query::{DEFAULT_RESULTS, MAX_QUERY_CHARS, MAX_RESULTS};
use crate::service::layer::MAX_TENANT_BYTES;
use crate::service::pb;

/// Returns all limits, and the configuration of a knowledge base if one was named.
pub(in crate::service) fn limits(
    settings: &Settings,
    max_model_memory: u64,
    named: Option<KnowledgeBaseInfo>,
) -> pb::GetLimitsResponse {
    pb::GetLimitsResponse {
        retrieval: Some(retrieval()),
        documents: Some(pb::DocumentLimits {
            max_document_bytes: settings.max_document_bytes as u64,
            max_document_id_bytes: MAX_DOCUMENT_ID_BYTES as u32,
            max_attributes: MAX_ATTRIBUTES as u32,
            max_attribute_key_bytes: MAX_KEY_BYTES as u32,
            max_attribute_string_bytes: MAX_STRING_BYTES as u32,
            max_attribute_list_members: MAX_LIST_MEMBERS as u32,
            max_delete_documents: MAX_DELETE_DOCUMENTS as u32,
            max_access_list_names: MAX_ACCESS_ENTRIES as u32,
            max_access_name_bytes: access::MAX_NAME_BYTES as u32,
        }),
        knowledge_bases: Some(pb::KnowledgeBaseLimits {
            max_name_bytes: MAX_NAME_BYTES as u32,
            max_description_bytes: MAX_DESCRIPTION_BYTES as u32,
            max_tags: MAX_TAGS as u32,
            max_client_token_bytes: MAX_CLIENT_TOKEN_BYTES as u32,
            max_page_size: MAX_PAGE_SIZE as u32,
            default_page_size: DEFAULT_PAGE_SIZE as u32,
            max_declared_attributes: MAX_DECLARED as u32,
        }),
        generation: Some(pb::GenerationLimits {
            max_tokens: MAX_TOKENS,
            default_max_tokens: Inference::default().max_tokens as u32,
            max_temperature: MAX_TEMPERATURE,
            max_stop_sequences: MAX_STOP_SEQUENCES as u32,
            max_stop_sequence_bytes: MAX_STOP_SEQUENCE_BYTES as u32,
            concurrent_answers: CONCURRENT_ANSWERS as u32,
            max_queued_answers_in_all: settings.queued_answers_in_all() as u32,
            max_queued_answers: settings.max_queued_answers as u32,
            max_running_tokens: settings.max_running_tokens as u64,
            flex_ages_after_ms: FLEX_AGES_AFTER.as_millis() as u64,
            default_ages_after_ms: DEFAULT_AGES_AFTER.as_millis() as u64,
            max_tenant_bytes: MAX_TENANT_BYTES as u32,
            max_model_memory_bytes: max_model_memory,
            default_model_id: settings.language_model_id.clone(),
            max_top_k: MAX_TOP_K,
            max_logit_biases: MAX_LOGIT_BIASES as u32,
            max_top_logprobs: MAX_TOP_LOGPROBS,
            max_document_name_characters: MAX_DOCUMENT_NAME_CHARS as u32,
            max_schema_bytes: MAX_SCHEMA_BYTES as u32,
            max_pattern_bytes: MAX_PATTERN_BYTES as u32,
            max_tools: MAX_TOOLS as u32,
            max_tool_description_bytes: MAX_TOOL_DESCRIPTION_BYTES as u32,
            max_cache_points: MAX_CACHE_POINTS as u32,
        }),
        embedding: Some(pb::EmbeddingLimits {
            max_texts: MAX_EMBED_TEXTS as u32,
            max_bytes: MAX_EMBED_BYTES as u32,
        }),
        default_embedding_model_id: settings.embedding_model_id.clone(),
        knowledge_base: named.map(knowledge_base),
    }
}

fn retrieval() -> pb::RetrievalLimits {
    pb::RetrievalLimits {
        max_query_characters: MAX_QUERY_CHARS as u32,
        max_query_terms: MAX_QUERY_TERMS as u32,
        max_number_of_results: MAX_RESULTS as u32,
        default_number_of_results: DEFAULT_RESULTS as u32,
        default_dense_weight: DEFAULT_DENSE_WEIGHT,
        max_candidates_per_leg: MAX_CANDIDATES_PER_LEG as u32,
        max_candidates_listed_deeper: MAX_LISTED_DEEPER as u32,
        max_filter_depth: MAX_FILTER_DEPTH as u32,
        max_boosts: MAX_BOOSTS as u32,
        max_boost_factor: MAX_BOOST_FACTOR,
        max_chunks_per_document: MAX_CHUNKS_PER_DOCUMENT as u32,
        max_neighbors: MAX_NEIGHBORS as u32,
        max_context_bytes: MAX_CONTEXT_BYTES as u32,
        default_context_bytes: DEFAULT_CONTEXT_BYTES as u32,
        default_diversity_lambda: DEFAULT_LAMBDA,
        default_near_duplicate_similarity: DEFAULT_DUPLICATE_SIMILARITY,
        default_recency_floor: DEFAULT_RECENCY_FLOOR,
        max_batch_queries: MAX_BATCH_QUERIES as u32,
        max_reranked_results: MAX_RERANKED as u32,
        default_reranked_results: DEFAULT_RERANKED as u32,
        default_reranking_weight: DEFAULT_RERANK_WEIGHT,
        max_rerank_sources: MAX_RERANK_SOURCES as u32,
        max_rerank_source_characters: MAX_RERANK_SOURCE_CHARS as u32,
        max_rerank_bytes: MAX_RERANK_BYTES as u32,
        max_filter_conditions: MAX_CONDITIONS as u32,
        max_caller_groups: MAX_CALLER_GROUPS as u32,
        max_implicit_filter_attributes: MAX_IMPLICIT_ATTRIBUTES as u32,
        max_query_parts: MAX_PARTS as u32,
    }
}
