//! Rows of chunks and of their vectors.

use rusqlite::Row;

use super::values::verify;
use super::{ChunkRecord, revision};
use crate::document::ByteSpan;
use crate::index::ChunkId;
use crate::store::catalog::from_json;
use crate::store::checksum::Checksum;
use crate::store::sqlite::{to_number, to_size};

/// The text of the chunk `c` out of the text `t` of its revision.
pub(in crate::store) const TEXT: &str = "CAST(substr(t.text, c.span_start + 1, c.span_end - c.span_start) AS TEXT)";

/// What is checked of a chunk.
#[derive(Debug)]
pub(in crate::store) struct ChunkFields<'a> {
    pub(in crate::store) chunk_id: i64,
    pub(in crate::store) revision_id: i64,
    pub(in crate::store) span_start: i64,
    pub(in crate::store) span_end: i64,
    pub(in crate::store) code_point_start: i64,
    pub(in crate::store) heading_path: &'a str,
    pub(in crate::store) page: Option<u32>,
    pub(in crate::store) text: &'a str,
}

impl ChunkFields<'_> {
    pub(in crate::store) fn checksum(&self) -> i64 {
        Checksum::default()
            .number(self.chunk_id)
            .number(self.revision_id)
            .number(self.span_start)
            .number(self.span_end)
            .number(self.code_point_start)
            .text(self.heading_path)
            .number(self.page.map_or(-1, i64::from))
            .text(self.text)
            .finish()
    }
}

/// Returns the checksum of a stored vector.
pub(in crate::store) fn vector_checksum(chunk_id: i64, vector: &[u8]) -> i64 {
    Checksum::default().number(chunk_id).bytes(vector).finish()
}

/// Columns that [`read`] takes, of tables `c`, `t` and, after them, [`revision::COLUMNS`] of `r`.
pub(in crate::store) fn columns() -> String {
    format!(
        "c.chunk_id, c.revision_id, c.span_start, c.span_end, c.code_point_start, c.heading_path, c.page, {TEXT},
         c.checksum, {}",
        revision::COLUMNS
    )
}

/// Reads [`columns`] and compares them with their checksums.
pub(in crate::store) fn read(row: &Row<'_>) -> rusqlite::Result<ChunkRecord> {
    let chunk_id: i64 = row.get(0)?;
    let fields = ChunkFields {
        chunk_id,
        revision_id: row.get(1)?,
        span_start: row.get(2)?,
        span_end: row.get(3)?,
        code_point_start: row.get(4)?,
        heading_path: row.get_ref(5)?.as_str()?,
        page: row.get(6)?,
        text: row.get_ref(7)?.as_str()?,
    };
    verify("chunk", chunk_id, row.get(8)?, fields.checksum())?;
    let (start, end) = (to_size(fields.span_start), to_size(fields.span_end));
    let revision = revision::read(row, 9)?;
    Ok(ChunkRecord {
        chunk_id: ChunkId(to_number(chunk_id)),
        revision_id: revision.revision_id,
        document_id: revision.document_id,
        content_hash: revision.content_hash,
        title: revision.title,
        source_name: revision.source_name,
        metadata: revision.metadata,
        heading_path: from_json(row, 5)?,
        page: fields.page,
        span: ByteSpan::new(start, end.max(start)),
        code_point_start: to_size(fields.code_point_start),
        text: fields.text.to_owned(),
    })
}
