//! Rows that lie one after another, wherever they are: in a mapped file or in memory.

use std::cell::RefCell;
use std::fs::File;
use std::io;

use super::quantize::{Fit, Query};
use crate::index::best::Best;
use crate::index::simd::{dot, dots};
use crate::index::{Accepted, ChunkId, Scored};

/// Rows that a scan estimates at once.
const SCAN_ROWS: usize = 64;
/// Where fewer than one of so many rows is accepted, they are looked up one by one.
const LOOKUP_SHARE: usize = 4;

thread_local! {
    /// The halves of one row.
    static ROW: RefCell<Vec<u16>> = const { RefCell::new(Vec::new()) };
}

/// Where the halves of a large segment are read from. Looked at through a map, each row would bring the sixteen pages
/// around it into the memory of the process, and a few searches all of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct HalvesFile<'a> {
    pub(super) file: &'a File,
    /// Place of the first row.
    pub(super) start: u64,
}

impl HalvesFile<'_> {
    fn dot(self, query: &[f32], row: usize) -> io::Result<f32> {
        ROW.with_borrow_mut(|halves| {
            halves.resize(query.len(), 0);
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(halves);
            let place = self.start + row as u64 * bytes.len() as u64;
            read_exact_at(self.file, bytes, place)?;
            Ok(dot(query, halves))
        })
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, place)
}

#[cfg(not(unix))]
fn read_exact_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Rows in order of chunk id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) dimensions: usize,
    /// Chunk ids, ascending.
    pub(super) ids: &'a [u64],
    pub(super) codes: &'a [i8],
    pub(super) fits: &'a [Fit],
    pub(super) halves: &'a [u16],
    /// Where single rows of the halves are read from, if not from there.
    pub(super) halves_file: Option<HalvesFile<'a>>,
    /// No row is longer.
    pub(super) max_norm: f32,
}

impl<'a> Rows<'a> {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn chunk_id(&self, row: usize) -> ChunkId {
        ChunkId(self.ids[row])
    }

    pub(super) fn halves(&self, row: usize) -> &'a [u16] {
        &self.halves[row * self.dimensions..][..self.dimensions]
    }

    pub(super) fn codes(&self, row: usize) -> &'a [i8] {
        &self.codes[row * self.dimensions..][..self.dimensions]
    }

    /// Returns the row of a chunk.
    ///
    /// Ids are counted up, and few are missing: the place that the id would have if none were is right or a little late.
    pub(super) fn position(&self, chunk_id: ChunkId) -> Option<usize> {
        let first = *self.ids.first()?;
        let latest = usize::try_from(chunk_id.0.checked_sub(first)?).unwrap_or(usize::MAX);
        let latest = latest.min(self.len() - 1);
        let (mut low, mut step) = (latest, 1);
        while low > 0 && self.ids[low] > chunk_id.0 {
            low = low.saturating_sub(step);
            step *= 2;
        }
        let found = self.ids[low..=latest].binary_search(&chunk_id.0).ok()?;
        Some(low + found)
    }

    /// Returns the cosine similarity of a row.
    pub(super) fn score(&self, query: &[f32], row: usize) -> f32 {
        let read = self.halves_file.and_then(|file| file.dot(query, row).ok());
        read.unwrap_or_else(|| dot(query, self.halves(row)))
    }

    pub(super) fn scored(&self, query: &[f32], row: usize) -> Scored {
        Scored {
            chunk_id: self.chunk_id(row),
            score: self.score(query, row),
        }
    }

    /// Offers the accepted rows, and returns how many they are. Codes tell which of them need not be scored, because they
    /// cannot be among the best.
    pub(super) fn scan(&self, query: &Query<'_>, accepted: Accepted<'_>, best: &mut Best) -> usize {
        let (Some(first), Some(last)) = (self.ids.first(), self.ids.last()) else {
            return 0;
        };
        if let Accepted::Set(set) = accepted {
            let (first, last) = (ChunkId(*first), ChunkId(*last));
            if set.count_within(first, last) < self.len() / LOOKUP_SHARE {
                let rows = set.iter_within(first, last).filter_map(|id| self.position(id));
                return self.offer_all(query, rows, best);
            }
        }
        let rows = (0..self.len()).filter(|row| accepted.contains(ChunkId(self.ids[*row])));
        self.offer_all(query, rows, best)
    }

    fn offer_all(&self, query: &Query<'_>, mut rows: impl Iterator<Item = usize>, best: &mut Best) -> usize {
        let (per_error, rest) = query.bound(self.max_norm);
        let mut numbers = Vec::with_capacity(SCAN_ROWS);
        let mut sums = [0; SCAN_ROWS];
        let mut offered = 0;
        loop {
            numbers.clear();
            numbers.extend(rows.by_ref().take(SCAN_ROWS).map(|row| row as u32));
            if numbers.is_empty() {
                return offered;
            }
            offered += numbers.len();
            dots(&query.codes, self.codes, &numbers, &mut sums[..numbers.len()]);
            for (row, sum) in numbers.iter().zip(sums) {
                let row = *row as usize;
                let fit = self.fits[row];
                let at_most = sum as f32 * fit.scale * query.fit.scale + fit.error * per_error + rest;
                // What is no number is scored too.
                let too_small = at_most < best.threshold();
                if !too_small {
                    best.offer(self.scored(query.vector, row));
                }
            }
        }
    }
}
