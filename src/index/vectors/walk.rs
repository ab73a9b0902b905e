//! Walks over a graph of links: the search of HNSW (Malkov and Yashunin, <https://arxiv.org/abs/1603.09320>).
//!
//! Comes in: links and codes, wherever they lie. Goes out: rows near a query, estimated from codes.
//! Always holds: a link that names no row leads nowhere; nothing is allocated once a [`Scratch`] has grown.

use std::collections::BinaryHeap;

use super::quantize::Fit;
use crate::index::simd::{dots, prefetch};

/// Links of a row in each upper level.
pub(super) const M: usize = 16;
/// Links of a row in the lowest level.
pub(super) const BASE_LINKS: usize = 2 * M;
/// Stands where there is no further link.
pub(super) const NO_LINK: u32 = u32::MAX;
/// Rows that a graph can have.
pub(super) const MAX_ROWS: usize = i32::MAX as usize;

/// A row and its estimate in one number that grows with the estimate; of equal ones the lower row is larger. The lowest
/// bit says whether the row's links were followed.
pub(super) type Key = u64;
const FOLLOWED: Key = 1;

#[inline]
pub(super) fn key(estimate: f32, row: u32) -> Key {
    let bits = estimate.to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(ordered) << 32 | u64::from(i32::MAX as u32 - row) << 1
}

#[inline]
pub(super) fn row_of(key: Key) -> u32 {
    i32::MAX as u32 - ((key as u32) >> 1)
}

#[inline]
pub(super) fn estimate_of(key: Key) -> f32 {
    let ordered = (key >> 32) as u32;
    f32::from_bits(if ordered >> 31 == 0 {
        !ordered
    } else {
        ordered ^ 1 << 31
    })
}

/// The links of a graph.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links<'a> {
    /// Of each row [`BASE_LINKS`] in the lowest level.
    pub(super) base: &'a [u32],
    /// Where each row's upper levels begin, counted in blocks of [`M`]; one more at the end.
    pub(super) starts: &'a [u32],
    /// Blocks of [`M`] links, level by level from the first above the lowest.
    pub(super) upper: &'a [u32],
    pub(super) entry: u32,
    pub(super) max_level: usize,
}

impl<'a> Links<'a> {
    /// Returns the places of a row's links in a level, used or not; none where the row does not reach the level.
    #[inline]
    pub(super) fn places(&self, level: usize, row: u32) -> &'a [u32] {
        let row = row as usize;
        if level == 0 {
            return self
                .base
                .get(row * BASE_LINKS..(row + 1) * BASE_LINKS)
                .unwrap_or_default();
        }
        let (Some(start), Some(end)) = (self.starts.get(row), self.starts.get(row + 1)) else {
            return &[];
        };
        let block = *start as usize + level - 1;
        if block >= *end as usize {
            return &[];
        }
        self.upper.get(block * M..(block + 1) * M).unwrap_or_default()
    }

    /// Returns a row's links in a level.
    #[inline]
    pub(super) fn of(&self, level: usize, row: u32) -> impl Iterator<Item = u32> + use<'a> {
        self.places(level, row)
            .iter()
            .copied()
            .take_while(|link| *link != NO_LINK)
    }

    /// Returns the highest level of a row.
    pub(super) fn level(&self, row: u32) -> usize {
        let row = row as usize;
        (self.starts[row + 1] - self.starts[row]) as usize
    }
}

/// What a walk keeps in mind; used again by the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// A bit for each row that was seen.
    seen: Vec<u64>,
    seen_rows: Vec<u32>,
    pub(super) rows: Vec<u32>,
    pub(super) sums: Vec<i32>,
    /// The nearest rows so far, nearest first.
    pub(super) nearest: Vec<Key>,
    open: BinaryHeap<Key>,
}

impl Scratch {
    fn forget(&mut self, rows: usize) {
        for row in self.seen_rows.drain(..) {
            self.seen[row as usize / 64] = 0;
        }
        let words = rows.div_ceil(64);
        if self.seen.len() < words {
            self.seen.resize(words, 0);
        }
    }

    /// Returns how many rows the last walk looked at.
    pub(super) fn visited(&self) -> usize {
        self.seen_rows.len()
    }

    /// Says whether the row is seen for the first time.
    #[inline]
    fn see(&mut self, row: u32) -> bool {
        let word = &mut self.seen[row as usize / 64];
        let bit = 1 << (row % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        if is_new {
            self.seen_rows.push(row);
        }
        is_new
    }

    /// Keeps a row if it is among the `limit` nearest; says where.
    #[inline]
    pub(super) fn keep(&mut self, key: Key, limit: usize) -> Option<usize> {
        if self.nearest.len() >= limit {
            if self.nearest.last().is_some_and(|last| key <= *last) {
                return None;
            }
            self.nearest.pop();
        }
        let at = self.nearest.partition_point(|kept| *kept > key);
        self.nearest.insert(at, key);
        Some(at)
    }
}

/// A graph and the codes that lead through it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Graph<'a> {
    pub(super) dimensions: usize,
    pub(super) codes: &'a [i8],
    pub(super) fits: &'a [Fit],
    pub(super) links: Links<'a>,
}

