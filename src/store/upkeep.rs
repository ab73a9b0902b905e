//! What keeps the indexes small and quick.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::epoch_store::Writer;
use super::history::Retention;
use super::records::TakenBytes;
use super::{EpochStore, Error, layout, recover, sqlite};
use crate::index::{self, ChunkId, Epoch, Pace, TermsState, Upkeep};
use crate::worker::{Cancel, ComputeGate, OnProgress, Progress, Work};

/// Share of removable chunks from which on a vacuum is worth it at once.
const VACUUM_SHARE: f64 = 0.05;
/// Fresh vectors that wait for a graph while commits come one after another: scanning them takes about a millisecond.
const MAX_FRESH_UNDER_LOAD: usize = 32_768;
/// How long nobody writes before searches are made quicker at the price of more work.
const REST_AFTER: Duration = Duration::from_secs(2);
/// How long the fewest removable chunks wait.
const VACUUM_WAIT: Duration = Duration::from_mins(10);

/// What upkeep may use.
#[derive(Debug, Clone, Copy)]
pub struct UpkeepTurn<'a> {
    /// Held while it computes, free in between.
    pub gate: &'a ComputeGate,
    /// Threads that it computes on.
    pub threads: usize,
    /// Ends it.
    pub cancel: &'a Cancel,
}

