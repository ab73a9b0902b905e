//! Makes a segment of rows that lie elsewhere: gathers them, builds their graph, writes the file.
//!
//! Always holds: a file is written under another name, synced, and renamed; what fails leaves no file.

use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::build::Builder;
use super::format::{ALIGNMENT, HEADER_BYTES, Header, SECTIONS, Section};
use super::quantize::norm;
use super::rows::Rows;
use super::walk::{Links, MAX_ROWS};
use crate::index::{ChunkId, Error};

/// Rows of some sources, in order of chunk id.
#[derive(Debug, Default)]
pub(super) struct Gathered<'a> {
    sources: Vec<Rows<'a>>,
    /// Source and row.
    picked: Vec<(u32, u32)>,
    ids: Vec<u64>,
    /// Links over the first rows, if they are all rows of the first source.
    links: Option<Links<'a>>,
}

impl<'a> Gathered<'a> {
    /// Adds those rows of a source that are wanted; they come after all that are there. The links of the first source
    /// are built upon if none of its rows is left out.
    pub(super) fn add(&mut self, rows: Rows<'a>, links: Option<Links<'a>>, keep: &dyn Fn(ChunkId) -> bool) {
        let source = self.sources.len() as u32;
        let kept = (0..rows.len()).filter(|row| keep(rows.chunk_id(*row)));
        self.picked.extend(kept.map(|row| (source, row as u32)));
        if source == 0 && self.picked.len() == rows.len() {
            self.links = links;
        }
        let start = self.ids.len();
        let new = &self.picked[start..];
        self.ids.extend(new.iter().map(|(_, row)| rows.ids[*row as usize]));
        self.sources.push(rows);
    }

    pub(super) fn len(&self) -> usize {
        self.picked.len()
    }

    fn rows(&self) -> impl Iterator<Item = (Rows<'a>, usize)> {
        let picked = self.picked.iter();
        picked.map(|(source, row)| (self.sources[*source as usize], *row as usize))
    }

    /// Builds the graph and writes all of it to `path`. Says nothing of a file when `pause` ended it.
    pub(super) fn write(
        &self,
        path: &Path,
        dimensions: usize,
        threads: usize,
        pause: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Header>, Error> {
        if self.len() > MAX_ROWS {
            return Err(Error::TooManyVectors { limit: MAX_ROWS });
        }
        let mut codes = Vec::with_capacity(self.len() * dimensions);
        let mut fits = Vec::with_capacity(self.len());
        for (rows, row) in self.rows() {
            codes.extend_from_slice(rows.codes(row));
            fits.push(rows.fits[row]);
        }
        let mut builder = Builder::new(dimensions, &self.ids, codes, fits);
        if let Some(links) = self.links {
            builder.extend(links);
        }
        if builder.run(threads, pause).is_break() {
            return Ok(None);
        }
        let temporary = Temporary(path.with_extension("tmp"));
        let header = self
            .write_sections(&temporary.0, dimensions, &builder)
            .map_err(|source| Error::io("write", path, source))?;
        std::fs::rename(&temporary.0, path).map_err(|source| Error::io("rename", &temporary.0, source))?;
        sync_directory(path)?;
        Ok(Some(header))
    }

    fn write_sections(&self, path: &Path, dimensions: usize, builder: &Builder) -> std::io::Result<Header> {
        let file = File::create(path)?;
        let mut out = Summed::new(BufWriter::with_capacity(1 << 20, file));
        out.out.write_all(&[0; HEADER_BYTES])?;
        let mut checksums = [0; SECTIONS];
        let mut vector = vec![0.0; dimensions];
        let mut max_norm = 0.0_f32;
        for (section, checksum) in Section::ALL.into_iter().zip(&mut checksums) {
            match section {
                Section::Ids => out.put(bytemuck::cast_slice(&self.ids))?,
                Section::Codes => out.put(bytemuck::cast_slice(&builder.codes))?,
                Section::Fits => out.put(bytemuck::cast_slice(&builder.fits))?,
                Section::Halves => {
                    for (rows, row) in self.rows() {
                        let halves = rows.halves(row);
                        super::quantize::widen(halves, &mut vector);
                        max_norm = max_norm.max(norm(&vector));
                        out.put(bytemuck::cast_slice(halves))?;
                    }
                }
                Section::Base => out.put(bytemuck::cast_slice(&builder.base))?,
                Section::Starts => out.put(bytemuck::cast_slice(&builder.starts))?,
                Section::Upper => out.put(bytemuck::cast_slice(&builder.upper))?,
            }
            *checksum = out.end_section()?;
        }
        let header = Header {
            dimensions: dimensions as u32,
            rows: self.len() as u32,
            max_level: builder.max_level as u32,
            entry: builder.entry,
            max_norm,
            blocks: builder.starts.last().copied().unwrap_or_default(),
            checksums,
        };
        let mut file = out.out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header.to_bytes())?;
        file.sync_all()?;
        Ok(header)
    }
}

/// A file that is removed unless it got another name.
pub(super) struct Temporary(pub(super) PathBuf);

impl Temporary {
    /// Leaves the file where it is.
    pub(super) fn keep(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.0.as_os_str().is_empty() {
            return;
        }
        // It has another name where all went well. What cannot be removed, the next opening sweeps.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Makes a new name in the directory of `path` last.
pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|source| Error::io("sync", directory, source))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Counts and sums up what is written.
struct Summed<W> {
    out: W,
    written: u64,
    checksum: crc32fast::Hasher,
}

impl<W: Write> Summed<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            written: 0,
            checksum: crc32fast::Hasher::new(),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.out.write_all(bytes)?;
        self.checksum.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Fills the section up and returns its checksum.
    fn end_section(&mut self) -> std::io::Result<u32> {
        let fill = self.written.next_multiple_of(ALIGNMENT) - self.written;
        self.put(&[0; ALIGNMENT as usize][..fill as usize])?;
        Ok(std::mem::take(&mut self.checksum).finalize())
    }
}
