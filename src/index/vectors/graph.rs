//! The graph over fresh rows, which takes one row after another; the only file that names its crate.

use std::fmt;
use std::sync::Arc;

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::{FilterT, Hnsw};

use super::fresh::Block;
use crate::index::simd::dot_codes;
use crate::index::{Accept, ChunkId};

/// Links of a node in the upper layers; the lowest has twice as many.
const M: usize = 16;
/// Candidates that are kept while a node looks for its neighbours.
const EF_CONSTRUCTION: usize = 128;
const MAX_LAYERS: usize = 16;
/// A hint for the first allocation; the graph grows past it as rows do.
const EXPECTED_ROWS: usize = 1_024;
/// Rows that are inserted one after another before others may go in side by side. Two first rows at once would not see
/// each other and stay without a link.
const SERIAL_ROWS: usize = 64;

/// One row in its block.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) block: Arc<Block>,
    pub(super) at: u32,
}

impl Row {
    /// Estimates the cosine similarity from the codes of both.
    fn estimate(&self, other: &Self) -> f32 {
        let (left, right) = (self.block.rows(), other.block.rows());
        let (at, other_at) = (self.at as usize, other.at as usize);
        let sum = dot_codes(left.codes(at), right.codes(other_at));
        sum as f32 * left.fits[at].scale * right.fits[other_at].scale
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("at", &self.at).finish_non_exhaustive()
    }
}

/// Cosine distance of unit vectors. Rounding can bring it below 0, which the crate does not take.
#[derive(Debug, Clone, Copy, Default)]
struct CosineDistance;

impl Distance<Row> for CosineDistance {
    fn eval(&self, left: &[Row], right: &[Row]) -> f32 {
        match (left, right) {
            // `max` also turns what is not a number into 0.
            ([left], [right]) => (1.0 - left.estimate(right)).max(0.0),
            _ => 0.0,
        }
    }
}

/// A graph over rows in memory.
pub(super) struct Graph(Hnsw<'static, Row, CosineDistance>);

impl Graph {
    pub(super) fn new() -> Self {
        Self(Hnsw::new(M, EXPECTED_ROWS, MAX_LAYERS, EF_CONSTRUCTION, CosineDistance))
    }

    /// Inserts all rows of a block.
    pub(super) fn insert(&self, block: &Arc<Block>, threads: usize) {
        let rows: Vec<Row> = (0..block.rows().len() as u32)
            .map(|at| Row {
                block: Arc::clone(block),
                at,
            })
            .collect();
        let insert = |row: &Row| {
            let id = row.block.rows().ids[row.at as usize];
            self.0.insert_slice((std::slice::from_ref(row), id as usize));
        };
        let alone = SERIAL_ROWS.saturating_sub(self.0.get_nb_point()).min(rows.len());
        let (alone, together) = rows.split_at(alone);
        alone.iter().for_each(insert);
        let share = together.len().div_ceil(threads.max(1)).max(1);
        std::thread::scope(|scope| {
            for rows in together.chunks(share) {
                scope.spawn(|| rows.iter().for_each(insert));
            }
        });
    }

    /// Finds up to `ef` rows near the query; those that are not accepted lead on, but are left out.
    pub(super) fn search(&self, query: &Row, ef: usize, accept: Option<&Accept<'_>>) -> Vec<ChunkId> {
        let accept = accept.map(|accept| move |id: &usize| accept(ChunkId(*id as u64)));
        let filter = accept.as_ref().map(|accept| accept as &dyn FilterT);
        let found = self.0.search_filter(std::slice::from_ref(query), ef, ef, filter);
        let ids = found.into_iter().map(|neighbour| ChunkId(neighbour.d_id as u64));
        ids.collect()
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.0.get_nb_point();
        f.debug_struct("Graph").field("rows", &rows).finish_non_exhaustive()
    }
}
