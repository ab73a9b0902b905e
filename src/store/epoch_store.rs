//! One open knowledge base: records, both indexes, and the epoch that readers see.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::Connection;

use super::attributes::Attributes;
use super::commit::{self, Change, Committed, RolledBackDocuments};
use super::records::{self, ChunkRecord, IndexedContent, Records};
use super::recover::{self, Recovered};
use super::retained::{Lease, Retained};
use super::settle::Unsettled;
use super::snapshot::Snapshot;
use super::{DocumentInfo, DocumentStatus, Error, layout, sqlite};
use crate::document::DocumentId;
use crate::index::{ChunkId, Epoch, Language, Terms, Vectors, Visibility};
use crate::worker::{Cancel, Progress, Stopped};

/// How often a reader that waits for an epoch looks whether its caller is still there.
const WAIT_STEP: Duration = Duration::from_millis(50);

/// Records up to this size are verified before they are served; larger ones by the keeper while they are.
const VERIFIED_BYTES: u64 = 16 << 20;

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
    pub(super) directory: PathBuf,
    pub(super) records: Records,
    pub(super) terms: Terms,
    pub(super) vectors: Vectors,
    pub(super) visibility: Visibility,
    pub(super) attributes: Attributes,
    pub(super) retained: Retained,
    pub(super) unsettled: Unsettled,
    published: AtomicU64,
    /// Chunks visible at the published epoch.
    live_chunks: AtomicUsize,
    pub(super) writer: Mutex<Writer>,
    published_changed: (Mutex<()>, Condvar),
    /// Why writes are refused, for those who ask without writing.
    pub(super) write_failure: Mutex<Option<String>>,
    /// Why the last commit did not reach the records, if it did not.
    pub(super) write_trouble: Mutex<Option<String>>,
    /// What the upkeep is doing.
    pub(super) upkeep: Mutex<Option<Progress>>,
    /// Since when there is something to vacuum.
    pub(super) vacuum_due: Mutex<Option<Instant>>,
    /// The published epoch when the upkeep last looked, and since when it is that.
    pub(super) quiet: Mutex<(Epoch, Instant)>,
    /// Whether the vector index may hold chunks that were removed.
    pub(super) holds_removed: AtomicBool,
    /// Whether the structure of the records was verified since they were opened.
    pub(super) is_verified: AtomicBool,
    /// What is wrong with it, if something is.
    pub(super) damage: Mutex<Option<String>>,
    removed: AtomicBool,
    pub(super) halted: AtomicBool,
}

/// The one who writes.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    /// The last committed epoch.
    pub(super) epoch: Epoch,
    /// Number of the last removal that the keyword index was told of.
    pub(super) removal: u64,
    /// Whether the connection failed: one that could not make its shared memory stays unable to write for good.
    pub(super) is_suspect: bool,
}

impl EpochStore {
    /// Makes the directory and an empty record of truth.
    pub(super) fn create(directory: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(directory).map_err(|source| Error::file(directory, source))?;
        sqlite::create(&layout::records(directory), &records::SCHEMA)?;
        layout::sync_names(directory)
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
        sweep(&layout::temporary(directory))?;
        let connection = sqlite::open_writer(&records_path, &records::SCHEMA)?;
        let is_small = records_path.metadata().is_ok_and(|file| file.len() <= VERIFIED_BYTES);
        if is_small {
            sqlite::verify_structure(&records_path, &Cancel::new())?;
        }
        let records = Records::new(&records_path);
        let recovered = recover::recover(directory, &records, options)?;
        let mut store = Self::assemble(directory, records, recovered, connection)?;
        store.is_verified = AtomicBool::new(is_small);
        Ok(store)
    }

    /// Puts together what was opened; `connection` is the one that writes.
    pub(super) fn assemble(
        directory: &Path,
        records: Records,
        recovered: Recovered,
        connection: Connection,
    ) -> Result<Self, Error> {
        let retained = Retained::new(records.oldest_epoch()?, records.pins()?);
        let attributes = Attributes::open(&records)?;
        Ok(Self {
            directory: directory.to_owned(),
            records,
            terms: recovered.terms,
            vectors: recovered.vectors,
            visibility: recovered.visibility,
            attributes,
            retained,
            published: AtomicU64::new(recovered.epoch.0),
            live_chunks: AtomicUsize::new(recovered.live_chunks),
            writer: Mutex::new(Writer {
                connection,
                epoch: recovered.epoch,
                removal: recovered.removal,
                is_suspect: false,
            }),
            unsettled: Unsettled::default(),
            published_changed: Default::default(),
            write_failure: Mutex::default(),
            write_trouble: Mutex::default(),
            upkeep: Mutex::default(),
            vacuum_due: Mutex::default(),
            quiet: Mutex::new((recovered.epoch, Instant::now())),
            holds_removed: AtomicBool::new(true),
            is_verified: AtomicBool::new(true),
            damage: Mutex::default(),
            removed: AtomicBool::new(false),
            halted: AtomicBool::new(false),
        })
    }

    /// Lets readers see an epoch that both indexes have.
    pub(super) fn publish(&self, epoch: Epoch, live_chunks: usize) {
        let (lock, changed) = &self.published_changed;
        let guard = lock.lock();
        self.live_chunks.store(live_chunks, Ordering::Release);
        self.published.store(epoch.0, Ordering::Release);
        drop(guard);
        changed.notify_all();
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

    /// Begins to read an epoch, the published one if none is named.
    pub fn lease(&self, as_of: Option<Epoch>) -> Result<Lease<'_>, Error> {
        loop {
            let published = self.epoch();
            match self.retained.lease(as_of.unwrap_or(published), published) {
                // The published epoch moved on and the one before went, in between.
                Err(Error::NotRetained { .. }) if as_of.is_none() => {}
                lease => return lease,
            }
        }
    }

