//! The record of truth of one knowledge base: tables and reads.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::catalog::{from_json, to_json};
use super::sqlite::{self, from_epoch, to_epoch, to_size, to_time};
use super::{DocumentInfo, DocumentStatus, Error};
use crate::document::metadata::{Metadata, MetadataValue};
use crate::document::{ByteSpan, DocumentId};
use crate::index::{ChunkId, Epoch, Lifetime};

pub(super) const SCHEMA: &str = "
-- One row a commit; the largest is the epoch of the store.
CREATE TABLE epoch (
    epoch INTEGER PRIMARY KEY,
    committed_at INTEGER NOT NULL,
    cause TEXT NOT NULL
) STRICT;
-- One row an id that is known: the last attempt, and the revision that is searched.
CREATE TABLE document (
    document_id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    revision_id INTEGER REFERENCES revision(revision_id),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- One row a content that was indexed; never changed but for retired_epoch.
CREATE TABLE revision (
    revision_id INTEGER PRIMARY KEY,
    document_id TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    settings_hash TEXT NOT NULL,
    title TEXT,
    media_type TEXT NOT NULL,
    source_name TEXT NOT NULL,
    metadata TEXT NOT NULL,
    byte_size INTEGER NOT NULL,
    text_bytes INTEGER NOT NULL,
    chunk_count INTEGER NOT NULL,
    added_epoch INTEGER NOT NULL,
    retired_epoch INTEGER NOT NULL
) STRICT;
CREATE INDEX revision_by_document ON revision(document_id, added_epoch);
-- The extracted text of a revision, UTF-8, apart from what lists read.
CREATE TABLE revision_text (
    revision_id INTEGER PRIMARY KEY REFERENCES revision(revision_id),
    text BLOB NOT NULL
) STRICT;
-- One row a chunk; spans count bytes in the text of its revision.
CREATE TABLE chunk (
    chunk_id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision_id INTEGER NOT NULL REFERENCES revision(revision_id),
    ordinal INTEGER NOT NULL,
    span_start INTEGER NOT NULL,
    span_end INTEGER NOT NULL,
    code_point_start INTEGER NOT NULL,
    heading_path TEXT NOT NULL,
    page INTEGER,
    token_count INTEGER NOT NULL,
    added_epoch INTEGER NOT NULL,
    retired_epoch INTEGER NOT NULL,
    embedding BLOB NOT NULL
) STRICT;
CREATE INDEX chunk_by_revision ON chunk(revision_id, ordinal);
CREATE INDEX chunk_by_added ON chunk(added_epoch);
";

const CHUNK_TEXT: &str = "CAST(substr(t.text, c.span_start + 1, c.span_end - c.span_start) AS TEXT)";

/// What is needed to see whether a document changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedContent {
    /// SHA-256 of the content, in lowercase hexadecimal.
    pub content_hash: String,
    /// SHA-256 of everything else that its chunks depend on.
    pub settings_hash: String,
    /// Chunks that it has.
    pub chunk_count: u32,
    /// Epoch that brought it.
    pub epoch: Epoch,
    /// Whether a later attempt to replace it failed.
    pub later_attempt_failed: bool,
}

/// A chunk with what a hit shows of its document.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkRecord {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its document.
    pub document_id: DocumentId,
    /// SHA-256 of the document's content, in lowercase hexadecimal.
    pub content_hash: String,
    /// The document's title.
    pub title: Option<String>,
    /// Where the document came from.
    pub source_name: String,
    /// Attributes of the document.
    pub metadata: Metadata,
    /// Headings above it, outermost first.
    pub heading_path: Vec<String>,
    /// Page that it begins on.
    pub page: Option<u32>,
    /// Its byte range in the document's text.
    pub span: ByteSpan,
    /// Code points before it in the document's text.
    pub code_point_start: usize,
    /// Its text.
    pub text: String,
}

/// What the keyword index is made from.
pub(super) struct TermRecord {
    pub(super) chunk_id: ChunkId,
    pub(super) title: Option<String>,
    pub(super) heading_path: Vec<String>,
    pub(super) text: String,
}

/// What the table of visibility is made from.
pub(super) struct ChunkLifetime {
    pub(super) chunk_id: ChunkId,
    pub(super) revision_id: u64,
    pub(super) lifetime: Lifetime,
}

/// How metadata is written down.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ValueRecord {
    String(String),
    Number(f64),
    Boolean(bool),
    StringList(Vec<String>),
}

pub(super) fn metadata_to_json(metadata: &Metadata) -> String {
    let records: std::collections::BTreeMap<&String, ValueRecord> = metadata
        .iter()
        .map(|(key, value)| {
            let record = match value {
                MetadataValue::String(string) => ValueRecord::String(string.clone()),
                MetadataValue::Number(number) => ValueRecord::Number(*number),
                MetadataValue::Boolean(boolean) => ValueRecord::Boolean(*boolean),
                MetadataValue::StringList(list) => ValueRecord::StringList(list.clone()),
            };
            (key, record)
        })
        .collect();
    to_json(&records)
}