/// What a knowledge base takes on disk. Of a bundle these are the parts of its file, the container counted with the store.
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
        let taken = self.records.bundle_bytes().unwrap_or_else(|| TakenBytes {
            all: self.bytes_on_disk(),
            terms: layout::bytes(&layout::terms(&self.directory)),
            vectors: layout::bytes(&layout::vectors(&self.directory)),
        });
        let figures = self.vectors.figures();
        Storage {
            store_bytes: taken.all.saturating_sub(taken.terms + taken.vectors),
            terms_bytes: taken.terms,
            vectors_bytes: taken.vectors,
            retired_chunks: self.terms.rows().saturating_sub(self.live_chunks() as u64),
            terms_segments: self.terms.segments() as u32,
            vectors_segments: figures.segments as u32,
            fresh_chunks: self.fresh_chunks(),
        }
    }

    /// Returns how many chunks' vectors wait to be sealed.
    pub fn fresh_chunks(&self) -> u64 {
        self.vectors.figures().fresh_rows as u64
    }

    /// Returns what the upkeep is doing right now.
    pub fn upkeep_progress(&self) -> Option<Progress> {
        *self.upkeep.lock()
    }

    /// Does what is due: seals and merges vectors, and shows readers merged terms; more of it once nobody has written for
    /// two seconds. Ends early when it is cancelled.
    pub fn keep_up(&self, turn: &UpkeepTurn<'_>) -> Result<(), Error> {
        if self.records.check_in_place().is_err() {
            // Saves what was written until now, and says why.
            drop(self.begin_write()?);
        }
        self.mend_lost_indexes()?;
        self.verify_once(turn.cancel)?;
        if self.terms.wants_refresh() {
            self.terms.refresh().map_err(Error::Index)?;
        }
        // Who fills the knowledge base needs the cores more than the graph does, for as long as scans stay quick.
        if self.unsettled.is_busy() && self.vectors.figures().fresh_rows < MAX_FRESH_UNDER_LOAD {
            return Ok(());
        }
        let pace = self.pace();
        if pace == Pace::AtRest {
            self.terms.consolidate().map_err(Error::Index)?;
        }
        let rebuilds = self.holds_removed.swap(false, Ordering::AcqRel);
        if !rebuilds && !self.vectors.is_due(pace) {
            return Ok(());
        }
        let exists = |chunk_id| self.visibility.has(chunk_id);
        let done = loop {
            let epoch = self.epoch();
            let upkeep = self.paused(turn, "sealing vectors", |pause| {
                self.vectors.upkeep(epoch, &exists, pace, turn.threads, pause)
            });
            match upkeep {
                Ok(Upkeep::Idle) => break Ok(()),
                Ok(Upkeep::Cancelled) => break turn.cancel.check().map_err(Error::from),
                Ok(_) => {}
                Err(error) => break Err(Error::Index(error)),
            }
        };
        *self.upkeep.lock() = None;
        if rebuilds && done.is_err() {
            self.holds_removed.store(true, Ordering::Release);
        }
        done
    }

    /// Returns whether both indexes lie in as few segments as a rest makes of them.
    pub fn is_consolidated(&self) -> bool {
        self.terms.is_consolidated() && !self.terms.wants_refresh() && !self.vectors.is_due(Pace::AtRest)
    }

    /// Returns whether somebody writes.
    fn pace(&self) -> Pace {
        let epoch = self.epoch();
        let mut quiet = self.quiet.lock();
        if quiet.0 != epoch || self.unsettled.is_busy() {
            *quiet = (epoch, Instant::now());
        }
        if quiet.1.elapsed() < REST_AFTER {
            return Pace::UnderLoad;
        }
        Pace::AtRest
    }

    /// Runs work of the vector index that is asked between batches whether to go on. It holds the cores while it works,
    /// and gives them to others in between.
    fn paused<T>(
        &self,
        turn: &UpkeepTurn<'_>,
        stage: &'static str,
        work: impl FnOnce(&mut dyn FnMut(index::Progress) -> ControlFlow<()>) -> T,
    ) -> T {
        let mut held = Some(turn.gate.enter(Work::Upkeep));
        work(&mut |progress| {
            *self.upkeep.lock() = Some(Progress {
                stage,
                done: progress.done as u64,
                total: progress.total as u64,
            });
            held = None;
            if turn.cancel.check().is_err() {
                return ControlFlow::Break(());
            }
            held = Some(turn.gate.enter(Work::Upkeep));
            ControlFlow::Continue(())
        })
    }

    /// Gives memory back that is not needed all the time.
    pub fn release_memory(&self) {
        self.vectors.release_memory();
    }

    /// Lets epochs expire, and vacuums when there is enough to remove or it has waited long enough.
    pub fn vacuum_when_worth_it(&self, retention: Retention, cancel: &Cancel) -> Result<(), Error> {
        self.expire(retention, SystemTime::now())?;
        let removable = self.expired_chunks()?;
        if removable == 0 {
            *self.vacuum_due.lock() = None;
            return Ok(());
        }
        let since = *self.vacuum_due.lock().get_or_insert_with(Instant::now);
        let share = removable as f64 / self.terms.rows().max(1) as f64;
        if share < VACUUM_SHARE && since.elapsed() < VACUUM_WAIT {
            return Ok(());
        }
        let mut tell = |progress| *self.upkeep.lock() = Some(progress);
        let vacuumed = self.vacuum(retention, cancel, &mut tell);
        *self.upkeep.lock() = None;
        *self.vacuum_due.lock() = None;
        let vacuumed = vacuumed?;
        tracing::info!(
            directory = %self.directory.display(),
            revisions = vacuumed.revisions,
            chunks = vacuumed.chunks,
            freed_bytes = vacuumed.freed_bytes,
            "vacuumed"
        );
        Ok(())
    }

    /// Takes the vectors of removed chunks out of memory. While vectors are being sealed that is left to the sealing.
    pub(super) fn forget_fresh_vectors(&self) {
        self.vectors.forget_fresh(&|chunk_id| self.visibility.has(chunk_id));
    }

    /// Rewrites the parts of the vector index that hold removed chunks.
    pub(super) fn purge_vectors(&self, cancel: &Cancel, on_progress: &mut OnProgress<'_>) -> Result<(), Error> {
        let exists = |chunk_id| self.visibility.has(chunk_id);
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let purged = self.vectors.purge(&exists, threads, &mut |progress| {
            on_progress(Progress {
                stage: "rewriting vectors",
                done: progress.done as u64,
                total: progress.total as u64,
            });
            match cancel.check() {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        if purged.map_err(Error::Index)?.cancelled {
            cancel.check()?;
        }
        Ok(())
    }

    /// Makes the vector index again from the records.
    pub(super) fn rebuild_vectors(&self) -> Result<(), Error> {
        let mut rows: Vec<(ChunkId, Vec<f32>)> = Vec::new();
        self.records
            .embeddings(ChunkId(0), |chunk_id, vector| rows.push((chunk_id, vector)))?;
        let rows: Vec<(ChunkId, &[f32])> = rows.iter().map(|(id, vector)| (*id, vector.as_slice())).collect();
        self.vectors.replace_all(&rows).map_err(Error::Index)
    }

    /// Makes the keyword index again from the records; readers keep the old one until it is whole.
    pub(super) fn rebuild_terms(&self, writer: &mut Writer) -> Result<(), Error> {
        self.roll_back_terms()?;
        self.terms.remove_all().map_err(Error::Index)?;
        recover::replay_terms(&self.terms, &self.records, Epoch(0), self.epoch(), writer.removal)
    }

    /// Forgets what was not committed in the keyword index, and says how far it is; an empty one takes its place where
    /// its files are gone or cannot be used.
    pub(super) fn roll_back_terms(&self) -> Result<TermsState, Error> {
        match self.terms.rollback().and_then(|()| self.terms.state()) {
            Err(error) if error.wants_rebuild() => {
                tracing::warn!(error = %error, directory = %self.directory.display(), "making the keyword index again");
                self.terms.renew().map_err(Error::Index)?;
                Ok(TermsState::default())
            }
            state => state.map_err(Error::Index),
        }
    }

    /// Verifies the structure of records that were too large for it when they were opened. Damage ends the writes, so
    /// that it does not grow; reads go on, each row of theirs under its own checksum.
    fn verify_once(&self, cancel: &Cancel) -> Result<(), Error> {
        if self.is_verified.load(Ordering::Acquire) {
            return Ok(());
        }
        match sqlite::verify_structure(self.records.path(), cancel) {
            Err(Error::Damaged { what, .. }) => {
                tracing::error!(database = %self.records.path().display(), what, "the records are damaged; writes stop");
                *self.damage.lock() = Some(what);
            }
            verified => verified?,
        }
        self.is_verified.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes an index again whose files somebody removed.
    fn mend_lost_indexes(&self) -> Result<(), Error> {
        if !self.terms.is_in_place() {
            let mut writer = self.begin_write_settled()?;
            self.rebuild_terms(&mut writer)?;
        }
        if !self.vectors.is_in_place() {
            tracing::warn!(directory = %self.directory.display(), "making the vector index again");
            let _writer = self.begin_write_settled()?;
            self.rebuild_vectors()?;
        }
        Ok(())
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
