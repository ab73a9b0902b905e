//! Limits as JSON. Every field is named, so that one that is added to the messages cannot be left out here.

use serde_json::{Value, json};

use super::knowledge_base;
use crate::service::pb;

macro_rules! object {
    ($message:expr, $kind:ident { $($field:ident),+ $(,)? }) => {
        $message.as_ref().map(|message| {
            let pb::$kind { $($field),+ } = message;
            let fields = [$((stringify!($field).to_owned(), json!($field))),+];
            Value::Object(fields.into_iter().collect())
        })
    };
}

pub(in crate::cli) fn limits(response: &pb::GetLimitsResponse) -> Value {
    json!({
        "retrieval": retrieval(response),
        "documents": object!(response.documents, DocumentLimits {
            max_document_bytes,
            max_document_id_bytes,
            max_attributes,
            max_attribute_key_bytes,
            max_attribute_string_bytes,
            max_attribute_list_members,
            max_delete_documents,
            max_access_list_names,
            max_access_name_bytes,
        }),
        "knowledge_bases": object!(response.knowledge_bases, KnowledgeBaseLimits {
            max_name_bytes,
            max_description_bytes,
            max_tags,
            max_client_token_bytes,
            max_page_size,
            default_page_size,
            max_declared_attributes,
        }),
        "generation": object!(response.generation, GenerationLimits {
            max_tokens,
            default_max_tokens,
            max_temperature,
            max_stop_sequences,
            max_stop_sequence_bytes,
            concurrent_answers,
            max_queued_answers_in_all,
            default_model_id,
            max_top_k,
            max_logit_biases,
            max_top_logprobs,
            max_document_name_characters,
            max_queued_answers,
            max_running_tokens,
            flex_ages_after_ms,
            default_ages_after_ms,
            max_tenant_bytes,
            max_model_memory_bytes,
            max_schema_bytes,
            max_pattern_bytes,
            max_tools,
            max_tool_description_bytes,
            max_cache_points,
        }),
        "embedding": object!(response.embedding, EmbeddingLimits { max_texts, max_bytes }),
        "default_embedding_model_id": response.default_embedding_model_id,
        "knowledge_base": response.knowledge_base.as_ref().map(knowledge_base),
    })
}

fn retrieval(response: &pb::GetLimitsResponse) -> Option<Value> {
    object!(
        response.retrieval,
        RetrievalLimits {
            max_query_characters,
            max_query_terms,
            max_number_of_results,
            default_number_of_results,
            default_dense_weight,
            max_candidates_per_leg,
            max_candidates_listed_deeper,
            max_filter_depth,
            max_boosts,
            max_boost_factor,
            max_chunks_per_document,
            max_neighbors,
            max_context_bytes,
            default_context_bytes,
            default_diversity_lambda,
            default_near_duplicate_similarity,
            default_recency_floor,
            max_batch_queries,
            max_reranked_results,
            default_reranked_results,
            default_reranking_weight,
            max_rerank_sources,
            max_rerank_source_characters,
            max_rerank_bytes,
            max_filter_conditions,
            max_caller_groups,
            max_implicit_filter_attributes,
            max_query_parts,
        }
    )
}
