//! Removing what no retained epoch sees: from the records first, then from both indexes.
//!
//! It goes in small steps. Each holds the writer for some milliseconds, so that writes go on in between, and readers
//! never wait. A step that was cut off is finished by the next opening: the records remember what they removed until
//! the keyword index no longer holds it.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use rusqlite::{Connection, Row, params};

use super::epoch_store::Writer;
use super::history::Retention;
use super::records::ChunkRange;
use super::retained::oldest_kept;
use super::sqlite::{from_epoch, from_number, from_size, to_number};
use super::{EpochStore, Error, layout, records};
use crate::index::{ChunkId, Epoch};
use crate::worker::{Cancel, OnProgress, Progress};

/// Revisions that one step removes: few enough that a write hardly waits.
const STEP_REVISIONS: usize = 256;
/// Pages that the database gives back to the file system at once.
const STEP_PAGES: u32 = 2_048;

/// The condition that no epoch from `?1` on sees the revision `r`, nor one of the JSON list `?2`.
const EXPIRED: &str = "r.retired_epoch <= ?1 AND NOT EXISTS (
    SELECT 1 FROM json_each(?2) e
    WHERE r.added_epoch <= e.value AND e.value < r.retired_epoch AND NOT EXISTS (
        SELECT 1 FROM revision_lapse l WHERE l.revision_id = r.revision_id
        AND l.from_epoch <= e.value AND e.value < l.until_epoch))";

/// What a vacuum removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vacuumed {
    /// Oldest epoch that every read may name.
    pub oldest_epoch: Epoch,
    /// Revisions removed.
    pub revisions: u64,
    /// Chunks removed.
    pub chunks: u64,
    /// Kept contents removed.
    pub contents: u64,
    /// Bytes that the files became smaller by.
    pub freed_bytes: u64,
}

/// A revision that is to be removed.
#[derive(Debug, Clone)]
pub(super) struct Doomed {
    pub(super) revision_id: i64,
    pub(super) document_id: String,
    pub(super) content_hash: String,
    pub(super) chunks: ChunkRange,
}

impl Doomed {
    /// Columns of a table that is called `r`.
    pub(super) const COLUMNS: &str = "r.revision_id, r.document_id, r.content_hash, r.first_chunk, r.chunk_count";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            revision_id: row.get(0)?,
            document_id: row.get(1)?,
            content_hash: row.get(2)?,
            chunks: ChunkRange::read(row, 3)?,
        })
    }
}

/// Entries that were removed from the records.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RemovedRows {
    pub(super) documents: u64,
    pub(super) revisions: u64,
    pub(super) texts: u64,
    pub(super) chunks: u64,
    pub(super) embeddings: u64,
    pub(super) contents: u64,
}

impl RemovedRows {
    pub(super) fn add(&mut self, other: Self) {
        self.documents += other.documents;
        self.revisions += other.revisions;
        self.texts += other.texts;
        self.chunks += other.chunks;
        self.embeddings += other.embeddings;
        self.contents += other.contents;
    }
}

