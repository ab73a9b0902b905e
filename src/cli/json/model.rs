//! What models say and make, as JSON.

use serde_json::{Value, json};

use super::{metrics, usage};
use crate::service::pb;

/// A message of a model with all that its stream told.
pub(in crate::cli) fn conversed(
    content: &[Value],
    stop: &pb::MessageStopEvent,
    metadata: &pb::ConverseStreamMetadataEvent,
) -> Value {
    let role = pb::ConversationRole::Assistant.as_str_name();
    let fields = stop.additional_model_response_fields.as_ref();
    let times = |times: &pb::ConverseMetrics| {
        json!({
            "latency_ms": times.latency_ms,
            "time_to_first_token_ms": times.time_to_first_token_ms,
            "stages": times.stages.as_ref().map(metrics),
        })
    };
    json!({
        "output": { "message": { "role": role, "content": content } },
        "stop_reason": stop.stop_reason().as_str_name(),
        "usage": metadata.usage.as_ref().map(usage),
        "metrics": metadata.metrics.as_ref().map(times),
        "additional_model_response_fields": fields.map(|fields| json!({
            "stop_sequence": fields.stop_sequence,
            "seed": fields.seed,
        })),
        "model_id": metadata.model_id,
        "model_hash": metadata.model_hash,
    })
}

/// The vectors of texts.
pub(in crate::cli) fn embedded(response: &pb::EmbedResponse) -> Value {
    let embedding = |embedding: &pb::TextEmbedding| {
        json!({
            "values": embedding.values,
            "input_tokens": embedding.input_tokens,
            "truncated": embedding.truncated,
        })
    };
    json!({
        "embeddings": response.embeddings.iter().map(embedding).collect::<Vec<_>>(),
        "usage": response.usage.as_ref().map(usage),
        "metrics": response.metrics.as_ref().map(metrics),
        "model_id": response.model_id,
        "dimensions": response.dimensions,
    })
}
