//! How a language model serves its callers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::worker::ServiceTier;

/// How a language model serves, by now and since the start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Serving {
    /// Generations that run.
    pub running: usize,
    /// Generations that wait, in the order of [`ServiceTier::ALL`].
    pub waiting: [usize; ServiceTier::ALL.len()],
    /// Tokens that all who run hold at most, of all models.
    pub running_tokens: u64,
    /// Generations that came to their end.
    pub finished: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that nobody wanted any more, waiting ones too.
    pub cancelled: u64,
    /// Those that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Those of them that had been read for an earlier prompt.
    pub cached_tokens: u64,
    /// Tokens that were written.
    pub output_tokens: u64,
    /// Tokens of prompts that are read in a second; nothing before one was.
    pub reading_rate: Option<f64>,
    /// Tokens that one of those who run gets in a second; nothing before one was.
    pub writing_rate: Option<f64>,
    /// Share of `max_tokens` that answers have; nothing before one ended.
    pub output_share: Option<f64>,
    /// How soon slots were free after nobody wanted what ran in them.
    pub cancellations: Cancellations,
}

/// How soon slots were free after nobody wanted what ran in them any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cancellations {
    /// How often that was.
    pub count: u64,
    /// The last time.
    pub last: Duration,
    /// All together.
    pub total: Duration,
    /// The longest.
    pub longest: Duration,
    /// Tokens that were written for nobody, the last time.
    pub last_tokens: u64,
    /// All together.
    pub total_tokens: u64,
    /// The most.
    pub most_tokens: u64,
}

impl Cancellations {
    /// Counts one that took so long, and so many tokens.
    pub(in crate::knowledge_base) fn note(&mut self, took: Duration, tokens: u64) {
        self.count += 1;
        (self.last, self.last_tokens) = (took, tokens);
        self.total += took;
        self.total_tokens += tokens;
        self.longest = self.longest.max(took);
        self.most_tokens = self.most_tokens.max(tokens);
    }

    /// Returns the mean time; zero before the first.
    pub fn mean(&self) -> Duration {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        self.total.checked_div(count).unwrap_or_default()
    }
}
