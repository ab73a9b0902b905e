//! From a chunk to its row in a segment of the keyword index, and to the rows around it.

use std::ops::Range;
use std::sync::OnceLock;

use tantivy::columnar::Column;
use tantivy::{DocId, SegmentReader, TantivyError};

use super::schema::Fields;
use crate::index::ChunkId;

/// Chunks on each side of a chunk that count as its surroundings.
const REACH: DocId = 2;

/// Chunk ids of a segment by row, and the rows by chunk id. Rows come in order of their chunks; a merge can put later
/// ones first.
#[derive(Debug)]
pub(super) struct RowOrder {
    chunk_ids: Column<u64>,
    /// Places of the chunks in their revisions; nothing where they are not known.
    ordinals: Option<Column<u64>>,
    rows: DocId,
    /// Rows in order of their chunks; nothing when they lie so. Looked at when it is first needed.
    sorted: OnceLock<Option<Vec<DocId>>>,
    /// Sum of the sizes of all windows. Counted when it is first needed.
    window_rows: OnceLock<u64>,
}

impl RowOrder {
    pub(super) fn of(segment: &SegmentReader) -> Result<Self, TantivyError> {
        let columns = segment.fast_fields();
        Ok(Self {
            chunk_ids: columns.u64(Fields::CHUNK_ID_COLUMN)?,
            ordinals: columns.column_opt(Fields::ORDINAL_COLUMN)?,
            rows: segment.max_doc(),
            sorted: OnceLock::new(),
            window_rows: OnceLock::new(),
        })
    }

    /// Returns how many rows there are, removed ones too.
    pub(super) fn len(&self) -> DocId {
        self.rows
    }

    pub(super) fn chunk_id(&self, row: DocId) -> Option<ChunkId> {
        self.chunk_ids.first(row).map(ChunkId)
    }

    /// Returns the smallest and the largest chunk id that can be in the segment.
    pub(super) fn bounds(&self) -> (ChunkId, ChunkId) {
        (ChunkId(self.chunk_ids.min_value()), ChunkId(self.chunk_ids.max_value()))
    }

    /// Returns whether rows lie in order of their chunks.
    pub(super) fn is_sorted(&self) -> bool {
        self.sorted().is_none()
    }

    fn sorted(&self) -> Option<&[DocId]> {
        let sorted = self.sorted.get_or_init(|| {
            let id = |row: &DocId| self.chunk_ids.first(*row).unwrap_or(0);
            let rows = 0..self.rows;
            if rows.clone().is_sorted_by_key(|row| id(&row)) {
                return None;
            }
            let mut rows: Vec<DocId> = rows.collect();
            rows.sort_by_key(id);
            Some(rows)
        });
        sorted.as_deref()
    }

    /// Returns the row of a chunk that is alive, if there is one.
    ///
    /// Ids are counted up, and few are missing: the place that the id would have if none were is right or a little late.
    pub(super) fn row(&self, wanted: ChunkId, is_alive: impl Fn(DocId) -> bool) -> Option<DocId> {
        let sorted = self.sorted();
        let row = |place: DocId| sorted.map_or(place, |rows| rows[place as usize]);
        let id = |place: DocId| self.chunk_ids.first(row(place)).unwrap_or(0);
        let end = self.rows.checked_sub(1)?;
        let guess = DocId::try_from(wanted.0.checked_sub(id(0))?).unwrap_or(DocId::MAX);
        let (mut low, mut high, mut step) = (guess.min(end), end, 1);
        while low > 0 && id(low) >= wanted.0 {
            high = low;
            low = low.saturating_sub(step);
            step *= 2;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if id(middle) < wanted.0 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // A chunk that was removed and added again has two rows.
        let places = (low..=end).take_while(|place| id(*place) == wanted.0);
        places.map(row).find(|row| is_alive(*row))
    }

    /// Returns the rows of a chunk and of those around it in its revision, two on each side at most.
    pub(super) fn window(&self, row: DocId) -> Range<DocId> {
        let (mut start, mut end) = (row, row + 1);
        while start > 0 && row - start < REACH && self.joins(start - 1) {
            start -= 1;
        }
        while end < self.rows && end - row <= REACH && self.joins(end - 1) {
            end += 1;
        }
        start..end
    }

    /// Returns whether the next row goes on with the revision of this one.
    fn joins(&self, row: DocId) -> bool {
        let (id, next) = (self.chunk_ids.first(row), self.chunk_ids.first(row + 1));
        next == id.map(|id| id + 1) && self.ordinal(row + 1) > 0
    }

    fn ordinal(&self, row: DocId) -> u64 {
        self.ordinals
            .as_ref()
            .and_then(|ordinals| ordinals.first(row))
            .unwrap_or(0)
    }

    /// Returns the sum of the sizes of all windows, in rows: a row is in its own window, and whatever stands before it at
    /// a distance has it at the same distance behind.
    pub(super) fn window_rows(&self) -> u64 {
        *self.window_rows.get_or_init(|| {
            let reaches = (0..self.rows).map(|row| self.ordinal(row).min(u64::from(REACH)));
            u64::from(self.rows) + 2 * reaches.sum::<u64>()
        })
    }
}
