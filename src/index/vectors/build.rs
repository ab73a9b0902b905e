//! Builds the links of a graph on several threads, the same ones at any number of threads.
//!
//! Comes in: codes in order of chunk id, and if wanted the links of a graph over the first of them. Goes out: links.
//! Rows are inserted in batches. Those of a batch look for their neighbours side by side, in the graph as it was before the
//! batch and among each other (chunks of one document follow each other and lie near each other). Then the links back
//! are set, each row's by one thread alone, from a sorted list. So nothing depends on which thread was faster.

mod select;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::quantize::Fit;
use super::walk::{BASE_LINKS, Graph, Links, M, NO_LINK, Scratch, key};
use select::Selection;

/// Rows that are kept while a row looks for its neighbours.
pub(super) const EF_CONSTRUCTION: usize = 160;
/// Rows that are inserted together: as many as keep threads busy, few enough to compare each with each, and to let the
/// caller have its turn.
const BATCH_ROWS: std::ops::RangeInclusive<usize> = 256..=512;
/// Highest level of a row; a sixteenth of a level's rows reach the next.
pub(super) const MAX_LEVEL: usize = 8;
/// Items that a thread takes at once.
const ITEMS_AT_ONCE: usize = 8;

fn limit_of(level: usize) -> usize {
    if level == 0 { BASE_LINKS } else { M }
}

/// Returns the highest level of a chunk's row, which depends on its id alone.
pub(super) fn level_of(chunk_id: u64) -> usize {
    // The finalizer of SplitMix64 spreads neighbouring numbers over all bits.
    let mut bits = chunk_id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits.trailing_zeros() / M.ilog2()).min(MAX_LEVEL as u32) as usize
}

/// A graph that is being built.
#[derive(Debug)]
pub(super) struct Builder {
    dimensions: usize,
    pub(super) codes: Vec<i8>,
    pub(super) fits: Vec<Fit>,
    pub(super) base: Vec<u32>,
    pub(super) starts: Vec<u32>,
    pub(super) upper: Vec<u32>,
    pub(super) entry: u32,
    pub(super) max_level: usize,
    inserted: usize,
}

/// The links that a new row takes, level by level from the lowest.
type NewLinks = Vec<Vec<u32>>;

/// A link back: level, the row that gets it, the new row.
type Back = (usize, u32, u32);

impl Builder {
    /// Starts a graph over these rows, none of which is inserted yet.
    pub(super) fn new(dimensions: usize, ids: &[u64], codes: Vec<i8>, fits: Vec<Fit>) -> Self {
        let mut starts = Vec::with_capacity(ids.len() + 1);
        let mut blocks = 0;
        starts.push(0);
        for id in ids {
            blocks += level_of(*id) as u32;
            starts.push(blocks);
        }
        Self {
            dimensions,
            codes,
            fits,
            base: vec![NO_LINK; ids.len() * BASE_LINKS],
            starts,
            upper: vec![NO_LINK; blocks as usize * M],
            entry: 0,
            max_level: 0,
            inserted: 0,
        }
    }

    /// Takes over the links of a graph over the first rows.
    pub(super) fn extend(&mut self, links: Links<'_>) {
        self.base[..links.base.len()].copy_from_slice(links.base);
        self.upper[..links.upper.len()].copy_from_slice(links.upper);
        self.inserted = links.base.len() / BASE_LINKS;
        self.entry = links.entry;
        self.max_level = links.max_level;
    }

    /// Inserts all rows. Between batches, `pause` learns how many rows are inserted, and may end it.
    pub(super) fn run(&mut self, threads: usize, pause: &mut dyn FnMut(usize) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut scratches: Vec<Scratch> = Vec::new();
        scratches.resize_with(threads.max(1), Scratch::default);
        while self.inserted < self.fits.len() {
            pause(self.inserted)?;
            let rows = self.inserted.clamp(*BATCH_ROWS.start(), *BATCH_ROWS.end());
            self.insert(rows.min(self.fits.len() - self.inserted), &mut scratches);
        }
        ControlFlow::Continue(())
    }

