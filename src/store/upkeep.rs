//! What keeps the indexes small and quick.

use std::path::Path;

use super::epoch_store::Writer;
use super::{EpochStore, Error, layout, recover};
use crate::index::Epoch;
use crate::worker::{Cancel, OnProgress, Progress};

/// What a knowledge base takes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Storage {
    /// Bytes of the store.
    pub store_bytes: u64,
    /// Bytes of the keyword index.
    pub terms_bytes: u64,
    /// Bytes of the vector index.
    pub vectors_bytes: u64,
    /// Chunks in the indexes that the published epoch does not see.
    pub retired_chunks: u64,
    /// Segments of the keyword index.
    pub terms_segments: u32,
    /// Sealed segments of the vector index.
    pub vectors_segments: u32,
    /// Chunks whose vectors wait to be sealed.
    pub fresh_chunks: u64,
}

impl EpochStore {
    /// Returns what it takes on disk.
    pub fn storage(&self) -> Storage {
        let bytes = |path: &Path| -> u64 {
            let files = layout::files(path);
            files
                .iter()
                .filter_map(|file| file.metadata().ok())
                .map(|file| file.len())
                .sum()
        };
        let (terms_bytes, vectors_bytes) = (
            bytes(&layout::terms(&self.directory)),
            bytes(&layout::vectors(&self.directory)),
        );
        let figures = self.vectors.figures();
        Storage {
            store_bytes: bytes(&self.directory).saturating_sub(terms_bytes + vectors_bytes),
            terms_bytes,
            vectors_bytes,
            retired_chunks: self.terms.rows().saturating_sub(self.live_chunks() as u64),
            terms_segments: self.terms.segments() as u32,
            vectors_segments: figures.0 as u32,
            fresh_chunks: figures.1 as u64,
        }
    }

    /// Returns what the upkeep is doing right now.
    pub fn upkeep_progress(&self) -> Option<Progress> {
        *self.upkeep.lock()
    }

    /// Rewrites the parts of both indexes that hold removed chunks.
    pub(super) fn tidy_indexes(&self, cancel: &Cancel, on_progress: &mut OnProgress<'_>) -> Result<(), Error> {
        self.terms.purge().map_err(Error::Index)?;
        self.purge_vectors(cancel, on_progress)
    }

    /// Rewrites what holds removed vectors.
    pub(super) fn purge_vectors(&self, cancel: &Cancel, on_progress: &mut OnProgress<'_>) -> Result<(), Error> {
        let _ = (cancel, on_progress);
        Ok(())
    }

    /// Makes the keyword index again from the records; readers keep the old one until it is whole.
    pub(super) fn rebuild_terms(&self, writer: &mut Writer) -> Result<(), Error> {
        self.terms.rollback().map_err(Error::Index)?;
        self.terms.remove_all().map_err(Error::Index)?;
        recover::replay_terms(&self.terms, &self.records, Epoch(0), self.epoch(), writer.removal)
    }

    /// Counts the chunks whose lifetime in memory differs from that of the records, and those that only memory has.
    pub(super) fn visibility_differences(&self) -> Result<(usize, usize), Error> {
        let mut known = 0;
        let mut different = 0;
        self.records.lifetimes(|revision| {
            for chunk_id in revision.chunks.ids() {
                known += 1;
                different += usize::from(self.visibility.lifetime(chunk_id) != Some(revision.lifetime));
            }
        })?;
        let held = self.visibility.existing().into_iter().filter(|exists| *exists).count();
        Ok((different, held.saturating_sub(known)))
    }

    /// Reads the table of visibility again.
    pub(super) fn read_visibility_again(&self) -> Result<(), Error> {
        recover::read_visibility(&self.visibility, &self.records, self.epoch()).map(drop)
    }
}
