//! The record of truth of one knowledge base: its tables, and reading them.

pub(super) mod chunk;
mod document;
mod epoch;
pub(super) mod revision;
mod schema;
pub(super) mod values;

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::catalog::from_json;
use super::history::RevisionInfo;
use super::in_place::InPlace;
use super::sqlite::{self, from_epoch, to_epoch, to_number};
use super::{DocumentInfo, DocumentStatus, Error};
use crate::document::access::AccessList;
use crate::document::metadata::Metadata;
use crate::document::{ByteSpan, DocumentId};
use crate::index::{ChunkId, Epoch, Lifetime, TermRow};

pub(super) use epoch::OLDEST_EPOCH;
pub(super) use schema::SCHEMA;

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
    /// Number of its revision.
    pub revision_id: u64,
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
    pub(super) ordinal: u32,
    pub(super) title: Option<String>,
    pub(super) heading_path: Vec<String>,
    pub(super) text: String,
}

impl TermRecord {
    /// Returns it as the keyword index takes it.
    pub(super) fn row(&self) -> TermRow<'_> {
        TermRow {
            chunk_id: self.chunk_id,
            ordinal: self.ordinal,
            title: self.title.as_deref().unwrap_or_default(),
            headings: &self.heading_path,
            text: &self.text,
        }
    }
}

/// Chunks that live together: those of one revision, numbered without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkRange {
    pub(super) first: ChunkId,
    pub(super) count: u64,
}

impl ChunkRange {
    /// Returns the chunks, in order.
    pub(super) fn ids(self) -> impl Iterator<Item = ChunkId> {
        (self.first.0..self.first.0 + self.count).map(ChunkId)
    }

    /// Reads two columns.
    pub(super) fn read(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            first: ChunkId(to_number(row.get(at)?)),
            count: to_number(row.get(at + 1)?),
        })
    }
}

/// What the table of visibility is made from.
#[derive(Debug)]
pub(super) struct RevisionLifetime {
    pub(super) chunks: ChunkRange,
    pub(super) lifetime: Lifetime,
}

/// A database that lies in a bundle.
#[derive(Debug, Clone, Copy)]
struct Sealed {
    database: &'static [u8],
    bytes: TakenBytes,
}

/// What a knowledge base takes on disk, in a directory or in a bundle.
#[derive(Debug, Clone, Copy)]
pub(super) struct TakenBytes {
    /// All of it.
    pub(super) all: u64,
    /// The keyword index.
    pub(super) terms: u64,
    /// The vector index.
    pub(super) vectors: u64,
}

/// Connections for reading: as many as there are readers at once.
#[derive(Debug)]
pub(super) struct Records {
    path: PathBuf,
    in_place: InPlace,
    /// The database itself, where it lies in a bundle.
    sealed: Option<Sealed>,
    idle: Mutex<Vec<Connection>>,
}

