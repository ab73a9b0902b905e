//! Taking a backup: a snapshot of the records, made by the database itself beside readers and writers.

use std::path::Path;
use std::time::SystemTime;

use rusqlite::Connection;
use tempfile::TempDir;

use super::pack::describe;
use super::{Archive, ArchiveKind, ArchiveModel, Manifest, STORE_ENTRY};
use crate::store::records::Records;
use crate::store::{BaseRecord, EpochStore, Error, layout, sqlite};
use crate::worker::{Cancel, OnProgress, Progress};

impl EpochStore {
    /// Takes a backup of the newest epoch with all that is kept of earlier ones. Reads and writes go on. Until the backup
    /// is dropped, its snapshot lies in `parent`, or in the knowledge base's directory.
    pub fn back_up(
        &self,
        base: &BaseRecord,
        models: Vec<ArchiveModel>,
        parent: Option<&Path>,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Archive, Error> {
        let directory = match parent {
            Some(parent) => temporary_directory(parent, ".groundwork-backup-")?,
            None => self.temporary_directory("backup-")?,
        };
        let path = directory.path().join(STORE_ENTRY);
        self.records.check_in_place()?;
        snapshot(self.records.path(), &path, cancel, on_progress)?;
        let mut manifest = Manifest::new(ArchiveKind::Backup, base.clone());
        {
            let records = Records::new(&path);
            manifest.epoch = records.epoch()?;
            manifest.oldest_epoch = records.oldest_epoch()?;
            (manifest.document_count, manifest.chunk_count) = records.counts(manifest.epoch)?;
        }
        // As it is written down, to the millisecond.
        manifest.created_at = Some(sqlite::to_time(sqlite::from_time(SystemTime::now())));
        manifest.models = models;
        let (described, file) = describe(&path, STORE_ENTRY, cancel, on_progress)?;
        manifest.files = vec![described];
        Ok(Archive::new(manifest, vec![file], directory))
    }

    /// Makes a directory for work in progress; what a killed process leaves there is swept at the next opening.
    pub(in crate::store) fn temporary_directory(&self, prefix: &str) -> Result<TempDir, Error> {
        temporary_directory(&layout::temporary(&self.directory), prefix)
    }
}

fn temporary_directory(parent: &Path, prefix: &str) -> Result<TempDir, Error> {
    let in_parent = |source| Error::file(parent, source);
    std::fs::create_dir_all(parent).map_err(in_parent)?;
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(parent)
        .map_err(in_parent)
}

/// Writes one state of a database into a new file.
fn snapshot(from: &Path, to: &Path, cancel: &Cancel, on_progress: &mut OnProgress<'_>) -> Result<(), Error> {
    let connection = sqlite::open_reader(from)?;
    // The copy takes this over: without it, its pages hold stale rows that an erasure would not see.
    connection
        .execute_batch("PRAGMA secure_delete=ON")
        .map_err(|source| Error::database(from, source))?;
    let total = size(&connection).map_err(|source| Error::database(from, source))?;
    let mut tell = || {
        on_progress(Progress {
            stage: "taking a snapshot",
            done: to.metadata().map_or(0, |file| file.len()).min(total),
            total,
        });
    };
    sqlite::interruptible(from, connection, cancel, &mut tell, |connection| {
        connection.execute("VACUUM INTO ?1", [to.to_string_lossy()])
    })
    .map(drop)
}

fn size(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let pages = pragma("PRAGMA page_count")? - pragma("PRAGMA freelist_count")?;
    Ok(sqlite::to_number(pages * pragma("PRAGMA page_size")?))
}
