//! What a commit changes, and how it is written: one transaction, one epoch.

use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::Error;
use super::catalog::to_json;
use super::checksum::Checksum;
use super::records::chunk::{ChunkFields, vector_checksum};
use super::records::revision::RevisionFields;
use super::records::values::{access_to_json, metadata_to_json};
use super::records::{ChunkRange, revision};
use super::sqlite::{self, from_epoch, from_number, from_size, from_time, to_epoch, to_number};
use crate::chunk::Chunk;
use crate::document::DocumentId;
use crate::document::access::AccessList;
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
    /// Who may find it.
    pub access: AccessList,
    /// Size of the content.
    pub byte_size: u64,
    /// The extracted text that spans count in.
    pub text: String,
    /// The content as it came.
    pub content: KeptContent,
    /// Its chunks, in order.
    pub chunks: Vec<NewChunk>,
}

/// What is kept of the bytes of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptContent {
    /// The text is the content, byte for byte.
    Text,
    /// The content, compressed with zstd.
    Compressed(Vec<u8>),
    /// Nothing.
    Discarded,
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
    pub(super) retired: Vec<ChunkRange>,
    /// Chunks that are seen again, with the epoch from which they were not.
    pub(super) resumed: Vec<(ChunkRange, Epoch)>,
}

impl Committed {
    /// Returns how many chunks are no longer seen.
    pub fn retired_chunks(&self) -> u64 {
        self.retired.iter().map(|range| range.count).sum()
    }
}

/// The numbers that a new revision got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedRevision {
    pub(super) revision_id: u64,
    pub(super) chunks: ChunkRange,
}

/// Writes the changes as one transaction. It is on disk when this returns.
pub(super) fn write(
    connection: &mut Connection,
    path: &Path,
    changes: &[Change],
    cause: &str,
    now: SystemTime,
) -> Result<Committed, Error> {
    transact(connection, path, now, |writer| writer.apply(changes, cause))
}

/// Makes a new epoch that sees what `to` saw; nothing changes when the last one sees the same.
pub(super) fn roll_back(
    connection: &mut Connection,
    path: &Path,
    to: Epoch,
    now: SystemTime,
) -> Result<(Committed, RolledBackDocuments), Error> {
    transact(connection, path, now, |writer| writer.roll_back(to))
}

fn transact<T>(
    connection: &mut Connection,
    path: &Path,
    now: SystemTime,
    work: impl FnOnce(&mut Writer<'_>) -> rusqlite::Result<T>,
) -> Result<T, Error> {
    let in_database = |source| Error::database(path, source);
    let transaction = connection.transaction().map_err(in_database)?;
    let done = Writer::new(&transaction, now)
        .and_then(|mut writer| work(&mut writer))
        .map_err(in_database)?;
    transaction.commit().map_err(in_database)?;
    Ok(done)
}

/// Documents that a rollback changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RolledBackDocuments {
    pub(super) restored: u64,
    pub(super) removed: u64,
}

struct Writer<'a> {
    transaction: &'a Transaction<'a>,
    now: i64,
    current: Epoch,
    documents: i64,
    chunks: i64,
    next_revision: i64,
    next_chunk: i64,
}

impl<'a> Writer<'a> {
    fn new(transaction: &'a Transaction<'a>, now: SystemTime) -> rusqlite::Result<Self> {
        let last = transaction
            .prepare_cached(
                "SELECT epoch, document_count, chunk_count, committed_at FROM epoch ORDER BY epoch DESC LIMIT 1",
            )?
            .query_row([], |row| {
                Ok((to_epoch(row.get(0)?), row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?))
            })
            .optional()?;
        let (current, documents, chunks, committed_at) = last.unwrap_or_default();
        let mut sequence =
            transaction.prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = ?1")?;
        Ok(Self {
            transaction,
            // A clock that was set back must not make epochs go back in time.
            now: from_time(now).max(committed_at),
            current,
            documents,
            chunks,
            next_revision: sequence.query_row(["revision"], |row| row.get(0))?,
            next_chunk: sequence.query_row(["chunk"], |row| row.get(0))?,
        })
    }

