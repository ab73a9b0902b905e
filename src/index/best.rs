//! The best of many scores.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Scored;

/// Orders best first: by score, equal ones by chunk id.
pub(crate) fn best_first(left: &Scored, right: &Scored) -> Ordering {
    right
        .score
        .total_cmp(&left.score)
        .then(left.chunk_id.cmp(&right.chunk_id))
}

/// Keeps the best so far, at most `limit`.
#[derive(Debug)]
pub(super) struct Best {
    limit: usize,
    // Worst on top.
    kept: BinaryHeap<Ranked>,
}

#[derive(Debug)]
struct Ranked(Scored);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        best_first(&self.0, &other.0)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

impl Best {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: BinaryHeap::with_capacity(limit.min(1_024) + 1),
        }
    }

    pub(super) fn offer(&mut self, scored: Scored) {
        if self.kept.len() < self.limit {
            self.kept.push(Ranked(scored));
        } else if let Some(mut worst) = self.kept.peek_mut()
            && best_first(&scored, &worst.0).is_lt()
        {
            *worst = Ranked(scored);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Returns a score that only what may still enter exceeds. It lies just below the worst that is kept, because an
    /// equal score with a smaller chunk id enters too.
    pub(super) fn threshold(&self) -> f32 {
        match self.kept.peek() {
            Some(Ranked(worst)) if self.kept.len() >= self.limit => worst.score.next_down(),
            _ => f32::MIN,
        }
    }

    /// Returns what was kept, best first.
    pub(super) fn into_sorted(self) -> Vec<Scored> {
        let sorted = self.kept.into_sorted_vec();
        sorted.into_iter().map(|Ranked(scored)| scored).collect()
    }
}
