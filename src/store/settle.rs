//! From the records into both indexes: commits that are on disk are derived together, in their order, and published.
//!
//! Whoever needs a commit published takes all that wait and brings them into the indexes with one commit of the keyword
//! index; those who come meanwhile find theirs done. What fails on the way stops all writes until [`EpochStore::mend`]
//! has brought the indexes up from the records.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::commit::{Change, Committed, NewRevision};
use super::epoch_store::Writer;
use super::{EpochStore, Error, recover};
use crate::index::{ChunkId, Epoch, Lifetime, TermRow};

/// Chunks of commits that may wait for the indexes, so that memory and the way back after a kill stay bounded.
const MAX_WAITING_CHUNKS: usize = 16_384;

/// Commits that are on disk and not in the indexes yet.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    waiting: Mutex<Waiting>,
    room: Condvar,
    /// One at a time brings commits into the indexes.
    settling: Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    commits: VecDeque<Commit>,
    chunks: usize,
}

#[derive(Debug)]
struct Commit {
    changes: Vec<Change>,
    committed: Committed,
    removal: u64,
}

impl Commit {
    fn revisions(&self) -> impl Iterator<Item = &NewRevision> {
        self.changes.iter().filter_map(|change| match change {
            Change::Put(revision) => Some(&**revision),
            _ => None,
        })
    }
}

impl Unsettled {
    /// Adds a commit, in the order of the epochs: the writer is still held.
    pub(super) fn push(&self, writer: &mut Writer, changes: Vec<Change>, committed: &Committed) {
        if committed.epoch == writer.epoch {
            return;
        }
        writer.epoch = committed.epoch;
        let commit = Commit {
            changes,
            committed: committed.clone(),
            removal: writer.removal,
        };
        let mut waiting = self.waiting.lock();
        waiting.chunks += commit.revisions().map(|revision| revision.chunks.len()).sum::<usize>();
        waiting.commits.push_back(commit);
    }

    /// Waits until few enough commits wait. Someone settles them: who makes durable commits sees to that.
    pub(super) fn wait_for_room(&self) {
        let mut waiting = self.waiting.lock();
        while waiting.chunks > MAX_WAITING_CHUNKS {
            self.room.wait(&mut waiting);
        }
    }

    /// Returns whether commits wait, or are on their way into the indexes.
    pub(super) fn is_busy(&self) -> bool {
        self.waiting.lock().chunks > 0 || self.settling.is_locked()
    }

    /// Lets go of those that wait: the records have them.
    pub(super) fn forget(&self) {
        drop(self.take());
    }

    fn take(&self) -> Vec<Commit> {
        let mut waiting = self.waiting.lock();
        waiting.chunks = 0;
        self.room.notify_all();
        waiting.commits.drain(..).collect()
    }
}

impl EpochStore {
    /// Brings commits that are on disk into both indexes and publishes them, up to `epoch` at least.
    pub fn settle(&self, epoch: Epoch) -> Result<(), Error> {
        if self.epoch() >= epoch {
            return Ok(());
        }
        let settling = self.unsettled.settling.lock();
        let commits = self.unsettled.take();
        // After a failure the indexes lack an earlier commit: those that wait are brought in from the records, with it.
        if commits.is_empty() || self.write_failure.lock().is_some() {
            return self.settled(epoch);
        }
        // A panic of a library must not leave readers with half a commit, and writers believing that all is well.
        let derived = catch_unwind(AssertUnwindSafe(|| self.derive(&commits)))
            .unwrap_or_else(|panic| Err(Error::panicked(&*panic)));
        if let Err(error) = derived {
            tracing::error!(
                error = crate::worker::with_causes(&error),
                "a commit is on disk but not in the indexes; writes stop"
            );
            self.stop_writes(error.to_string());
            return Err(error);
        }
        drop(settling);
        self.settled(epoch)
    }

    /// Another has settled it, or failed to.
    fn settled(&self, epoch: Epoch) -> Result<(), Error> {
        if self.epoch() >= epoch {
            return Ok(());
        }
        Err(Error::Poisoned {
            cause: self.write_failure().unwrap_or_default(),
        })
    }

