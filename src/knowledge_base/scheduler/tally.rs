//! What became of the generations of one model, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Outcome;
use super::metered::Meter;
use crate::knowledge_base::{Cancellations, Serving};

#[derive(Debug, Default)]
pub(super) struct Tally {
    finished: u64,
    failed: u64,
    pub(super) cancelled: u64,
    refused: BTreeMap<&'static str, u64>,
    input_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    cancellations: Cancellations,
}

impl Tally {
    /// Counts a generation that was refused.
    pub(super) fn refuse(&mut self, reason: &'static str) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// Counts a generation that had a slot. `wish` is how long ago somebody wished it to stop.
    pub(super) fn end(&mut self, outcome: Outcome, meter: &Meter, wish: Option<Duration>) {
        let done = meter.done();
        self.input_tokens += meter.known() + done.read;
        self.cached_tokens += meter.known();
        match outcome {
            Outcome::Finished(written) => {
                self.finished += 1;
                self.output_tokens += written.unwrap_or(done.written);
            }
            Outcome::Refused(reason) => self.refuse(reason),
            Outcome::Failed => {
                self.failed += 1;
                self.output_tokens += done.written;
            }
            Outcome::Cancelled => {
                self.cancelled += 1;
                self.output_tokens += done.written;
                if let Some(wish) = wish {
                    self.cancellations.note(wish, meter.unwanted());
                }
            }
        }
    }

    /// Tells what was counted.
    pub(super) fn serving(&self) -> Serving {
        Serving {
            finished: self.finished,
            failed: self.failed,
            cancelled: self.cancelled,
            refused: self.refused.clone(),
            input_tokens: self.input_tokens,
            cached_tokens: self.cached_tokens,
            output_tokens: self.output_tokens,
            cancellations: self.cancellations,
            ..Serving::default()
        }
    }
}
