//! The vector index: exact scores from stored vectors, nearest neighbours from graphs.
//!
//! ```text
//! insert ─► fresh rows in memory ──(upkeep seals)──► segments: mapped files with their graphs ──(upkeep merges)─┐
//!           scanned; beside a long build a graph          ▲                                                     │
//!                                                         └─────────────────────────────────────────────────────┘
//! ```
//!
//! Comes in: unit vectors by chunk id, ascending. Goes out: cosine similarities, which are the dot products of unit vectors.
//! Always holds: a search gives as many hits as exist, at most `limit`; equal scores are ordered by chunk id; a score is
//! the same to the bit wherever its row lies; a search never waits for a build; a kill at any instant leaves a directory
//! that opens, with every row up to [`Vectors::sealed_through`].
//! Not here: rows after that, which the caller inserts again from the store, and what still exists, which it knows.

mod build;
mod bundle;
mod check;
mod exact;
mod figures;
mod format;
mod fresh;
mod graph;
mod manifest;
mod plan;
mod policy;
mod quantize;
mod rows;
mod segment;
mod upkeep;
mod walk;
mod write;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::best::Best;
use super::{Accept, Accepted, ChunkId, Epoch, Error, Scored, VectorsMode, VectorsWork};
use fresh::Fresh;
use manifest::Manifest;
use plan::Plan;
use quantize::Query;
use rows::Rows;
use segment::Segment;
use walk::{Scratch, estimate_of, row_of};

pub use figures::{Finding, SegmentFile, VectorsFigures};
pub use upkeep::{Progress, Purged, Upkeep};

/// Rows of a part that are asked to estimate which share of it is accepted.
const SAMPLED_ROWS: usize = 128;

/// The vectors of one knowledge base.
#[derive(Debug)]
pub struct Vectors {
    /// Where the segments are; nowhere for a bundle, which cannot be changed.
    directory: Option<PathBuf>,
    dimensions: usize,
    /// What searches see. It is replaced as a whole.
    state: RwLock<Arc<State>>,
    /// One at a time inserts.
    inserting: Mutex<()>,
    /// One at a time changes files.
    keeper: Mutex<upkeep::Keeper>,
    scratches: Mutex<Vec<Scratch>>,
}

/// All rows at one moment.
#[derive(Debug, Clone)]
struct State {
    /// In order of chunk id.
    segments: Vec<Arc<Segment>>,
    /// Fresh rows that are being sealed.
    sealing: Fresh,
    /// Fresh rows that came after those.
    arriving: Fresh,
    /// The largest chunk id that ever came.
    last: ChunkId,
    sealed_through: ChunkId,
    sealed_epoch: Epoch,
}

impl State {
    fn sealed_rows(&self) -> usize {
        self.segments.iter().map(|segment| segment.len()).sum()
    }

    fn len(&self) -> usize {
        self.sealed_rows() + self.sealing.len() + self.arriving.len()
    }

    fn find(&self, chunk_id: ChunkId) -> Option<(Rows<'_>, usize)> {
        let at = self.segments.partition_point(|segment| segment.last_chunk() < chunk_id);
        let sealed = self.segments.get(at).and_then(|segment| {
            let rows = segment.rows();
            Some((rows, rows.position(chunk_id)?))
        });
        sealed
            .or_else(|| self.sealing.find(chunk_id))
            .or_else(|| self.arriving.find(chunk_id))
    }
}

impl Vectors {
    /// Opens the index in `directory`. An error that [wants a rebuild](Error::wants_rebuild) says that there is none or
    /// that it cannot be used.
    pub fn open(directory: &Path, dimensions: usize) -> Result<Self, Error> {
        let manifest = Manifest::read(directory, dimensions)?;
        let segments = manifest.open_segments(directory)?;
        manifest.sweep(directory)?;
        Ok(Self::with(Some(directory), segments, manifest))
    }

