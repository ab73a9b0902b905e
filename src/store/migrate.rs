//! Databases of earlier formats, brought to the next, one step at a time and inside one transaction.

use rusqlite::{Transaction, params};

use super::catalog::write_checksum;
use super::commit::{insert_chunk, insert_revision, insert_text, insert_vector};
use super::records::chunk::ChunkFields;
use super::records::revision::RevisionFields;
use super::sqlite::{self, to_epoch};
use crate::document::{content_hash, hex};

/// Brings the record of truth of a knowledge base from format `from` to the next.
pub(super) fn store(transaction: &Transaction<'_>, from: i64) -> rusqlite::Result<()> {
    match from {
        1 => store_1(transaction),
        2 => store_2(transaction),
        _ => Ok(()),
    }
}

/// Brings the catalog from format `from` to the next.
pub(super) fn catalog(transaction: &Transaction<'_>, from: i64) -> rusqlite::Result<()> {
    match from {
        1 => catalog_1(transaction),
        2 => catalog_2(transaction),
        _ => Ok(()),
    }
}

/// Format 1 had no settings that could change, and no checksums.
fn catalog_1(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "ALTER TABLE knowledge_base ADD COLUMN retention TEXT NOT NULL DEFAULT '{\"age_seconds\":604800}';
         ALTER TABLE knowledge_base ADD COLUMN original_content TEXT NOT NULL DEFAULT 'keep';
         ALTER TABLE knowledge_base ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;",
    )?;
    // The checksum is over what a row of today has.
    catalog_2(transaction)?;
    let mut statement = transaction.prepare("SELECT id FROM knowledge_base")?;
    let ids: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    ids.iter().try_for_each(|id| write_checksum(transaction, id))
}

/// Format 2 knew no declared attributes.
fn catalog_2(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    add_column(
        transaction,
        "knowledge_base",
        "metadata_schema",
        "TEXT NOT NULL DEFAULT ''",
    )
}

/// Format 2 knew no access lists: every document was open to all.
fn store_2(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    add_column(transaction, "revision", "access", "TEXT NOT NULL DEFAULT ''")?;
    transaction
        .execute_batch("CREATE INDEX IF NOT EXISTS revision_by_access ON revision(revision_id) WHERE access != '';")
}

/// Lets a database of format 2 that cannot be changed be read as one of today.
pub(super) const VIEW_OF_STORE_2: &str = "CREATE TEMP VIEW revision AS SELECT *, '' AS access FROM main.revision;";

/// Adds a column, unless the step before has made the table as it is today.
fn add_column(transaction: &Transaction<'_>, table: &str, column: &str, definition: &str) -> rusqlite::Result<()> {
    let is_there: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)",
        [table, column],
        |row| row.get(0),
    )?;
    if is_there {
        return Ok(());
    }
    transaction.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {definition};"))
}

/// Format 1 kept lifetimes with each chunk and vectors of 32-bit floats beside them, counted no epochs, and forgot
/// documents when they were deleted.
fn store_1(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "ALTER TABLE epoch RENAME TO epoch_1;
         ALTER TABLE document RENAME TO document_1;
         ALTER TABLE revision RENAME TO revision_1;
         ALTER TABLE revision_text RENAME TO revision_text_1;
         ALTER TABLE chunk RENAME TO chunk_1;
         DROP INDEX revision_by_document;",
    )?;
    transaction.execute_batch(super::records::SCHEMA.create)?;
    revisions_1(transaction)?;
    chunks_1(transaction)?;
    transaction.execute_batch(
        "INSERT INTO epoch SELECT e.epoch, e.committed_at, e.cause,
             (SELECT count(*) FROM revision r WHERE r.added_epoch <= e.epoch AND e.epoch < r.retired_epoch),
             (SELECT coalesce(sum(r.chunk_count), 0) FROM revision r
              WHERE r.added_epoch <= e.epoch AND e.epoch < r.retired_epoch) FROM epoch_1 e;
         INSERT INTO document SELECT document_id, status, reason, revision_id, created_at, updated_at FROM document_1;
         INSERT INTO document SELECT document_id, 'deleted', '', NULL, min(created_at), max(created_at) FROM revision
             WHERE document_id NOT IN (SELECT document_id FROM document_1) GROUP BY document_id;
         DROP TABLE chunk_1;
         DROP TABLE revision_text_1;
         DROP TABLE document_1;
         DROP TABLE revision_1;
         DROP TABLE epoch_1;",
    )
}

