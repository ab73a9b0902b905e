//! The HNSW graph (Malkov and Yashunin, <https://arxiv.org/abs/1603.09320>); the only file that names its crate.

use std::fmt;

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::{FilterT, Hnsw};

use super::rows::Row;
use crate::index::{Accept, ChunkId};

/// Links of a node in the upper layers; the lowest has twice as many.
const M: usize = 16;
/// Candidates that are kept while a node looks for its neighbours.
const EF_CONSTRUCTION: usize = 200;
const MAX_LAYERS: usize = 16;
/// A hint for the first allocation; the graph grows past it as vectors do.
const EXPECTED_ROWS: usize = 1_024;
/// Rows that are inserted one after another before others may go in side by side. Two first rows at once would not see
/// each other and stay without a link.
const SERIAL_ROWS: usize = 64;

/// Cosine distance of unit vectors. Rounding can bring it below 0, which the crate does not take.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CosineDistance;

impl Distance<Row> for CosineDistance {
    fn eval(&self, left: &[Row], right: &[Row]) -> f32 {
        match (left, right) {
            // `max` also turns what is not a number into 0.
            ([left], [right]) => (1.0 - left.cosine(right.vector())).max(0.0),
            _ => 0.0,
        }
    }
}

/// A graph over rows.
pub(super) struct Graph(Hnsw<'static, Row, CosineDistance>);

impl Graph {
    pub(super) fn new() -> Self {
        Self(Hnsw::new(M, EXPECTED_ROWS, MAX_LAYERS, EF_CONSTRUCTION, CosineDistance))
    }

    pub(super) fn insert(&self, rows: &[(ChunkId, Row)]) {
        let rows = rows
            .iter()
            .map(|(chunk_id, row)| (std::slice::from_ref(row), chunk_id.0 as usize));
        let mut rows: Vec<_> = rows.collect();
        let alone = if rows.len() < SERIAL_ROWS {
            rows.len()
        } else {
            SERIAL_ROWS.saturating_sub(self.0.get_nb_point()).min(rows.len())
        };
        let together = rows.split_off(alone);
        for row in rows {
            self.0.insert_slice(row);
        }
        self.0.parallel_insert_slice(&together);
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
