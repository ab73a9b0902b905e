//! A sealed segment: rows and their graph in one mapped file.
//!
//! Always holds: an open segment was read whole and found right, so that nothing in it leads outside of it.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use memmap2::Mmap;

use super::check;
use super::format::{Header, Section};
use super::quantize::Query;
use super::rows::{HalvesFile, Rows};
use super::walk::{Graph, Links, Scratch};
use crate::index::{ChunkId, Error};

/// Rows from which on halves are read and not mapped. Tests read some too.
const READ_ROWS: usize = if cfg!(test) { 1_000 } else { 200_000 };

/// One file of rows with their graph.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    /// The file, and where the segment begins in it.
    file: (File, u64),
    map: Mmap,
    header: Header,
    parts: Parts,
}

/// Where each section lies in the map.
#[derive(Debug)]
struct Parts {
    ids: Range<usize>,
    codes: Range<usize>,
    fits: Range<usize>,
    halves: Range<usize>,
    base: Range<usize>,
    starts: Range<usize>,
    upper: Range<usize>,
}

impl Segment {
    /// Opens a file that is a segment.
    pub(super) fn open(path: &Path, dimensions: usize) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| check::unreadable(path, source))?;
        let length = file.metadata().map_err(|source| check::unreadable(path, source))?.len();
        Self::open_within(path, &file, 0..length, dimensions)
    }

    /// Opens a part of a file that is a segment.
    pub(super) fn open_within(path: &Path, file: &File, within: Range<u64>, dimensions: usize) -> Result<Self, Error> {
        let header = check::check(path, file, within.clone(), dimensions)?;
        let map = map(file, &within).map_err(|source| Error::io("map", path, source))?;
        let part = |section| {
            let range = header.section(section);
            range.start as usize..range.end as usize
        };
        let parts = Parts {
            ids: part(Section::Ids),
            codes: part(Section::Codes),
            fits: part(Section::Fits),
            halves: part(Section::Halves),
            base: part(Section::Base),
            starts: part(Section::Starts),
            upper: part(Section::Upper),
        };
        let file = file
            .try_clone()
            .map_err(|source| Error::io("keep open", path, source))?;
        Ok(Self {
            path: path.to_owned(),
            file: (file, within.start),
            map,
            header,
            parts,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> usize {
        self.header.rows as usize
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.header.file_bytes()
    }

    pub(super) fn checksum(&self) -> u32 {
        self.header.checksum()
    }

    pub(super) fn first_chunk(&self) -> ChunkId {
        self.rows().chunk_id(0)
    }

    pub(super) fn last_chunk(&self) -> ChunkId {
        self.rows().chunk_id(self.len() - 1)
    }

    pub(super) fn rows(&self) -> Rows<'_> {
        Rows {
            dimensions: self.header.dimensions as usize,
            ids: self.part(&self.parts.ids),
            codes: self.part(&self.parts.codes),
            fits: self.part(&self.parts.fits),
            halves: self.part(&self.parts.halves),
            halves_file: (self.len() >= READ_ROWS).then(|| HalvesFile {
                file: &self.file.0,
                start: self.file.1 + self.parts.halves.start as u64,
            }),
            max_norm: self.header.max_norm,
        }
    }

    pub(super) fn links(&self) -> Links<'_> {
        Links {
            base: self.part(&self.parts.base),
            starts: self.part(&self.parts.starts),
            upper: self.part(&self.parts.upper),
            entry: self.header.entry,
            max_level: self.header.max_level as usize,
        }
    }

    fn graph(&self) -> Graph<'_> {
        let rows = self.rows();
        Graph {
            dimensions: rows.dimensions,
            codes: rows.codes,
            fits: rows.fits,
            links: self.links(),
        }
    }

    /// Leaves the `ef` rows nearest to the query in `scratch.nearest`, by estimate.
    pub(super) fn walk(&self, query: &Query<'_>, ef: usize, scratch: &mut Scratch) {
        let graph = self.graph();
        let start = graph.descend(&query.codes, 0, scratch);
        graph.walk(&query.codes, 0, start, ef, scratch);
    }

    /// Leaves the `ef` accepted rows nearest to the query in `scratch.nearest`; gives up, and says so, after `budget` rows.
    pub(super) fn walk_accepted(
        &self,
        query: &Query<'_>,
        ef: usize,
        accept: &dyn Fn(u32) -> bool,
        budget: usize,
        scratch: &mut Scratch,
    ) -> bool {
        let graph = self.graph();
        let start = graph.descend(&query.codes, 0, scratch);
        graph.walk_accepted(&query.codes, start, ef, accept, budget, scratch)
    }

    /// Gives the memory of the vectors that scores are made from back to the system, which keeps what it likes of them in
    /// its cache.
    #[expect(unsafe_code, reason = "the system is told of a range of a map")]
    pub(super) fn release_halves(&self) {
        let range = &self.parts.halves;
        // SAFETY: the map is of a file that never changes, so that a page which is dropped is read again as it was.
        let released = unsafe {
            self.map
                .unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
        };
        if let Err(error) = released {
            tracing::debug!(%error, "the system does not take memory back");
        }
    }

    /// Reads the file again and checks it.
    pub(super) fn verify(&self) -> Result<(), Error> {
        let again = Self::open(&self.path, self.header.dimensions as usize)?;
        if again.header == self.header {
            return Ok(());
        }
        Err(check::damaged(&self.path, "the file is another than the one in use"))
    }

    /// Returns where the sections lie in the file.
    #[cfg(test)]
    pub(super) fn section_ranges(&self) -> Vec<Range<usize>> {
        let range = |section| self.header.section(section);
        let range = |section| range(section).start as usize..range(section).end as usize;
        Section::ALL.into_iter().map(range).collect()
    }

    fn part<T: Pod>(&self, range: &Range<usize>) -> &[T] {
        // Sections begin at multiples of 64 in a map that begins at one, and have as many bytes as whole numbers take.
        bytemuck::cast_slice(&self.map[range.clone()])
    }
}

#[expect(unsafe_code, reason = "a file is mapped")]
fn map(file: &File, within: &Range<u64>) -> std::io::Result<Mmap> {
    let mut options = memmap2::MmapOptions::new();
    options.offset(within.start).len((within.end - within.start) as usize);
    // SAFETY: segments are written once, under a name of their own, and only ever unlinked; nobody changes a file while
    // it is mapped. The data directory belongs to this process alone.
    unsafe { options.map(file) }
}