fn revisions_1(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare(
        "SELECT r.revision_id, r.document_id, r.content_hash, r.settings_hash, r.title, r.media_type, r.source_name,
                r.metadata, r.byte_size, r.text_bytes, r.chunk_count, r.added_epoch, r.retired_epoch,
                coalesce((SELECT min(chunk_id) FROM chunk_1 c WHERE c.revision_id = r.revision_id), 0),
                coalesce((SELECT committed_at FROM epoch_1 e WHERE e.epoch = r.added_epoch), 0),
                CAST(t.text AS TEXT)
         FROM revision_1 r JOIN revision_text_1 t USING (revision_id) ORDER BY r.revision_id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(15)?;
        let (document_id, hash): (String, String) = (row.get(1)?, row.get(2)?);
        let (settings_hash, title): (String, Option<String>) = (row.get(3)?, row.get(4)?);
        let (media_type, source_name, metadata): (String, String, String) = (row.get(5)?, row.get(6)?, row.get(7)?);
        let text_is_content = hex(&content_hash(text.as_bytes())) == hash;
        let fields = RevisionFields {
            revision_id: row.get(0)?,
            document_id: &document_id,
            content_hash: &hash,
            settings_hash: &settings_hash,
            title: title.as_deref(),
            media_type: &media_type,
            source_name: &source_name,
            metadata: &metadata,
            byte_size: row.get(8)?,
            text_bytes: row.get(9)?,
            text_is_content,
            // Format 1 kept no contents.
            has_content: text_is_content,
            first_chunk: row.get(13)?,
            chunk_count: row.get(10)?,
            created_at: row.get(14)?,
            access: "",
        };
        insert_revision(transaction, &fields, to_epoch(row.get(11)?), to_epoch(row.get(12)?))?;
        insert_text(transaction, fields.revision_id, &text)?;
    }
    Ok(())
}

fn chunks_1(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare(
        "SELECT c.chunk_id, c.revision_id, c.span_start, c.span_end, c.code_point_start, c.heading_path, c.page,
                CAST(substr(t.text, c.span_start + 1, c.span_end - c.span_start) AS TEXT), c.ordinal, c.token_count,
                c.embedding
         FROM chunk_1 c JOIN revision_text_1 t USING (revision_id) ORDER BY c.chunk_id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (heading_path, text): (String, String) = (row.get(5)?, row.get(7)?);
        let fields = ChunkFields {
            chunk_id: row.get(0)?,
            revision_id: row.get(1)?,
            span_start: row.get(2)?,
            span_end: row.get(3)?,
            code_point_start: row.get(4)?,
            heading_path: &heading_path,
            page: row.get(6)?,
            text: &text,
        };
        insert_chunk(transaction, &fields, row.get(8)?, row.get(9)?)?;
        let (components, _) = row.get_ref(10)?.as_blob()?.as_chunks::<4>();
        let vector: Vec<f32> = components.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        insert_vector(transaction, fields.chunk_id, &sqlite::from_vector(&vector))?;
    }
    // A number that was given is never given again.
    transaction.execute(
        "UPDATE sqlite_sequence SET seq = max(seq, (SELECT coalesce(max(seq), 0) FROM sqlite_sequence
             WHERE name IN ('chunk_1', 'chunk'))) WHERE name = 'chunk'",
        params![],
    )?;
    Ok(())
}
