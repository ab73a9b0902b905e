//! How many answers are made at once, and how many may wait.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Error, ErrorKind};
use crate::worker::Cancel;

/// How often a call that waits looks whether its caller is still there.
const WAIT_STEP: Duration = Duration::from_millis(20);
/// When a refused caller should try again: about the time of one short answer.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Slots for answers and a bounded queue before them.
#[derive(Debug)]
pub(super) struct Admission {
    slots: usize,
    max_waiting: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: usize,
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot<'a>(&'a Admission);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.state.lock().running -= 1;
        self.0.freed.notify_one();
    }
}

impl Admission {
    pub(super) fn new(slots: usize, max_waiting: usize) -> Self {
        Self {
            slots,
            max_waiting,
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits for a slot. A full queue refuses at once.
    pub(super) fn enter(&self, cancel: &Cancel) -> Result<Slot<'_>, Error> {
        let mut state = self.state.lock();
        if state.running >= self.slots && state.waiting >= self.max_waiting {
            let message = format!(
                "{} answers are being made and {} wait, the most that may; try again later",
                state.running, state.waiting
            );
            return Err(Error::new(ErrorKind::Overloaded, "ANSWER_QUEUE_FULL", message).retry_after(RETRY_AFTER));
        }
        state.waiting += 1;
        while state.running >= self.slots {
            if let Err(stopped) = cancel.check() {
                state.waiting -= 1;
                return Err(stopped.into());
            }
            self.freed.wait_for(&mut state, WAIT_STEP);
        }
        state.waiting -= 1;
        state.running += 1;
        Ok(Slot(self))
    }
}
