//! What one epoch sees, in both legs at once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::records::{ChunkRange, Records};
use super::{EpochStore, Error, Lease};
use crate::document::metadata::Metadata;
use crate::index::{ChunkId, Epoch, TermsSnapshot, Vectors, VisibleAt};

/// Attributes by chunk, for filters. A chunk's attributes are those of its revision and never change. They are read
/// when the first filter asks.
#[derive(Debug, Default)]
pub(super) struct Attributes(RwLock<Option<AttributeTable>>);

#[derive(Debug, Default)]
struct AttributeTable {
    /// Number of the revision of each chunk; 0 for chunks that are not there.
    revisions: Vec<u64>,
    /// Attributes of revisions that have some.
    metadata: HashMap<u64, Arc<Metadata>>,
}

impl AttributeTable {
    fn read(records: &Records) -> Result<Self, Error> {
        let mut table = Self::default();
        records.lifetimes(|revision| table.add(revision.revision_id, revision.chunks))?;
        records.attributes(|revision_id, metadata| {
            table.metadata.insert(revision_id, Arc::new(metadata));
        })?;
        Ok(table)
    }

    fn add(&mut self, revision_id: u64, chunks: ChunkRange) {
        let (start, end) = (chunks.first.0 as usize, (chunks.first.0 + chunks.count) as usize);
        if self.revisions.len() < end {
            self.revisions.resize(end, 0);
        }
        self.revisions[start..end].fill(revision_id);
    }
}

impl Attributes {
    /// Adds a revision with its chunks.
    pub(super) fn add(&self, revision_id: u64, metadata: &Metadata, chunks: ChunkRange) {
        if let Some(table) = &mut *self.0.write() {
            table.add(revision_id, chunks);
            if !metadata.is_empty() {
                table.metadata.insert(revision_id, Arc::new(metadata.clone()));
            }
        }
    }

    /// Takes revisions out.
    pub(super) fn remove(&self, revisions: impl Iterator<Item = u64>) {
        if let Some(table) = &mut *self.0.write() {
            for revision_id in revisions {
                table.metadata.remove(&revision_id);
            }
        }
    }

    /// Forgets all; they are read again when a filter asks.
    pub(super) fn forget(&self) {
        *self.0.write() = None;
    }

    fn with<T>(&self, records: &Records, work: impl FnOnce(&AttributeTable) -> T) -> Result<T, Error> {
        if let Some(table) = &*self.0.read() {
            return Ok(work(table));
        }
        let mut table = self.0.write();
        if table.is_none() {
            *table = Some(AttributeTable::read(records)?);
        }
        Ok(work(table.get_or_insert_default()))
    }
}

/// A set of chunks.
#[derive(Debug, Clone, Default)]
pub struct ChunkSet {
    words: Vec<u64>,
    count: usize,
}

impl ChunkSet {
    fn insert(&mut self, chunk_id: ChunkId) {
        let (word, bit) = (chunk_id.0 as usize / 64, chunk_id.0 % 64);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << bit;
        self.count += 1;
    }

    /// Returns whether it holds the chunk.
    pub fn contains(&self, chunk_id: ChunkId) -> bool {
        self.words
            .get(chunk_id.0 as usize / 64)
            .is_some_and(|word| word & (1 << (chunk_id.0 % 64)) != 0)
    }

    /// Returns how many chunks it holds.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// What one epoch sees. Writers wait to add chunks while it is held, so it is held for a search and no longer.
#[derive(Debug)]
pub struct Snapshot<'a> {
    store: &'a EpochStore,
    epoch: Epoch,
    is_published: bool,
    terms: TermsSnapshot,
    visible: VisibleAt<'a>,
}

impl<'a> Snapshot<'a> {
    pub(super) fn new(store: &'a EpochStore, lease: &Lease<'_>) -> Self {
        Self {
            store,
            epoch: lease.epoch(),
            is_published: lease.epoch() == store.epoch(),
            terms: store.terms.snapshot(),
            visible: store.visibility.at(lease.epoch()),
        }
    }

    /// Returns the epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns the keyword index; it also holds chunks that this epoch does not see.
    pub fn terms(&self) -> &TermsSnapshot {
        &self.terms
    }

    /// Returns the vector index; it also holds chunks that this epoch does not see.
    pub fn vectors(&self) -> &Vectors {
        &self.store.vectors
    }

    /// Returns whether the epoch sees the chunk.
    pub fn contains(&self, chunk_id: ChunkId) -> bool {
        self.visible.contains(chunk_id)
    }

    /// Returns how many chunks the epoch sees.
    pub fn chunk_count(&self) -> usize {
        if self.is_published {
            self.store.live_chunks()
        } else {
            self.visible.iter().count()
        }
    }

    /// Returns the chunks that the epoch sees whose document's attributes pass `accepts`.
    pub fn matching(&self, accepts: &dyn Fn(&Metadata) -> bool) -> Result<ChunkSet, Error> {
        self.store.attributes.with(&self.store.records, |table| {
            let none = Metadata::new();
            let mut verdicts: HashMap<u64, bool> = HashMap::new();
            let mut set = ChunkSet::default();
            for chunk_id in self.visible.iter() {
                let revision_id = table.revisions.get(chunk_id.0 as usize).copied().unwrap_or(0);
                let accepted = *verdicts
                    .entry(revision_id)
                    .or_insert_with(|| accepts(table.metadata.get(&revision_id).map_or(&none, |metadata| metadata)));
                if accepted {
                    set.insert(chunk_id);
                }
            }
            set
        })
    }
}
