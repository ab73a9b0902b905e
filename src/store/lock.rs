//! One process for one data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use super::Error;

/// Holds the data directory until it is dropped, or until the process ends in whatever way.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock at `path`, or says who has it.
    pub fn acquire(path: &Path) -> Result<Self, Error> {
        let in_file = |source| Error::file(path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(in_file)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // The lock decides; the text only helps people, so that an unreadable one is no error.
                let _ = file.read_to_string(&mut owner);
                return Err(Error::Locked {
                    directory: path.parent().unwrap_or(path).to_owned(),
                    owner: owner.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(in_file(source)),
        }
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "pid {}", std::process::id()));
        if let Err(error) = noted {
            tracing::warn!(path = %path.display(), %error, "cannot note who holds the lock");
        }
        Ok(Self { _file: file })
    }
}