fn metadata_from_json(row: &Row<'_>, column: usize) -> rusqlite::Result<Metadata> {
    let records: std::collections::BTreeMap<String, ValueRecord> = from_json(row, column)?;
    let value = |record| match record {
        ValueRecord::String(string) => MetadataValue::String(string),
        ValueRecord::Number(number) => MetadataValue::Number(number),
        ValueRecord::Boolean(boolean) => MetadataValue::Boolean(boolean),
        ValueRecord::StringList(list) => MetadataValue::StringList(list),
    };
    Ok(records.into_iter().map(|(key, record)| (key, value(record))).collect())
}

fn document_id(row: &Row<'_>, column: usize) -> rusqlite::Result<DocumentId> {
    DocumentId::parse(row.get::<_, String>(column)?).map_err(|source| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(source))
    })
}

fn status_from(name: &str) -> DocumentStatus {
    if name == "failed" {
        DocumentStatus::Failed
    } else {
        DocumentStatus::Indexed
    }
}

/// Connections for reading: as many as there are readers at once.
#[derive(Debug)]
pub(super) struct Records {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Records {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Mutex::default(),
        }
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => sqlite::open_reader(&self.path)?,
        };
        let result = work(&connection);
        self.idle.lock().push(connection);
        result.map_err(|source| Error::database(&self.path, source))
    }

    /// Returns the last committed epoch.
    pub(super) fn epoch(&self) -> Result<Epoch, Error> {
        self.read(|connection| {
            connection.query_row("SELECT coalesce(max(epoch), 0) FROM epoch", [], |row| {
                Ok(to_epoch(row.get(0)?))
            })
        })
    }

    /// Counts the documents and chunks that an epoch sees.
    pub(super) fn counts(&self, epoch: Epoch) -> Result<(u64, u64), Error> {
        self.read(|connection| {
            connection.query_row(
                "SELECT count(*), coalesce(sum(chunk_count), 0) FROM revision
                 WHERE added_epoch <= ?1 AND ?1 < retired_epoch",
                [from_epoch(epoch)],
                |row| {
                    Ok((
                        row.get::<_, i64>(0)?.unsigned_abs(),
                        row.get::<_, i64>(1)?.unsigned_abs(),
                    ))
                },
            )
        })
    }

    /// Calls `each` for every chunk, in order.
    pub(super) fn lifetimes(&self, mut each: impl FnMut(ChunkLifetime)) -> Result<(), Error> {
        self.read(|connection| {
            let mut statement = connection
                .prepare("SELECT chunk_id, revision_id, added_epoch, retired_epoch FROM chunk ORDER BY chunk_id")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                each(ChunkLifetime {
                    chunk_id: ChunkId(row.get::<_, i64>(0)?.unsigned_abs()),
                    revision_id: row.get::<_, i64>(1)?.unsigned_abs(),
                    lifetime: Lifetime {
                        added: to_epoch(row.get(2)?),
                        retired: to_epoch(row.get(3)?),
                    },
                });
            }
            Ok(())
        })
    }

    /// Calls `each` for the attributes of every revision that has some.
    pub(super) fn attributes(&self, mut each: impl FnMut(u64, Metadata)) -> Result<(), Error> {
        self.read(|connection| {
            let mut statement =
                connection.prepare("SELECT revision_id, metadata FROM revision WHERE metadata != '{}'")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                each(row.get::<_, i64>(0)?.unsigned_abs(), metadata_from_json(row, 1)?);
            }
            Ok(())
        })
    }

    /// Calls `each` for what the keyword index holds of every chunk added after `epoch`, in order.
    pub(super) fn term_records(
        &self,
        after: Epoch,
        mut each: impl FnMut(TermRecord) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut failed = None;
        self.read(|connection| {
            let mut statement = connection.prepare(&format!(
                "SELECT c.chunk_id, r.title, c.heading_path, {CHUNK_TEXT}
                 FROM chunk c JOIN revision r USING (revision_id) JOIN revision_text t USING (revision_id)
                 WHERE c.added_epoch > ?1 ORDER BY c.chunk_id"
            ))?;
            let mut rows = statement.query([from_epoch(after)])?;
            while let Some(row) = rows.next()? {
                let record = TermRecord {
                    chunk_id: ChunkId(row.get::<_, i64>(0)?.unsigned_abs()),
                    title: row.get(1)?,
                    heading_path: from_json(row, 2)?,
                    text: row.get(3)?,
                };
                if let Err(error) = each(record) {
                    failed = Some(error);
                    break;
                }
            }
            Ok(())
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Calls `each` for the vector of every chunk added after `epoch`, in order.
    pub(super) fn embeddings(&self, after: Epoch, mut each: impl FnMut(ChunkId, Vec<f32>)) -> Result<(), Error> {
        self.read(|connection| {
            let mut statement =
                connection.prepare("SELECT chunk_id, embedding FROM chunk WHERE added_epoch > ?1 ORDER BY chunk_id")?;
            let mut rows = statement.query([from_epoch(after)])?;
            while let Some(row) = rows.next()? {
                let chunk_id = ChunkId(row.get::<_, i64>(0)?.unsigned_abs());
                each(chunk_id, sqlite::to_vector(row.get_ref(1)?.as_blob()?));
            }
            Ok(())
        })
    }

    /// Returns the records of chunks, in the order asked; chunks that are not there are left out.
    pub(super) fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<ChunkRecord>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT c.chunk_id, r.document_id, r.content_hash, r.title, r.source_name, r.metadata, c.heading_path,
                        c.page, c.span_start, c.span_end, c.code_point_start, {CHUNK_TEXT}
                 FROM chunk c JOIN revision r USING (revision_id) JOIN revision_text t USING (revision_id)
                 WHERE c.chunk_id = ?1"
            ))?;
            let mut records = Vec::with_capacity(ids.len());
            for id in ids {
                let record = statement
                    .query_row([i64::try_from(id.0).unwrap_or(i64::MAX)], chunk_record)
                    .optional()?;
                records.extend(record);
            }
            Ok(records)
        })
    }

    /// Returns what is indexed of a document, if it is.
    pub(super) fn indexed_content(&self, id: &DocumentId) -> Result<Option<IndexedContent>, Error> {
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

    /// Describes a document.
    pub(super) fn document(&self, id: &DocumentId) -> Result<Option<DocumentInfo>, Error> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!("{DOCUMENT} WHERE d.document_id = ?1"))?
                .query_row([id.as_str()], document_info)
                .optional()
        })
    }

    /// Describes up to `limit` documents with an id after `after`, in byte order of their ids.
    pub(super) fn documents(
        &self,
        after: &str,
        status: Option<DocumentStatus>,
        limit: usize,
    ) -> Result<Vec<DocumentInfo>, Error> {
        let status = status.map(|status| {
            if status == DocumentStatus::Failed {
                "failed"
            } else {
                "indexed"
            }
        });
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "{DOCUMENT} WHERE d.document_id > ?1 AND (?2 IS NULL OR d.status = ?2) ORDER BY d.document_id LIMIT ?3"
            ))?;
            let rows = statement.query_map(params![after, status, sqlite::from_size(limit)], document_info)?;
            rows.collect()
        })
    }

    /// Returns the extracted text of a document's indexed revision.
    pub(super) fn text(&self, id: &DocumentId) -> Result<Option<String>, Error> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT CAST(t.text AS TEXT) FROM document d JOIN revision_text t USING (revision_id)
                     WHERE d.document_id = ?1",
                )?
                .query_row([id.as_str()], |row| row.get(0))
                .optional()
        })
    }
}