    /// Makes an empty index in `directory`, in place of whatever is there.
    pub fn create_anew(directory: &Path, dimensions: usize) -> Result<Self, Error> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", directory, error));
            }
            _ => {}
        }
        fs::create_dir_all(directory).map_err(|source| Error::io("make", directory, source))?;
        let manifest = Manifest::new(dimensions);
        manifest.write(directory)?;
        write::sync_directory(directory)?;
        Ok(Self::with(Some(directory), Vec::new(), manifest))
    }

    fn with(directory: Option<&Path>, segments: Vec<Segment>, manifest: Manifest) -> Self {
        let state = State {
            segments: segments.into_iter().map(Arc::new).collect(),
            sealing: Fresh::default(),
            arriving: Fresh::default(),
            last: manifest.sealed_through(),
            sealed_through: manifest.sealed_through(),
            sealed_epoch: Epoch(manifest.epoch),
        };
        Self {
            directory: directory.map(Path::to_owned),
            dimensions: manifest.dimensions,
            state: RwLock::new(Arc::new(state)),
            inserting: Mutex::new(()),
            keeper: Mutex::new(upkeep::Keeper::new(manifest)),
            scratches: Mutex::new(Vec::new()),
        }
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read())
    }

    /// Changes the state for all who come later.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(Arc::make_mut(&mut self.state.write()))
    }

    /// Returns the chunk up to which all rows are in segments; 0 when nothing is sealed.
    pub fn sealed_through(&self) -> ChunkId {
        self.state().sealed_through
    }

    /// Returns the epoch that was given when the last rows were sealed.
    pub fn sealed_epoch(&self) -> Epoch {
        self.state().sealed_epoch
    }

    /// Counts the sealed rows that `exists`.
    pub fn sealed_rows(&self, exists: &Accept<'_>) -> usize {
        let state = self.state();
        let existing = |segment: &Arc<Segment>| segment.rows().ids.iter().filter(|id| exists(ChunkId(**id))).count();
        state.segments.iter().map(existing).sum()
    }

    /// Adds unit vectors, in order of chunk id and after all that were added before; chunks that are there already are
    /// left as they are. All are added, or none.
    pub fn insert(&self, rows: &[(ChunkId, &[f32])]) -> Result<(), Error> {
        for (_, vector) in rows {
            self.check_dimensions(vector)?;
        }
        if self.directory.is_none() {
            return Err(Error::Sealed);
        }
        let _alone = self.inserting.lock();
        let state = self.state();
        let mut new: Vec<(ChunkId, &[f32])> = Vec::with_capacity(rows.len());
        for (chunk_id, vector) in rows {
            let last = new.last().map_or(state.last, |(last, _)| *last);
            let is_first = *chunk_id == ChunkId(0) && state.len() == 0 && new.is_empty();
            if *chunk_id > last || is_first {
                new.push((*chunk_id, vector));
            } else if state.find(*chunk_id).is_none() && new.binary_search_by_key(chunk_id, |row| row.0).is_err() {
                return Err(Error::OutOfOrder {
                    chunk_id: *chunk_id,
                    last,
                });
            }
        }
        let Some(&(last, _)) = new.last() else {
            return Ok(());
        };
        let blocks = fresh::blocks(self.dimensions, &new)?;
        drop(state);
        self.change(|state| {
            state.arriving.extend(blocks);
            state.last = last;
        });
        Ok(())
    }

    /// Returns the number of vectors.
    pub fn len(&self) -> usize {
        self.state().len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the dimension of its vectors.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Returns whether a chunk's vector is there.
    pub fn contains(&self, chunk_id: ChunkId) -> bool {
        self.state().find(chunk_id).is_some()
    }

    /// Returns the cosine similarities of these chunks, in their order; nothing for those that are not there.
    pub fn score(&self, query: &[f32], chunk_ids: &[ChunkId]) -> Result<Vec<Option<f32>>, Error> {
        self.check_dimensions(query)?;
        let state = self.state();
        let score = |chunk_id: &ChunkId| {
            let (rows, row) = state.find(*chunk_id)?;
            Some(rows.score(query, row))
        };
        Ok(chunk_ids.iter().map(score).collect())
    }

    /// Finds the nearest accepted chunks, best first, equal ones by chunk id.
    ///
    /// `accepted` is how many chunks `accept` lets through ([`Vectors::len`] when it lets all). It chooses between
    /// scan and graph, so that a guess costs time only, unless it is too small: then fewer hits may come.
    pub fn search(
        &self,
        query: &[f32],
        limit: usize,
        accept: &Accept<'_>,
        accepted: usize,
    ) -> Result<Vec<Scored>, Error> {
        let (found, _) = self.search_accepted(query, limit, Accepted::Test(accept, accepted))?;
        Ok(found)
    }

    /// Finds the nearest accepted chunks as [`Vectors::search`] does, and tells how.
    pub fn search_accepted(
        &self,
        query: &[f32],
        limit: usize,
        accepted: Accepted<'_>,
    ) -> Result<(Vec<Scored>, VectorsWork), Error> {
        self.check_dimensions(query)?;
        let state = self.state();
        let len = state.len();
        if limit == 0 || len == 0 {
            return Ok(Default::default());
        }
        let query = Query::new(query);
        let mut best = Best::new(limit);
        let mut work = VectorsWork::default();
        let mut scratch = self.scratches.lock().pop().unwrap_or_default();
        let share = accepted.len().min(len) as f64 / len as f64;
        let expected = expected(&state, accepted, share);
        let asked = Asked {
            query: &query,
            limit,
            accepted,
            all: len,
        };
        for (segment, expected) in state.segments.iter().zip(&expected) {
            asked.search(segment, *expected, &mut best, &mut scratch, &mut work);
        }
        self.scratches.lock().push(scratch);
        for fresh in [&state.sealing, &state.arriving] {
            fresh.search(&query, limit, accepted, share, &mut best, &mut work);
        }
        if best.len() < limit.min(accepted.len()).min(len) {
            return Ok(scan(&state, &query, limit, accepted));
        }
        Ok((best.into_sorted(), work))
    }

    /// Finds the nearest accepted chunks as [`Vectors::search`] does, by scoring all of them.
    pub fn search_exact(&self, query: &[f32], limit: usize, accept: &Accept<'_>) -> Result<Vec<Scored>, Error> {
        let (found, _) = self.scan_accepted(query, limit, Accepted::Test(accept, 0))?;
        Ok(found)
    }

    /// Finds the nearest accepted chunks as [`Vectors::search_accepted`] does, by scoring all of them.
    pub fn scan_accepted(
        &self,
        query: &[f32],
        limit: usize,
        accepted: Accepted<'_>,
    ) -> Result<(Vec<Scored>, VectorsWork), Error> {
        self.check_dimensions(query)?;
        if limit == 0 {
            return Ok(Default::default());
        }
        Ok(scan(&self.state(), &Query::new(query), limit, accepted))
    }

    fn check_dimensions(&self, vector: &[f32]) -> Result<(), Error> {
        if vector.len() == self.dimensions {
            return Ok(());
        }
        Err(Error::DimensionMismatch {
            expected: self.dimensions,
            found: vector.len(),
        })
    }
}