impl Records {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            in_place: InPlace::new(path),
            sealed: None,
            idle: Mutex::default(),
        }
    }

    /// Reads a database that lies in these bytes of a file, and never changes.
    pub(super) fn sealed(path: &Path, database: &'static [u8], bytes: TakenBytes) -> Self {
        Self {
            sealed: Some(Sealed { database, bytes }),
            ..Self::new(path)
        }
    }

    /// Returns whether the database lies in a bundle.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// Returns what the bundle that holds the database takes on disk, if one does.
    pub(super) fn bundle_bytes(&self) -> Option<TakenBytes> {
        self.sealed.map(|sealed| sealed.bytes)
    }

    /// Returns the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails when the database is no longer the files that were opened.
    pub(super) fn check_in_place(&self) -> Result<(), Error> {
        if self.is_sealed() {
            Ok(())
        } else {
            self.in_place.check()
        }
    }

    /// Says that a row is missing which others name.
    pub(super) fn missing(&self, what: &str) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            what: format!("{what} is missing"),
        }
    }

    /// Reads within one state of the database.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let in_database = |source| Error::database(&self.path, source);
        let idle = self.idle.lock().pop();
        let connection = match (idle, self.sealed) {
            (Some(connection), _) => connection,
            (None, None) => {
                self.check_in_place()?;
                sqlite::open_reader(&self.path)?
            }
            (None, Some(sealed)) => sqlite::open_sealed(&self.path, sealed.database)?,
        };
        connection.execute_batch("BEGIN").map_err(in_database)?;
        let result = work(&connection);
        let ended = connection.execute_batch("COMMIT");
        let value = result.map_err(in_database)?;
        ended.map_err(in_database)?;
        self.idle.lock().push(connection);
        Ok(value)
    }

    /// Closes the connections that nobody uses, so that none holds back the end of the write-ahead log.
    pub(super) fn close_idle(&self) {
        self.idle.lock().clear();
    }

    /// Calls `each` for every revision, in order of its chunks' first epoch.
    pub(super) fn lifetimes(&self, mut each: impl FnMut(RevisionLifetime)) -> Result<(), Error> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT first_chunk, chunk_count, added_epoch, retired_epoch
                 FROM main.revision INDEXED BY revision_by_lifetime ORDER BY added_epoch",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                each(RevisionLifetime {
                    chunks: ChunkRange::read(row, 0)?,
                    lifetime: Lifetime {
                        added: to_epoch(row.get(2)?),
                        retired: to_epoch(row.get(3)?),
                    },
                });
            }
            Ok(())
        })
    }

    /// Calls `each` for the chunks of every lapse, with the epochs from and until which they were not seen.
    pub(super) fn lapses(&self, mut each: impl FnMut(ChunkRange, Epoch, Epoch)) -> Result<(), Error> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT r.first_chunk, r.chunk_count, l.from_epoch, l.until_epoch
                 FROM revision_lapse l JOIN revision r USING (revision_id)",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                each(ChunkRange::read(row, 0)?, to_epoch(row.get(2)?), to_epoch(row.get(3)?));
            }
            Ok(())
        })
    }

    /// Calls `each` for the attributes and the access list of every revision, in order of its chunks.
    pub(super) fn attributes(&self, mut each: impl FnMut(ChunkRange, Metadata, AccessList)) -> Result<(), Error> {
        self.read(|connection| {
            // Chunks are numbered as revisions are.
            let mut statement = connection.prepare(&format!(
                "SELECT {} FROM revision r ORDER BY r.revision_id",
                revision::COLUMNS
            ))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (chunks, metadata, access) = revision::read_attributes(row)?;
                each(chunks, metadata, access);
            }
            Ok(())
        })
    }

    /// Returns whether some revision has an access list.
    pub(super) fn has_access_lists(&self) -> Result<bool, Error> {
        self.read(|connection| {
            connection.query_row("SELECT EXISTS (SELECT 1 FROM revision WHERE access != '')", [], |row| {
                row.get(0)
            })
        })
    }

    /// Calls `each` for what the keyword index holds of every chunk added after `after` and up to `until`, in order.
    pub(super) fn term_records(
        &self,
        after: Epoch,
        until: Epoch,
        mut each: impl FnMut(TermRecord) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut failed = None;
        self.read(|connection| {
            let mut statement = connection.prepare(&format!(
                "SELECT c.chunk_id, c.ordinal, r.title, c.heading_path, {}
                 FROM revision r JOIN chunk c ON c.chunk_id BETWEEN r.first_chunk AND r.first_chunk + r.chunk_count - 1
                 JOIN revision_text t ON t.revision_id = r.revision_id
                 WHERE r.added_epoch > ?1 AND r.added_epoch <= ?2 ORDER BY r.added_epoch, c.chunk_id",
                chunk::TEXT
            ))?;
            let mut rows = statement.query([from_epoch(after), from_epoch(until)])?;
            while let Some(row) = rows.next()? {
                let record = TermRecord {
                    chunk_id: ChunkId(to_number(row.get(0)?)),
                    ordinal: row.get(1)?,
                    title: row.get(2)?,
                    heading_path: from_json(row, 3)?,
                    text: row.get(4)?,
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

    /// Calls `each` for the vector of every chunk with a number above `after`, in order.
    pub(super) fn embeddings(&self, after: ChunkId, mut each: impl FnMut(ChunkId, Vec<f32>)) -> Result<(), Error> {
        self.read(|connection| {
            let mut statement = connection
                .prepare("SELECT chunk_id, vector, checksum FROM embedding WHERE chunk_id > ?1 ORDER BY chunk_id")?;
            let mut rows = statement.query([sqlite::from_number(after.0)])?;
            while let Some(row) = rows.next()? {
                let chunk_id: i64 = row.get(0)?;
                let vector = row.get_ref(1)?.as_blob()?;
                values::verify(
                    "the vector of chunk",
                    chunk_id,
                    row.get(2)?,
                    chunk::vector_checksum(chunk_id, vector),
                )?;
                each(ChunkId(to_number(chunk_id)), sqlite::to_vector(vector));
            }
            Ok(())
        })
    }

    /// Returns the records of chunks, in the order asked; those that are not there are left out.
    pub(super) fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<ChunkRecord>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {} FROM chunk c JOIN revision r USING (revision_id) JOIN revision_text t USING (revision_id)
                 WHERE c.chunk_id = ?1",
                chunk::columns()
            ))?;
            let mut records = Vec::with_capacity(ids.len());
            for id in ids {
                let mut rows = statement.query([sqlite::from_number(id.0)])?;
                if let Some(row) = rows.next()? {
                    records.push(chunk::read(row)?);
                }
            }
            Ok(records)
        })
    }

    /// Returns the numbers of the indexed revisions of documents, for those that have one.
    pub(super) fn indexed_revisions<'a>(
        &self,
        ids: impl Iterator<Item = &'a DocumentId>,
    ) -> Result<std::collections::HashMap<DocumentId, u64>, Error> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT revision_id FROM document WHERE document_id = ?1 AND revision_id NOTNULL")?;
            let mut found = std::collections::HashMap::new();
            for id in ids {
                let mut rows = statement.query([id.as_str()])?;
                if let Some(row) = rows.next()? {
                    found.insert(id.clone(), to_number(row.get(0)?));
                }
            }
            Ok(found)
        })
    }
}