impl EpochStore {
    /// Removes what no epoch sees that `retention` or a pin keeps, or somebody reads.
    pub fn vacuum(
        &self,
        retention: Retention,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Vacuumed, Error> {
        let before = self.bytes_on_disk();
        let oldest_epoch = self.expire(retention, SystemTime::now())?;
        let total = self.expired_revisions()?;
        let mut removed = RemovedRows::default();
        loop {
            on_progress(Progress {
                stage: "removing revisions that no epoch sees",
                done: removed.revisions,
                total: total.max(removed.revisions),
            });
            cancel.check()?;
            let step = self.vacuum_step()?;
            if step.revisions == 0 {
                break;
            }
            removed.add(step);
        }
        if removed.chunks > 0 {
            // The terms' merges drop removed chunks by and by; the keeper rewrites sealed vectors once enough are removed.
            self.forget_fresh_vectors();
            self.holds_removed.store(true, Ordering::Release);
        }
        self.give_back(cancel, on_progress)?;
        Ok(Vacuumed {
            oldest_epoch,
            revisions: removed.revisions,
            chunks: removed.chunks,
            contents: removed.contents,
            freed_bytes: before.saturating_sub(self.bytes_on_disk()),
        })
    }

    /// Refuses reads of epochs that `retention` no longer keeps, and returns the oldest that it does.
    pub fn expire(&self, retention: Retention, now: SystemTime) -> Result<Epoch, Error> {
        let oldest = oldest_kept(&self.records, retention, self.epoch(), now)?;
        if oldest <= self.oldest_epoch() {
            return Ok(self.oldest_epoch());
        }
        let mut writer = self.begin_write()?;
        self.in_transaction(&mut writer, |transaction| {
            transaction.execute(
                "INSERT INTO state VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = max(value, ?2)",
                params![records::OLDEST_EPOCH, from_epoch(oldest)],
            )
        })?;
        self.retained.advance(oldest);
        Ok(oldest)
    }

    /// Counts the chunks that a vacuum would remove.
    pub(super) fn expired_chunks(&self) -> Result<u64, Error> {
        let oldest = from_epoch(self.oldest_epoch());
        let exceptions = self.exceptions();
        self.records.read(|connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT coalesce(sum(r.chunk_count), 0) FROM revision r WHERE {EXPIRED}"
                ))?
                .query_row(params![oldest, exceptions], |row| Ok(to_number(row.get(0)?)))
        })
    }

    /// Returns the epochs below the oldest that are still read, as a JSON list.
    fn exceptions(&self) -> String {
        let epochs: Vec<i64> = self.retained.exceptions().into_iter().map(from_epoch).collect();
        serde_json::to_string(&epochs).unwrap_or_default()
    }

    /// Counts the revisions that a vacuum would look at.
    pub(super) fn expired_revisions(&self) -> Result<u64, Error> {
        let oldest = self.oldest_epoch();
        self.records.read(|connection| {
            connection.query_row(
                "SELECT count(*) FROM revision WHERE retired_epoch <= ?1",
                [from_epoch(oldest)],
                |row| Ok(to_number(row.get(0)?)),
            )
        })
    }

    /// Removes some revisions that no retained epoch sees; none are left when it removes none.
    pub(super) fn vacuum_step(&self) -> Result<RemovedRows, Error> {
        let mut writer = self.begin_write_settled()?;
        let oldest = self.oldest_epoch();
        let exceptions = self.exceptions();
        let doomed: Vec<Doomed> = {
            let in_database = |source| Error::database(self.records.path(), source);
            let mut statement = writer
                .connection
                .prepare_cached(&format!(
                    "SELECT {} FROM revision r WHERE {EXPIRED} ORDER BY r.retired_epoch LIMIT ?3",
                    Doomed::COLUMNS
                ))
                .map_err(in_database)?;
            let rows = statement
                .query_map(
                    params![from_epoch(oldest), exceptions, from_size(STEP_REVISIONS)],
                    Doomed::read,
                )
                .map_err(in_database)?;
            rows.collect::<Result<_, _>>().map_err(in_database)?
        };
        let removed = self.in_transaction(&mut writer, |transaction| {
            transaction.execute(
                "DELETE FROM epoch WHERE epoch < ?1 AND epoch NOT IN (SELECT epoch FROM pin)",
                [from_epoch(oldest)],
            )?;
            remove(transaction, &doomed)
        })?;
        self.remove_from_indexes(&mut writer, &doomed)?;
        Ok(removed)
    }

    pub(super) fn in_transaction<T>(
        &self,
        writer: &mut Writer,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let connection = &mut writer.connection;
        let done = connection.transaction().and_then(|transaction| {
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        done.map_err(|source| {
            writer.is_suspect = true;
            Error::database(self.records.path(), source)
        })
    }

    /// Takes chunks that left the records out of everything that is derived from them.
    pub(super) fn remove_from_indexes(&self, writer: &mut Writer, doomed: &[Doomed]) -> Result<(), Error> {
        if doomed.is_empty() {
            return Ok(());
        }
        let removal = self.records.removal()?;
        let removed = || -> Result<(), Error> {
            for revision in doomed {
                let chunks: Vec<ChunkId> = revision.chunks.ids().collect();
                self.visibility.remove(chunks.iter().copied());
                self.terms.remove(&chunks).map_err(Error::Index)?;
            }
            self.attributes
                .remove(doomed.iter().map(|revision| revision.chunks.first));
            self.terms.commit(self.epoch(), removal).map_err(Error::Index)
        };
        writer.removal = removal;
        if let Err(error) = removed() {
            tracing::error!(error = %error, "what was vacuumed is still in the keyword index; writes stop");
            self.stop_writes(error.to_string());
            return Err(error);
        }
        self.in_transaction(writer, |transaction| {
            transaction.execute("DELETE FROM removal WHERE removal_id <= ?1", [from_number(removal)])
        })
        .map(drop)
    }

    /// Gives free pages of the database back to the file system, and empties its write-ahead log if nobody reads.
    pub(super) fn give_back(&self, cancel: &Cancel, on_progress: &mut OnProgress<'_>) -> Result<(), Error> {
        let in_database = |source| Error::database(self.records.path(), source);
        let free_pages =
            |connection: &Connection| connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
        let total = free_pages(&self.begin_write()?.connection).map_err(in_database)?;
        let mut left = total;
        while left > 0 {
            on_progress(Progress {
                stage: "giving free pages back",
                done: to_number(total - left),
                total: to_number(total),
            });
            cancel.check()?;
            let writer = self.begin_write()?;
            writer
                .connection
                .execute_batch(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))
                .map_err(in_database)?;
            let now = free_pages(&writer.connection).map_err(in_database)?;
            if now >= left {
                break;
            }
            left = now;
        }
        self.truncate_log().map(drop)
    }

    /// Empties the write-ahead log; returns whether nobody held it back.
    pub(super) fn truncate_log(&self) -> Result<bool, Error> {
        let writer = self.begin_write()?;
        self.records.close_idle();
        writer
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
            .map(|busy| busy == 0)
            .map_err(|source| Error::database(self.records.path(), source))
    }

    /// Returns the bytes of all files.
    pub(super) fn bytes_on_disk(&self) -> u64 {
        layout::bytes(&self.directory)
    }
}