fn scan(state: &State, query: &Query<'_>, limit: usize, accepted: Accepted<'_>) -> (Vec<Scored>, VectorsWork) {
    let mut best = Best::new(limit);
    let mut work = VectorsWork::default();
    for segment in &state.segments {
        let scanned = segment.rows().scan(query, accepted, &mut best);
        work.add(VectorsMode::ExactScan, scanned, scanned);
    }
    state.sealing.scan(query, accepted, &mut best, &mut work);
    state.arriving.scan(query, accepted, &mut best, &mut work);
    (best.into_sorted(), work)
}

/// Says how many rows of each segment are accepted. What a filter lets through often lies together (a source, a month):
/// a set is counted, and for a test a sample of each segment is asked; `share` is the accepted share of all.
fn expected(state: &State, accepted: Accepted<'_>, share: f64) -> Vec<usize> {
    let segments = state.segments.iter();
    match accepted {
        Accepted::Set(set) => segments
            .map(|segment| set.count_within(segment.first_chunk(), segment.last_chunk()))
            .collect(),
        Accepted::Test(accept, count) => {
            let shares = shares(state, accept, share);
            let expected = segments.zip(shares);
            let expected = expected.map(|(segment, share)| count.min((segment.len() as f64 * share) as usize));
            expected.collect()
        }
    }
}

/// Estimates which share of each segment passes a test.
fn shares(state: &State, accept: &Accept<'_>, share: f64) -> Vec<f64> {
    let [_, _, ..] = state.segments[..] else {
        return vec![share; state.segments.len()];
    };
    let sample = |segment: &Arc<Segment>| {
        let ids = segment.rows().ids;
        let step = ids.len().div_ceil(SAMPLED_ROWS);
        let (mut asked, mut accepted) = (0.0, 0.5);
        for id in ids.iter().step_by(step) {
            asked += 1.0;
            accepted += f64::from(u8::from(accept(ChunkId(*id))));
        }
        accepted / (asked + 0.5)
    };
    state.segments.iter().map(sample).collect()
}

/// What a search asks of each part of the index.
struct Asked<'a> {
    query: &'a Query<'a>,
    limit: usize,
    accepted: Accepted<'a>,
    /// Rows of all parts.
    all: usize,
}

impl Asked<'_> {
    /// Offers the accepted rows of a segment that are nearest to the query; about `expected` are accepted.
    fn search(
        &self,
        segment: &Segment,
        expected: usize,
        best: &mut Best,
        scratch: &mut Scratch,
        work: &mut VectorsWork,
    ) {
        let rows = segment.rows();
        let is_accepted = |row: u32| self.accepted.contains(rows.chunk_id(row as usize));
        let enough = self.limit.min(expected);
        // A scan finds the members of a set without asking all rows.
        let asked = match self.accepted {
            Accepted::Set(_) => expected,
            Accepted::Test(..) => rows.len(),
        };
        let mut plan = Plan::new(rows.len(), self.all, expected, asked, self.limit);
        let mut mode = VectorsMode::GraphWalk;
        if let Plan::Walk { ef } = plan {
            segment.walk(self.query, ef, scratch);
            scratch.nearest.retain(|key| is_accepted(row_of(*key)));
            if scratch.nearest.len() < enough {
                plan = Plan::walk_accepted(rows.len(), self.all, expected, asked, self.limit);
            }
        }
        if let Plan::WalkAccepted { ef, budget } = plan {
            mode = VectorsMode::FilteredGraphWalk;
            let arrived = segment.walk_accepted(self.query, ef, &is_accepted, budget, scratch);
            if !arrived || scratch.nearest.len() < enough {
                plan = Plan::Scan;
            }
        }
        if plan == Plan::Scan {
            let scanned = rows.scan(self.query, self.accepted, best);
            return work.add(VectorsMode::ExactScan, scanned, scanned);
        }
        work.add(mode, scratch.nearest.len(), scratch.visited());
        for key in &scratch.nearest {
            let row = row_of(*key) as usize;
            let at_best = estimate_of(*key) * self.query.fit.scale + self.query.likely_error(rows.fits[row]);
            let too_small = at_best < best.threshold();
            if !too_small {
                best.offer(rows.scored(self.query.vector, row));
            }
        }
    }
}

#[cfg(test)]
mod tests;
