//! How databases are opened and how our values look in them.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use half::f16;
use rusqlite::{Connection, OpenFlags, Transaction};

use super::Error;
use super::layout::{self, FORMAT_VERSION};
use super::migrate::VIEW_OF_STORE_2;
use crate::index::{Epoch, Lifetime};
use crate::worker::Cancel;

/// How often a long statement is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Statements that a connection keeps prepared.
const STATEMENT_CACHE: usize = 64;

/// What a database holds, and how one of an earlier format is brought up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema {
    /// Makes the tables of today's format.
    pub(super) create: &'static str,
    /// Turns the tables of an earlier format into those of the next.
    pub(super) migrate: fn(&Transaction<'_>, from: i64) -> rusqlite::Result<()>,
}

/// Makes a database with its tables, and sees to it that its name is on disk.
pub(super) fn create(path: &Path, schema: &Schema) -> Result<Connection, Error> {
    let connection = open(path, schema, true)?;
    layout::sync_names(path)?;
    Ok(connection)
}

/// Opens a database that exists for writing, and brings it to today's format if it is older.
pub(super) fn open_writer(path: &Path, schema: &Schema) -> Result<Connection, Error> {
    open(path, schema, false)
}

fn open(path: &Path, schema: &Schema, creates: bool) -> Result<Connection, Error> {
    let in_database = |source| Error::database(path, source);
    let mut connection = Connection::open(path).map_err(in_database)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(in_database)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // FULL syncs the write-ahead log at every commit: an acknowledged write survives a power cut. Deleted content is
    // overwritten with zeros, so that what was vacuumed cannot be read from the file. A database that is still empty
    // gets pages that can be given back to the file system.
    connection
        .execute_batch(
            "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
             PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;",
        )
        .map_err(in_database)?;
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(in_database)?;
    if version > FORMAT_VERSION {
        return Err(Error::NewerFormat {
            path: path.to_owned(),
            found: version,
            known: FORMAT_VERSION,
        });
    }
    if version == 0 && !creates {
        return Err(Error::Damaged {
            path: path.to_owned(),
            what: "it is missing or empty".to_owned(),
        });
    }
    if version < FORMAT_VERSION {
        let transaction = connection.transaction().map_err(in_database)?;
        if version == 0 {
            transaction.execute_batch(schema.create).map_err(in_database)?;
        }
        for from in version.max(1)..FORMAT_VERSION {
            if version > 0 {
                tracing::info!(database = %path.display(), from, to = from + 1, "migrating a database");
                (schema.migrate)(&transaction, from).map_err(in_database)?;
            }
        }
        transaction
            .pragma_update(None, "user_version", FORMAT_VERSION)
            .map_err(in_database)?;
        transaction.commit().map_err(in_database)?;
    }
    check_shape(path, &connection, schema)?;
    Ok(connection)
}

/// Fails when tables, columns or indexes are not those of the schema: a name that is damaged would fail some queries only,
/// while others go on to write.
fn check_shape(path: &Path, connection: &Connection, schema: &Schema) -> Result<(), Error> {
    let expected = Connection::open_in_memory().and_then(|expected| {
        expected.execute_batch(schema.create)?;
        shape(&expected)
    });
    let in_database = |source| Error::database(path, source);
    let (expected, found) = (expected.map_err(in_database)?, shape(connection).map_err(in_database)?);
    let Some(missing) = expected.iter().find(|name| !found.contains(name)) else {
        return Ok(());
    };
    Err(Error::Damaged {
        path: path.to_owned(),
        what: format!("it has no {missing}"),
    })
}

/// Names all columns and indexes.
fn shape(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT m.type || ' ' || m.name || coalesce('.' || c.name, '') FROM sqlite_schema m
         LEFT JOIN pragma_table_info(m.name) c WHERE m.name NOT LIKE 'sqlite_%'",
    )?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}

/// Opens a database that exists for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let in_database = |source| Error::database(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(in_database)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(in_database)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(connection)
}