/// Removes revisions with all that hangs on them, and notes the removal for the keyword index.
pub(super) fn remove(connection: &Connection, doomed: &[Doomed]) -> rusqlite::Result<RemovedRows> {
    let mut removed = RemovedRows::default();
    let execute = |sql: &str, values: &dyn rusqlite::ToSql| -> rusqlite::Result<u64> {
        Ok(connection.prepare_cached(sql)?.execute([values])? as u64)
    };
    for revision in doomed {
        let id = &revision.revision_id;
        let range = params![
            from_number(revision.chunks.first.0),
            from_number(revision.chunks.first.0 + revision.chunks.count)
        ];
        let in_range =
            |sql: &str| -> rusqlite::Result<u64> { Ok(connection.prepare_cached(sql)?.execute(range)? as u64) };
        removed.chunks += in_range("DELETE FROM chunk WHERE ?1 <= chunk_id AND chunk_id < ?2")?;
        removed.embeddings += in_range("DELETE FROM embedding WHERE ?1 <= chunk_id AND chunk_id < ?2")?;
        removed.texts += execute("DELETE FROM revision_text WHERE revision_id = ?1", id)?;
        execute("DELETE FROM revision_lapse WHERE revision_id = ?1", id)?;
        removed.revisions += execute("DELETE FROM revision WHERE revision_id = ?1", id)?;
        removed.contents += execute(
            "DELETE FROM content WHERE content_hash = ?1
             AND NOT EXISTS (SELECT 1 FROM revision r WHERE r.content_hash = ?1)",
            &revision.content_hash,
        )?;
        removed.documents += execute(
            "DELETE FROM document WHERE document_id = ?1 AND status = 'deleted'
             AND NOT EXISTS (SELECT 1 FROM revision r WHERE r.document_id = ?1)",
            &revision.document_id,
        )?;
        connection
            .prepare_cached("INSERT INTO removal (first_chunk, chunk_count) VALUES (?1, ?2)")?
            .execute(params![
                from_number(revision.chunks.first.0),
                from_number(revision.chunks.count)
            ])?;
    }
    Ok(removed)
}