    fn apply(&mut self, changes: &[Change], cause: &str) -> rusqlite::Result<Committed> {
        let next = Epoch(self.current.0 + 1);
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
                    let known = self.execute(
                        "UPDATE document SET status = 'deleted', reason = '', revision_id = NULL, updated_at = ?2
                         WHERE document_id = ?1 AND status != 'deleted'",
                        params![id.as_str(), self.now],
                    )? > 0;
                    self.execute(
                        "DELETE FROM document WHERE document_id = ?1 AND status = 'deleted'
                         AND NOT EXISTS (SELECT 1 FROM revision r WHERE r.document_id = ?1)",
                        params![id.as_str()],
                    )?;
                    known
                }
                Change::Fail(id, reason) => self.record_attempt(id, "failed", reason)?,
                Change::Confirm(id) => self.record_attempt(id, "indexed", "")?,
            };
            committed.found.push(found);
        }
        committed.epoch = self.current;
        if moves_epoch {
            committed.epoch = next;
            self.write_epoch(next, cause)?;
        }
        Ok(committed)
    }

    fn write_epoch(&self, epoch: Epoch, cause: &str) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO epoch VALUES (?1, ?2, ?3, ?4, ?5)",
            params![from_epoch(epoch), self.now, cause, self.documents, self.chunks],
        )
        .map(drop)
    }

    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.transaction.prepare_cached(sql)?.execute(values)
    }

    /// Ends the indexed revision of a document, if there is one.
    fn retire(&mut self, id: &DocumentId, epoch: Epoch, retired: &mut Vec<ChunkRange>) -> rusqlite::Result<bool> {
        let indexed = self
            .transaction
            .prepare_cached(
                "SELECT r.revision_id, r.first_chunk, r.chunk_count
                 FROM document d JOIN revision r USING (revision_id) WHERE d.document_id = ?1",
            )?
            .query_row([id.as_str()], |row| {
                Ok((row.get::<_, i64>(0)?, ChunkRange::read(row, 1)?))
            })
            .optional()?;
        let Some((revision_id, chunks)) = indexed else {
            return Ok(false);
        };
        self.end(revision_id, chunks, epoch)?;
        retired.push(chunks);
        Ok(true)
    }

    fn end(&mut self, revision_id: i64, chunks: ChunkRange, epoch: Epoch) -> rusqlite::Result<()> {
        self.execute(
            "UPDATE revision SET retired_epoch = ?2 WHERE revision_id = ?1",
            params![revision_id, from_epoch(epoch)],
        )?;
        self.documents -= 1;
        self.chunks -= from_number(chunks.count);
        Ok(())
    }

    fn put(&mut self, revision: &NewRevision, epoch: Epoch) -> rusqlite::Result<AddedRevision> {
        let revision_id = self.next_revision;
        let metadata = metadata_to_json(&revision.metadata);
        let access = access_to_json(&revision.access);
        let chunks = ChunkRange {
            first: ChunkId(to_number(self.next_chunk)),
            count: revision.chunks.len() as u64,
        };
        let fields = RevisionFields {
            revision_id,
            document_id: revision.document_id.as_str(),
            content_hash: &revision.content_hash,
            settings_hash: &revision.settings_hash,
            title: revision.title.as_deref(),
            media_type: &revision.media_type,
            source_name: &revision.source_name,
            metadata: &metadata,
            byte_size: from_number(revision.byte_size),
            text_bytes: from_size(revision.text.len()),
            text_is_content: revision.content == KeptContent::Text,
            has_content: revision.content != KeptContent::Discarded,
            first_chunk: self.next_chunk,
            chunk_count: from_size(revision.chunks.len()),
            created_at: self.now,
            access: &access,
        };
        insert_revision(self.transaction, &fields, epoch, Lifetime::NEVER)?;
        insert_text(self.transaction, revision_id, &revision.text)?;
        if let KeptContent::Compressed(bytes) = &revision.content {
            self.execute(
                "INSERT INTO content VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![revision.content_hash, bytes],
            )?;
        }
        self.put_chunks(revision_id, revision)?;
        self.next_revision += 1;
        self.documents += 1;
        self.chunks += from_number(chunks.count);
        self.execute(
            "INSERT INTO document VALUES (?1, 'indexed', '', ?2, ?3, ?3)
             ON CONFLICT (document_id) DO UPDATE SET
                 created_at = CASE status WHEN 'deleted' THEN ?3 ELSE created_at END,
                 status = 'indexed', reason = '', revision_id = ?2, updated_at = ?3",
            params![revision.document_id.as_str(), revision_id, self.now],
        )?;
        Ok(AddedRevision {
            revision_id: to_number(revision_id),
            chunks,
        })
    }

    /// Adds the chunks; they are numbered without gaps.
    fn put_chunks(&mut self, revision_id: i64, revision: &NewRevision) -> rusqlite::Result<()> {
        let mut code_points = CodePoints::new(&revision.text);
        for NewChunk { chunk, embedding } in &revision.chunks {
            let chunk_id = self.next_chunk;
            self.next_chunk += 1;
            let heading_path = to_json(&chunk.heading_path);
            let fields = ChunkFields {
                chunk_id,
                revision_id,
                span_start: from_size(chunk.span.start),
                span_end: from_size(chunk.span.end),
                code_point_start: from_size(code_points.before(chunk.span.start)),
                heading_path: &heading_path,
                page: chunk.page,
                text: chunk.span.of(&revision.text).unwrap_or_default(),
            };
            insert_chunk(self.transaction, &fields, chunk.ordinal, chunk.token_count)?;
            insert_vector(self.transaction, chunk_id, &sqlite::from_vector(embedding.as_slice()))?;
        }
        Ok(())
    }

    /// Records an attempt that changed nothing that is searched; says whether the document was known.
    fn record_attempt(&self, id: &DocumentId, status: &str, reason: &str) -> rusqlite::Result<bool> {
        let known = self.execute(
            "UPDATE document SET status = ?2, reason = ?3, updated_at = ?4,
                 created_at = CASE status WHEN 'deleted' THEN ?4 ELSE created_at END WHERE document_id = ?1",
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

    fn roll_back(&mut self, to: Epoch) -> rusqlite::Result<(Committed, RolledBackDocuments)> {
        let next = Epoch(self.current.0 + 1);
        let gone = self.seen_by_one(self.current, to)?;
        let back = self.seen_by_one(to, self.current)?;
        let mut committed = Committed {
            epoch: self.current,
            ..Committed::default()
        };
        let mut documents = RolledBackDocuments::default();
        if gone.is_empty() && back.is_empty() {
            return Ok((committed, documents));
        }
        for seen in &gone {
            self.end(seen.revision_id, seen.chunks, next)?;
            self.execute(
                "UPDATE document SET status = 'deleted', reason = '', revision_id = NULL, updated_at = ?2
                 WHERE document_id = ?1",
                params![seen.document_id, self.now],
            )?;
            committed.retired.push(seen.chunks);
        }
        for seen in &back {
            self.resume(seen, next)?;
            committed.resumed.push((seen.chunks, seen.retired));
        }
        let returned: std::collections::HashSet<&str> = back.iter().map(|seen| seen.document_id.as_str()).collect();
        documents.restored = back.len() as u64;
        documents.removed = gone
            .iter()
            .filter(|seen| !returned.contains(seen.document_id.as_str()))
            .count() as u64;
        committed.epoch = next;
        self.write_epoch(next, &format!("rollback to {to}"))?;
        Ok((committed, documents))
    }

    /// Makes a revision that ended seen again from `epoch` on.
    fn resume(&mut self, seen: &Seen, epoch: Epoch) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO revision_lapse VALUES (?1, ?2, ?3)",
            params![seen.revision_id, from_epoch(seen.retired), from_epoch(epoch)],
        )?;
        self.execute(
            "UPDATE revision SET retired_epoch = ?2 WHERE revision_id = ?1",
            params![seen.revision_id, from_epoch(Lifetime::NEVER)],
        )?;
        self.execute(
            "INSERT INTO document VALUES (?1, 'indexed', '', ?2, ?3, ?3)
             ON CONFLICT (document_id) DO UPDATE SET status = 'indexed', reason = '', revision_id = ?2, updated_at = ?3",
            params![seen.document_id, seen.revision_id, self.now],
        )?;
        self.documents += 1;
        self.chunks += from_number(seen.chunks.count);
        Ok(())
    }

    /// Returns the revisions that `by` sees and `other` does not.
    fn seen_by_one(&self, by: Epoch, other: Epoch) -> rusqlite::Result<Vec<Seen>> {
        let mut statement = self.transaction.prepare_cached(&format!(
            "SELECT r.revision_id, r.document_id, r.first_chunk, r.chunk_count, r.retired_epoch FROM revision r
             WHERE {} AND NOT {}",
            revision::seen_at("?1"),
            revision::seen_at("?2")
        ))?;
        let rows = statement.query_map([from_epoch(by), from_epoch(other)], |row| {
            Ok(Seen {
                revision_id: row.get(0)?,
                document_id: row.get(1)?,
                chunks: ChunkRange::read(row, 2)?,
                retired: to_epoch(row.get(4)?),
            })
        })?;
        rows.collect()
    }
}

