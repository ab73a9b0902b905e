//! The tables of a knowledge base's record of truth.

use super::super::sqlite::Schema;

/// The record of truth of one knowledge base.
pub(in crate::store) const SCHEMA: Schema = Schema {
    create: CREATE,
    migrate: super::super::migrate::store,
};

const CREATE: &str = "
-- Numbers that the store keeps about itself.
CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- One row a commit; the largest is the epoch of the store. Rows of epochs that can no longer be named are vacuumed.
CREATE TABLE epoch (
    epoch INTEGER PRIMARY KEY,
    committed_at INTEGER NOT NULL,
    cause TEXT NOT NULL,
    document_count INTEGER NOT NULL,
    chunk_count INTEGER NOT NULL
) STRICT;
-- Names that keep an epoch.
CREATE TABLE pin (
    name TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- One row an id that is known: the last attempt. A deleted one stays until its last revision is vacuumed.
CREATE TABLE document (
    document_id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    revision_id INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- One row a content that was indexed. Its chunks are numbered without gaps and live as long as it does.
CREATE TABLE revision (
    revision_id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    settings_hash TEXT NOT NULL,
    title TEXT,
    media_type TEXT NOT NULL,
    source_name TEXT NOT NULL,
    metadata TEXT NOT NULL,
    byte_size INTEGER NOT NULL,
    text_bytes INTEGER NOT NULL,
    text_is_content INTEGER NOT NULL,
    has_content INTEGER NOT NULL,
    first_chunk INTEGER NOT NULL,
    chunk_count INTEGER NOT NULL,
    added_epoch INTEGER NOT NULL,
    retired_epoch INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    access TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX revision_by_document ON revision(document_id, added_epoch);
CREATE INDEX revision_by_lifetime ON revision(added_epoch, retired_epoch, first_chunk, chunk_count);
CREATE INDEX revision_by_content ON revision(content_hash);
CREATE INDEX revision_by_access ON revision(revision_id) WHERE access != '';
CREATE INDEX revision_by_end ON revision(retired_epoch) WHERE retired_epoch < 9223372036854775807;
-- Epochs within a revision's life that do not see it: it was gone, and a rollback brought it back.
CREATE TABLE revision_lapse (
    revision_id INTEGER NOT NULL,
    from_epoch INTEGER NOT NULL,
    until_epoch INTEGER NOT NULL,
    PRIMARY KEY (revision_id, from_epoch)
) STRICT, WITHOUT ROWID;
-- The extracted text of a revision, UTF-8, apart from what lists read.
CREATE TABLE revision_text (
    revision_id INTEGER PRIMARY KEY,
    text BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
-- One row a chunk; spans count bytes in the text of its revision.
CREATE TABLE chunk (
    chunk_id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision_id INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    span_start INTEGER NOT NULL,
    span_end INTEGER NOT NULL,
    code_point_start INTEGER NOT NULL,
    heading_path TEXT NOT NULL,
    page INTEGER,
    token_count INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
-- The vector of a chunk: little-endian 16-bit floats.
CREATE TABLE embedding (
    chunk_id INTEGER PRIMARY KEY,
    vector BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
-- Bytes of documents as they came, once for each content, compressed with zstd. Where the text is the content, it
-- stands there only.
CREATE TABLE content (
    content_hash TEXT PRIMARY KEY,
    compressed BLOB NOT NULL
) STRICT;
-- Chunks that were vacuumed, until the keyword index no longer holds them.
CREATE TABLE removal (
    removal_id INTEGER PRIMARY KEY AUTOINCREMENT,
    first_chunk INTEGER NOT NULL,
    chunk_count INTEGER NOT NULL
) STRICT;
-- What was erased, in fingerprints from which nothing can be read, so that it can be looked for.
CREATE TABLE erasure (
    erasure_id INTEGER PRIMARY KEY AUTOINCREMENT,
    erased_at INTEGER NOT NULL,
    document_digest BLOB NOT NULL,
    content_digest BLOB NOT NULL,
    seed INTEGER NOT NULL,
    fingerprints BLOB NOT NULL
) STRICT;
CREATE INDEX erasure_by_document ON erasure(document_digest);
CREATE INDEX erasure_by_content ON erasure(content_digest);
";
