//! Tiers off the wire; how models serve, onto it.

use super::hit::micros;
use super::known;
use crate::knowledge_base::{Cancellations, Error, ServiceTier, Serving};
use crate::service::pb;

/// Returns how soon an answer is wanted.
pub(in crate::service) fn service_tier(wire: i32) -> Result<ServiceTier, Error> {
    Ok(match known("service_tier", wire)? {
        pb::ServiceTier::Priority => ServiceTier::Priority,
        pb::ServiceTier::Unspecified | pb::ServiceTier::Default => ServiceTier::Default,
        pb::ServiceTier::Flex => ServiceTier::Flex,
    })
}

/// Returns how a model serves, for the wire.
pub(super) fn serving(serving: Serving) -> pb::ModelServing {
    let [priority, default, flex] = serving.waiting.map(|count| count as u32);
    let refused = serving.refused.into_iter();
    pb::ModelServing {
        running: serving.running as u32,
        waiting: priority + default + flex,
        waiting_priority: priority,
        waiting_default: default,
        waiting_flex: flex,
        running_tokens: serving.running_tokens,
        finished: serving.finished,
        failed: serving.failed,
        cancelled: serving.cancelled,
        refused: refused.map(|(reason, count)| (reason.to_owned(), count)).collect(),
        input_tokens: serving.input_tokens,
        cache_read_input_tokens: serving.cached_tokens,
        output_tokens: serving.output_tokens,
        prefill_tokens_per_second: serving.reading_rate.unwrap_or_default(),
        decode_tokens_per_second: serving.writing_rate.unwrap_or_default(),
        output_share: serving.output_share.unwrap_or_default(),
        cancellation: Some(cancellation(serving.cancellations)),
    }
}

fn cancellation(times: Cancellations) -> pb::CancellationMetrics {
    pb::CancellationMetrics {
        count: times.count,
        last_micros: micros(times.last),
        mean_micros: micros(times.mean()),
        max_micros: micros(times.longest),
        last_tokens: times.last_tokens,
        mean_tokens: times.total_tokens as f64 / times.count.max(1) as f64,
        max_tokens: times.most_tokens,
    }
}
