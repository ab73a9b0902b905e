//! A knowledge base that does not exist yet: its directory is there, its row in the catalog is not.

use std::path::PathBuf;

use super::{ArchiveReader, Manifest, Refusal, STORE_ENTRY};
use crate::store::catalog::mark_unfinished;
use crate::store::layout;
use crate::store::{BaseRecord, Catalog, EpochStore, Error, OpenOptions};
use crate::worker::{Cancel, OnProgress};

/// A directory without a row. It is removed when it is dropped, unless [`Catalog::adopt`] takes it.
#[derive(Debug)]
pub struct NewBase {
    // Closed before the directory is removed.
    store: Option<EpochStore>,
    directory: Vanishing,
    manifest: Manifest,
}

/// A directory that is removed when this is dropped.
#[derive(Debug)]
struct Vanishing {
    path: PathBuf,
    is_kept: bool,
}

impl Drop for Vanishing {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            // The next opening of the data directory sweeps it away.
            tracing::warn!(directory = %self.path.display(), %error, "cannot remove what is left of a restoration");
        }
    }
}

impl NewBase {
    /// Returns what the archive says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

impl Catalog {
    /// Unpacks a backup into the directory of a knowledge base that has no row yet, and opens it there, which verifies
    /// it and makes its indexes.
    pub fn unpack(
        &self,
        archive: ArchiveReader<'_>,
        id: &str,
        options: OpenOptions,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<NewBase, Error> {
        let path = self.layout().knowledge_base(id);
        std::fs::create_dir_all(&path).map_err(|source| Error::file(&path, source))?;
        let directory = Vanishing { path, is_kept: false };
        mark_unfinished(&directory.path)?;
        let manifest = archive.unpack(&directory.path, cancel, on_progress)?;
        let store = EpochStore::open(&directory.path, options)?;
        cancel.check()?;
        compare(&store, &manifest)?;
        Ok(NewBase {
            store: Some(store),
            directory,
            manifest,
        })
    }

    /// Adds the row that makes the knowledge base exist, and returns it open.
    pub fn adopt(&self, record: &BaseRecord, mut new: NewBase) -> Result<EpochStore, Error> {
        layout::sync_names(&layout::records(&new.directory.path))?;
        layout::sync_names(&new.directory.path)?;
        self.insert_row(record, None)?;
        new.directory.is_kept = true;
        new.store.take().ok_or(Error::Removed)
    }
}

/// Compares what came out of an archive with what its manifest says.
fn compare(store: &EpochStore, manifest: &Manifest) -> Result<(), Error> {
    let (documents, chunks) = store.counts(store.epoch())?;
    let counted = [
        ("epoch", manifest.epoch.0, store.epoch().0),
        ("documents", manifest.document_count, documents),
        ("chunks", manifest.chunk_count, chunks),
        (
            "chunks of its revisions",
            manifest.chunk_count,
            store.live_chunks() as u64,
        ),
    ];
    for (what, expected, found) in counted {
        if expected != found {
            return Err(Refusal::OtherContent {
                entry: STORE_ENTRY.to_owned(),
                what,
                expected,
                found,
            }
            .into());
        }
    }
    Ok(())
}
