//! Why the store cannot do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the data directory.
    #[error("the data directory {} is in use by another process ({owner}); stop it, or use another directory", directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// What the lock file says of the owner.
        owner: String,
    },
    /// A file cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A database fails.
    #[error("the database {} fails", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A database was written by a newer program.
    #[error("{} has format {found}, this program reads up to {known}; use a newer program", path.display())]
    NewerFormat {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that is read.
        known: i64,
    },
    /// A record does not have the form that it must have.
    #[error("the database {} holds a damaged record: {what}; restore it from a copy", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A derived index fails.
    #[error("an index of the knowledge base fails; reads go on, and the next write tries to mend it")]
    Index(#[source] crate::index::Error),
    /// An earlier failure stopped all writes.
    #[error(
        "writes are refused while the indexes cannot follow the records ({cause}); reads go on, and the next write tries again"
    )]
    Poisoned {
        /// The earlier failure.
        cause: String,
    },
    /// The knowledge base was removed.
    #[error("the knowledge base was deleted")]
    Removed,
}

impl Error {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn database(path: &Path, source: rusqlite::Error) -> Self {
        Self::Database {
            path: path.to_owned(),
            source,
        }
    }
}
