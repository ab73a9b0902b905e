//! The last checks of a knowledge base.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::knowledge_base::{LiveRecallInfo, RecallFigures};

/// Checks that are remembered.
pub(super) const MAX_CHECKS: usize = 1_000;
/// Recall below which somebody should look.
const LOW_RECALL: f64 = 0.95;
/// Checks that it takes to say so.
pub(super) const MIN_CHECKS: usize = 100;
/// How often it is said at most.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// What a check found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked {
    /// Among the ten nearest.
    pub(super) recall_at_10: f64,
    /// Among as many as the leg was asked for.
    pub(super) recall: f64,
    /// Whether a filter or access lists said what can be found.
    pub(super) is_filtered: bool,
}

/// The last checks, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Window {
    checked: u64,
    dropped: u64,
    recent: VecDeque<Checked>,
    warned_at: Option<Instant>,
}

impl Window {
    pub(super) fn add(&mut self, checked: Checked) {
        self.checked += 1;
        if self.recent.len() >= MAX_CHECKS {
            self.recent.pop_front();
        }
        self.recent.push_back(checked);
    }

    pub(super) fn drop_one(&mut self) {
        self.dropped += 1;
    }

    pub(super) fn info(&self) -> LiveRecallInfo {
        LiveRecallInfo {
            checked_queries: self.checked,
            dropped_queries: self.dropped,
            all: figures(self.recent.iter()),
            unfiltered: figures(self.recent.iter().filter(|checked| !checked.is_filtered)),
            filtered: figures(self.recent.iter().filter(|checked| checked.is_filtered)),
        }
    }

    /// Returns the figures if they are low and nobody was told of it lately.
    pub(super) fn warning(&mut self, now: Instant) -> Option<RecallFigures> {
        let was_told = self.warned_at.is_some_and(|told| now.duration_since(told) < WARN_EVERY);
        if was_told || self.recent.len() < MIN_CHECKS {
            return None;
        }
        let low = figures(self.recent.iter()).filter(|figures| figures.recall_at_10 < LOW_RECALL)?;
        self.warned_at = Some(now);
        Some(low)
    }
}

fn figures<'a>(checks: impl Iterator<Item = &'a Checked>) -> Option<RecallFigures> {
    let mut figures = RecallFigures {
        queries: 0,
        recall_at_10: 0.0,
        recall: 0.0,
        lowest_recall_at_10: 1.0,
    };
    for checked in checks {
        figures.queries += 1;
        figures.recall_at_10 += checked.recall_at_10;
        figures.recall += checked.recall;
        figures.lowest_recall_at_10 = figures.lowest_recall_at_10.min(checked.recall_at_10);
    }
    let queries = figures.queries as f64;
    figures.recall_at_10 /= queries;
    figures.recall /= queries;
    (figures.queries > 0).then_some(figures)
}
