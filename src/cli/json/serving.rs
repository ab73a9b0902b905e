//! How models serve, as JSON.

use serde_json::{Value, json};

use crate::service::pb;

/// A model with how it serves.
pub(in crate::cli) fn serving_model(model: &pb::FoundationModelDetails) -> Value {
    json!({
        "model_id": model.model_id,
        "availability": model.availability().as_str_name(),
        "memory_bytes": model.memory_bytes,
        "pinned": model.pinned,
        "serving": model.serving.as_ref().map(serving),
    })
}

fn serving(serving: &pb::ModelServing) -> Value {
    let pb::ModelServing {
        running,
        waiting,
        waiting_priority,
        waiting_default,
        waiting_flex,
        running_tokens,
        finished,
        failed,
        cancelled,
        refused,
        input_tokens,
        cache_read_input_tokens,
        output_tokens,
        prefill_tokens_per_second,
        decode_tokens_per_second,
        output_share,
        cancellation,
    } = serving;
    json!({
        "running": running,
        "waiting": waiting,
        "waiting_priority": waiting_priority,
        "waiting_default": waiting_default,
        "waiting_flex": waiting_flex,
        "running_tokens": running_tokens,
        "finished": finished,
        "failed": failed,
        "cancelled": cancelled,
        "refused": refused,
        "input_tokens": input_tokens,
        "cache_read_input_tokens": cache_read_input_tokens,
        "output_tokens": output_tokens,
        "prefill_tokens_per_second": prefill_tokens_per_second,
        "decode_tokens_per_second": decode_tokens_per_second,
        "output_share": output_share,
        "cancellation": cancellation.as_ref().map(cancellations),
    })
}

fn cancellations(times: &pb::CancellationMetrics) -> Value {
    let pb::CancellationMetrics {
        count,
        last_micros,
        mean_micros,
        max_micros,
        last_tokens,
        mean_tokens,
        max_tokens,
    } = times;
    json!({
        "count": count,
        "last_micros": last_micros,
        "mean_micros": mean_micros,
        "max_micros": max_micros,
        "last_tokens": last_tokens,
        "mean_tokens": mean_tokens,
        "max_tokens": max_tokens,
    })
}
