//! The vectors themselves, by chunk id.
//!
//! They lie one after another in blocks that never move or change, so that growing copies nothing and the graph shares
//! them instead of keeping its own copy.

use std::fmt;
use std::sync::Arc;

use crate::index::ChunkId;
use crate::index::simd::dot;

/// Vectors in a block: as many as make allocations rare, and no more.
const BLOCK_ROWS: usize = 1_024;

/// One vector in its block.
#[derive(Clone)]
pub(super) struct Row {
    block: Arc<[f32]>,
    start: u32,
    dimensions: u32,
}

impl Row {
    /// Returns a vector in a block of its own.
    pub(super) fn alone(vector: &[f32]) -> Self {
        Self {
            block: Arc::from(vector),
            start: 0,
            dimensions: vector.len() as u32,
        }
    }

    pub(super) fn vector(&self) -> &[f32] {
        &self.block[self.start as usize..][..self.dimensions as usize]
    }

    pub(super) fn cosine(&self, query: &[f32]) -> f32 {
        dot(self.vector(), query)
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.vector()).finish()
    }
}

/// Copies vectors into blocks.
pub(super) fn blocks(rows: &[(ChunkId, &[f32])]) -> Vec<(ChunkId, Row)> {
    let mut blocks = Vec::with_capacity(rows.len());
    for rows in rows.chunks(BLOCK_ROWS) {
        let block: Arc<[f32]> = rows.iter().flat_map(|(_, vector)| vector.iter().copied()).collect();
        let mut start = 0;
        for (chunk_id, vector) in rows {
            let dimensions = vector.len() as u32;
            let block = Arc::clone(&block);
            blocks.push((
                *chunk_id,
                Row {
                    block,
                    start,
                    dimensions,
                },
            ));
            start += dimensions;
        }
    }
    blocks
}

/// All vectors. Chunk ids are counted from 1, so a table by id has few holes.
#[derive(Debug, Default)]
pub(super) struct Rows {
    by_chunk_id: Vec<Option<Row>>,
    len: usize,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, chunk_id: ChunkId) -> Option<&Row> {
        self.by_chunk_id.get(chunk_id.0 as usize)?.as_ref()
    }

    pub(super) fn extend(&mut self, rows: &[(ChunkId, Row)]) {
        let Some(largest) = rows.iter().map(|(chunk_id, _)| chunk_id.0 as usize).max() else {
            return;
        };
        if self.by_chunk_id.len() <= largest {
            self.by_chunk_id.resize(largest + 1, None);
        }
        for (chunk_id, row) in rows {
            let place = &mut self.by_chunk_id[chunk_id.0 as usize];
            self.len += usize::from(place.is_none());
            *place = Some(row.clone());
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ChunkId, &Row)> {
        let by_chunk_id = self.by_chunk_id.iter().enumerate();
        by_chunk_id.filter_map(|(at, row)| Some((ChunkId(at as u64), row.as_ref()?)))
    }
}
