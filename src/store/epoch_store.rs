//! One open knowledge base: records, both indexes, and the epoch that readers see.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::commit::{self, Change, Committed, NewRevision};
use super::records::{self, ChunkRecord, IndexedContent, Records};
use super::recover;
use super::snapshot::{Attributes, Snapshot};
use super::{DocumentInfo, DocumentStatus, Error, layout, sqlite};
use crate::document::DocumentId;
use crate::document::metadata::Metadata;
use crate::index::{ChunkId, Epoch, Language, Lifetime, TermRow, Terms, Vectors, Visibility};
use crate::worker::{Cancel, Stopped};

/// How often a reader that waits for an epoch looks whether its caller is still there.
const WAIT_STEP: Duration = Duration::from_millis(50);

/// How a knowledge base is opened.
#[derive(Debug, Clone, Copy)]
pub struct OpenOptions {
    /// Analyzer of the keyword leg.
    pub language: Language,
    /// Dimension of its vectors.
    pub dimensions: usize,
}

/// One open knowledge base.
#[derive(Debug)]
pub struct EpochStore {
    records_path: PathBuf,
    pub(super) records: Records,
    pub(super) terms: Terms,
    pub(super) vectors: Vectors,
    pub(super) visibility: Visibility,
    pub(super) attributes: Attributes,
    published: AtomicU64,
    /// Chunks visible at the published epoch.
    live_chunks: AtomicUsize,
    pub(super) writer: Mutex<Writer>,
    published_changed: (Mutex<()>, Condvar),
    removed: AtomicBool,
}

/// The one who writes.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    /// Why a commit is in the records and not in the indexes.
    pub(super) poison: Option<String>,
}

impl EpochStore {
    /// Makes the directory and an empty record of truth.
    pub(super) fn create(directory: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(directory).map_err(|source| Error::file(directory, source))?;
        sqlite::open_writer(&layout::records(directory), records::SCHEMA).map(drop)
    }

    /// Opens a knowledge base: checks both indexes against the records and adds what they lack.
    pub fn open(directory: &Path, options: OpenOptions) -> Result<Self, Error> {
        let records_path = layout::records(directory);
        if !records_path.is_file() {
            return Err(Error::Damaged {
                path: records_path,
                what: "the file is missing".to_owned(),
            });
        }
        let connection = sqlite::open_writer(&records_path, records::SCHEMA)?;
        let recovered = recover::recover(directory, &Records::new(&records_path), options)?;
        Ok(Self {
            records: Records::new(&records_path),
            records_path,
            terms: recovered.terms,
            vectors: recovered.vectors,
            visibility: recovered.visibility,
            attributes: recovered.attributes,
            published: AtomicU64::new(recovered.epoch.0),
            live_chunks: AtomicUsize::new(recovered.live_chunks),
            writer: Mutex::new(Writer {
                connection,
                poison: None,
            }),
            published_changed: Default::default(),
            removed: AtomicBool::new(false),
        })
    }

