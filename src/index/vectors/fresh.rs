//! Rows that are in no segment yet, in memory.
//!
//! They lie in blocks that never change, so that readers share them. A short block is joined with the one before it, so
//! that a row is copied a few times at most and blocks stay few, however rows come.

use std::sync::Arc;

use super::graph::{Graph, Row};
use super::plan::Plan;
use super::quantize::{Fit, Query, norm, push_codes, push_halves, widen};
use super::rows::Rows;
use crate::index::best::Best;
use crate::index::{Accept, Accepted, ChunkId, Error, VectorsMode, VectorsWork};

/// Largest block.
const BLOCK_ROWS: usize = 1_024;

/// Rows in memory, in order of chunk id.
#[derive(Debug)]
pub(super) struct Block {
    dimensions: usize,
    ids: Vec<u64>,
    codes: Vec<i8>,
    fits: Vec<Fit>,
    halves: Vec<u16>,
    max_norm: f32,
}

impl Block {
    fn with_capacity(dimensions: usize, rows: usize) -> Self {
        Self {
            dimensions,
            ids: Vec::with_capacity(rows),
            codes: Vec::with_capacity(rows * dimensions),
            fits: Vec::with_capacity(rows),
            halves: Vec::with_capacity(rows * dimensions),
            max_norm: 0.0,
        }
    }

    /// Rounds vectors and forms their codes.
    fn new(dimensions: usize, rows: &[(ChunkId, &[f32])]) -> Result<Self, Error> {
        let mut block = Self::with_capacity(dimensions, rows.len());
        let mut rounded = vec![0.0; dimensions];
        for (chunk_id, vector) in rows {
            let start = block.halves.len();
            if !push_halves(vector, &mut block.halves) {
                return Err(Error::NotFinite { chunk_id: *chunk_id });
            }
            widen(&block.halves[start..], &mut rounded);
            block.ids.push(chunk_id.0);
            block.fits.push(push_codes(&rounded, &mut block.codes));
            block.max_norm = block.max_norm.max(norm(&rounded));
        }
        Ok(block)
    }

    /// Makes a block of one row that stands for a query in the graph.
    fn of_query(query: &Query<'_>) -> Self {
        let mut block = Self::with_capacity(query.codes.len(), 0);
        block.ids.push(0);
        block.codes.extend_from_slice(&query.codes);
        block.fits.push(query.fit);
        block
    }

    fn push(&mut self, rows: Rows<'_>, row: usize) {
        self.ids.push(rows.ids[row]);
        self.codes.extend_from_slice(rows.codes(row));
        self.fits.push(rows.fits[row]);
        self.halves.extend_from_slice(rows.halves(row));
        self.max_norm = self.max_norm.max(rows.max_norm);
    }

    fn join(&self, other: &Self) -> Self {
        let mut block = Self::with_capacity(self.dimensions, self.ids.len() + other.ids.len());
        for rows in [self.rows(), other.rows()] {
            (0..rows.len()).for_each(|row| block.push(rows, row));
        }
        block
    }

    pub(super) fn rows(&self) -> Rows<'_> {
        Rows {
            dimensions: self.dimensions,
            ids: &self.ids,
            codes: &self.codes,
            fits: &self.fits,
            halves: &self.halves,
            halves_file: None,
            max_norm: self.max_norm,
        }
    }
}

/// Forms blocks of new rows.
pub(super) fn blocks(dimensions: usize, rows: &[(ChunkId, &[f32])]) -> Result<Vec<Block>, Error> {
    rows.chunks(BLOCK_ROWS)
        .map(|rows| Block::new(dimensions, rows))
        .collect()
}

/// Fresh rows with the graph over the first of them. A copy shares everything with the original.
#[derive(Debug, Clone, Default)]
pub(super) struct Fresh {
    blocks: Vec<Arc<Block>>,
    len: usize,
    graph: Option<Arc<Graph>>,
    /// Blocks that are in the graph.
    graphed: usize,
    /// Blocks that are in the graph or on their way; they are not joined any more.
    settled: usize,
}

