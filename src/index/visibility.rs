//! Which chunks exist at which epoch: the one table that both legs ask.

use std::collections::HashMap;
use std::ops::Range;

use parking_lot::RwLock;

use super::{ChunkId, Epoch};

/// The epochs between which a chunk is seen: at `e` if `added <= e < retired`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// First epoch that sees it.
    pub added: Epoch,
    /// First epoch that no longer sees it; [`Lifetime::NEVER`] while it lives.
    pub retired: Epoch,
}

impl Lifetime {
    /// The epoch that never comes.
    pub const NEVER: Epoch = Epoch(u64::MAX);

    /// Returns whether `epoch` sees it.
    pub fn contains(self, epoch: Epoch) -> bool {
        self.added <= epoch && epoch < self.retired
    }
}

/// Lifetimes by chunk. Adding, retiring or resuming for an epoch that is not published yet changes nothing for readers
/// of those before, so the table is changed in place and a reader's view stays whole.
#[derive(Debug, Default)]
pub struct Visibility(RwLock<Table>);

#[derive(Debug, Default)]
struct Table {
    lifetimes: Vec<Lifetime>,
    /// Epochs within a lifetime that do not see the chunk, for the few that have some: a rollback brought it back.
    lapses: HashMap<ChunkId, Vec<Range<Epoch>>>,
}

impl Table {
    fn contains(&self, at: usize, epoch: Epoch) -> bool {
        let Some(lifetime) = self.lifetimes.get(at) else {
            return false;
        };
        lifetime.contains(epoch) && (self.lapses.is_empty() || !self.has_lapsed(at, epoch))
    }

    fn has_lapsed(&self, at: usize, epoch: Epoch) -> bool {
        let lapses = self.lapses.get(&ChunkId(at as u64));
        lapses.is_some_and(|lapses| lapses.iter().any(|lapse| lapse.contains(&epoch)))
    }
}

impl Visibility {
    const ABSENT: Lifetime = Lifetime {
        added: Lifetime::NEVER,
        retired: Lifetime::NEVER,
    };

    /// Records the lifetime of chunks.
    pub fn set(&self, chunks: impl Iterator<Item = ChunkId>, lifetime: Lifetime) {
        let mut table = self.0.write();
        for chunk_id in chunks {
            let at = chunk_id.0 as usize;
            if table.lifetimes.len() <= at {
                table.lifetimes.resize(at + 1, Self::ABSENT);
            }
            table.lifetimes[at] = lifetime;
        }
    }

    /// Ends lifetimes at `epoch`. Chunks that are not in the table stay so.
    pub fn retire(&self, chunks: impl Iterator<Item = ChunkId>, epoch: Epoch) {
        let mut table = self.0.write();
        for chunk_id in chunks {
            if let Some(lifetime) = table.lifetimes.get_mut(chunk_id.0 as usize) {
                lifetime.retired = epoch;
            }
        }
    }

    /// Records that chunks were not seen from the first epoch until the second, and goes on with their lifetimes.
    pub fn resume(&self, chunks: impl Iterator<Item = ChunkId>, from: Epoch, until: Epoch) {
        let mut table = self.0.write();
        for chunk_id in chunks {
            if let Some(lifetime) = table.lifetimes.get_mut(chunk_id.0 as usize) {
                lifetime.retired = Lifetime::NEVER;
                table.lapses.entry(chunk_id).or_default().push(from..until);
            }
        }
    }

    /// Records a lapse within lifetimes that are in the table already.
    pub fn add_lapse(&self, chunks: impl Iterator<Item = ChunkId>, from: Epoch, until: Epoch) {
        let mut table = self.0.write();
        for chunk_id in chunks {
            let lapses = table.lapses.entry(chunk_id).or_default();
            if !lapses.contains(&(from..until)) {
                lapses.push(from..until);
            }
        }
    }

    /// Takes chunks out: no epoch sees them any more.
    pub fn remove(&self, chunks: impl Iterator<Item = ChunkId>) {
        let mut table = self.0.write();
        for chunk_id in chunks {
            if let Some(lifetime) = table.lifetimes.get_mut(chunk_id.0 as usize) {
                *lifetime = Self::ABSENT;
            }
            table.lapses.remove(&chunk_id);
        }
    }

    /// Returns the lifetime of a chunk that some epoch sees.
    pub fn lifetime(&self, chunk_id: ChunkId) -> Option<Lifetime> {
        let table = self.0.read();
        let lifetime = table.lifetimes.get(chunk_id.0 as usize).copied();
        lifetime.filter(|lifetime| *lifetime != Self::ABSENT)
    }

    /// Returns whether some epoch sees the chunk.
    pub fn has(&self, chunk_id: ChunkId) -> bool {
        let table = self.0.read();
        table
            .lifetimes
            .get(chunk_id.0 as usize)
            .is_some_and(|lifetime| *lifetime != Self::ABSENT)
    }

    /// Returns the number after the largest that a chunk ever had.
    pub fn len(&self) -> usize {
        self.0.read().lifetimes.len()
    }

    /// Returns whether there never was a chunk.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the chunks that some epoch sees, as a table by number that can be asked without locks.
    pub fn existing(&self) -> Vec<bool> {
        let table = self.0.read();
        table
            .lifetimes
            .iter()
            .map(|lifetime| *lifetime != Self::ABSENT)
            .collect()
    }

    /// Returns the table as one epoch sees it; it can be asked without locking again while it is held, and writers wait.
    pub fn at(&self, epoch: Epoch) -> VisibleAt<'_> {
        VisibleAt {
            table: self.0.read(),
            epoch,
        }
    }
}

/// What one epoch sees.
#[derive(Debug)]
pub struct VisibleAt<'a> {
    table: parking_lot::RwLockReadGuard<'a, Table>,
    epoch: Epoch,
}

impl VisibleAt<'_> {
    /// Returns whether the chunk is seen.
    pub fn contains(&self, chunk_id: ChunkId) -> bool {
        self.table.contains(chunk_id.0 as usize, self.epoch)
    }

    /// Returns the chunks that are seen, in order.
    pub fn iter(&self) -> impl Iterator<Item = ChunkId> + '_ {
        (0..self.table.lifetimes.len())
            .filter(|at| self.table.contains(*at, self.epoch))
            .map(|at| ChunkId(at as u64))
    }
}
