//! What a commit changes, and how it is written: one transaction, one epoch.

use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::Error;
use super::catalog::to_json;
use super::records::metadata_to_json;
use super::sqlite::{self, from_epoch, from_size, from_time};
use crate::chunk::Chunk;
use crate::document::DocumentId;
use crate::document::metadata::Metadata;
use crate::embed::Embedding;
use crate::index::{ChunkId, Epoch, Lifetime};

/// A chunk with its vector.
#[derive(Debug, Clone, PartialEq)]
pub struct NewChunk {
    /// The chunk.
    pub chunk: Chunk,
    /// Its vector.
    pub embedding: Embedding,
}

/// A document's new content, read, split and embedded.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRevision {
    /// The document.
    pub document_id: DocumentId,
    /// SHA-256 of the content, in lowercase hexadecimal.
    pub content_hash: String,
    /// SHA-256 of everything else that the chunks depend on.
    pub settings_hash: String,
    /// Title.
    pub title: Option<String>,
    /// Media type that it was read as.
    pub media_type: String,
    /// Where it came from.
    pub source_name: String,
    /// Attributes.
    pub metadata: Metadata,
    /// Size of the content.
    pub byte_size: u64,
    /// The extracted text that spans count in.
    pub text: String,
    /// Its chunks, in order.
    pub chunks: Vec<NewChunk>,
}

/// One change of a commit. Changes to the same document apply in their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Adds a document, or puts new content in place of the old.
    Put(Box<NewRevision>),
    /// Removes a document, failed attempts included.
    Delete(DocumentId),
    /// Records that an attempt failed; what is indexed stays.
    Fail(DocumentId, String),
    /// Records that a document is as indexed, after an attempt that failed.
    Confirm(DocumentId),
}

/// What a commit did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The epoch; that of the commit before when nothing that is searched changed.
    pub epoch: Epoch,
    /// For each change, whether the document had content before: a `Put` replaced it, a `Delete` found it or a failed
    /// attempt.
    pub found: Vec<bool>,
    /// Chunks of each `Put`, in order, with the number of its revision.
    pub(super) added: Vec<AddedRevision>,
    /// Chunks that are no longer seen.
    pub(super) retired: Vec<ChunkId>,
}

/// The numbers that a new revision got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedRevision {
    pub(super) revision_id: u64,
    pub(super) first_chunk: ChunkId,
}

/// Writes the changes as one transaction. It is on disk when this returns.
pub(super) fn write(
    connection: &mut Connection,
    path: &Path,
    changes: &[Change],
    cause: &str,
    now: SystemTime,
) -> Result<Committed, Error> {
    let in_database = |source| Error::database(path, source);
    let transaction = connection.transaction().map_err(in_database)?;
    let committed = Writer {
        transaction: &transaction,
        now: from_time(now),
    }
    .apply(changes, cause)
    .map_err(in_database)?;
    transaction.commit().map_err(in_database)?;
    Ok(committed)
}

struct Writer<'a> {
    transaction: &'a Transaction<'a>,
    now: i64,
}