    /// Returns what one epoch sees.
    pub fn snapshot(&self, lease: &Lease<'_>) -> Snapshot<'_> {
        Snapshot::new(self, lease)
    }

    /// Applies the changes as one commit: on disk, in both indexes and published when this returns. A commit cannot be
    /// cancelled. After one that reached the records and not the indexes (a full disk), the next first brings the indexes
    /// up; until that succeeds, writes are refused. `cause` says for people what made it.
    pub fn commit(&self, changes: impl Into<Vec<Change>>, cause: &str) -> Result<Committed, Error> {
        let committed = self.write(changes.into(), cause)?;
        self.settle(committed.epoch)?;
        Ok(committed)
    }

    /// Applies the changes as one commit that is on disk when this returns, and that readers see after the next
    /// [`EpochStore::settle`]. Several such commits go into the indexes together. Waits while too many are behind.
    pub fn commit_durable(&self, changes: impl Into<Vec<Change>>, cause: &str) -> Result<Committed, Error> {
        self.unsettled.wait_for_room();
        self.write(changes.into(), cause)
    }

    fn write(&self, changes: Vec<Change>, cause: &str) -> Result<Committed, Error> {
        let mut writer = self.begin_write()?;
        self.write_held(&mut writer, changes, cause)
    }

    /// Writes a commit while the writer is held.
    pub(super) fn write_held(
        &self,
        writer: &mut Writer,
        changes: Vec<Change>,
        cause: &str,
    ) -> Result<Committed, Error> {
        let now = SystemTime::now();
        let written = commit::write(&mut writer.connection, self.records.path(), &changes, cause, now);
        *self.write_trouble.lock() = written.as_ref().err().map(|error| crate::worker::with_causes(error));
        let committed = written.inspect_err(|_| writer.is_suspect = true)?;
        self.unsettled.push(writer, changes, &committed);
        Ok(committed)
    }

    /// Makes a new epoch that sees what `to` saw.
    pub(super) fn commit_rollback(&self, to: Epoch) -> Result<(Committed, RolledBackDocuments), Error> {
        let mut writer = self.begin_write()?;
        let now = SystemTime::now();
        let (committed, documents) = commit::roll_back(&mut writer.connection, self.records.path(), to, now)?;
        self.unsettled.push(&mut writer, Vec::new(), &committed);
        drop(writer);
        self.settle(committed.epoch)?;
        Ok((committed, documents))
    }

    /// Waits for the writer and for all commits that are not in the indexes yet, so that they can be changed.
    pub(super) fn begin_write_settled(&self) -> Result<MutexGuard<'_, Writer>, Error> {
        let writer = self.begin_write()?;
        self.settle(writer.epoch)?;
        Ok(writer)
    }

    /// Waits for the writer, and mends what an earlier commit left behind.
    pub(super) fn begin_write(&self) -> Result<MutexGuard<'_, Writer>, Error> {
        let mut writer = self.writer.lock();
        if self.removed.load(Ordering::Acquire) {
            return Err(Error::Removed);
        }
        if self.records.is_sealed() {
            return Err(Error::ReadOnly);
        }
        if let Err(error) = self.records.check_in_place() {
            sqlite::save_log(&writer.connection);
            return Err(error);
        }
        if let Some(what) = self.damage.lock().clone() {
            let path = self.records.path().to_owned();
            return Err(Error::Damaged { path, what });
        }
        if writer.is_suspect {
            writer.connection = sqlite::open_writer(self.records.path(), &records::SCHEMA)?;
            self.records.close_idle();
            writer.is_suspect = false;
        }
        self.mend(&mut writer)?;
        Ok(writer)
    }

    /// Refuses writes from now on: the knowledge base is being removed. Waits for a commit in progress.
    pub fn remove(&self) {
        let _writer = self.writer.lock();
        self.removed.store(true, Ordering::Release);
    }

    /// Returns the records of chunks, in the order asked; chunks that do not exist, because they were erased, are left
    /// out.
    pub fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<ChunkRecord>, Error> {
        let records = self.records.chunks(ids)?;
        let is_missing =
            |id: &&ChunkId| self.visibility.has(**id) && records.iter().all(|record| record.chunk_id != **id);
        match ids.iter().find(is_missing) {
            Some(id) => Err(self.records.missing(&format!("the record of {id}"))),
            None => Ok(records),
        }
    }

    /// Returns what is indexed of a document, if it is.
    pub fn indexed_content(&self, id: &DocumentId) -> Result<Option<IndexedContent>, Error> {
        self.records.indexed_content(id)
    }

    /// Returns the numbers of the indexed revisions of documents, for those that have one.
    pub fn indexed_revisions<'a>(
        &self,
        ids: impl Iterator<Item = &'a DocumentId>,
    ) -> Result<HashMap<DocumentId, u64>, Error> {
        self.records.indexed_revisions(ids)
    }

    /// Describes a document as the lease's epoch sees it.
    pub fn document(&self, id: &DocumentId, lease: &Lease<'_>, is_past: bool) -> Result<Option<DocumentInfo>, Error> {
        self.records.document(id, lease.epoch(), is_past)
    }

    /// Describes up to `limit` documents with an id after `after`, in byte order of their ids.
    pub fn documents(
        &self,
        after: &str,
        status: Option<DocumentStatus>,
        limit: usize,
        lease: &Lease<'_>,
        is_past: bool,
    ) -> Result<Vec<DocumentInfo>, Error> {
        self.records.documents(after, status, limit, lease.epoch(), is_past)
    }
}

/// Removes what a killed process left of work in progress.
fn sweep(directory: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(directory) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::file(directory, source)),
        _ => Ok(()),
    }
}
