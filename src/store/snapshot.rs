//! What one epoch sees, in both legs at once.

use std::sync::Arc;

use super::{EpochStore, Error, Lease};
use crate::index::{AttributeIndex, ChunkId, ChunkSet, Epoch, RowSet, TermsSnapshot, Vectors, VisibleAt};

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

    /// Returns the chunks that the epoch sees of the rows that `rows` chooses, and whether they were known already.
    /// `name` names the choice: the same name stands for the same rows as long as no revision comes or goes.
    pub fn choose<E: From<Error>>(
        &self,
        name: &str,
        rows: impl FnOnce(&AttributeIndex) -> Result<RowSet, E>,
    ) -> Result<(Arc<ChunkSet>, bool), E> {
        let attributes = &self.store.attributes;
        let name = format!("{}|{name}", self.epoch);
        if let Some(set) = attributes.chosen(&name) {
            return Ok((set, true));
        }
        let set = attributes.with(&self.store.records, |index| {
            let rows = rows(index)?;
            let mut set = ChunkSet::default();
            for (first, count) in index.chunks(&rows) {
                // The chunks of a revision live together.
                if self.visible.contains(first) {
                    set.insert(first, count);
                }
            }
            Ok::<_, E>(Arc::new(set))
        })??;
        attributes.keep(&name, &set);
        Ok((set, false))
    }
}

impl EpochStore {
    /// Returns whether some document is not open to all.
    pub fn restricts_access(&self) -> bool {
        self.attributes.restricts()
    }

    /// Works with the attributes of all revisions that are kept. Reading them, once, takes about a second for a million
    /// documents; a snapshot that is held meanwhile keeps writers waiting.
    pub fn with_attributes<T>(&self, work: impl FnOnce(&AttributeIndex) -> T) -> Result<T, Error> {
        self.attributes.with(&self.records, work)
    }
}
