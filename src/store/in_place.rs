//! Whether a database is still the files that were opened: what is written to files that somebody removed or replaced
//! is lost with the process, and what comes from files in their place is another's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::Error;

/// Which file a name stands for.
type Identity = (u64, u64);

/// The files of an open database.
#[derive(Debug)]
pub(super) struct InPlace {
    path: PathBuf,
    database: Option<Identity>,
    /// The write-ahead log, once there is one. It stays the same file as long as the database is open.
    log: (PathBuf, Mutex<Option<Identity>>),
}

impl InPlace {
    /// Notes the files of a database that was just opened.
    pub(super) fn new(path: &Path) -> Self {
        let mut log = OsString::from(path);
        log.push("-wal");
        let log = PathBuf::from(log);
        Self {
            path: path.to_owned(),
            database: identity(path),
            log: (log, Mutex::default()),
        }
    }

    /// Fails when a name stands for another file than the one that was opened, or for none.
    pub(super) fn check(&self) -> Result<(), Error> {
        if identity(&self.path) != self.database {
            return Err(Error::Replaced {
                path: self.path.clone(),
            });
        }
        let (path, noted) = &self.log;
        let (mut noted, found) = (noted.lock(), identity(path));
        if noted.is_some() && *noted != found {
            return Err(Error::LogReplaced { path: path.clone() });
        }
        *noted = found;
        Ok(())
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    let file = path.metadata().ok()?;
    Some((file.dev(), file.ino()))
}

/// All files that exist look alike here.
#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    path.is_file().then_some((0, 0))
}
