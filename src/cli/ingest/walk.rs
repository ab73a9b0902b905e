//! Paths to the files that are to be ingested, each with the document id it gets.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Extensions that are taken from a directory. A file that is named itself is taken whatever its name is.
pub(super) const EXTENSIONS: [&str; 6] = ["txt", "md", "markdown", "html", "htm", "pdf"];

/// A file that becomes a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Id of the document.
    pub(super) id: String,
    /// Its name below the path that was given.
    pub(super) name: String,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its size when it was found.
    pub(super) bytes: u64,
}

/// Something that cannot be ingested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// Id that its document would have.
    pub(super) id: String,
    pub(super) reason: String,
}

/// What was found, ordered by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) files: Vec<File>,
    pub(super) unreadable: Vec<Unreadable>,
}

/// Two files would become the same document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} and {} would both become document `{id}`: ingest a directory above both, or one after the other with --prefix",
    first.display(), second.display()
)]
pub(super) struct SameId {
    id: String,
    first: PathBuf,
    second: PathBuf,
}

/// Finds the files at and below `paths`. Hidden entries are skipped, links to directories are not followed.
pub(super) fn walk(paths: &[PathBuf], prefix: &str) -> Result<Found, SameId> {
    let mut walk = Walk {
        prefix,
        files: BTreeMap::new(),
        unreadable: Vec::new(),
    };
    for path in paths {
        walk.root(path)?;
    }
    Ok(Found {
        files: walk.files.into_values().collect(),
        unreadable: walk.unreadable,
    })
}

struct Walk<'a> {
    prefix: &'a str,
    files: BTreeMap<String, File>,
    unreadable: Vec<Unreadable>,
}

impl Walk<'_> {
    fn root(&mut self, path: &Path) -> Result<(), SameId> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.directory(path),
            Ok(metadata) if metadata.is_file() => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                self.file(path, Path::new(name), metadata.len())
            }
            Ok(_) => {
                self.refuse_root(path, "neither a file nor a directory");
                Ok(())
            }
            Err(error) => {
                self.refuse_root(path, &reason(&error));
                Ok(())
            }
        }
    }

    fn directory(&mut self, root: &Path) -> Result<(), SameId> {
        // A list of its own in place of recursion: no depth of directories can exhaust the stack.
        let mut waiting = vec![root.to_owned()];
        while let Some(directory) = waiting.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) => {
                    self.refuse_directory(root, &directory, &error);
                    continue;
                }
            };
            for entry in entries {
                match entry {
                    Ok(entry) if is_hidden(&entry.file_name()) => {}
                    Ok(entry) => self.entry(root, &entry, &mut waiting)?,
                    Err(error) => self.refuse_directory(root, &directory, &error),
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, root: &Path, entry: &fs::DirEntry, waiting: &mut Vec<PathBuf>) -> Result<(), SameId> {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path);
        let file_type = match entry.file_type() {
            Ok(file_type) => file_type,
            Err(error) => {
                self.refuse(name, reason(&error));
                return Ok(());
            }
        };
        if file_type.is_dir() {
            waiting.push(path);
            return Ok(());
        }
        if !is_known(&path) {
            return Ok(());
        }
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => self.file(&path, name, metadata.len()),
            // A pipe, a device, or a link to a directory: not a document, whatever its name.
            Ok(_) => Ok(()),
            Err(error) => {
                self.refuse(name, reason(&error));
                Ok(())
            }
        }
    }

    fn file(&mut self, path: &Path, name: &Path, bytes: u64) -> Result<(), SameId> {
        let parts: Option<Vec<&str>> = name.iter().map(OsStr::to_str).collect();
        let Some(parts) = parts else {
            self.refuse(
                name,
                "its name is not valid UTF-8, so it cannot be a document id".to_owned(),
            );
            return Ok(());
        };
        let name = parts.join("/");
        let file = File {
            id: format!("{}{name}", self.prefix),
            name,
            path: path.to_owned(),
            bytes,
        };
        match self.files.get(&file.id) {
            // The same path twice is no harm.
            Some(other) if other.path != file.path => Err(SameId {
                id: file.id,
                first: other.path.clone(),
                second: file.path,
            }),
            _ => {
                self.files.insert(file.id.clone(), file);
                Ok(())
            }
        }
    }

    /// Refuses a path that was given: its id alone may not tell which it is.
    fn refuse_root(&mut self, path: &Path, reason: &str) {
        let name = path.file_name().map_or(path, Path::new);
        self.refuse(name, format!("{}: {reason}", path.display()));
    }

    fn refuse_directory(&mut self, root: &Path, directory: &Path, error: &io::Error) {
        match directory.strip_prefix(root) {
            Ok(below) if below != Path::new("") => self.refuse(below, reason(error)),
            _ => self.refuse_root(root, &reason(error)),
        }
    }

    /// Refuses what is at `name` below the path that was given.
    fn refuse(&mut self, name: &Path, reason: String) {
        let parts: Vec<_> = name.iter().map(OsStr::to_string_lossy).collect();
        self.unreadable.push(Unreadable {
            id: format!("{}{}", self.prefix, parts.join("/")),
            reason,
        });
    }
}

/// Returns why a file cannot be read, without the number that the system gives it.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().first() == Some(&b'.')
}

fn is_known(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}
