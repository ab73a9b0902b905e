//! The manifest: the one file that says which segments there are.
//!
//! Comes in and goes out: JSON with a checksum over its content. It is written beside itself, synced and renamed, so that
//! there is always one whole manifest; files that it does not name are what was left behind, and are swept away.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::check;
use super::segment::Segment;
use super::write::{Temporary, sync_directory};
use crate::index::{ChunkId, Epoch, Error};

const FILE: &str = "manifest.json";
/// Version of the manifest.
const FORMAT: u32 = 1;

/// What a vector index consists of on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    pub(super) dimensions: usize,
    /// Every chunk up to this one is in a segment, or no longer exists.
    pub(super) sealed_through: u64,
    /// The epoch that was given when the last rows were sealed.
    pub(super) epoch: u64,
    /// Number of the next file.
    pub(super) next_file: u64,
    /// Segments, in order of chunk id.
    pub(super) segments: Vec<NamedSegment>,
}

/// A segment as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedSegment {
    pub(super) file: String,
    pub(super) rows: usize,
    pub(super) first_chunk: u64,
    pub(super) last_chunk: u64,
    pub(super) checksum: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checked {
    checksum: u32,
    manifest: Manifest,
}

impl NamedSegment {
    pub(super) fn of(segment: &Segment) -> Self {
        let name = segment.path().file_name().unwrap_or_default();
        Self {
            file: name.to_string_lossy().into_owned(),
            rows: segment.len(),
            first_chunk: segment.first_chunk().0,
            last_chunk: segment.last_chunk().0,
            checksum: segment.checksum(),
        }
    }
}

impl Manifest {
    pub(super) fn new(dimensions: usize) -> Self {
        Self {
            format: FORMAT,
            dimensions,
            sealed_through: 0,
            epoch: Epoch(0).0,
            next_file: 1,
            segments: Vec::new(),
        }
    }

    pub(super) fn path(directory: &Path) -> PathBuf {
        directory.join(FILE)
    }

    /// Returns whether there is one.
    pub(super) fn is_in(directory: &Path) -> bool {
        Self::path(directory).is_file()
    }

    /// Returns the path of the next segment.
    pub(super) fn next_path(&mut self, directory: &Path) -> PathBuf {
        let path = directory.join(format!("segment-{:08}.vectors", self.next_file));
        self.next_file += 1;
        path
    }

    /// Reads it.
    pub(super) fn read(directory: &Path, dimensions: usize) -> Result<Self, Error> {
        let path = Self::path(directory);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoVectors {
                    path: directory.to_owned(),
                });
            }
            Err(source) => return Err(Error::io("read", &path, source)),
        };
        let damaged = |what| check::damaged(&path, what);
        let checked: Checked = serde_json::from_slice(&bytes).map_err(|_| damaged("it is no manifest"))?;
        let manifest = checked.manifest;
        if manifest.checksum() != checked.checksum {
            return Err(damaged("its checksum is wrong"));
        }
        if manifest.format != FORMAT || manifest.dimensions != dimensions {
            let describe = |format, dimensions| format!("manifest format {format} and {dimensions} dimensions");
            return Err(Error::VectorsMismatch {
                path,
                expected: describe(FORMAT, dimensions),
                found: describe(manifest.format, manifest.dimensions),
            });
        }
        let mut last = 0;
        for segment in &manifest.segments {
            let is_plain = Path::new(&segment.file)
                .file_name()
                .is_some_and(|name| name == segment.file.as_str());
            let ascends = segment.first_chunk > last || (last == 0 && segment.first_chunk == 0);
            if !is_plain || !ascends || segment.last_chunk > manifest.sealed_through {
                return Err(damaged("its segments do not follow each other"));
            }
            last = segment.last_chunk;
        }
        Ok(manifest)
    }

    /// Writes it in place of the one before.
    pub(super) fn write(&self, directory: &Path) -> Result<(), Error> {
        let path = Self::path(directory);
        let checked = Checked {
            checksum: self.checksum(),
            manifest: self.clone(),
        };
        let temporary = Temporary(path.with_extension("tmp"));
        let write = || {
            let mut file = fs::File::create(&temporary.0)?;
            file.write_all(&serde_json::to_vec_pretty(&checked)?)?;
            file.sync_all()?;
            fs::rename(&temporary.0, &path)
        };
        write().map_err(|source| Error::io("write", &path, source))?;
        sync_directory(&path)
    }

    /// Removes the files that it does not name. What cannot be removed waits for the next time.
    pub(super) fn sweep(&self, directory: &Path) -> Result<(), Error> {
        let named: HashSet<&str> = self.segments.iter().map(|segment| segment.file.as_str()).collect();
        let entries = fs::read_dir(directory).map_err(|source| Error::io("read", directory, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| Error::io("read", directory, source))?;
            let name = entry.file_name();
            if name == FILE || name.to_str().is_some_and(|name| named.contains(name)) {
                continue;
            }
            if let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!(path = %entry.path().display(), error = %error, "a left-over file cannot be removed");
            }
        }
        Ok(())
    }

    /// Opens the segments that it names.
    pub(super) fn open_segments(&self, directory: &Path) -> Result<Vec<Segment>, Error> {
        let open = |named: &NamedSegment| {
            let segment = Segment::open(&directory.join(&named.file), self.dimensions)?;
            if NamedSegment::of(&segment) == *named {
                return Ok(segment);
            }
            Err(check::damaged(
                segment.path(),
                "the file is not the one that the manifest names",
            ))
        };
        self.segments.iter().map(open).collect()
    }

    pub(super) fn sealed_through(&self) -> ChunkId {
        ChunkId(self.sealed_through)
    }

    fn checksum(&self) -> u32 {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        crc32fast::hash(&bytes)
    }
}
