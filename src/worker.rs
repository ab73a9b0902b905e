//! Cancellation, claims and the compute gate.
//!
//! Comes in: a caller's wish to stop, or a deadline; and for whom the work is done. Goes out: a check that long loops make once per step.
//! Always holds: heavy compute (an embedding batch, a decoding step) runs one at a time, because the kernels of both
//! use every core by themselves and collapse when they share them.
//! Not here: threads; each is owned where it is used.

mod claim;
mod gate;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub use claim::{Claim, ServiceTier};
pub use gate::{ComputeGate, Entered, Work};

/// Why work was stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The caller went away or asked to stop.
    #[error("the call was cancelled")]
    Cancelled,
    /// The caller's deadline passed.
    #[error("the deadline passed")]
    DeadlineExceeded,
}

/// How far long work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// What is being done, in words.
    pub stage: &'static str,
    /// Units done in this stage.
    pub done: u64,
    /// Units of this stage in all; 0 when not known.
    pub total: u64,
}

/// Is told how far long work is.
pub type OnProgress<'a> = dyn FnMut(Progress) + 'a;

/// A shared wish to stop, and the claim of who has it. Clones share the wish; each step of a long loop calls
/// [`Cancel::check`].
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    /// When it was wished.
    requested: Arc<OnceLock<Instant>>,
    deadline: Option<Instant>,
    claim: Claim,
}

impl Cancel {
    /// Returns a handle that nobody has stopped, without a deadline.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a handle that also stops at `deadline`.
    pub fn with_deadline(deadline: Option<Instant>) -> Self {
        Self {
            deadline,
            ..Self::default()
        }
    }

    /// Returns a handle that shares the wish and makes this claim.
    #[must_use]
    pub fn with_claim(&self, claim: Claim) -> Self {
        Self { claim, ..self.clone() }
    }

    /// Returns a handle that shares the wish and wants its work this soon.
    #[must_use]
    pub fn with_tier(&self, tier: ServiceTier) -> Self {
        let claim = self.claim.clone();
        self.with_claim(Claim { tier, ..claim })
    }

    /// Returns for whom the work is done.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Returns a handle that shares the wish and stops so long before the deadline, but not more than one part of so many
    /// of the time that is left: whoever stops then can still say how far it came.
    #[must_use]
    pub fn with_lead(&self, lead: Duration, most: u32) -> Self {
        let ahead = |deadline: Instant| {
            let left = deadline.saturating_duration_since(Instant::now());
            deadline.checked_sub(lead.min(left / most.max(1))).unwrap_or(deadline)
        };
        Self {
            deadline: self.deadline.map(ahead),
            ..self.clone()
        }
    }

    /// Asks everyone who shares this handle to stop.
    pub fn cancel(&self) {
        self.requested.get_or_init(Instant::now);
    }

    /// Returns whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.requested.get().is_some()
    }

    /// Returns since when nobody wants any more of it: since it was cancelled, or since its deadline if that came first;
    /// nothing while it is wanted.
    pub fn unwanted_since(&self) -> Option<Instant> {
        let passed = self.deadline.filter(|deadline| *deadline <= Instant::now());
        let since = self.requested.get().copied();
        since.into_iter().chain(passed).min()
    }

    /// Returns the deadline, if there is one.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Fails once the caller wants no more.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.is_cancelled() {
            return Err(Stopped::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Stopped::DeadlineExceeded),
            _ => Ok(()),
        }
    }
}

/// Returns the text of an error with those of all its causes.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
