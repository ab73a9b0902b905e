//! Progress of long work, told to its client without holding it up.
//!
//! Comes in: how far the work is, as often as it likes. Goes out: messages, seldom enough to be read.
//! Always holds: the work never waits for the client; what the client is too slow for is left out.

use std::time::{Duration, Instant};

use super::call::Outlet;
use super::convert::progress;
use super::pb;
use crate::knowledge_base::Progress;

#[cfg(test)]
mod tests;

/// Time between two messages of the same stage.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells the client of one call how far its work is.
pub(super) struct Meter<'a, T> {
    outlet: &'a Outlet<T>,
    pace: Pace,
}

impl<'a, T: From<pb::Progress>> Meter<'a, T> {
    /// Tells the client behind `outlet`.
    pub(super) fn new(outlet: &'a Outlet<T>) -> Self {
        Self {
            outlet,
            pace: Pace::default(),
        }
    }

    /// Tells how far the work is, if it is time for it and the client reads.
    pub(super) fn tell(&mut self, now: Progress) {
        if self.pace.is_due(now.stage, Instant::now()) {
            self.outlet.offer(progress(now).into());
        }
    }
}

/// When it was last told, and of which stage.
#[derive(Debug, Default)]
struct Pace(Option<(&'static str, Instant)>);

impl Pace {
    /// Returns whether to tell: of a new stage at once, else after a pause.
    fn is_due(&mut self, stage: &'static str, now: Instant) -> bool {
        let is_early = self
            .0
            .is_some_and(|(told, at)| told == stage && now.saturating_duration_since(at) < PAUSE);
        if !is_early {
            self.0 = Some((stage, now));
        }
        !is_early
    }
}
