//! The bytes of an archive to files, each checked before the next is begun.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::ops::Range;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::manifest::{MANIFEST_ENTRY, MAX_MANIFEST_BYTES};
use super::tar::{self, BLOCK};
use super::{ArchiveFile, ArchiveKind, Manifest, Refusal};
use crate::document::hex;
use crate::store::Error;
use crate::worker::{Cancel, OnProgress, Progress};

/// Bytes that are read and written at once.
const READ_BYTES: usize = 256 << 10;

/// An archive whose manifest is read and verified; the files are still to come.
pub struct ArchiveReader<'a> {
    source: &'a mut dyn Read,
    manifest: Manifest,
    /// Where the first file begins.
    position: u64,
}

impl std::fmt::Debug for ArchiveReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveReader")
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

impl<'a> ArchiveReader<'a> {
    /// Reads the manifest of an archive of this kind.
    pub fn open(source: &'a mut dyn Read, kind: ArchiveKind) -> Result<Self, Error> {
        let foreign = |what: &str| Refusal::Foreign {
            kind: kind.noun(),
            what: what.to_owned(),
        };
        let mut header = [0; BLOCK];
        let read = fill(source, &mut header)?;
        if read == 0 {
            return Err(foreign("it is empty").into());
        }
        let size = match tar::size_of(&header, MANIFEST_ENTRY) {
            Some(size) if read == BLOCK => size,
            _ => return Err(foreign("it does not begin with manifest.json").into()),
        };
        if size > MAX_MANIFEST_BYTES {
            let what = format!("it has {size} bytes, at most {MAX_MANIFEST_BYTES} are read");
            return Err(Refusal::Manifest { what }.into());
        }
        let mut bytes = vec![0; size as usize];
        whole(source, &mut bytes, MANIFEST_ENTRY)?;
        padding(source, size, MANIFEST_ENTRY)?;
        let manifest = Manifest::parse(&bytes, kind)?;
        let position = (BLOCK + bytes.len() + tar::padding(size)) as u64;
        Ok(Self {
            source,
            manifest,
            position,
        })
    }

    /// Returns what the archive says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Writes the files below `directory`, synced, and returns the manifest. Fails when one is not what the manifest
    /// says, or does not fit the disk; what was written by then stays for the caller to remove.
    pub fn unpack(
        self,
        directory: &Path,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Manifest, Error> {
        let Self { source, manifest, .. } = self;
        let total = manifest.byte_size();
        let free = fs4::available_space(directory).map_err(|source| Error::file(directory, source))?;
        if total > free {
            return Err(Refusal::NoRoom { needed: total, free }.into());
        }
        let mut done = 0;
        for file in &manifest.files {
            let path = directory.join(&file.path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(|source| Error::file(parent, source))?;
            }
            let mut on_bytes = |bytes: u64| {
                done += bytes;
                on_progress(Progress {
                    stage: "unpacking the archive",
                    done,
                    total,
                });
            };
            let in_file = |source| Error::file(&path, source);
            let mut written = File::create_new(&path).map_err(in_file)?;
            entry(source, file, cancel, &mut |bytes| {
                on_bytes(bytes.len() as u64);
                written.write_all(bytes).map_err(in_file)
            })?;
            written.sync_all().map_err(in_file)?;
        }
        end(source)?;
        Ok(manifest)
    }

    /// Verifies the whole archive, and returns the manifest with the places of the files in the archive, in their order.
    pub fn verify(self, cancel: &Cancel) -> Result<(Manifest, Vec<Range<u64>>), Error> {
        let Self {
            source,
            manifest,
            position: mut at,
        } = self;
        let mut places = Vec::with_capacity(manifest.files.len());
        for file in &manifest.files {
            entry(source, file, cancel, &mut |_| Ok(()))?;
            let start = at + BLOCK as u64;
            let end = start + file.byte_size;
            at = end + tar::padding(file.byte_size) as u64;
            places.push(start..end);
        }
        end(source)?;
        Ok((manifest, places))
    }
}

/// Reads one entry with its header and padding; `take` gets its bytes before they are known to be right.
fn entry(
    source: &mut dyn Read,
    file: &ArchiveFile,
    cancel: &Cancel,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut header = [0; BLOCK];
    whole(source, &mut header, &file.path)?;
    if header != tar::header(&file.path, file.byte_size) {
        return Err(Refusal::Misplaced {
            expected: file.path.clone(),
            found: tar::name_in(&header),
        }
        .into());
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut left = file.byte_size;
    while left > 0 {
        cancel.check()?;
        let wanted = READ_BYTES.min(usize::try_from(left).unwrap_or(READ_BYTES));
        let read = fill(source, &mut buffer[..wanted])?;
        if read < wanted {
            return Err(cut_short(&file.path, left - read as u64));
        }
        hash.update(&buffer[..read]);
        take(&buffer[..read])?;
        left -= read as u64;
    }
    let found = hex(&hash.finalize());
    if found != file.sha256 {
        return Err(Refusal::WrongHash {
            entry: file.path.clone(),
            expected: file.sha256.clone(),
            found,
        }
        .into());
    }
    padding(source, file.byte_size, &file.path)
}

/// Reads the zeros that end an archive, and that nothing follows.
fn end(source: &mut dyn Read) -> Result<(), Error> {
    let mut zeros = tar::END;
    whole(source, &mut zeros, "its end")?;
    if zeros != tar::END {
        return Err(Refusal::GoesOn.into());
    }
    match fill(source, &mut [0])? {
        0 => Ok(()),
        _ => Err(Refusal::GoesOn.into()),
    }
}

fn padding(source: &mut dyn Read, size: u64, entry: &str) -> Result<(), Error> {
    let mut zeros = [0; BLOCK];
    let zeros = &mut zeros[..tar::padding(size)];
    whole(source, zeros, entry)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(Refusal::Padding {
            entry: entry.to_owned(),
        }
        .into());
    }
    Ok(())
}

fn whole(source: &mut dyn Read, buffer: &mut [u8], entry: &str) -> Result<(), Error> {
    let read = fill(source, buffer)?;
    if read < buffer.len() {
        return Err(cut_short(entry, (buffer.len() - read) as u64));
    }
    Ok(())
}

/// Reads until the buffer is full or the source ends.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, Error> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::ArchiveUnreadable { source }),
        }
    }
    Ok(filled)
}

fn cut_short(entry: &str, missing: u64) -> Error {
    Refusal::CutShort {
        entry: entry.to_owned(),
        missing,
    }
    .into()
}
