//! What is done behind the backs of searches: sealing, merging, dropping what no longer exists.
//!
//! Always holds: one at a time does this; searches and insertions go on meanwhile, and see the change when it is on disk;
//! what fails or is cancelled leaves rows, segments and files as they were.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use super::manifest::{Manifest, NamedSegment};
use super::policy;
use super::segment::Segment;
use super::write::{Gathered, Temporary};
use super::{State, Vectors};
use crate::index::{Accept, ChunkId, Epoch, Error, Pace};

/// Rows outside of every graph beside which fresh rows go into one, while a build keeps them from being sealed.
const GRAPH_ROWS: usize = 8_192;
/// How many rows a build must have left for each row that waits: else the rows are sealed before a graph is of use.
const GRAPH_WORTH: usize = 2;
/// A segment is rewritten when more than one of this many of its rows no longer exists.
const DEAD_SHARE: usize = 5;

/// How far upkeep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Rows that are in the new graph.
    pub done: usize,
    /// Rows that will be.
    pub total: usize,
}

/// What upkeep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// Nothing was worth doing.
    Idle,
    /// Fresh rows went into the graph in memory, because they could not be sealed.
    Graphed {
        /// Rows that are in it now.
        rows: usize,
    },
    /// Fresh rows were sealed, alone or together with segments.
    Sealed {
        /// Fresh rows that were sealed or no longer existed.
        rows: usize,
        /// Segments that the new one took in.
        merged: usize,
    },
    /// Segments were merged.
    Merged {
        /// How many became one.
        segments: usize,
    },
    /// A segment was rewritten without the rows that no longer exist.
    Rebuilt {
        /// Rows that were left out.
        removed: usize,
    },
    /// The caller ended it; nothing changed.
    Cancelled,
}

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Rows that are gone.
    pub rows: usize,
    /// Files that were written anew or removed.
    pub files: usize,
    /// Whether the caller ended it before all was done.
    pub cancelled: bool,
}

/// What the one who changes files knows.
#[derive(Debug)]
pub(super) struct Keeper {
    manifest: Manifest,
    /// The last attempt to seal failed.
    failed: bool,
}

/// Asked between batches; may end the work.
pub(super) type Pause<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// One rewrite: these segments, and the fresh rows if wanted, become one segment or none.
struct Rewrite<'a> {
    from: usize,
    to: usize,
    fresh: Option<Epoch>,
    exists: &'a Accept<'a>,
    /// Whether the first segment keeps the rows that no longer exist, so that its graph can be built upon.
    keeps_dead: bool,
    threads: usize,
}