    /// Brings both indexes to commits that are on disk, and publishes the last.
    fn derive(&self, commits: &[Commit]) -> Result<(), Error> {
        let Some(last) = commits.last() else {
            return Ok(());
        };
        let mut live = self.live_chunks();
        let mut rows = Vec::new();
        for commit in commits {
            let epoch = commit.committed.epoch;
            for (revision, added) in commit.revisions().zip(&commit.committed.added) {
                self.attributes.add(&revision.metadata, &revision.access, added.chunks);
                let lifetime = Lifetime {
                    added: epoch,
                    retired: Lifetime::NEVER,
                };
                self.visibility.set(added.chunks.ids(), lifetime);
                live += revision.chunks.len();
                for (chunk_id, new) in added.chunks.ids().zip(&revision.chunks) {
                    self.terms
                        .add(&TermRow {
                            chunk_id,
                            ordinal: new.chunk.ordinal,
                            title: revision.title.as_deref().unwrap_or_default(),
                            headings: &new.chunk.heading_path,
                            text: new.chunk.span.of(&revision.text).unwrap_or_default(),
                        })
                        .map_err(Error::Index)?;
                    rows.push((chunk_id, new.embedding.as_slice()));
                }
            }
            for chunks in &commit.committed.retired {
                self.visibility.retire(chunks.ids(), epoch);
                live -= chunks.count as usize;
            }
            for (chunks, from) in &commit.committed.resumed {
                self.visibility.resume(chunks.ids(), *from, epoch);
                live += chunks.count as usize;
            }
        }
        let epoch = last.committed.epoch;
        self.terms.commit(epoch, last.removal).map_err(Error::Index)?;
        self.vectors.insert(&rows).map_err(Error::Index)?;
        self.publish(epoch, live);
        Ok(())
    }

    /// Brings the indexes up to the records, if an earlier failure left them behind. Until that succeeds, writes are
    /// refused.
    pub(super) fn mend(&self, writer: &mut MutexGuard<'_, Writer>) -> Result<(), Error> {
        let Some(cause) = self.write_failure.lock().clone() else {
            return Ok(());
        };
        if self.halted.load(Ordering::Acquire) {
            return Err(Error::Halted { cause });
        }
        let _settling = self.unsettled.settling.lock();
        self.unsettled.forget();
        let mended = catch_unwind(AssertUnwindSafe(|| self.catch_up(writer)))
            .unwrap_or_else(|panic| Err(Error::panicked(&*panic)));
        if let Err(error) = mended {
            let error = crate::worker::with_causes(&error);
            tracing::warn!(error, "the indexes cannot be brought up to the records yet");
            return Err(Error::Poisoned { cause });
        }
        tracing::info!(epoch = %self.epoch(), "the indexes are up to the records again; writes go on");
        *self.write_failure.lock() = None;
        Ok(())
    }

    /// Brings both indexes from wherever they are to the epoch of the records.
    fn catch_up(&self, writer: &mut Writer) -> Result<(), Error> {
        let epoch = self.records.epoch()?;
        let held = self.roll_back_terms()?;
        let live = recover::read_visibility(&self.visibility, &self.records, epoch)?.live_chunks;
        self.attributes.forget(&self.records)?;
        writer.removal = self.records.removal()?;
        self.records.removals(held.removal, |chunks| {
            let removed: Vec<ChunkId> = chunks.ids().collect();
            self.visibility.remove(removed.iter().copied());
            self.terms.remove(&removed).map_err(Error::Index)
        })?;
        let held = held.epoch.unwrap_or_default();
        recover::replay_terms(&self.terms, &self.records, held, epoch, writer.removal)?;
        recover::insert_vectors(&self.vectors, &self.records)?;
        writer.epoch = epoch;
        self.publish(epoch, live);
        Ok(())
    }

    /// Refuses writes until the indexes are brought up to the records.
    pub(super) fn stop_writes(&self, cause: String) {
        *self.write_failure.lock() = Some(cause);
    }

    /// Refuses all writes from now on until the knowledge base is opened again: a worker of it is gone.
    pub fn halt(&self, cause: String) {
        tracing::error!(cause, directory = %self.directory.display(), "a worker of the knowledge base died; writes stop");
        *self.write_failure.lock() = Some(cause);
        self.halted.store(true, Ordering::Release);
    }

    /// Returns why writes are refused, if they are.
    pub fn write_failure(&self) -> Option<String> {
        let failed = self.write_failure.lock().clone();
        let trouble = || self.write_trouble.lock().clone();
        let replaced = || Some(self.records.check_in_place().err()?.to_string());
        let damaged = || self.damage.lock().clone();
        failed.or_else(trouble).or_else(damaged).or_else(replaced)
    }
}
