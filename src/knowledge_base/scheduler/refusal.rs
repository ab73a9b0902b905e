//! Why a generation may not run, in words and numbers.

use std::time::{Duration, Instant};

use super::queue::{Demand, Full, Hopeless, Queue};
use crate::knowledge_base::{Error, ErrorKind};

/// Soonest and latest time that a refused caller is told to come back after.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(1));

/// All who may wait do.
pub(super) fn full(full: Full, queue: &Queue, demand: &Demand, now: Instant) -> Error {
    let (message, tenant) = match full {
        Full::Queue(waiting) => {
            let running = queue.all_running();
            let message = format!("{running} answers are being made and {waiting} wait, the most that may");
            (message, None)
        }
        Full::Tenant(waiting) => {
            let message = format!(
                "{waiting} answers wait for {}, the most that may",
                whose(&demand.tenant)
            );
            (message, Some(&*demand.tenant))
        }
    };
    let free_in = queue.place_free_in(tenant, now);
    let error = Error::new(
        ErrorKind::Overloaded,
        "ANSWER_QUEUE_FULL",
        format!("{message}; try again later"),
    );
    let error = match tenant {
        Some(tenant) if !tenant.is_empty() => error.about("tenant", tenant),
        _ => error,
    };
    error.retry_after(free_in.clamp(RETRY_AFTER.0, RETRY_AFTER.1))
}

fn whose(tenant: &str) -> String {
    match tenant {
        "" => "callers without a tenant".to_owned(),
        tenant => format!("the tenant `{tenant}`"),
    }
}

/// The deadline passes before there is what it is for, even if all goes well.
pub(super) fn hopeless(hopeless: &Hopeless) -> Error {
    let error = unreachable(hopeless.wait + hopeless.due, hopeless.left, hopeless.waited);
    // By itself it would be in time.
    if hopeless.due <= hopeless.left {
        return error.retry_after(hopeless.expected_wait.clamp(RETRY_AFTER.0, RETRY_AFTER.1));
    }
    error
}

/// The same, once the generation could start and its prompt is known.
pub(super) fn late(due: Duration, left: Duration, waited: Duration) -> Error {
    let error = unreachable(due, left, waited);
    if due <= left + waited {
        return error.retry_after(waited.clamp(RETRY_AFTER.0, RETRY_AFTER.1));
    }
    error
}

fn unreachable(predicted: Duration, left: Duration, queued: Duration) -> Error {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let message = format!(
        "the deadline cannot be met: {} ms are left, and this takes {} ms if all goes well; allow more time, or ask for less",
        ms(left),
        ms(predicted)
    );
    Error::new(ErrorKind::DeadlineExceeded, "DEADLINE_UNREACHABLE", message)
        .with_fact("predicted_ms", ms(predicted))
        .with_fact("left_ms", ms(left))
        .with_fact("queued_ms", ms(queued))
}

/// The tokens of a generation find no room.
pub(super) fn no_room(tokens: u64, room: u64, most: u64) -> Error {
    let error = if tokens > most {
        let message = format!(
            "the prompt and what may be written after it take {tokens} tokens, all that runs may hold {most}: shorten the \
             prompt, lower max_tokens, or raise the setting max_running_tokens"
        );
        Error::new(ErrorKind::FailedPrecondition, "TOO_MANY_TOKENS", message)
    } else {
        let message = format!("the prompt and what may be written after it take {tokens} tokens, {room} are free");
        Error::new(ErrorKind::Overloaded, "TOKENS_TAKEN", message).retry_after(RETRY_AFTER.0)
    };
    error.with_fact("tokens", tokens).with_fact("max_running_tokens", most)
}
