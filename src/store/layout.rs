//! Every path below the data directory, and the version of its format.
//!
//! ```text
//! data directory/
//!   groundwork.lock              held by the one process that has it open; names its pid
//!   catalog.sqlite               names and settings of knowledge bases; a row here is what makes one exist
//!   knowledge-bases/
//!     <id>/
//!       store.sqlite             the record of truth: epochs, documents, revisions, texts, contents, chunks, vectors
//!       terms/                   keyword index, derived
//!       vectors/                 vector index, derived: a manifest, and sealed segments with their graphs
//!       unfinished               only while it is created or deleted
//!       tmp/                     backups in the making; swept when it is opened
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};

use super::Error;

/// Version of the databases' tables. A database of a newer version is refused.
pub(super) const FORMAT_VERSION: i64 = 3;
/// The oldest format of a bundle that is read as it is.
pub(super) const OLDEST_BUNDLE_FORMAT: i64 = 2;

/// Paths of a data directory.
#[derive(Debug, Clone)]
pub struct Layout(PathBuf);

impl Layout {
    /// Returns the paths below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// Returns the data directory.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Returns the lock file.
    pub fn lock(&self) -> PathBuf {
        self.0.join("groundwork.lock")
    }

    /// Returns the catalog database.
    pub fn catalog(&self) -> PathBuf {
        self.0.join("catalog.sqlite")
    }

    /// Returns the directory of all knowledge bases.
    pub fn knowledge_bases(&self) -> PathBuf {
        self.0.join("knowledge-bases")
    }

    /// Returns the directory of one knowledge base.
    pub fn knowledge_base(&self, id: &str) -> PathBuf {
        self.knowledge_bases().join(id)
    }
}

/// Returns the record of truth in a knowledge base's directory.
pub(super) fn records(directory: &Path) -> PathBuf {
    directory.join("store.sqlite")
}

/// Returns the keyword index in a knowledge base's directory.
pub(super) fn terms(directory: &Path) -> PathBuf {
    directory.join("terms")
}

/// Returns the vector index in a knowledge base's directory.
pub(super) fn vectors(directory: &Path) -> PathBuf {
    directory.join("vectors")
}

/// Returns where work in progress lies in a knowledge base's directory.
pub(super) fn temporary(directory: &Path) -> PathBuf {
    directory.join("tmp")
}

/// Returns all files below a directory, sorted. What cannot be read is left out.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(_) => found.push(entry.path()),
                Err(_) => {}
            }
        }
    }
    found.sort();
    found
}

/// Returns the bytes of all files below a directory.
pub(super) fn bytes(directory: &Path) -> u64 {
    let files = files(directory);
    files
        .iter()
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.len())
        .sum()
}

/// Returns the mark of a directory whose creation or deletion is under way.
pub(super) fn unfinished(directory: &Path) -> PathBuf {
    directory.join("unfinished")
}

/// Brings the name of a file or directory to disk: a file that is synced may still be lost with its name.
pub(super) fn sync_names(path: &Path) -> Result<(), Error> {
    if cfg!(unix)
        && let Some(directory) = path.parent()
    {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|source| Error::file(directory, source))?;
    }
    Ok(())
}
