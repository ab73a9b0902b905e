//! Files to the bytes of an archive.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::manifest::MANIFEST_ENTRY;
use super::{ArchiveFile, Manifest, tar};
use crate::document::hex;
use crate::store::Error;
use crate::worker::{Cancel, OnProgress, Progress};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// An archive that is ready: its manifest, and its bytes to read. The files that they come from are gone when it is
/// dropped.
pub struct Archive {
    manifest: Manifest,
    packed: Packed,
    _directory: TempDir,
}

impl Archive {
    /// Seals the manifest, which names `files` in their order. They lie in `directory`.
    pub(in crate::store) fn new(mut manifest: Manifest, files: Vec<File>, directory: TempDir) -> Self {
        let packed = Packed::new(&mut manifest, files);
        Self {
            manifest,
            packed,
            _directory: directory,
        }
    }

    /// Returns what the archive says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.packed.read(buffer)
    }
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

/// The bytes of an archive, in order.
struct Packed(VecDeque<Box<dyn Read + Send>>);

impl Packed {
    /// Seals the manifest, which names `files` in their order.
    fn new(manifest: &mut Manifest, files: Vec<File>) -> Self {
        let record = manifest.seal();
        let size = record.len() as u64;
        let mut packed = Self(VecDeque::new());
        packed.push(MANIFEST_ENTRY, size, Box::new(Cursor::new(record)));
        for (file, opened) in manifest.files.iter().zip(files) {
            let content = Whole {
                file: opened,
                left: file.byte_size,
            };
            packed.push(&file.path, file.byte_size, Box::new(content));
        }
        packed.0.push_back(Box::new(Cursor::new(tar::END)));
        packed
    }

    fn push(&mut self, name: &str, size: u64, content: Box<dyn Read + Send>) {
        self.0.push_back(Box::new(Cursor::new(tar::header(name, size))));
        self.0.push_back(content);
        self.0
            .push_back(Box::new(io::repeat(0).take(tar::padding(size) as u64)));
    }
}

impl Read for Packed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(source) = self.0.front_mut() {
            let read = source.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.0.pop_front();
        }
        Ok(0)
    }
}

/// The whole of a file, whose size was promised.
struct Whole {
    file: File,
    left: u64,
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..wanted])?;
        if read == 0 && wanted > 0 {
            let message = format!("a file of the archive became {} bytes shorter", self.left);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// Describes a file for a manifest, and opens it for the archive.
pub(in crate::store) fn describe(
    path: &Path,
    name: &str,
    cancel: &Cancel,
    on_progress: &mut OnProgress<'_>,
) -> Result<(ArchiveFile, File), Error> {
    let in_file = |source| Error::file(path, source);
    let mut file = File::open(path).map_err(in_file)?;
    let total = file.metadata().map_err(in_file)?.len();
    let mut hash = Sha256::new();
    let mut done = 0;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        cancel.check()?;
        on_progress(Progress {
            stage: "hashing the archive",
            done,
            total,
        });
        let read = file.read(&mut buffer).map_err(in_file)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        done += read as u64;
    }
    let described = ArchiveFile {
        path: name.to_owned(),
        byte_size: done,
        sha256: hex(&hash.finalize()),
    };
    Ok((described, File::open(path).map_err(in_file)?))
}
