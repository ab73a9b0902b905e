//! Which chunks exist at which epoch: the one table that both legs ask.

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

/// Lifetimes by chunk. Adding or retiring for an epoch that is not published yet changes nothing for its readers, so the
/// table is changed in place and a reader's view stays whole.
#[derive(Debug, Default)]
pub struct Visibility(RwLock<Vec<Lifetime>>);

impl Visibility {
    const ABSENT: Lifetime = Lifetime {
        added: Lifetime::NEVER,
        retired: Lifetime::NEVER,
    };

    /// Records a lifetime.
    pub fn set(&self, chunk_id: ChunkId, lifetime: Lifetime) {
        let at = chunk_id.0 as usize;
        let mut table = self.0.write();
        if table.len() <= at {
            table.resize(at + 1, Self::ABSENT);
        }
        table[at] = lifetime;
    }

    /// Ends lifetimes at `epoch`. Chunks that are not in the table stay so.
    pub fn retire(&self, chunk_ids: &[ChunkId], epoch: Epoch) {
        let mut table = self.0.write();
        for chunk_id in chunk_ids {
            if let Some(lifetime) = table.get_mut(chunk_id.0 as usize) {
                lifetime.retired = epoch;
            }
        }
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
    table: parking_lot::RwLockReadGuard<'a, Vec<Lifetime>>,
    epoch: Epoch,
}

impl VisibleAt<'_> {
    /// Returns whether the chunk is seen.
    pub fn contains(&self, chunk_id: ChunkId) -> bool {
        self.table
            .get(chunk_id.0 as usize)
            .is_some_and(|lifetime| lifetime.contains(self.epoch))
    }

    /// Returns the chunks that are seen, in order.
    pub fn iter(&self) -> impl Iterator<Item = ChunkId> + '_ {
        self.table
            .iter()
            .enumerate()
            .filter(|(_, lifetime)| lifetime.contains(self.epoch))
            .map(|(at, _)| ChunkId(at as u64))
    }
}
