//! Scores that fade with age.

use std::time::{Duration, SystemTime};

use super::date::seconds_since_1970;
use super::{Facts, Line, RecencyEffect};
use crate::retrieve::Recency;

/// Lets scores fade with the age that their documents have at `now`, and orders by score again.
pub fn fade(line: &mut Line, recency: &Recency, facts: &Facts, now: SystemTime) {
    let now = match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    for staged in &mut line.kept {
        let date = facts
            .get(&staged.chunk_id())
            .and_then(|facts| facts.metadata.get(&recency.attribute_key))
            .and_then(seconds_since_1970);
        let age = date.and_then(|date| Duration::try_from_secs_f64((now - date).max(0.0)).ok());
        let multiplier = staged.multiply(factor(recency, age));
        staged.recency = Some(RecencyEffect { age, multiplier });
    }
    line.sort();
}

fn factor(recency: &Recency, age: Option<Duration>) -> f64 {
    let fading = age.map_or(0.0, |age| {
        0.5_f64.powf(age.as_secs_f64() / recency.half_life.as_secs_f64())
    });
    recency.floor + (1.0 - recency.floor) * fading
}