impl<'a> Graph<'a> {
    pub(super) fn codes(&self, row: u32) -> &'a [i8] {
        &self.codes[row as usize * self.dimensions..][..self.dimensions]
    }

    /// Estimates the rows in `scratch.rows`, into `scratch.sums`.
    #[inline]
    pub(super) fn multiply(&self, query: &[i8], scratch: &mut Scratch) {
        let Scratch { rows, sums, .. } = scratch;
        if sums.len() < rows.len() {
            sums.resize(rows.len(), 0);
        }
        dots(query, self.codes, rows, &mut sums[..rows.len()]);
    }

    #[inline]
    fn key(&self, scratch: &Scratch, at: usize) -> Key {
        let row = scratch.rows[at];
        key(scratch.sums[at] as f32 * self.fits[row as usize].scale, row)
    }

    fn start(&self, query: &[i8], row: u32) -> Key {
        let mut sum = [0];
        dots(query, self.codes, &[row], &mut sum);
        key(sum[0] as f32 * self.fits[row as usize].scale, row)
    }

    /// Goes from the entry down to `level`, in each level above it to the nearest row that it can reach.
    pub(super) fn descend(&self, query: &[i8], level: usize, scratch: &mut Scratch) -> Key {
        let mut nearest = self.start(query, self.links.entry);
        for level in (level + 1..=self.links.max_level).rev() {
            loop {
                scratch.rows.clear();
                let rows = self.fits.len() as u32;
                let links = self.links.of(level, row_of(nearest));
                scratch.rows.extend(links.filter(|link| *link < rows));
                self.multiply(query, scratch);
                let keys = (0..scratch.rows.len()).map(|at| self.key(scratch, at));
                match keys.max() {
                    Some(found) if found > nearest => nearest = found,
                    _ => break,
                }
            }
        }
        nearest
    }

    /// Collects the links of a row that were not seen yet.
    #[inline]
    fn gather(&self, level: usize, row: u32, scratch: &mut Scratch) {
        scratch.rows.clear();
        let rows = self.fits.len() as u32;
        for link in self.links.of(level, row) {
            if link < rows && scratch.see(link) {
                prefetch(&self.fits[link as usize..=link as usize]);
                scratch.rows.push(link);
            }
        }
    }

    /// Leaves the `ef` nearest rows of a level in `scratch.nearest`, walking from `start`.
    pub(super) fn walk(&self, query: &[i8], level: usize, start: Key, ef: usize, scratch: &mut Scratch) {
        scratch.forget(self.fits.len());
        scratch.nearest.clear();
        scratch.nearest.push(start);
        scratch.see(row_of(start));
        let mut next = 0;
        while let Some(nearest) = scratch.nearest.get_mut(next) {
            if *nearest & FOLLOWED != 0 {
                next += 1;
                continue;
            }
            *nearest |= FOLLOWED;
            let row = row_of(*nearest);
            self.gather(level, row, scratch);
            self.multiply(query, scratch);
            for at in 0..scratch.rows.len() {
                let key = self.key(scratch, at);
                if let Some(place) = scratch.keep(key, ef) {
                    if place <= next + 1 {
                        prefetch(self.links.places(level, row_of(key)));
                    }
                    next = next.min(place);
                }
            }
        }
    }

    /// Leaves the `ef` nearest accepted rows of the lowest level in `scratch.nearest`. Rows that are not accepted lead on.
    /// Gives up, and says so, once it has looked at more than `budget` rows.
    pub(super) fn walk_accepted(
        &self,
        query: &[i8],
        start: Key,
        ef: usize,
        accept: &dyn Fn(u32) -> bool,
        budget: usize,
        scratch: &mut Scratch,
    ) -> bool {
        scratch.forget(self.fits.len());
        scratch.nearest.clear();
        scratch.open.clear();
        scratch.open.push(start);
        scratch.see(row_of(start));
        if accept(row_of(start)) {
            scratch.nearest.push(start);
        }
        while let Some(nearest) = scratch.open.pop() {
            let is_full = scratch.nearest.len() >= ef;
            if is_full && scratch.nearest.last().is_some_and(|last| nearest < *last) {
                break;
            }
            if scratch.seen_rows.len() > budget {
                return false;
            }
            self.gather(0, row_of(nearest), scratch);
            self.multiply(query, scratch);
            for at in 0..scratch.rows.len() {
                let key = self.key(scratch, at);
                let is_near = scratch.nearest.len() < ef || scratch.nearest.last().is_none_or(|last| key > *last);
                if is_near {
                    scratch.open.push(key);
                    if accept(row_of(key)) {
                        scratch.keep(key, ef);
                    }
                }
            }
        }
        true
    }
}
