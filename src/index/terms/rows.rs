//! Where chunks stand in a segment of the keyword index: chunk ids by row, rows by chunk id, and which rows lie side by
//! side in one revision.
//!
//! Comes in: the columns of a segment. Goes out: the same in memory, about ten bytes a row.
//! Always holds: a window of rows holds chunks of one revision, in order and without gaps.
//! Not here: which rows were removed.

use std::ops::Range;

use tantivy::{DocId, SegmentReader, TantivyError};

use super::schema::Fields;
use crate::index::ChunkId;

/// Chunks on each side of a chunk that count as its surroundings.
pub(super) const REACH: u32 = 2;

/// The rows of one segment.
#[derive(Debug)]
pub(super) struct SegmentRows {
    chunk_ids: Vec<ChunkId>,
    /// Rows in the order of their chunk ids; nothing where they lie in that order already.
    by_chunk: Option<Vec<DocId>>,
    /// Rows whose chunk is the first of its revision.
    begins: Vec<bool>,
    /// Sum of the sizes of all windows, in rows.
    window_rows: u64,
}

impl SegmentRows {
    pub(super) fn read(segment: &SegmentReader) -> Result<Self, TantivyError> {
        let columns = segment.fast_fields();
        let (chunk_ids, ordinals) = (
            columns.u64(Fields::CHUNK_ID_COLUMN)?,
            columns.u64(Fields::ORDINAL_COLUMN)?,
        );
        let rows = 0..segment.max_doc();
        let chunk_ids = rows.clone().map(|row| ChunkId(chunk_ids.first(row).unwrap_or(0)));
        let begins = rows.map(|row| ordinals.first(row).unwrap_or(0) == 0);
        Ok(Self::new(chunk_ids.collect(), begins.collect()))
    }

    fn new(chunk_ids: Vec<ChunkId>, begins: Vec<bool>) -> Self {
        let by_chunk = (!chunk_ids.is_sorted()).then(|| {
            let mut rows: Vec<DocId> = (0..chunk_ids.len() as DocId).collect();
            rows.sort_unstable_by_key(|row| chunk_ids[*row as usize]);
            rows
        });
        let mut rows = Self {
            chunk_ids,
            by_chunk,
            begins,
            window_rows: 0,
        };
        rows.window_rows = (0..rows.len()).map(|row| rows.window(row).len() as u64).sum();
        rows
    }

    /// Returns how many rows there are, removed ones too.
    pub(super) fn len(&self) -> DocId {
        self.chunk_ids.len() as DocId
    }

    /// Returns the sum of the sizes of all windows, in rows.
    pub(super) fn window_rows(&self) -> u64 {
        self.window_rows
    }

    pub(super) fn chunk_id(&self, row: DocId) -> Option<ChunkId> {
        self.chunk_ids.get(row as usize).copied()
    }

    /// Returns every chunk id, by row.
    pub(super) fn chunk_ids(&self) -> &[ChunkId] {
        &self.chunk_ids
    }

    /// Finds the row of a chunk.
    pub(super) fn row(&self, chunk_id: ChunkId) -> Option<DocId> {
        match &self.by_chunk {
            None => self.chunk_ids.binary_search(&chunk_id).ok().map(|row| row as DocId),
            Some(rows) => {
                let at = rows.binary_search_by_key(&chunk_id, |row| self.chunk_ids[*row as usize]);
                at.ok().map(|at| rows[at])
            }
        }
    }

    /// Returns the rows of a chunk and of those around it in its revision, [`REACH`] on each side at most.
    pub(super) fn window(&self, row: DocId) -> Range<DocId> {
        let (mut start, mut end) = (row, row + 1);
        while start > 0 && row - start < REACH && self.joins(start - 1) {
            start -= 1;
        }
        while end < self.len() && end - row <= REACH && self.joins(end - 1) {
            end += 1;
        }
        start..end
    }

    /// Returns whether the next row goes on with the revision of this one.
    fn joins(&self, row: DocId) -> bool {
        let (row, next) = (row as usize, row as usize + 1);
        self.chunk_ids[next].0 == self.chunk_ids[row].0 + 1 && !self.begins[next]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(chunks: &[(u64, bool)]) -> SegmentRows {
        let (chunk_ids, begins) = chunks.iter().map(|(id, begins)| (ChunkId(*id), *begins)).unzip();
        SegmentRows::new(chunk_ids, begins)
    }

    #[test]
    fn windows_end_with_their_revision() {
        let rows = rows(&[
            (1, true),
            (2, true),
            (3, false),
            (4, false),
            (5, false),
            (9, false),
            (10, true),
        ]);
        let windows: Vec<Range<DocId>> = (0..rows.len()).map(|row| rows.window(row)).collect();
        assert_eq!(windows, [0..1, 1..4, 1..5, 1..5, 2..5, 5..6, 6..7]);
        assert_eq!(rows.window_rows(), 1 + 3 + 4 + 4 + 3 + 1 + 1);
    }

    #[test]
    fn rows_are_found_in_any_order() {
        for ids in [&[2, 3, 7, 9], &[7, 9, 2, 3]] {
            let rows = rows(&ids.map(|id| (id, true)));
            for (row, id) in ids.iter().enumerate() {
                assert_eq!(rows.row(ChunkId(*id)), Some(row as DocId));
            }
            assert_eq!(rows.row(ChunkId(1)), None);
            assert_eq!(rows.row(ChunkId(8)), None);
        }
    }
}