impl Keeper {
    pub(super) fn new(manifest: Manifest) -> Self {
        Self {
            manifest,
            failed: false,
        }
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

impl Vectors {
    /// Returns whether there is something to seal or to merge, at no cost. What [`Vectors::upkeep`] rebuilds because rows
    /// no longer exist is not seen here.
    pub fn is_due(&self, pace: Pace) -> bool {
        let state = self.state();
        let sizes: Vec<usize> = state.segments.iter().map(|segment| segment.len()).collect();
        self.directory.is_some() && policy::next(&sizes, state.arriving.len(), pace).is_some()
    }

    /// Returns whether the file that names all others is still there.
    pub fn is_in_place(&self) -> bool {
        self.directory.as_deref().is_none_or(Manifest::is_in)
    }

    /// Puts these rows, in order of chunk id, in place of all that are there, and removes all segments.
    pub fn replace_all(&self, rows: &[(ChunkId, &[f32])]) -> Result<(), Error> {
        let mut keeper = self.keeper.lock();
        let Some(directory) = &self.directory else {
            return Err(Error::Sealed);
        };
        for (_, vector) in rows {
            self.check_dimensions(vector)?;
        }
        let blocks = super::fresh::blocks(self.dimensions, rows)?;
        let manifest = Manifest::new(self.dimensions);
        let _alone = self.inserting.lock();
        fs::create_dir_all(directory).map_err(|source| Error::io("make", directory, source))?;
        manifest.write(directory)?;
        self.change(|state| {
            state.segments.clear();
            state.sealing = super::Fresh::default();
            state.arriving = super::Fresh::default();
            state.arriving.extend(blocks);
            state.last = rows.last().map_or(ChunkId(0), |(chunk_id, _)| *chunk_id);
            state.sealed_through = manifest.sealed_through();
            state.sealed_epoch = Epoch(manifest.epoch);
        });
        manifest.sweep(directory)?;
        keeper.manifest = manifest;
        Ok(())
    }

    /// Does the one most urgent piece of work, if any is worth it, on `threads` threads.
    ///
    /// Rows that no longer `exists` are left out of new segments where that costs little. `epoch` is noted when rows are
    /// sealed. Between batches `pause` is asked, some ten times a second; it may wait, and it may end the work. An error
    /// leaves everything as it was.
    pub fn upkeep(
        &self,
        epoch: Epoch,
        exists: &Accept<'_>,
        pace: Pace,
        threads: usize,
        pause: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Upkeep, Error> {
        let mut keeper = self.keeper.lock();
        if self.directory.is_none() {
            return Ok(Upkeep::Idle);
        }
        let state = self.state();
        if keeper.failed && state.arriving.ungraphed_rows() >= GRAPH_ROWS {
            keeper.failed = false;
            return Ok(self.graph_all(threads, pause));
        }
        let sizes: Vec<usize> = state.segments.iter().map(|segment| segment.len()).collect();
        if let Some(next) = policy::next(&sizes, state.arriving.len(), pace) {
            let merged = sizes.len() - next.from;
            let mut rewrite = Rewrite {
                from: next.from,
                to: sizes.len(),
                fresh: next.fresh.then_some(epoch),
                exists,
                keeps_dead: true,
                threads,
            };
            if let Some(base) = state.segments.get(next.from) {
                rewrite.keeps_dead = !is_worth_rebuilding(base, exists);
            }
            let rows = state.arriving.len();
            drop(state);
            let rewritten = self.rewrite(&mut keeper, &rewrite, pause);
            keeper.failed = rewritten.is_err();
            return Ok(match rewritten? {
                None => Upkeep::Cancelled,
                Some(_) if next.fresh => Upkeep::Sealed { rows, merged },
                Some(_) => Upkeep::Merged { segments: merged },
            });
        }
        self.drop_arriving(exists);
        let Some(at) = state
            .segments
            .iter()
            .position(|segment| is_worth_rebuilding(segment, exists))
        else {
            return Ok(Upkeep::Idle);
        };
        drop(state);
        let removed = self.rewrite(&mut keeper, &Rewrite::of_one(at, exists, threads), pause)?;
        Ok(removed.map_or(Upkeep::Cancelled, |removed| Upkeep::Rebuilt { removed }))
    }

    /// Writes everything anew that holds a row that does not `exists`, whatever it costs. The old files are gone when it
    /// returns.
    pub fn purge(
        &self,
        exists: &Accept<'_>,
        threads: usize,
        pause: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Purged, Error> {
        let mut keeper = self.keeper.lock();
        if self.directory.is_none() {
            return Err(Error::Sealed);
        }
        let mut purged = Purged {
            rows: self.drop_arriving(exists),
            ..Purged::default()
        };
        let mut at = 0;
        while let Some(segment) = self.state().segments.get(at).cloned() {
            if dead_rows(&segment, exists) == 0 {
                at += 1;
                continue;
            }
            let Some(removed) = self.rewrite(&mut keeper, &Rewrite::of_one(at, exists, threads), pause)? else {
                purged.cancelled = true;
                return Ok(purged);
            };
            purged.rows += removed;
            purged.files += 1;
        }
        Ok(purged)
    }

    /// Takes the fresh rows that do not `exists` out of memory, unless files are being changed: sealing leaves such rows
    /// out, and a later [`Vectors::upkeep`] finds those that came beside it.
    pub fn forget_fresh(&self, exists: &Accept<'_>) {
        if self.directory.is_some()
            && let Some(_keeper) = self.keeper.try_lock()
        {
            self.drop_arriving(exists);
        }
    }

    /// Drops arriving rows that do not `exists`, and says how many. Only for who holds the keeper: a graph over the rows
    /// is given up, and the block that goes into it must stay.
    fn drop_arriving(&self, exists: &Accept<'_>) -> usize {
        let _alone = self.inserting.lock();
        let state = self.state();
        let Some(kept) = state.arriving.without(exists) else {
            return 0;
        };
        let dropped = state.arriving.len() - kept.len();
        self.change(|state| state.arriving = kept);
        dropped
    }

    /// Puts all fresh rows into the graph.
    fn graph_all(&self, threads: usize, pause: &mut Pause<'_>) -> Upkeep {
        let total = self.state().arriving.ungraphed_rows();
        loop {
            let left = self.state().arriving.ungraphed_rows();
            let done = total.saturating_sub(left);
            if pause(Progress { done, total }).is_break() {
                return Upkeep::Cancelled;
            }
            if done == total || !self.graph_next(threads) {
                return Upkeep::Graphed { rows: done };
            }
        }
    }

    /// Puts the next block of arriving rows into their graph.
    fn graph_next(&self, threads: usize) -> bool {
        let Some((graph, block)) = self.change(|state| state.arriving.settle_next()) else {
            return false;
        };
        graph.insert(&block, threads);
        self.change(|state| state.arriving.graphed(&block));
        true
    }

    /// Rewrites segments and says how many rows were left out; nothing if `pause` ended it.
    fn rewrite(
        &self,
        keeper: &mut Keeper,
        rewrite: &Rewrite<'_>,
        pause: &mut Pause<'_>,
    ) -> Result<Option<usize>, Error> {
        if rewrite.fresh.is_some() {
            self.change(|state| state.sealing = std::mem::take(&mut state.arriving));
        }
        let done = self.try_rewrite(keeper, rewrite, pause);
        if !matches!(done, Ok(Some(_))) && rewrite.fresh.is_some() {
            self.change(|state| {
                let mut fresh = std::mem::take(&mut state.sealing);
                fresh.append(&state.arriving);
                state.arriving = fresh;
            });
        }
        done
    }

    fn try_rewrite(
        &self,
        keeper: &mut Keeper,
        rewrite: &Rewrite<'_>,
        pause: &mut Pause<'_>,
    ) -> Result<Option<usize>, Error> {
        let Some(directory) = &self.directory else {
            return Err(Error::Sealed);
        };
        let state = self.state();
        let old = &state.segments[rewrite.from..rewrite.to];
        let gathered = rewrite.gather(&state);
        let total = gathered.len();
        let before = old.iter().map(|segment| segment.len()).sum::<usize>();
        let removed = before + rewrite.fresh.map_or(0, |_| state.sealing.len()) - total;
        let mut manifest = keeper.manifest.clone();
        let path = manifest.next_path(directory);
        // If all goes well, it is the new segment's file, which the manifest names: then it is kept.
        let unnamed = Temporary(path.clone());
        let mut new = None;
        if total > 0 {
            let mut step = |done| {
                self.graph_beside(total - done, rewrite.threads);
                pause(Progress { done, total })
            };
            if gathered
                .write(&path, self.dimensions, rewrite.threads, &mut step)?
                .is_none()
            {
                return Ok(None);
            }
            new = Some(Arc::new(Segment::open(&path, self.dimensions)?));
        }
        let mut segments = state.segments.clone();
        segments.splice(rewrite.from..rewrite.to, new);
        manifest.segments = segments.iter().map(|segment| NamedSegment::of(segment)).collect();
        if let (Some(epoch), Some(last)) = (rewrite.fresh, state.sealing.last_chunk()) {
            manifest.sealed_through = last.0;
            manifest.epoch = epoch.0;
        }
        manifest.write(directory)?;
        unnamed.keep();
        let paths: Vec<PathBuf> = old.iter().map(|segment| segment.path().to_owned()).collect();
        self.change(|state| {
            state.segments = segments;
            state.sealed_through = manifest.sealed_through();
            state.sealed_epoch = Epoch(manifest.epoch);
            if rewrite.fresh.is_some() {
                state.sealing = super::Fresh::default();
            }
        });
        keeper.manifest = manifest;
        for path in paths {
            fs::remove_file(&path).map_err(|source| Error::io("remove", &path, source))?;
        }
        super::write::sync_directory(&path)?;
        Ok(Some(removed))
    }

    /// While a long build goes on, arriving rows go into a graph in memory, so that searches need not scan them all.
    fn graph_beside(&self, left: usize, threads: usize) {
        let waiting = self.state().arriving.ungraphed_rows();
        if waiting >= GRAPH_ROWS && left >= GRAPH_WORTH * waiting {
            self.graph_next(threads);
        }
    }
}

impl<'a> Rewrite<'a> {
    fn of_one(at: usize, exists: &'a Accept<'a>, threads: usize) -> Self {
        Self {
            from: at,
            to: at + 1,
            fresh: None,
            exists,
            keeps_dead: false,
            threads,
        }
    }

    fn gather<'s>(&self, state: &'s State) -> Gathered<'s> {
        let mut gathered = Gathered::default();
        let all = |_: ChunkId| true;
        for (at, segment) in state.segments[self.from..self.to].iter().enumerate() {
            let keep: &dyn Fn(ChunkId) -> bool = if at == 0 && self.keeps_dead { &all } else { self.exists };
            gathered.add(segment.rows(), Some(segment.links()), keep);
        }
        if self.fresh.is_some() {
            for rows in state.sealing.blocks() {
                gathered.add(rows, None, self.exists);
            }
        }
        gathered
    }
}

fn dead_rows(segment: &Segment, exists: &Accept<'_>) -> usize {
    let ids = segment.rows().ids.iter();
    ids.filter(|id| !exists(ChunkId(**id))).count()
}

fn is_worth_rebuilding(segment: &Segment, exists: &Accept<'_>) -> bool {
    dead_rows(segment, exists) * DEAD_SHARE > segment.len()
}