    /// Returns the published epoch.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.published.load(Ordering::Acquire))
    }

    /// Returns how many documents and chunks an epoch holds.
    pub fn counts(&self, epoch: Epoch) -> Result<(u64, u64), Error> {
        self.records.counts(epoch)
    }

    /// Returns how many chunks the published epoch holds, without asking the records.
    pub(super) fn live_chunks(&self) -> usize {
        self.live_chunks.load(Ordering::Acquire)
    }

    /// Waits until `epoch` is published.
    pub fn wait_for(&self, epoch: Epoch, cancel: &Cancel) -> Result<(), Stopped> {
        let (lock, changed) = &self.published_changed;
        let mut guard = lock.lock();
        while self.epoch() < epoch {
            cancel.check()?;
            changed.wait_for(&mut guard, WAIT_STEP);
        }
        Ok(())
    }

    /// Returns what one epoch sees, the published one if none is named.
    pub fn snapshot(&self, as_of: Option<Epoch>) -> Snapshot<'_> {
        Snapshot::new(self, as_of.unwrap_or_else(|| self.epoch()))
    }

    /// Applies the changes as one commit: on disk, in both indexes and published when this returns. A commit cannot be
    /// cancelled. After one that reached the records and not the indexes (a full disk), the next first brings the indexes
    /// up; until that succeeds, writes are refused. `cause` says for people what made it.
    pub fn commit(&self, changes: &[Change], cause: &str) -> Result<Committed, Error> {
        let mut writer = self.writer.lock();
        if self.removed.load(Ordering::Acquire) {
            return Err(Error::Removed);
        }
        if let Some(cause) = &writer.poison {
            let behind = |error: Error| {
                tracing::warn!(error = %error, "the indexes cannot be brought up to the records yet");
                Error::Poisoned { cause: cause.clone() }
            };
            self.catch_up().map_err(behind)?;
            tracing::info!(epoch = %self.epoch(), "the indexes are up to the records again; writes go on");
            writer.poison = None;
        }
        let before = self.epoch();
        let committed = commit::write(
            &mut writer.connection,
            &self.records_path,
            changes,
            cause,
            SystemTime::now(),
        )?;
        if committed.epoch == before {
            return Ok(committed);
        }
        match self.derive(changes, &committed) {
            Ok(()) => Ok(committed),
            Err(error) => {
                tracing::error!(error = %error, epoch = %committed.epoch, "a commit is on disk but not in the indexes; writes stop");
                writer.poison = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// Brings both indexes to the epoch of a commit that is on disk, and publishes it.
    fn derive(&self, changes: &[Change], committed: &Committed) -> Result<(), Error> {
        let epoch = committed.epoch;
        let puts: Vec<&NewRevision> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Put(revision) => Some(&**revision),
                _ => None,
            })
            .collect();
        let mut rows = Vec::new();
        for (revision, added) in puts.iter().zip(&committed.added) {
            self.attributes.add(
                added.revision_id,
                &revision.metadata,
                added.first_chunk,
                revision.chunks.len(),
            );
            for (offset, new) in revision.chunks.iter().enumerate() {
                let chunk_id = ChunkId(added.first_chunk.0 + offset as u64);
                let lifetime = Lifetime {
                    added: epoch,
                    retired: Lifetime::NEVER,
                };
                self.visibility.set(chunk_id, lifetime);
                let text = new.chunk.span.of(&revision.text).unwrap_or_default();
                self.terms
                    .add(&TermRow {
                        chunk_id,
                        title: revision.title.as_deref().unwrap_or_default(),
                        headings: &new.chunk.heading_path,
                        text,
                    })
                    .map_err(Error::Index)?;
                rows.push((chunk_id, new.embedding.as_slice()));
            }
        }
        self.visibility.retire(&committed.retired, epoch);
        self.terms.commit(epoch).map_err(Error::Index)?;
        self.vectors.insert(&rows).map_err(Error::Index)?;
        let live = self.live_chunks() + rows.len() - committed.retired.len();
        self.publish(epoch, live);
        Ok(())
    }

    /// Brings both indexes from the published epoch to that of the records, after a commit that failed between the two.
    fn catch_up(&self) -> Result<(), Error> {
        let epoch = self.records.epoch()?;
        self.terms.rollback().map_err(Error::Index)?;
        let mut live = 0;
        self.records.lifetimes(|chunk| {
            self.visibility.set(chunk.chunk_id, chunk.lifetime);
            self.attributes
                .add(chunk.revision_id, &Metadata::new(), chunk.chunk_id, 1);
            live += usize::from(chunk.lifetime.contains(epoch));
        })?;
        self.records
            .attributes(|revision_id, metadata| self.attributes.add(revision_id, &metadata, ChunkId(0), 0))?;
        recover::replay_terms(&self.terms, &self.records, self.epoch(), epoch)?;
        // Vectors that are there already are left alone.
        recover::insert_vectors(&self.vectors, &self.records, self.epoch())?;
        self.publish(epoch, live);
        Ok(())
    }

    fn publish(&self, epoch: Epoch, live_chunks: usize) {
        let (lock, changed) = &self.published_changed;
        let guard = lock.lock();
        self.live_chunks.store(live_chunks, Ordering::Release);
        self.published.store(epoch.0, Ordering::Release);
        drop(guard);
        changed.notify_all();
    }

    /// Refuses writes from now on: the knowledge base is being removed. Waits for a commit in progress.
    pub fn remove(&self) {
        let _writer = self.writer.lock();
        self.removed.store(true, Ordering::Release);
    }

    /// Returns the records of chunks, in the order asked; chunks that are not there are left out.
    pub fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<ChunkRecord>, Error> {
        self.records.chunks(ids)
    }

    /// Returns what is indexed of a document, if it is.
    pub fn indexed_content(&self, id: &DocumentId) -> Result<Option<IndexedContent>, Error> {
        self.records.indexed_content(id)
    }

    /// Describes a document.
    pub fn document(&self, id: &DocumentId) -> Result<Option<DocumentInfo>, Error> {
        self.records.document(id)
    }

    /// Describes up to `limit` documents with an id after `after`, in byte order of their ids.
    pub fn documents(
        &self,
        after: &str,
        status: Option<DocumentStatus>,
        limit: usize,
    ) -> Result<Vec<DocumentInfo>, Error> {
        self.records.documents(after, status, limit)
    }

    /// Returns the extracted text of a document's indexed revision.
    pub fn text(&self, id: &DocumentId) -> Result<Option<String>, Error> {
        self.records.text(id)
    }
}
