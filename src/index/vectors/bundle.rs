//! An index in one file that is only read: for bundles that are handed on.

use std::fs::File;
use std::ops::{ControlFlow, Range};
use std::path::Path;

use super::manifest::Manifest;
use super::segment::Segment;
use super::upkeep::Progress;
use super::write::Gathered;
use super::{SegmentFile, Vectors, check};
use crate::index::{Accept, Error};

impl Vectors {
    /// Writes the rows that `keep` lets through as one segment to `path`, on `threads` threads. Says nothing of a file
    /// when there are no such rows, or when `pause` ended it.
    pub fn write_bundle(
        &self,
        path: &Path,
        keep: &Accept<'_>,
        threads: usize,
        pause: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Option<SegmentFile>, Error> {
        let state = self.state();
        let mut gathered = Gathered::default();
        for segment in &state.segments {
            gathered.add(segment.rows(), Some(segment.links()), keep);
        }
        for fresh in [&state.sealing, &state.arriving] {
            for rows in fresh.blocks() {
                gathered.add(rows, None, keep);
            }
        }
        let total = gathered.len();
        if total == 0 {
            return Ok(None);
        }
        let mut step = |done| pause(Progress { done, total });
        let header = gathered.write(path, self.dimensions, threads, &mut step)?;
        Ok(header.map(|header| SegmentFile {
            path: path.to_owned(),
            bytes: header.file_bytes(),
            rows: total,
            checksum: header.checksum(),
        }))
    }

    /// Returns the index of a bundle without vectors.
    pub fn empty_bundle(dimensions: usize) -> Self {
        Self::with(None, Vec::new(), Manifest::new(dimensions))
    }

    /// Opens the segment that lies in these bytes of a file, at a multiple of 64, for searching only.
    pub fn open_bundle(path: &Path, bytes: Range<u64>, dimensions: usize) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| check::unreadable(path, source))?;
        let segment = Segment::open_within(path, &file, bytes, dimensions)?;
        let mut manifest = Manifest::new(dimensions);
        manifest.sealed_through = segment.last_chunk().0;
        Ok(Self::with(None, vec![segment], manifest))
    }
}
