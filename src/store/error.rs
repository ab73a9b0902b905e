//! Why the store cannot do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

use crate::index::Epoch;
use crate::worker::Stopped;

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
    #[error("the database {} is damaged: {what}; restore it from a backup, and its -wal with it", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Commits that the indexes saw are no longer in the records.
    #[error(
        "{} has lost commits: it ends with epoch {epoch}, and an index has seen epoch {seen}. Put back the file and its -wal, or restore the knowledge base from a backup. To go on without what was lost, remove the directories terms and vectors beside it",
        path.display()
    )]
    LostCommits {
        /// The database.
        path: PathBuf,
        /// Its last epoch.
        epoch: Epoch,
        /// The last epoch that an index has.
        seen: Epoch,
    },
    /// A database is no longer the file that was opened.
    #[error(
        "{} was removed or replaced while the server had it open, so that what is written now would be lost; stop the server, and put the file back or restore from a backup",
        path.display()
    )]
    Replaced {
        /// The database.
        path: PathBuf,
    },
    /// The write-ahead log of a database is no longer the file that was opened.
    #[error(
        "{} was removed or replaced while the server had it open; what it held is written into the database, and writes are refused until the server is started again",
        path.display()
    )]
    LogReplaced {
        /// The log.
        path: PathBuf,
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
    /// An epoch is still to come.
    #[error("epoch {epoch} is not published yet (now {published})")]
    NotPublished {
        /// The epoch that was asked for.
        epoch: Epoch,
        /// The published one.
        published: Epoch,
    },
    /// An epoch is no longer kept.
    #[error("epoch {epoch} is no longer kept; {oldest} is the oldest that is, beside pinned ones")]
    NotRetained {
        /// The epoch that was asked for.
        epoch: Epoch,
        /// The oldest that every read may name.
        oldest: Epoch,
    },
    /// A time lies before all epochs that are kept.
    #[error("nothing is kept of that time; the oldest epoch that is kept is {oldest}, beside pinned ones")]
    TimeNotRetained {
        /// The oldest that every read may name.
        oldest: Epoch,
    },
    /// A pin's name stands for another epoch.
    #[error("the pin `{name}` stands for epoch {epoch}; unpin it first, or take another name")]
    PinNameTaken {
        /// The name.
        name: String,
        /// What it stands for.
        epoch: Epoch,
    },
    /// There is no pin of this name.
    #[error("there is no pin `{name}`")]
    UnknownPin {
        /// The name.
        name: String,
    },
    /// A pinned epoch sees what is to be erased.
    #[error("the pinned epochs {} see what is to be erased; unpin them, or include pinned epochs", pins.join(", "))]
    Pinned {
        /// Names of the pins with their epochs.
        pins: Vec<String>,
    },
    /// An archive is not what it should be.
    #[error(transparent)]
    Refused(#[from] super::archive::Refusal),
    /// The bytes of an archive do not come.
    #[error("the archive cannot be read to its end")]
    ArchiveUnreadable {
        /// Why.
        source: io::Error,
    },
    /// It is served from a bundle.
    #[error("the knowledge base is served from a sealed bundle, which never changes")]
    ReadOnly,
    /// A bundle was made by another version of the program.
    #[error("the bundle {} holds a store of format {found}, this program reads {known}; make it again", path.display())]
    OtherFormat {
        /// The bundle.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The one that is read.
        known: i64,
    },
    /// The caller wants no more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A worker of the knowledge base died.
    #[error("writes are refused until the server is started again, because a worker died ({cause}); reads go on")]
    Halted {
        /// What happened.
        cause: String,
    },
    /// A library of the index panicked.
    #[error("an index of the knowledge base panicked ({message}); reads go on, and the next write tries to mend it")]
    Panicked {
        /// What it said.
        message: String,
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

    pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panicked {
            message: message.unwrap_or_else(|| "without a message".to_owned()),
        }
    }

    pub(super) fn database(path: &Path, source: rusqlite::Error) -> Self {
        if is_damage(&source) {
            let what = match &source {
                // What it is about matters, the whole query does not.
                rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
                other => crate::worker::with_causes(other),
            };
            return Self::Damaged {
                path: path.to_owned(),
                what,
            };
        }
        Self::Database {
            path: path.to_owned(),
            source,
        }
    }
}

/// Returns whether an error of a database means that its file is not what was written.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::{Error, ErrorCode};
    match error {
        // Rows of ours have the types that we gave them, so that a value of another is damage.
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..)
        // Our queries fit our tables, so that a name which is not there is damage of the schema.
        | Error::SqlInputError { .. } => true,
        Error::SqliteFailure(failure, _) if failure.extended_code == rusqlite::ffi::SQLITE_ERROR => true,
        _ => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        ),
    }
}
