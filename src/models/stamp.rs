//! Remembers which files were verified, so that a start does not read them all again.
//!
//! Comes in: a directory and pinned hashes. Goes out: for each file whether it is the pinned one.
//! Always holds: a file whose size or time of change differs from the stamp is hashed anew.
//! Not here: where files come from.
//!
//! The stamp is `stamp.json` beside the files: for each name the size in bytes, the time of change in nanoseconds
//! since 1970, the SHA-256, and for files that we made what they were made from; and where the files are, if elsewhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Error;

/// Name of the stamp's file.
const STAMP: &str = "stamp.json";
/// Form of the stamp; another one is as good as none.
const FORMAT: u32 = 1;
/// Bytes that are read at a time.
pub(super) const BUFFER_BYTES: usize = 1 << 20;

/// What became of checking a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// It is the pinned file.
    Verified {
        /// Its SHA-256, in lowercase hexadecimal.
        sha256: String,
    },
    /// There is no such file.
    Missing,
    /// It is another file.
    Damaged {
        /// The SHA-256 that it has.
        found: String,
        /// The SHA-256 that it should have.
        expected: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    size: u64,
    modified_ns: u64,
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_from: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    format: u32,
    /// Where the files are, if not beside the stamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    files: BTreeMap<String, Entry>,
}

/// The stamp of one directory.
#[derive(Debug)]
pub(super) struct Stamp<'a> {
    /// Where the files are.
    files: &'a Path,
    /// Where the stamp is kept.
    kept_in: &'a Path,
    record: Record,
    changed: bool,
}

impl<'a> Stamp<'a> {
    /// Reads the stamp that `kept_in` has for the files of `files`; without one, or with one that cannot be read,
    /// every file is hashed.
    pub(super) fn read(files: &'a Path, kept_in: &'a Path) -> Self {
        let record = std::fs::read(kept_in.join(STAMP))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok())
            .filter(|record| record.format == FORMAT)
            .unwrap_or_default();
        Self {
            files,
            kept_in,
            record,
            changed: false,
        }
    }

    /// Checks a file against the pinned hash; a file without one is checked against what the stamp remembers.
    /// `rehash` reads it whatever the stamp says.
    pub(super) fn check(&mut self, name: &str, pinned: Option<&str>, rehash: bool) -> Result<FileState, Error> {
        let path = self.files.join(name);
        let (size, modified_ns) = match size_and_time(&path) {
            Ok(known) => known,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(FileState::Missing),
            Err(source) => return Err(Error::io("read", &path)(source)),
        };
        let remembered = self.record.files.get(name);
        let unchanged = remembered.is_some_and(|entry| entry.size == size && entry.modified_ns == modified_ns);
        let sha256 = match remembered {
            Some(entry) if unchanged && !rehash => entry.sha256.clone(),
            _ => hash_file(&path).map_err(Error::io("read", &path))?,
        };
        let expected = pinned
            .or(remembered.map(|entry| entry.sha256.as_str()))
            .unwrap_or(&sha256)
            .to_owned();
        if sha256 != expected {
            return Ok(FileState::Damaged {
                found: sha256,
                expected,
            });
        }
        if !unchanged {
            let made_from = remembered.and_then(|entry| entry.made_from.clone());
            let sha256 = sha256.clone();
            self.insert(
                name,
                Entry {
                    size,
                    modified_ns,
                    sha256,
                    made_from,
                },
            );
        }
        Ok(FileState::Verified { sha256 })
    }

    /// Returns where its files are, if not beside it.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.record.directory.as_deref().map(Path::new)
    }

    /// Returns what a file of ours was made from.
    pub(super) fn made_from(&self, name: &str) -> Option<&str> {
        self.record.files.get(name)?.made_from.as_deref()
    }

    /// Remembers a file that has just been written with this hash.
    pub(super) fn remember(&mut self, name: &str, sha256: String, made_from: Option<String>) -> Result<(), Error> {
        let path = self.files.join(name);
        let (size, modified_ns) = size_and_time(&path).map_err(Error::io("read", &path))?;
        self.insert(
            name,
            Entry {
                size,
                modified_ns,
                sha256,
                made_from,
            },
        );
        Ok(())
    }

    /// Forgets a file, so that another one may take its name.
    pub(super) fn forget(&mut self, name: &str) {
        self.changed |= self.record.files.remove(name).is_some();
    }

    /// Writes the stamp if it has changed, and makes its directory.
    pub(super) fn save(&mut self) -> Result<(), Error> {
        if !self.changed {
            return Ok(());
        }
        self.record.format = FORMAT;
        if self.files != self.kept_in {
            self.record.directory = self.files.to_str().map(str::to_owned);
        }
        std::fs::create_dir_all(self.kept_in).map_err(Error::io("create", self.kept_in))?;
        let path = self.kept_in.join(STAMP);
        let json = serde_json::to_vec_pretty(&self.record)
            .map_err(std::io::Error::from)
            .map_err(Error::io("write", &path))?;
        write_atomically(&path, &json)?;
        self.changed = false;
        Ok(())
    }

    fn insert(&mut self, name: &str, entry: Entry) {
        self.record.files.insert(name.to_owned(), entry);
        self.changed = true;
    }
}

/// Writes a file beside its target, syncs it, and renames it over the target.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(directory)
        .map_err(Error::io("write into", directory))?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    persist(file, path)
}

/// Syncs a temporary file and renames it to its target.
pub(super) fn persist(file: tempfile::NamedTempFile, path: &Path) -> Result<(), Error> {
    file.as_file().sync_all().map_err(Error::io("write", path))?;
    make_readable(file.as_file()).map_err(Error::io("write", path))?;
    file.persist(path)
        .map_err(|error| Error::io("write", path)(error.error))?;
    // The name survives a power cut only once its directory is synced too; not every system can do that.
    if let Some(directory) = path.parent()
        && let Ok(directory) = File::open(directory)
    {
        let _ = directory.sync_all();
    }
    Ok(())
}

/// Temporary files are for their owner only; models may be shared.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &File) -> std::io::Result<()> {
    Ok(())
}

/// Returns the SHA-256 of a file.
pub(super) fn hash_file(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut hasher = Sha256::new();
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

/// Returns the SHA-256 of these bytes.
pub(super) fn hash_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Writes bytes in lowercase hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn size_and_time(path: &Path) -> std::io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((metadata.len(), modified.as_nanos() as u64))
}
