//! Cancellation and the compute gate.
//!
//! Comes in: a caller's wish to stop, or a deadline. Goes out: a check that long loops make once per step.
//! Always holds: heavy compute (an embedding batch, a decoding step) runs one at a time, because the kernels of both
//! use every core by themselves and collapse when they share them.
//! Not here: threads; each is owned where it is used.

mod gate;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

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

/// A shared wish to stop. Clones share the wish; each step of a long loop calls [`Cancel::check`].
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    requested: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Cancel {
    /// Returns a handle that nobody has stopped, without a deadline.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a handle that also stops at `deadline`.
    pub fn with_deadline(deadline: Option<Instant>) -> Self {
        Self {
            requested: Arc::default(),
            deadline,
        }
    }

    /// Asks everyone who shares this handle to stop.
    pub fn cancel(&self) {
        self.requested.store(true, Ordering::Relaxed);
    }

    /// Returns whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Returns the deadline, if there is one.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Fails once the caller wants no more.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.requested.load(Ordering::Relaxed) {
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
