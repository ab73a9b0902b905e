//! Reading epochs and pins.

use std::collections::BTreeMap;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{ChunkRange, Error, Records};
use crate::index::Epoch;
use crate::store::history::EpochInfo;
use crate::store::sqlite::{from_epoch, from_number, from_size, from_time, to_epoch, to_number, to_time};

/// Key of the oldest epoch that every read may name.
pub(in crate::store) const OLDEST_EPOCH: &str = "oldest_epoch";

/// Reads a number that the store keeps about itself; 0 when it never wrote it.
pub(in crate::store) fn state(connection: &Connection, key: &str) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT value FROM state WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

const COLUMNS: &str = "e.epoch, e.committed_at, e.cause, e.document_count, e.chunk_count";

fn epoch_info(row: &Row<'_>) -> rusqlite::Result<EpochInfo> {
    Ok(EpochInfo {
        epoch: to_epoch(row.get(0)?),
        committed_at: to_time(row.get(1)?),
        cause: row.get(2)?,
        document_count: to_number(row.get(3)?),
        chunk_count: to_number(row.get(4)?),
        pins: Vec::new(),
    })
}

impl Records {
    /// Returns the last committed epoch.
    pub(in crate::store) fn epoch(&self) -> Result<Epoch, Error> {
        self.read(|connection| {
            connection.query_row("SELECT coalesce(max(epoch), 0) FROM epoch", [], |row| {
                Ok(to_epoch(row.get(0)?))
            })
        })
    }

    /// Returns the oldest epoch that every read may name.
    pub(in crate::store) fn oldest_epoch(&self) -> Result<Epoch, Error> {
        self.read(|connection| state(connection, OLDEST_EPOCH).map(to_epoch))
    }

    /// Returns all pins by name.
    pub(in crate::store) fn pins(&self) -> Result<BTreeMap<String, Epoch>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT name, epoch FROM pin")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, to_epoch(row.get(1)?))))?;
            rows.collect()
        })
    }

    /// Counts the documents and chunks that an epoch sees.
    pub(in crate::store) fn counts(&self, epoch: Epoch) -> Result<(u64, u64), Error> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT document_count, chunk_count FROM epoch WHERE epoch = ?1")?
                .query_row([from_epoch(epoch)], |row| {
                    Ok((to_number(row.get(0)?), to_number(row.get(1)?)))
                })
                .optional()
                .map(Option::unwrap_or_default)
        })
    }

    /// Lists up to `limit` epochs below `below`, newest first: those of `only`, or else all from `oldest` on and those
    /// of `also`. The pins are left out.
    pub(in crate::store) fn epochs(
        &self,
        below: Epoch,
        limit: usize,
        wanted: impl Fn(Epoch) -> bool,
    ) -> Result<Vec<EpochInfo>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM epoch e WHERE e.epoch < ?1 ORDER BY e.epoch DESC"
            ))?;
            let mut rows = statement.query([from_epoch(below)])?;
            let mut found = Vec::new();
            while found.len() < limit
                && let Some(row) = rows.next()?
            {
                if wanted(to_epoch(row.get(0)?)) {
                    found.push(epoch_info(row)?);
                }
            }
            Ok(found)
        })
    }

    /// Returns one epoch.
    pub(in crate::store) fn epoch_info(&self, epoch: Epoch) -> Result<Option<EpochInfo>, Error> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM epoch e WHERE e.epoch = ?1"))?
                .query_row([from_epoch(epoch)], epoch_info)
                .optional()
        })
    }

    /// Returns the newest epoch up to `until` that was committed at `time` or before.
    pub(in crate::store) fn epoch_at(&self, time: SystemTime, until: Epoch) -> Result<Option<Epoch>, Error> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT epoch FROM epoch WHERE epoch <= ?1 AND committed_at <= ?2 ORDER BY epoch DESC LIMIT ?3",
                )?
                .query_row(params![from_epoch(until), from_time(time), from_size(1)], |row| {
                    Ok(to_epoch(row.get(0)?))
                })
                .optional()
        })
    }

    /// Returns the number of the last removal.
    pub(in crate::store) fn removal(&self) -> Result<u64, Error> {
        self.read(|connection| {
            connection.query_row(
                "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'removal'",
                [],
                |row| Ok(to_number(row.get(0)?)),
            )
        })
    }

    /// Calls `each` for the chunks of every removal after `after`, in order.
    pub(in crate::store) fn removals(
        &self,
        after: u64,
        mut each: impl FnMut(ChunkRange) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let ranges: Vec<ChunkRange> = self.read(|connection| {
            let mut statement = connection
                .prepare("SELECT first_chunk, chunk_count FROM removal WHERE removal_id > ?1 ORDER BY removal_id")?;
            let rows = statement.query_map([from_number(after)], |row| ChunkRange::read(row, 0))?;
            rows.collect()
        })?;
        ranges.into_iter().try_for_each(&mut each)
    }
}