/// A revision that one epoch sees.
struct Seen {
    revision_id: i64,
    document_id: String,
    chunks: ChunkRange,
    retired: Epoch,
}

/// Inserts the row of a revision.
pub(super) fn insert_revision(
    connection: &Connection,
    fields: &RevisionFields<'_>,
    added: Epoch,
    retired: Epoch,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO revision VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19)",
        )?
        .execute(params![
            fields.revision_id,
            fields.document_id,
            fields.content_hash,
            fields.settings_hash,
            fields.title,
            fields.media_type,
            fields.source_name,
            fields.metadata,
            fields.byte_size,
            fields.text_bytes,
            fields.text_is_content,
            fields.has_content,
            fields.first_chunk,
            fields.chunk_count,
            from_epoch(added),
            from_epoch(retired),
            fields.created_at,
            fields.checksum(),
            fields.access,
        ])
        .map(drop)
}

/// Inserts the text of a revision.
pub(super) fn insert_text(connection: &Connection, revision_id: i64, text: &str) -> rusqlite::Result<()> {
    let checksum = Checksum::default().text(text).finish();
    connection
        .prepare_cached("INSERT INTO revision_text VALUES (?1, ?2, ?3)")?
        .execute(params![revision_id, text.as_bytes(), checksum])
        .map(drop)
}

/// Inserts the row of a chunk.
pub(super) fn insert_chunk(
    connection: &Connection,
    fields: &ChunkFields<'_>,
    ordinal: u32,
    token_count: u32,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO chunk VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)")?
        .execute(params![
            fields.chunk_id,
            fields.revision_id,
            ordinal,
            fields.span_start,
            fields.span_end,
            fields.code_point_start,
            fields.heading_path,
            fields.page,
            token_count,
            fields.checksum(),
        ])
        .map(drop)
}

/// Inserts the vector of a chunk.
pub(super) fn insert_vector(connection: &Connection, chunk_id: i64, vector: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO embedding VALUES (?1, ?2, ?3)")?
        .execute(params![chunk_id, vector, vector_checksum(chunk_id, vector)])
        .map(drop)
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
