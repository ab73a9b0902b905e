//! What people and backups want to know of the index.

use std::path::PathBuf;

use super::Vectors;
use super::manifest::{Manifest, NamedSegment};
use crate::index::{ChunkId, Error};

/// Sealed rows from which on memory is given back.
const RELEASE_ROWS: usize = 200_000;

/// How large the index is, and where its rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VectorsFigures {
    /// Number of segments.
    pub segments: usize,
    /// Rows in segments.
    pub sealed_rows: usize,
    /// Rows in memory.
    pub fresh_rows: usize,
    /// Of those, the ones that are in the graph.
    pub graphed_rows: usize,
    /// Bytes of the segments on disk.
    pub disk_bytes: u64,
    /// Bytes of the rows in memory, without the graph over them.
    pub memory_bytes: u64,
}

/// A file of the index. It never changes while it has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Vectors in it.
    pub rows: usize,
    /// CRC-32 of its header, which holds those of its parts.
    pub checksum: u32,
}

/// Something that is wrong with a file.
#[derive(Debug)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: Error,
}

impl Vectors {
    /// Returns how large the index is.
    pub fn figures(&self) -> VectorsFigures {
        let state = self.state();
        let fresh = [&state.sealing, &state.arriving];
        let fresh_rows = fresh.iter().map(|fresh| fresh.len()).sum();
        let ungraphed: usize = fresh.iter().map(|fresh| fresh.ungraphed_rows()).sum();
        VectorsFigures {
            segments: state.segments.len(),
            sealed_rows: state.sealed_rows(),
            fresh_rows,
            graphed_rows: fresh_rows - ungraphed,
            disk_bytes: state.segments.iter().map(|segment| segment.file_bytes()).sum(),
            memory_bytes: fresh.iter().map(|fresh| fresh.bytes()).sum(),
        }
    }

    /// Gives memory back to the system that a large index has mapped to score what it found, and does not need all the
    /// time. What is still wanted is mapped again in microseconds.
    pub fn release_memory(&self) {
        let state = self.state();
        if state.sealed_rows() >= RELEASE_ROWS {
            for segment in &state.segments {
                segment.release_halves();
            }
        }
    }

    /// Returns every chunk that it holds.
    pub fn held_chunks(&self) -> Vec<ChunkId> {
        let state = self.state();
        let sealed = state
            .segments
            .iter()
            .flat_map(|segment| segment.rows().ids.iter().copied());
        let fresh = [&state.sealing, &state.arriving]
            .into_iter()
            .flat_map(super::fresh::Fresh::blocks);
        sealed
            .chain(fresh.flat_map(|rows| rows.ids.iter().copied()))
            .map(ChunkId)
            .collect()
    }

    /// Returns the files of the segments, in order of chunk id.
    pub fn files(&self) -> Vec<SegmentFile> {
        let state = self.state();
        let files = state.segments.iter().map(|segment| SegmentFile {
            path: segment.path().to_owned(),
            bytes: segment.file_bytes(),
            rows: segment.len(),
            checksum: segment.checksum(),
        });
        files.collect()
    }

    /// Reads all files again and returns what is wrong with them. Upkeep waits meanwhile.
    pub fn verify(&self) -> Result<Vec<Finding>, Error> {
        let keeper = self.keeper.lock();
        let state = self.state();
        let mut findings = Vec::new();
        let mut note = |path: &std::path::Path, checked: Result<(), Error>| match checked {
            Ok(()) => Ok(()),
            Err(error) if error.wants_rebuild() => {
                let path = path.to_owned();
                findings.push(Finding { path, error });
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Some(directory) = &self.directory {
            let path = Manifest::path(directory);
            let named: Vec<_> = state.segments.iter().map(|segment| NamedSegment::of(segment)).collect();
            let checked = Manifest::read(directory, self.dimensions).and_then(|manifest| {
                if manifest == *keeper.manifest() && manifest.segments == named {
                    return Ok(());
                }
                Err(super::check::damaged(
                    &path,
                    "the manifest is another than the one in use",
                ))
            });
            note(&path, checked)?;
        }
        for segment in &state.segments {
            note(segment.path(), segment.verify())?;
        }
        Ok(findings)
    }
}
