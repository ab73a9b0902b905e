//! Reading documents and revisions as an epoch sees them.

use rusqlite::{OptionalExtension as _, Row, params};

use super::values::{document_id, status_from, verify};
use super::{DocumentInfo, DocumentStatus, Error, IndexedContent, Records, RevisionInfo, chunk, revision};
use crate::document::DocumentId;
use crate::document::access::AccessList;
use crate::document::metadata::Metadata;
use crate::index::{ChunkId, Epoch};
use crate::store::checksum::Checksum;
use crate::store::sqlite::{from_epoch, from_number, from_size, to_epoch, to_number, to_time};

/// First column of the revision in [`described`].
const REVISION: usize = 5;

fn described() -> String {
    format!(
        "SELECT d.document_id, d.status, d.reason, d.created_at, d.updated_at, {}
         FROM document d LEFT JOIN revision r ON r.document_id = d.document_id AND {}",
        revision::COLUMNS,
        revision::seen_at("?1")
    )
}

/// `is_past` hides what only the last attempt is about.
fn document_info(row: &Row<'_>, is_past: bool) -> rusqlite::Result<DocumentInfo> {
    let has_revision = row.get_ref(REVISION)? != rusqlite::types::ValueRef::Null;
    let status = status_from(&row.get::<_, String>(1)?);
    let failed = !is_past && status == DocumentStatus::Failed;
    let mut info = DocumentInfo {
        id: document_id(row, 0)?,
        status: if failed { status } else { DocumentStatus::Indexed },
        reason: if failed { row.get(2)? } else { String::new() },
        title: None,
        media_type: String::new(),
        source_name: String::new(),
        metadata: Metadata::new(),
        access: AccessList::default(),
        content_hash: String::new(),
        byte_size: 0,
        text_bytes: 0,
        chunk_count: 0,
        epoch: Epoch(0),
        created_at: to_time(row.get(3)?),
        updated_at: to_time(row.get(4)?),
    };
    if has_revision {
        let revision = revision::read(row, REVISION)?;
        if is_past {
            info.updated_at = revision.created_at;
        }
        info.title = revision.title;
        info.media_type = revision.media_type;
        info.source_name = revision.source_name;
        info.metadata = revision.metadata;
        info.access = revision.access;
        info.content_hash = revision.content_hash;
        info.byte_size = revision.byte_size;
        info.text_bytes = revision.text_bytes;
        info.chunk_count = revision.chunk_count;
        info.epoch = revision.added;
    }
    Ok(info)
}

