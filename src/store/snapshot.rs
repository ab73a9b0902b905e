//! What one epoch sees, in both legs at once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::EpochStore;
use crate::document::metadata::Metadata;
use crate::index::{ChunkId, Epoch, TermsSnapshot, Vectors, VisibleAt};

/// Attributes by chunk, for filters. A chunk's attributes are those of its revision and never change.
#[derive(Debug, Default)]
pub(super) struct Attributes(RwLock<AttributeTable>);

#[derive(Debug, Default)]
struct AttributeTable {
    /// Number of the revision of each chunk; 0 for chunks that are not there.
    revisions: Vec<u64>,
    /// Attributes of revisions that have some.
    metadata: HashMap<u64, Arc<Metadata>>,
}

impl Attributes {
    /// Records a revision with its chunks, which are numbered without gaps.
    pub(super) fn add(&self, revision_id: u64, metadata: &Metadata, first_chunk: ChunkId, chunk_count: usize) {
        let mut table = self.0.write();
        if !metadata.is_empty() {
            table.metadata.insert(revision_id, Arc::new(metadata.clone()));
        }
        let (start, end) = (first_chunk.0 as usize, first_chunk.0 as usize + chunk_count);
        if table.revisions.len() < end {
            table.revisions.resize(end, 0);
        }
        table.revisions[start..end].fill(revision_id);
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
    pub(super) fn new(store: &'a EpochStore, epoch: Epoch) -> Self {
        Self {
            store,
            epoch,
            is_published: epoch == store.epoch(),
            terms: store.terms.snapshot(),
            visible: store.visibility.at(epoch),
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
    pub fn matching(&self, accepts: &dyn Fn(&Metadata) -> bool) -> ChunkSet {
        let table = self.store.attributes.0.read();
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
    }
}