const DOCUMENT: &str = "
    SELECT d.document_id, d.status, d.reason, r.title, r.media_type, r.source_name, r.metadata, r.content_hash,
           r.byte_size, r.text_bytes, r.chunk_count, r.added_epoch, d.created_at, d.updated_at
    FROM document d LEFT JOIN revision r USING (revision_id)";

fn document_info(row: &Row<'_>) -> rusqlite::Result<DocumentInfo> {
    let has_revision = row.get_ref(7)? != rusqlite::types::ValueRef::Null;
    let count = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map_or(0, i64::unsigned_abs));
    let text = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(column)?.unwrap_or_default());
    Ok(DocumentInfo {
        id: document_id(row, 0)?,
        status: status_from(&row.get::<_, String>(1)?),
        reason: row.get(2)?,
        title: row.get(3)?,
        media_type: text(4)?,
        source_name: text(5)?,
        metadata: if has_revision {
            metadata_from_json(row, 6)?
        } else {
            Metadata::new()
        },
        content_hash: text(7)?,
        byte_size: count(8)?,
        text_bytes: count(9)?,
        chunk_count: u32::try_from(count(10)?).unwrap_or(u32::MAX),
        epoch: Epoch(count(11)?),
        created_at: to_time(row.get(12)?),
        updated_at: to_time(row.get(13)?),
    })
}

fn chunk_record(row: &Row<'_>) -> rusqlite::Result<ChunkRecord> {
    let (start, end) = (to_size(row.get(8)?), to_size(row.get(9)?));
    Ok(ChunkRecord {
        chunk_id: ChunkId(row.get::<_, i64>(0)?.unsigned_abs()),
        document_id: document_id(row, 1)?,
        content_hash: row.get(2)?,
        title: row.get(3)?,
        source_name: row.get(4)?,
        metadata: metadata_from_json(row, 5)?,
        heading_path: from_json(row, 6)?,
        page: row.get(7)?,
        span: ByteSpan::new(start, end.max(start)),
        code_point_start: to_size(row.get(10)?),
        text: row.get(11)?,
    })
}