    fn graph(&self) -> Graph<'_> {
        Graph {
            dimensions: self.dimensions,
            codes: &self.codes,
            fits: &self.fits,
            links: Links {
                base: &self.base,
                starts: &self.starts,
                upper: &self.upper,
                entry: self.entry,
                max_level: self.max_level,
            },
        }
    }

    fn insert(&mut self, rows: usize, scratches: &mut [Scratch]) {
        let first = self.inserted as u32;
        let batch: Vec<u32> = (first..first + rows as u32).collect();
        // Of the batch, those that reach each level.
        let reaching: Vec<Vec<u32>> = (0..=MAX_LEVEL)
            .map(|level| {
                batch
                    .iter()
                    .copied()
                    .filter(|row| self.graph().links.level(*row) >= level)
                    .collect()
            })
            .collect();
        let found = side_by_side(&batch, scratches, |row, scratch| {
            self.neighbours(*row, &reaching, scratch)
        });
        let mut back: Vec<Back> = Vec::new();
        for (row, levels) in batch.iter().zip(&found) {
            for (level, links) in levels.iter().enumerate() {
                self.places_mut(level, *row)[..links.len()].copy_from_slice(links);
                back.extend(links.iter().map(|link| (level, *link, *row)));
            }
        }
        back.sort_unstable();
        let of_one_row: Vec<&[Back]> = back.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).collect();
        let changed = side_by_side(&of_one_row, scratches, |back, scratch| self.linked_back(back, scratch));
        for (back, links) in of_one_row.iter().zip(changed) {
            let places = self.places_mut(back[0].0, back[0].1);
            places.fill(NO_LINK);
            places[..links.len()].copy_from_slice(&links);
        }
        self.inserted += rows;
        for row in batch {
            let level = self.graph().links.level(row);
            if level > self.max_level {
                (self.entry, self.max_level) = (row, level);
            }
        }
    }

    fn places_mut(&mut self, level: usize, row: u32) -> &mut [u32] {
        let row = row as usize;
        if level == 0 {
            return &mut self.base[row * BASE_LINKS..][..BASE_LINKS];
        }
        let block = self.starts[row] as usize + level - 1;
        &mut self.upper[block * M..][..M]
    }

    /// Chooses the links of a new row in each of its levels.
    fn neighbours(&self, row: u32, reaching: &[Vec<u32>], scratch: &mut Scratch) -> NewLinks {
        let graph = self.graph();
        let query = graph.codes(row);
        let level = graph.links.level(row);
        let mut found = vec![Vec::new(); level + 1];
        let mut start = (self.inserted > 0).then(|| graph.descend(query, level, scratch));
        for level in (0..=level).rev() {
            match start {
                Some(start) if level <= self.max_level => graph.walk(query, level, start, EF_CONSTRUCTION, scratch),
                _ => scratch.nearest.clear(),
            }
            start = scratch.nearest.first().copied().or(start);
            self.add_batch(row, &reaching[level], scratch);
            let limit = limit_of(level);
            found[level] = Selection { graph, row, limit }.choose(scratch);
        }
        found
    }

    /// Adds the near ones among the rows that are inserted together to those that were found in the graph.
    fn add_batch(&self, row: u32, batch: &[u32], scratch: &mut Scratch) {
        let graph = self.graph();
        scratch.rows.clear();
        scratch.rows.extend(batch.iter().copied().filter(|other| *other != row));
        graph.multiply(graph.codes(row), scratch);
        for at in 0..scratch.rows.len() {
            let other = scratch.rows[at];
            let estimate = scratch.sums[at] as f32 * self.fits[other as usize].scale;
            scratch.keep(key(estimate, other), EF_CONSTRUCTION);
        }
    }

    /// Returns the links of a row after new rows linked to it.
    fn linked_back(&self, back: &[Back], scratch: &mut Scratch) -> Vec<u32> {
        let (level, row, _) = back[0];
        let graph = self.graph();
        let limit = limit_of(level);
        let mut links: Vec<u32> = graph.links.of(level, row).collect();
        let known = links.len();
        for (_, _, new) in back {
            if !links[..known].contains(new) {
                links.push(*new);
            }
        }
        if links.len() <= limit {
            return links;
        }
        scratch.rows.clear();
        scratch.rows.append(&mut links);
        graph.multiply(graph.codes(row), scratch);
        scratch.nearest.clear();
        for (at, other) in scratch.rows.iter().enumerate() {
            let estimate = scratch.sums[at] as f32 * self.fits[*other as usize].scale;
            scratch.nearest.push(key(estimate, *other));
        }
        scratch.nearest.sort_unstable_by(|a, b| b.cmp(a));
        Selection { graph, row, limit }.choose(scratch)
    }
}

/// Does the same with each item, on as many threads as there are scratches. Results come in the order of the items.
fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    scratches: &mut [Scratch],
    work: impl Fn(&T, &mut Scratch) -> R + Sync,
) -> Vec<R> {
    let [alone] = scratches else {
        let next = AtomicUsize::new(0);
        let take = |scratch: &mut Scratch| {
            let mut done = Vec::new();
            loop {
                let start = next.fetch_add(ITEMS_AT_ONCE, Ordering::Relaxed);
                let Some(items) = items.get(start..(start + ITEMS_AT_ONCE).min(items.len())) else {
                    return done;
                };
                let results: Vec<R> = items.iter().map(|item| work(item, scratch)).collect();
                done.push((start, results));
            }
        };
        let mut done = std::thread::scope(|scope| {
            let threads: Vec<_> = scratches
                .iter_mut()
                .map(|scratch| scope.spawn(|| take(scratch)))
                .collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            let unwound = |panic| std::panic::resume_unwind(panic);
            joined.flat_map(|done| done.unwrap_or_else(unwound)).collect::<Vec<_>>()
        });
        done.sort_unstable_by_key(|(start, _)| *start);
        return done.into_iter().flat_map(|(_, results)| results).collect();
    };
    items.iter().map(|item| work(item, alone)).collect()
}

#[cfg(test)]
mod tests;
