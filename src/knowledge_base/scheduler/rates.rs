//! How fast a model reads and writes, learned from what it did. Pure.

use std::time::Duration;

use super::queue::Cost;

/// Seconds to read a token of a prompt before anything is known: 200 tokens a second.
const FIRST_READ: f64 = 1.0 / 200.0;
/// Seconds to write a token before anything is known: 10 tokens a second.
const FIRST_WRITE: f64 = 1.0 / 10.0;
/// Share of `max_tokens` that is written before anything is known.
const FIRST_SHARE: f64 = 0.5;
/// Tokens that the mean time of reading forgets after.
const READ_MEMORY: f64 = 4_096.0;
/// Tokens that the mean time of writing forgets after.
const WRITE_MEMORY: f64 = 512.0;
/// Generations that the mean share of `max_tokens` forgets after.
const SHARE_MEMORY: f64 = 32.0;
/// Tokens that must have been read before anybody is refused for the time that it takes.
const LEAST_READ: f64 = 64.0;
/// Tokens that must have been written before.
const LEAST_WRITTEN: f64 = 32.0;
/// Generations that must have ended before.
const LEAST_ENDED: f64 = 4.0;
/// How much faster than it was before a model may turn out to be: only who is late even then is refused.
const HASTE: f64 = 2.0;
/// Seconds that a token takes at least: so that a model without weights has a cost.
const LEAST_SECONDS: f64 = 1e-6;

/// A mean that forgets: of all there was at first, then of so much.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Mean {
    value: f64,
    weight: f64,
}

impl Mean {
    fn learn(&mut self, value: f64, weight: f64, memory: f64) {
        if value.is_finite() && weight > 0.0 {
            self.weight = (self.weight + weight).min(memory.max(weight));
            self.value += (value - self.value) * weight / self.weight;
        }
    }

    fn known(self) -> Option<f64> {
        (self.weight > 0.0).then_some(self.value)
    }
}

/// What a model did for one generation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Done {
    /// Tokens of the prompt that were read, without those that were known.
    pub(super) read: u64,
    /// Time that they took.
    pub(super) reading: Duration,
    /// Tokens that were written, one in each step.
    pub(super) written: u64,
    /// Time that they took.
    pub(super) writing: Duration,
    /// Generations that ran meanwhile, this one included.
    pub(super) beside: usize,
}

/// The learned figures of a model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rates {
    /// Seconds for a token of a prompt.
    read: Mean,
    /// Seconds for a token, while so many generations run.
    write: Vec<Mean>,
    /// Share of `max_tokens`.
    share: Mean,
    /// Tokens of an answer.
    length: Mean,
}

impl Rates {
    /// Knows nothing of a model that makes at most so many answers at once.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            read: Mean::default(),
            write: vec![Mean::default(); slots.max(1)],
            share: Mean::default(),
            length: Mean::default(),
        }
    }

    /// Learns from a generation, however it ended.
    pub(super) fn learn(&mut self, done: Done) {
        let (read, written) = (done.read as f64, done.written as f64);
        self.read.learn(done.reading.as_secs_f64() / read, read, READ_MEMORY);
        let at = done.beside.clamp(1, self.write.len()) - 1;
        let each = done.writing.as_secs_f64() / written;
        self.write[at].learn(each, written, WRITE_MEMORY);
    }

    /// Learns how long answers are, from one that came to its own end.
    pub(super) fn learn_length(&mut self, written: u64, max_tokens: u64) {
        let share = written as f64 / max_tokens.max(1) as f64;
        self.share.learn(share.min(1.0), 1.0, SHARE_MEMORY);
        self.length.learn(written as f64, 1.0, SHARE_MEMORY);
    }

    /// Returns how many seconds a token of a prompt takes.
    fn seconds_to_read(&self) -> f64 {
        self.read.known().unwrap_or(FIRST_READ).max(LEAST_SECONDS)
    }

    /// Returns how many seconds a token takes while so many generations run: as was seen, else as with more that ran, else
    /// as if those that ran fewer took turns.
    fn seconds_to_write(&self, beside: usize) -> f64 {
        let at = beside.clamp(1, self.write.len()) - 1;
        let known = |at: usize| self.write[at].known();
        let more = || (at + 1..self.write.len()).find_map(known);
        let fewer = || {
            let below = (0..at).rev().find_map(|below| Some((below, known(below)?)));
            below.map(|(below, seconds)| seconds * (at + 1) as f64 / (below + 1) as f64)
        };
        let seconds = known(at).or_else(fewer).or_else(more);
        seconds.unwrap_or(FIRST_WRITE).max(LEAST_SECONDS)
    }

    /// Returns the seconds that a generation takes while so many run: for so many tokens of its prompt that must be read,
    /// and so many that it may write at most. `is_streamed` says that its deadline is for the first token.
    pub(super) fn cost(&self, read: u64, max_tokens: u64, beside: usize, is_streamed: bool) -> Cost {
        let (read, max_tokens) = (read as f64, max_tokens.max(1) as f64);
        let share = self.share.known().unwrap_or(FIRST_SHARE);
        let length = (share * max_tokens).clamp(1.0, max_tokens);
        let reading = read * self.seconds_to_read();
        let expected = reading + length * self.seconds_to_write(beside);
        let knows_reading = self.read.weight >= LEAST_READ;
        let best_reading = if knows_reading { reading / HASTE } else { 0.0 };
        let written: f64 = self.write.iter().map(|mean| mean.weight).sum();
        let knows_writing = written >= LEAST_WRITTEN && self.share.weight >= LEAST_ENDED;
        let best_writing = if knows_writing {
            let best = (0..self.write.len()).filter_map(|at| self.write[at].known());
            let best = best.min_by(f64::total_cmp).unwrap_or_default();
            // An answer may be half as long as others were.
            let length = length.min(self.length.value.max(1.0)) / HASTE;
            length * best / HASTE
        } else {
            0.0
        };
        let least = best_reading + best_writing;
        Cost {
            expected,
            least,
            due: if is_streamed { best_reading } else { least },
        }
    }

    /// Returns the seconds that what was done should have taken.
    pub(super) fn worth(&self, done: Done) -> f64 {
        let reading = done.read as f64 * self.seconds_to_read();
        reading + done.written as f64 * self.seconds_to_write(done.beside)
    }

    /// Returns the tokens of prompts that are read in a second; nothing before one was.
    pub(super) fn reading_rate(&self) -> Option<f64> {
        self.read.known().map(|seconds| 1.0 / seconds.max(LEAST_SECONDS))
    }

    /// Returns the tokens that are written in a second by one of so many generations; nothing before one was.
    pub(super) fn writing_rate(&self, beside: usize) -> Option<f64> {
        let is_known = self.write.iter().any(|mean| mean.known().is_some());
        is_known.then(|| 1.0 / self.seconds_to_write(beside))
    }

    /// Returns the share of `max_tokens` that answers have; nothing before one ended.
    pub(super) fn share(&self) -> Option<f64> {
        self.share.known()
    }
}

#[cfg(test)]
mod tests;
