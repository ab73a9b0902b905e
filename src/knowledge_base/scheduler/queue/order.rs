//! Who comes before whom, and when slots become free.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Ticket;
use crate::worker::ServiceTier;

/// Where one who waits stands; the least comes first.
#[derive(Debug, PartialEq)]
pub(super) struct Place {
    pub(super) tier: ServiceTier,
    pub(super) granted: f64,
    pub(super) running: usize,
    pub(super) ticket: Ticket,
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_tenant = || self.granted.total_cmp(&other.granted);
        let rest = |place: &Self| (place.running, place.ticket);
        self.tier
            .cmp(&other.tier)
            .then_with(by_tenant)
            .then_with(|| rest(self).cmp(&rest(other)))
    }
}

/// When slots become free, in seconds from now.
pub(super) struct Slots(BinaryHeap<Free>);

/// A time; the heap gives the earliest first.
#[derive(PartialEq)]
struct Free(f64);

impl Eq for Free {}

impl PartialOrd for Free {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Free {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0)
    }
}

impl Slots {
    /// So many slots, some of them taken for so many seconds more.
    pub(super) fn new(slots: usize, taken: impl Iterator<Item = f64>) -> Self {
        let mut free: BinaryHeap<Free> = taken.map(Free).collect();
        free.extend((free.len()..slots).map(|_| Free(0.0)));
        Self(free)
    }

    pub(super) fn first(&self) -> f64 {
        self.0.peek().map_or(0.0, |free| free.0)
    }

    /// Fills the first free slot for so long.
    pub(super) fn take(&mut self, seconds: f64) {
        if let Some(Free(from)) = self.0.pop() {
            self.0.push(Free(from + seconds));
        }
    }
}
