//! The attribute index of a knowledge base, and the sets of chunks that were chosen by it.
//!
//! Always holds: while some revision is not open to all, nothing is searched without a set that leaves out what the
//! caller may not find.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use super::Error;
use super::records::{ChunkRange, Records};
use crate::document::access::AccessList;
use crate::document::metadata::Metadata;
use crate::index::{AttributeIndex, ChunkId, ChunkSet};

/// Bytes of all sets that are kept to be used again.
const MAX_CHOSEN_BYTES: usize = 16 << 20;
/// What a set takes beside its bits and its name.
const ENTRY_BYTES: usize = 128;

/// Attributes by revision. They never change; they are read when the first filter asks.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    index: RwLock<Option<AttributeIndex>>,
    /// Whether some revision is not open to all.
    restricts: AtomicBool,
    chosen: Mutex<Chosen>,
}

impl Attributes {
    /// Returns those of a knowledge base that is opened.
    pub(super) fn open(records: &Records) -> Result<Self, Error> {
        let attributes = Self::default();
        attributes
            .restricts
            .store(records.has_access_lists()?, Ordering::Release);
        Ok(attributes)
    }

    /// Adds a revision with its chunks.
    pub(super) fn add(&self, metadata: &Metadata, access: &AccessList, chunks: ChunkRange) {
        // Before readers see the revision.
        if !access.is_open() {
            self.restricts.store(true, Ordering::Release);
        }
        if let Some(index) = &mut *self.index.write() {
            index.add(chunks.first, chunks.count as u32, metadata, access);
        }
    }

    /// Takes revisions out, which begin with these chunks.
    pub(super) fn remove(&self, firsts: impl Iterator<Item = ChunkId>) {
        let mut index = self.index.write();
        if let Some(found) = &mut *index {
            firsts.for_each(|first| found.remove(first));
            if found.is_worn() {
                *index = None;
            }
        }
        self.chosen.lock().clear();
    }

    /// Forgets all that was read; it is read again when a filter asks.
    pub(super) fn forget(&self, records: &Records) -> Result<(), Error> {
        self.restricts.store(records.has_access_lists()?, Ordering::Release);
        *self.index.write() = None;
        self.chosen.lock().clear();
        Ok(())
    }

    /// Returns whether some revision is not open to all.
    pub(super) fn restricts(&self) -> bool {
        self.restricts.load(Ordering::Acquire)
    }

    /// Works with the index, which is read if it is not there.
    pub(super) fn with<T>(&self, records: &Records, work: impl FnOnce(&AttributeIndex) -> T) -> Result<T, Error> {
        if let Some(index) = &*self.index.read() {
            return Ok(work(index));
        }
        let mut index = self.index.write();
        let index = match &mut *index {
            Some(index) => index,
            none => none.insert(read(records)?),
        };
        Ok(work(index))
    }

    /// Returns the set of this name, if it is kept.
    pub(super) fn chosen(&self, name: &str) -> Option<Arc<ChunkSet>> {
        self.chosen.lock().get(name)
    }

    /// Keeps a set under a name.
    pub(super) fn keep(&self, name: &str, set: &Arc<ChunkSet>) {
        self.chosen.lock().put(name, Arc::clone(set));
    }
}

fn read(records: &Records) -> Result<AttributeIndex, Error> {
    let mut index = AttributeIndex::default();
    records.attributes(|chunks, metadata, access| {
        index.add(chunks.first, chunks.count as u32, &metadata, &access);
    })?;
    Ok(index)
}

/// Sets of chunks by name. Those that were not used for longest go first.
#[derive(Debug, Default)]
struct Chosen {
    sets: HashMap<String, (Arc<ChunkSet>, u64)>,
    bytes: usize,
    uses: u64,
}

impl Chosen {
    fn get(&mut self, name: &str) -> Option<Arc<ChunkSet>> {
        let (set, used) = self.sets.get_mut(name)?;
        self.uses += 1;
        *used = self.uses;
        Some(Arc::clone(set))
    }

    fn put(&mut self, name: &str, set: Arc<ChunkSet>) {
        let bytes = Self::entry_bytes(name, &set);
        if bytes > MAX_CHOSEN_BYTES {
            return;
        }
        self.uses += 1;
        self.bytes += bytes;
        if let Some((before, _)) = self.sets.insert(name.to_owned(), (set, self.uses)) {
            self.bytes -= Self::entry_bytes(name, &before);
        }
        while self.bytes > MAX_CHOSEN_BYTES {
            let oldest = self.sets.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                return;
            };
            if let Some((set, _)) = self.sets.remove(&oldest) {
                self.bytes -= Self::entry_bytes(&oldest, &set);
            }
        }
    }

    fn entry_bytes(name: &str, set: &ChunkSet) -> usize {
        set.bytes() + name.len() + ENTRY_BYTES
    }

    fn clear(&mut self) {
        self.sets.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_that_rest_longest_go_first() {
        let mut chosen = Chosen::default();
        let mut set = ChunkSet::default();
        set.insert(ChunkId(0), 8 * (MAX_CHOSEN_BYTES / 4));
        let set = Arc::new(set);
        for name in ["a", "b", "c"] {
            chosen.put(name, Arc::clone(&set));
        }
        assert!(chosen.get("a").is_some());
        chosen.put("d", Arc::clone(&set));
        let kept: Vec<bool> = ["a", "b", "c", "d"].map(|name| chosen.get(name).is_some()).to_vec();
        assert_eq!(kept, [true, false, true, true]);
        assert!(chosen.bytes <= MAX_CHOSEN_BYTES);
        chosen.put("d", set);
        assert_eq!(chosen.sets.len(), 3, "a name stands once");
        chosen.clear();
        assert_eq!((chosen.sets.len(), chosen.bytes), (0, 0));
    }
}
