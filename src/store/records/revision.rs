//! Rows of revisions: written once, checked whenever they are read.

use rusqlite::Row;

use super::ChunkRange;
use super::values::{access_from_json, document_id, metadata_from_json, verify};
use crate::document::access::AccessList;
use crate::document::metadata::Metadata;
use crate::index::Lifetime;
use crate::store::checksum::Checksum;
use crate::store::history::RevisionInfo;
use crate::store::sqlite::{to_epoch, to_number, to_time};

/// Columns that [`read`] takes, of a table that is called `r`.
pub(in crate::store) const COLUMNS: &str = "
    r.revision_id, r.document_id, r.content_hash, r.settings_hash, r.title, r.media_type, r.source_name, r.metadata,
    r.byte_size, r.text_bytes, r.text_is_content, r.first_chunk, r.chunk_count, r.created_at, r.checksum,
    r.added_epoch, r.retired_epoch, r.has_content, r.access";

/// Number of [`COLUMNS`].
pub(in crate::store) const COLUMN_COUNT: usize = 19;

/// The condition that epoch `?E` sees the revision `r`.
pub(in crate::store) fn seen_at(epoch: &str) -> String {
    format!(
        "(r.added_epoch <= {epoch} AND {epoch} < r.retired_epoch AND NOT EXISTS (
            SELECT 1 FROM revision_lapse l
            WHERE l.revision_id = r.revision_id AND l.from_epoch <= {epoch} AND {epoch} < l.until_epoch))"
    )
}

/// What of a revision never changes.
#[derive(Debug)]
pub(in crate::store) struct RevisionFields<'a> {
    pub(in crate::store) revision_id: i64,
    pub(in crate::store) document_id: &'a str,
    pub(in crate::store) content_hash: &'a str,
    pub(in crate::store) settings_hash: &'a str,
    pub(in crate::store) title: Option<&'a str>,
    pub(in crate::store) media_type: &'a str,
    pub(in crate::store) source_name: &'a str,
    pub(in crate::store) metadata: &'a str,
    pub(in crate::store) byte_size: i64,
    pub(in crate::store) text_bytes: i64,
    pub(in crate::store) text_is_content: bool,
    pub(in crate::store) has_content: bool,
    pub(in crate::store) first_chunk: i64,
    pub(in crate::store) chunk_count: i64,
    pub(in crate::store) created_at: i64,
    /// Empty when it is open to all.
    pub(in crate::store) access: &'a str,
}

impl RevisionFields<'_> {
    pub(in crate::store) fn checksum(&self) -> i64 {
        let checksum = Checksum::default()
            .number(self.revision_id)
            .text(self.document_id)
            .text(self.content_hash)
            .text(self.settings_hash)
            .number(i64::from(self.title.is_some()))
            .text(self.title.unwrap_or_default())
            .text(self.media_type)
            .text(self.source_name)
            .text(self.metadata)
            .number(self.byte_size)
            .number(self.text_bytes)
            .number(i64::from(self.text_is_content))
            .number(i64::from(self.has_content))
            .number(self.first_chunk)
            .number(self.chunk_count)
            .number(self.created_at);
        // Rows that were written before there were access lists keep their checksum.
        if self.access.is_empty() {
            return checksum.finish();
        }
        checksum.text(self.access).finish()
    }
}

/// Reads of [`COLUMNS`] what filters ask for, after it was compared with the checksum.
pub(in crate::store) fn read_attributes(row: &Row<'_>) -> rusqlite::Result<(ChunkRange, Metadata, AccessList)> {
    verified(row, 0)?;
    Ok((
        ChunkRange::read(row, 11)?,
        metadata_from_json(row, 7)?,
        access_from_json(row, 18)?,
    ))
}

/// Reads [`COLUMNS`] that begin at column `at`, and compares them with their checksum.
fn verified<'a>(row: &'a Row<'_>, at: usize) -> rusqlite::Result<RevisionFields<'a>> {
    let text = |offset: usize| row.get_ref(at + offset)?.as_str().map_err(rusqlite::Error::from);
    let fields = RevisionFields {
        revision_id: row.get(at)?,
        document_id: text(1)?,
        content_hash: text(2)?,
        settings_hash: text(3)?,
        title: row.get_ref(at + 4)?.as_str_or_null()?,
        media_type: text(5)?,
        source_name: text(6)?,
        metadata: text(7)?,
        byte_size: row.get(at + 8)?,
        text_bytes: row.get(at + 9)?,
        text_is_content: row.get(at + 10)?,
        has_content: row.get(at + 17)?,
        first_chunk: row.get(at + 11)?,
        chunk_count: row.get(at + 12)?,
        created_at: row.get(at + 13)?,
        access: text(18)?,
    };
    verify("revision", fields.revision_id, row.get(at + 14)?, fields.checksum())?;
    Ok(fields)
}

/// Reads [`COLUMNS`] that begin at column `at`, and compares them with their checksum.
pub(in crate::store) fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<RevisionInfo> {
    let fields = verified(row, at)?;
    let retired = to_epoch(row.get(at + 16)?);
    Ok(RevisionInfo {
        revision_id: to_number(fields.revision_id),
        document_id: document_id(row, at + 1)?,
        content_hash: fields.content_hash.to_owned(),
        title: fields.title.map(str::to_owned),
        media_type: fields.media_type.to_owned(),
        source_name: fields.source_name.to_owned(),
        metadata: metadata_from_json(row, at + 7)?,
        access: access_from_json(row, at + 18)?,
        byte_size: to_number(fields.byte_size),
        text_bytes: to_number(fields.text_bytes),
        chunk_count: u32::try_from(fields.chunk_count).unwrap_or(u32::MAX),
        added: to_epoch(row.get(at + 15)?),
        retired: (retired != Lifetime::NEVER).then_some(retired),
        created_at: to_time(fields.created_at),
        has_content: fields.has_content,
        text_is_content: fields.text_is_content,
    })
}