impl Writer<'_> {
    fn apply(&self, changes: &[Change], cause: &str) -> rusqlite::Result<Committed> {
        let current: i64 = self
            .transaction
            .query_row("SELECT coalesce(max(epoch), 0) FROM epoch", [], |row| row.get(0))?;
        let next = Epoch(current.unsigned_abs() + 1);
        let mut committed = Committed::default();
        let mut moves_epoch = false;
        for change in changes {
            let found = match change {
                Change::Put(revision) => {
                    moves_epoch = true;
                    let replaced = self.retire(&revision.document_id, next, &mut committed.retired)?;
                    committed.added.push(self.put(revision, next)?);
                    replaced
                }
                Change::Delete(id) => {
                    let had_content = self.retire(id, next, &mut committed.retired)?;
                    moves_epoch |= had_content;
                    self.execute("DELETE FROM document WHERE document_id = ?1", params![id.as_str()])? > 0
                }
                Change::Fail(id, reason) => self.record_attempt(id, "failed", reason)?,
                Change::Confirm(id) => self.record_attempt(id, "indexed", "")?,
            };
            committed.found.push(found);
        }
        committed.epoch = Epoch(current.unsigned_abs());
        if moves_epoch {
            committed.epoch = next;
            self.execute(
                "INSERT INTO epoch VALUES (?1, ?2, ?3)",
                params![from_epoch(next), self.now, cause],
            )?;
        }
        Ok(committed)
    }

    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.transaction.prepare_cached(sql)?.execute(values)
    }

    fn revision_of(&self, id: &DocumentId) -> rusqlite::Result<Option<i64>> {
        self.transaction
            .prepare_cached("SELECT revision_id FROM document WHERE document_id = ?1")?
            .query_row([id.as_str()], |row| row.get::<_, Option<i64>>(0))
            .optional()
            .map(Option::flatten)
    }

    /// Ends the indexed revision, if there is one.
    fn retire(&self, id: &DocumentId, epoch: Epoch, retired: &mut Vec<ChunkId>) -> rusqlite::Result<bool> {
        let Some(revision_id) = self.revision_of(id)? else {
            return Ok(false);
        };
        let epoch = from_epoch(epoch);
        self.execute(
            "UPDATE revision SET retired_epoch = ?2 WHERE revision_id = ?1",
            params![revision_id, epoch],
        )?;
        self.execute(
            "UPDATE chunk SET retired_epoch = ?2 WHERE revision_id = ?1",
            params![revision_id, epoch],
        )?;
        let mut statement = self
            .transaction
            .prepare_cached("SELECT chunk_id FROM chunk WHERE revision_id = ?1 ORDER BY ordinal")?;
        for id in statement.query_map([revision_id], |row| row.get::<_, i64>(0))? {
            retired.push(ChunkId(id?.unsigned_abs()));
        }
        Ok(true)
    }

    fn put(&self, revision: &NewRevision, epoch: Epoch) -> rusqlite::Result<AddedRevision> {
        let (added, never) = (from_epoch(epoch), from_epoch(Lifetime::NEVER));
        self.execute(
            "INSERT INTO revision (document_id, content_hash, settings_hash, title, media_type, source_name, metadata,
                                   byte_size, text_bytes, chunk_count, added_epoch, retired_epoch)
             VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
            params![
                revision.document_id.as_str(),
                revision.content_hash,
                revision.settings_hash,
                revision.title,
                revision.media_type,
                revision.source_name,
                metadata_to_json(&revision.metadata),
                i64::try_from(revision.byte_size).unwrap_or(i64::MAX),
                from_size(revision.text.len()),
                from_size(revision.chunks.len()),
                added,
                never,
            ],
        )?;
        let revision_id = self.transaction.last_insert_rowid();
        self.execute(
            "INSERT INTO revision_text VALUES (?1, ?2)",
            params![revision_id, revision.text.as_bytes()],
        )?;
        let first_chunk = self.put_chunks(revision_id, revision, added, never)?;
        self.execute(
            "INSERT INTO document VALUES (?1, 'indexed', '', ?2, ?3, ?3)
             ON CONFLICT (document_id) DO UPDATE SET status = 'indexed', reason = '', revision_id = ?2, updated_at = ?3",
            params![revision.document_id.as_str(), revision_id, self.now],
        )?;
        Ok(AddedRevision {
            revision_id: revision_id.unsigned_abs(),
            first_chunk,
        })
    }

    /// Adds the chunks and returns the number of the first; they are numbered without gaps.
    fn put_chunks(
        &self,
        revision_id: i64,
        revision: &NewRevision,
        added: i64,
        never: i64,
    ) -> rusqlite::Result<ChunkId> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO chunk (revision_id, ordinal, span_start, span_end, code_point_start, heading_path, page,
                                token_count, added_epoch, retired_epoch, embedding)
             VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
        )?;
        let mut code_points = CodePoints::new(&revision.text);
        for NewChunk { chunk, embedding } in &revision.chunks {
            statement.execute(params![
                revision_id,
                chunk.ordinal,
                from_size(chunk.span.start),
                from_size(chunk.span.end),
                from_size(code_points.before(chunk.span.start)),
                to_json(&chunk.heading_path),
                chunk.page,
                chunk.token_count,
                added,
                never,
                sqlite::from_vector(embedding.as_slice()),
            ])?;
        }
        let last = self.transaction.last_insert_rowid().unsigned_abs();
        Ok(ChunkId((last + 1).saturating_sub(revision.chunks.len() as u64)))
    }

    /// Records an attempt that changed nothing that is searched; says whether the document was known.
    fn record_attempt(&self, id: &DocumentId, status: &str, reason: &str) -> rusqlite::Result<bool> {
        let known = self.execute(
            "UPDATE document SET status = ?2, reason = ?3, updated_at = ?4 WHERE document_id = ?1",
            params![id.as_str(), status, reason, self.now],
        )? > 0;
        if !known {
            self.execute(
                "INSERT INTO document VALUES (?1, ?2, ?3, NULL, ?4, ?4)",
                params![id.as_str(), status, reason, self.now],
            )?;
        }
        Ok(known)
    }
}

/// Counts code points before byte offsets that mostly grow, in one pass over the text.
struct CodePoints<'a> {
    text: &'a str,
    byte: usize,
    count: usize,
}

impl<'a> CodePoints<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            byte: 0,
            count: 0,
        }
    }

    fn before(&mut self, byte: usize) -> usize {
        if byte < self.byte {
            // Chunks overlap: their starts grow all the same, so that this is rare.
            (self.byte, self.count) = (0, 0);
        }
        self.count += self
            .text
            .get(self.byte..byte)
            .map_or(0, |between| between.chars().count());
        self.byte = byte;
        self.count
    }
}