/// Opens a database that lies in memory, or in a map of a file, for reading. `path` names it in messages.
pub(super) fn open_sealed(path: &Path, database: &'static [u8]) -> Result<Connection, Error> {
    let in_database = |source| Error::database(path, source);
    let mut connection = Connection::open_in_memory().map_err(in_database)?;
    connection
        .deserialize_bytes(rusqlite::MAIN_DB, database)
        .map_err(in_database)?;
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(in_database)?;
    if version == 2 {
        connection.execute_batch(VIEW_OF_STORE_2).map_err(in_database)?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(connection)
}

/// Runs a statement that takes as long as the database is large: on a thread of its own, while this one calls `tell`
/// now and then, and ends it when the caller wants no more.
pub(super) fn interruptible<T: Send>(
    path: &Path,
    connection: Connection,
    cancel: &Cancel,
    tell: &mut dyn FnMut(),
    work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send,
) -> Result<T, Error> {
    let interrupt = connection.get_interrupt_handle();
    let result = std::thread::scope(|scope| {
        let (ended, end) = mpsc::sync_channel::<()>(1);
        let work = scope.spawn(move || {
            // Dropped when the work ends, also by a panic.
            let _ended = ended;
            work(&connection)
        });
        while end.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            if cancel.check().is_err() {
                interrupt.interrupt();
            }
            tell();
        }
        work.join()
    });
    cancel.check()?;
    match result {
        Ok(result) => result.map_err(|source| Error::database(path, source)),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Writes what the log holds into the database, where the next opening finds it even if the log was removed. What cannot
/// be written now is tried again with the next write.
pub(super) fn save_log(connection: &Connection) {
    let saved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = saved {
        tracing::error!(%error, "cannot save what the log of a database holds");
    }
}

/// Compares a database's pages, tables and indexes with each other.
pub(super) fn verify_structure(path: &Path, cancel: &Cancel) -> Result<(), Error> {
    let connection = open_reader(path)?;
    let found: String = interruptible(path, connection, cancel, &mut || {}, |connection| {
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
    })?;
    if found == "ok" {
        return Ok(());
    }
    Err(Error::Damaged {
        path: path.to_owned(),
        what: format!("the database says: {found}"),
    })
}

/// Epochs are stored as signed integers; the epoch that never comes is the largest.
pub(super) fn from_epoch(epoch: Epoch) -> i64 {
    i64::try_from(epoch.0).unwrap_or(i64::MAX)
}

/// The reverse of [`from_epoch`].
pub(super) fn to_epoch(stored: i64) -> Epoch {
    if stored == i64::MAX {
        Lifetime::NEVER
    } else {
        Epoch(u64::try_from(stored).unwrap_or(0))
    }
}

/// Times are stored as milliseconds since 1970.
pub(super) fn from_time(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The reverse of [`from_time`].
pub(super) fn to_time(stored: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(stored).unwrap_or(0))
}

/// Sizes and counts fit a signed integer.
pub(super) fn from_size(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// Numbers and sizes of ours fit a signed integer.
pub(super) fn from_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The reverse of [`from_size`].
pub(super) fn to_size(stored: i64) -> usize {
    usize::try_from(stored).unwrap_or(0)
}

/// The reverse of [`from_number`].
pub(super) fn to_number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// Vectors are stored as little-endian 16-bit floats: half the bytes, and no difference in what is found.
pub(super) fn from_vector(vector: &[f32]) -> Vec<u8> {
    vector
        .iter()
        .flat_map(|component| f16::from_f32(*component).to_le_bytes())
        .collect()
}

/// The reverse of [`from_vector`].
pub(super) fn to_vector(stored: &[u8]) -> Vec<f32> {
    let (components, _) = stored.as_chunks::<2>();
    components
        .iter()
        .map(|bytes| f16::from_le_bytes(*bytes).to_f32())
        .collect()
}