impl Fresh {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = Rows<'_>> {
        self.blocks.iter().map(|block| block.rows())
    }

    /// Returns the rows that are not in the graph.
    pub(super) fn ungraphed_rows(&self) -> usize {
        self.blocks[self.graphed..].iter().map(|block| block.ids.len()).sum()
    }

    pub(super) fn last_chunk(&self) -> Option<ChunkId> {
        self.blocks.last()?.ids.last().copied().map(ChunkId)
    }

    pub(super) fn bytes(&self) -> u64 {
        let per_row = |rows: Rows<'_>| rows.len() * (size_of::<u64>() + size_of::<Fit>() + rows.dimensions * 3);
        self.blocks().map(per_row).sum::<usize>() as u64
    }

    /// Adds blocks behind the others.
    pub(super) fn extend(&mut self, blocks: Vec<Block>) {
        for mut block in blocks {
            self.len += block.ids.len();
            while self.blocks.len() > self.settled
                && let Some(last) = self.blocks.pop_if(|last| {
                    last.ids.len() < 2 * block.ids.len() && last.ids.len() + block.ids.len() <= BLOCK_ROWS
                })
            {
                block = last.join(&block);
            }
            self.blocks.push(Arc::new(block));
        }
    }

    /// Adds the rows of `later`. Its graph is given up.
    pub(super) fn append(&mut self, later: &Self) {
        self.settled = self.blocks.len();
        self.blocks.extend(later.blocks.iter().cloned());
        self.len += later.len;
    }

    /// Returns a copy without the rows that are not kept; nothing if all are.
    pub(super) fn without(&self, keep: &dyn Fn(ChunkId) -> bool) -> Option<Self> {
        if self.blocks().all(|rows| rows.ids.iter().all(|id| keep(ChunkId(*id)))) {
            return None;
        }
        let mut kept = Self::default();
        for rows in self.blocks() {
            let mut block = Block::with_capacity(rows.dimensions, rows.len());
            let wanted = (0..rows.len()).filter(|row| keep(rows.chunk_id(*row)));
            wanted.for_each(|row| block.push(rows, row));
            if !block.ids.is_empty() {
                kept.extend(vec![block]);
            }
        }
        Some(kept)
    }

    /// Names the next block that goes into the graph, and the graph. From now on the block stays as it is.
    pub(super) fn settle_next(&mut self) -> Option<(Arc<Graph>, Arc<Block>)> {
        let block = self.blocks.get(self.graphed)?;
        self.settled = self.settled.max(self.graphed + 1);
        let graph = self.graph.get_or_insert_with(|| Arc::new(Graph::new()));
        Some((Arc::clone(graph), Arc::clone(block)))
    }

    /// Notes that the block that was named is in the graph.
    pub(super) fn graphed(&mut self, block: &Arc<Block>) {
        let is_next = self
            .blocks
            .get(self.graphed)
            .is_some_and(|next| Arc::ptr_eq(next, block));
        self.graphed += usize::from(is_next);
    }

    pub(super) fn find(&self, chunk_id: ChunkId) -> Option<(Rows<'_>, usize)> {
        let at = self
            .blocks
            .partition_point(|block| block.ids.last().is_some_and(|last| *last < chunk_id.0));
        let rows = self.blocks.get(at)?.rows();
        Some((rows, rows.position(chunk_id)?))
    }

    /// Offers the accepted rows nearest to the query. `share` is the share of rows that are accepted.
    pub(super) fn search(
        &self,
        query: &Query<'_>,
        limit: usize,
        accepted: Accepted<'_>,
        share: f64,
        best: &mut Best,
        work: &mut VectorsWork,
    ) {
        let graphed = self.len - self.ungraphed_rows();
        let expected = self.expected(accepted, graphed, share);
        let plan = Plan::new(graphed, graphed, expected, graphed, limit);
        let accept = |chunk_id| accepted.contains(chunk_id);
        let filter: &Accept<'_> = &accept;
        let (Some(graph), Some((ef, filter))) = (
            &self.graph,
            match plan {
                Plan::Scan => None,
                Plan::Walk { ef } => Some((ef, None)),
                Plan::WalkAccepted { ef, .. } => Some((ef, Some(filter))),
            },
        ) else {
            return self.scan(query, accepted, best, work);
        };
        let query_row = Row {
            block: Arc::new(Block::of_query(query)),
            at: 0,
        };
        let mode = filter.map_or(VectorsMode::GraphWalk, |_| VectorsMode::FilteredGraphWalk);
        let found = graph.search(&query_row, ef, filter);
        let visited = found.len();
        // A block on its way into the graph is found there in part: it is scanned below.
        let first_scanned = self.blocks.get(self.graphed).map_or(u64::MAX, |block| block.ids[0]);
        let known = found
            .into_iter()
            .filter(|chunk_id| chunk_id.0 < first_scanned && accept(*chunk_id));
        let found: Vec<_> = known.filter_map(|chunk_id| self.find(chunk_id)).collect();
        if found.len() < limit.min(expected) {
            return self.scan(query, accepted, best, work);
        }
        work.add(mode, found.len(), visited);
        for (rows, row) in found {
            best.offer(rows.scored(query.vector, row));
        }
        for block in &self.blocks[self.graphed..] {
            let scanned = block.rows().scan(query, accepted, best);
            work.add(VectorsMode::ExactScan, scanned, scanned);
        }
    }

    /// Says how many rows of the graph are accepted.
    fn expected(&self, accepted: Accepted<'_>, graphed: usize, share: f64) -> usize {
        let of_graph = self.blocks[..self.graphed]
            .first()
            .zip(self.blocks[..self.graphed].last());
        match (accepted, of_graph) {
            (Accepted::Set(set), Some((first, last))) => {
                let bounds = first.ids.first().zip(last.ids.last());
                bounds.map_or(0, |(first, last)| set.count_within(ChunkId(*first), ChunkId(*last)))
            }
            _ => (graphed as f64 * share) as usize,
        }
    }

    /// Offers all accepted rows.
    pub(super) fn scan(&self, query: &Query<'_>, accepted: Accepted<'_>, best: &mut Best, work: &mut VectorsWork) {
        let scanned = self.blocks().map(|rows| rows.scan(query, accepted, best)).sum();
        if self.len > 0 {
            work.add(VectorsMode::ExactScan, scanned, scanned);
        }
    }
}