impl Records {
    /// Returns what is indexed of a document by the last commit, if it is.
    pub(in crate::store) fn indexed_content(&self, id: &DocumentId) -> Result<Option<IndexedContent>, Error> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT r.content_hash, r.settings_hash, r.chunk_count, r.added_epoch, d.status
                     FROM document d JOIN revision r USING (revision_id) WHERE d.document_id = ?1",
                )?
                .query_row([id.as_str()], |row| {
                    Ok(IndexedContent {
                        content_hash: row.get(0)?,
                        settings_hash: row.get(1)?,
                        chunk_count: row.get(2)?,
                        epoch: to_epoch(row.get(3)?),
                        later_attempt_failed: status_from(&row.get::<_, String>(4)?) == DocumentStatus::Failed,
                    })
                })
                .optional()
        })
    }

    /// Describes a document as an epoch sees it; with `is_past` nothing is told of later attempts.
    pub(in crate::store) fn document(
        &self,
        id: &DocumentId,
        epoch: Epoch,
        is_past: bool,
    ) -> Result<Option<DocumentInfo>, Error> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!(
                    "{} WHERE d.document_id = ?2 AND (r.revision_id NOTNULL OR (NOT ?3 AND d.status = 'failed'))",
                    described()
                ))?
                .query_row(params![from_epoch(epoch), id.as_str(), is_past], |row| {
                    document_info(row, is_past)
                })
                .optional()
        })
    }

    /// Describes up to `limit` documents with an id after `after`, in byte order of their ids.
    pub(in crate::store) fn documents(
        &self,
        after: &str,
        status: Option<DocumentStatus>,
        limit: usize,
        epoch: Epoch,
        is_past: bool,
    ) -> Result<Vec<DocumentInfo>, Error> {
        let has_failed = "(NOT ?3 AND d.status = 'failed')";
        let condition = match status {
            None => format!("(r.revision_id NOTNULL OR {has_failed})"),
            Some(DocumentStatus::Failed) => has_failed.to_owned(),
            Some(_) => format!("r.revision_id NOTNULL AND NOT {has_failed}"),
        };
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "{} WHERE d.document_id > ?2 AND {condition} ORDER BY d.document_id LIMIT ?4",
                described()
            ))?;
            let rows = statement.query_map(params![from_epoch(epoch), after, is_past, from_size(limit)], |row| {
                document_info(row, is_past)
            })?;
            rows.collect()
        })
    }

    /// Calls `each` for every revision that the epoch sees, by document id.
    pub(in crate::store) fn revisions_at(&self, epoch: Epoch, mut each: impl FnMut(RevisionInfo)) -> Result<(), Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {} FROM revision r WHERE {} ORDER BY r.document_id",
                revision::COLUMNS,
                revision::seen_at("?1")
            ))?;
            let mut rows = statement.query([from_epoch(epoch)])?;
            while let Some(row) = rows.next()? {
                each(revision::read(row, 0)?);
            }
            Ok(())
        })
    }

    /// Calls `each` for every revision, by document id.
    pub(in crate::store) fn all_revisions(&self, mut each: impl FnMut(RevisionInfo)) -> Result<(), Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {} FROM revision r ORDER BY r.document_id, r.revision_id",
                revision::COLUMNS
            ))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                each(revision::read(row, 0)?);
            }
            Ok(())
        })
    }

    /// Returns every revision whose row is as it was written.
    pub(in crate::store) fn readable_revisions(&self) -> Result<Vec<RevisionInfo>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("SELECT {} FROM revision r", revision::COLUMNS))?;
            let mut rows = statement.query([])?;
            let mut readable = Vec::new();
            while let Some(row) = rows.next()? {
                readable.extend(revision::read(row, 0));
            }
            Ok(readable)
        })
    }

    /// Returns the revision of a document that an epoch sees.
    pub(in crate::store) fn revision(&self, id: &DocumentId, epoch: Epoch) -> Result<Option<RevisionInfo>, Error> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT {} FROM revision r WHERE r.document_id = ?2 AND {}",
                    revision::COLUMNS,
                    revision::seen_at("?1")
                ))?
                .query_row(params![from_epoch(epoch), id.as_str()], |row| revision::read(row, 0))
                .optional()
        })
    }

    /// Returns the newest revision with this content.
    pub(in crate::store) fn revision_of_content(&self, content_hash: &str) -> Result<Option<RevisionInfo>, Error> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT {} FROM revision r WHERE r.content_hash = ?1 ORDER BY r.revision_id DESC LIMIT 1",
                    revision::COLUMNS
                ))?
                .query_row([content_hash], |row| revision::read(row, 0))
                .optional()
        })
    }

    /// Lists up to `limit` revisions of a document with a number below `below`, newest first.
    pub(in crate::store) fn revisions(
        &self,
        id: &DocumentId,
        below: u64,
        limit: usize,
    ) -> Result<Vec<RevisionInfo>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {} FROM revision r WHERE r.document_id = ?1 AND r.revision_id < ?2
                 ORDER BY r.revision_id DESC LIMIT ?3",
                revision::COLUMNS
            ))?;
            let rows = statement.query_map(params![id.as_str(), from_number(below), from_size(limit)], |row| {
                revision::read(row, 0)
            })?;
            rows.collect()
        })
    }

    /// Returns whether there is a revision of this number.
    pub(in crate::store) fn has_revision(&self, revision_id: u64) -> Result<bool, Error> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM revision WHERE revision_id = ?1)")?
                .query_row([from_number(revision_id)], |row| row.get(0))
        })
    }

    /// Returns the extracted text of a revision.
    pub(in crate::store) fn text(&self, revision_id: u64) -> Result<Option<String>, Error> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT CAST(text AS TEXT), checksum FROM revision_text WHERE revision_id = ?1")?
                .query_row([from_number(revision_id)], |row| {
                    let text: String = row.get(0)?;
                    let computed = Checksum::default().text(&text).finish();
                    verify("the text of revision", from_number(revision_id), row.get(1)?, computed)?;
                    Ok(text)
                })
                .optional()
        })
    }

    /// Returns the compressed bytes of a content.
    pub(in crate::store) fn compressed_content(&self, content_hash: &str) -> Result<Option<Vec<u8>>, Error> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT compressed FROM content WHERE content_hash = ?1")?
                .query_row([content_hash], |row| row.get(0))
                .optional()
        })
    }

    /// Returns the chunks of a revision with their texts, in order.
    pub(in crate::store) fn chunk_texts(&self, revision_id: u64) -> Result<Vec<(ChunkId, String)>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT c.chunk_id, {} FROM revision r
                 JOIN chunk c ON c.chunk_id BETWEEN r.first_chunk AND r.first_chunk + r.chunk_count - 1
                 JOIN revision_text t ON t.revision_id = r.revision_id
                 WHERE r.revision_id = ?1 ORDER BY c.chunk_id",
                chunk::TEXT
            ))?;
            let rows = statement.query_map([from_number(revision_id)], |row| {
                Ok((ChunkId(to_number(row.get(0)?)), row.get(1)?))
            })?;
            rows.collect()
        })
    }

    /// Calls `each` for up to `limit` documents with an id after `after` of which the two epochs see different
    /// revisions, by id.
    pub(in crate::store) fn differences(
        &self,
        from: Epoch,
        to: Epoch,
        after: &str,
        limit: usize,
        each: &mut dyn FnMut(Difference) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut failed = None;
        self.read(|connection| {
            let (by_from, by_to) = (revision::seen_at("?1"), revision::seen_at("?2"));
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {}, {by_from} FROM revision r
                 WHERE r.document_id > ?3 AND {by_from} != {by_to} ORDER BY r.document_id",
                revision::COLUMNS
            ))?;
            let mut rows = statement.query(params![from_epoch(from), from_epoch(to), after])?;
            let mut told = 0;
            let mut open: Option<Difference> = None;
            while failed.is_none() && told < limit {
                let row = rows.next()?;
                let is_end = row.is_none();
                let next = match row {
                    Some(row) => {
                        let info = revision::read(row, 0)?;
                        Some((row.get::<_, bool>(revision::COLUMN_COUNT)?, info))
                    }
                    None => None,
                };
                let is_other = next
                    .as_ref()
                    .is_none_or(|(_, info)| open.as_ref().is_some_and(|(id, _, _)| *id != info.document_id));
                if is_other && let Some(difference) = open.take() {
                    told += 1;
                    failed = each(difference).err();
                }
                if let Some((seen_by_from, info)) = next {
                    let entry = open.get_or_insert_with(|| (info.document_id.clone(), None, None));
                    *(if seen_by_from { &mut entry.1 } else { &mut entry.2 }) = Some(info);
                }
                if is_end {
                    break;
                }
            }
            Ok(())
        })?;
        failed.map_or(Ok(()), Err)
    }
}

/// A document with the revisions that the earlier and the later epoch see.
pub(in crate::store) type Difference = (DocumentId, Option<RevisionInfo>, Option<RevisionInfo>);
