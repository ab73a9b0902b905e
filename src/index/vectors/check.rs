//! Reads a segment once, from end to end, and says whether every byte is as written and every link leads to a row.
//!
//! The file is read and not looked at through the map: what is mapped and touched counts as this process's memory.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::Path;

use super::build::MAX_LEVEL;
use super::format::{ALIGNMENT, HEADER_BYTES, Header, NoHeader, Section};
use super::walk::NO_LINK;
use crate::index::Error;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1 << 20;

pub(super) fn damaged(path: &Path, what: &'static str) -> Error {
    Error::VectorsDamaged {
        path: path.to_owned(),
        what,
    }
}

/// What cannot be read because it is not there, or too short, is damaged: the index can be made again.
pub(super) fn unreadable(path: &Path, source: std::io::Error) -> Error {
    match source.kind() {
        std::io::ErrorKind::NotFound => damaged(path, "the file is missing"),
        std::io::ErrorKind::UnexpectedEof => damaged(path, "the file is too short"),
        _ => Error::io("read", path, source),
    }
}

/// Checks the part of a file that is a segment.
pub(super) fn check(path: &Path, mut file: &File, within: Range<u64>, dimensions: usize) -> Result<Header, Error> {
    let unreadable = |source| unreadable(path, source);
    if !within.start.is_multiple_of(ALIGNMENT) {
        return Err(damaged(path, "the segment does not begin at a multiple of 64 bytes"));
    }
    let mut bytes = [0; HEADER_BYTES];
    file.seek(SeekFrom::Start(within.start)).map_err(unreadable)?;
    file.read_exact(&mut bytes).map_err(unreadable)?;
    let header = Header::from_bytes(&bytes, dimensions).map_err(|error| match error {
        NoHeader::Damaged(what) => damaged(path, what),
        NoHeader::Other { expected, found } => Error::VectorsMismatch {
            path: path.to_owned(),
            expected,
            found,
        },
    })?;
    if header.file_bytes() != within.end.saturating_sub(within.start) {
        return Err(damaged(path, "the file is longer or shorter than its header says"));
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    for (section, expected) in Section::ALL.into_iter().zip(header.checksums) {
        let content = header.section(section);
        let content_bytes = content.end - content.start;
        let mut left = content_bytes.next_multiple_of(ALIGNMENT);
        let mut content_left = content_bytes as usize;
        let mut checksum = crc32fast::Hasher::new();
        let mut bounds = Bounds::new(section, &header);
        while left > 0 {
            let part = &mut buffer[..left.min(BUFFER_BYTES as u64) as usize];
            file.read_exact(part).map_err(unreadable)?;
            checksum.update(part);
            let content = &part[..content_left.min(part.len())];
            if !bounds.hold(content) {
                return Err(damaged(path, bounds.what()));
            }
            left -= part.len() as u64;
            content_left -= content.len();
        }
        if checksum.finalize() != expected {
            return Err(damaged(path, "a checksum is wrong"));
        }
        if !bounds.hold_in_the_end() {
            return Err(damaged(path, bounds.what()));
        }
    }
    Ok(header)
}

/// What the numbers of a section have to keep to.
struct Bounds {
    section: Section,
    rows: u32,
    blocks: u32,
    last: Option<u64>,
}

impl Bounds {
    fn new(section: Section, header: &Header) -> Self {
        Self {
            section,
            rows: header.rows,
            blocks: header.blocks,
            last: None,
        }
    }

    fn what(&self) -> &'static str {
        match self.section {
            Section::Ids => "chunk ids do not ascend",
            Section::Fits => "a scale is no number",
            Section::Starts => "the places of upper links do not ascend to their number",
            Section::Codes | Section::Halves | Section::Base | Section::Upper => "a link leads to no row",
        }
    }

    fn hold(&mut self, content: &[u8]) -> bool {
        match self.section {
            Section::Ids => content
                .as_chunks()
                .0
                .iter()
                .all(|id| self.ascends(u64::from_le_bytes(*id))),
            Section::Fits => numbers(content).all(|bits| f32::from_bits(bits).is_finite()),
            Section::Base | Section::Upper => numbers(content).all(|link| link < self.rows || link == NO_LINK),
            Section::Starts => numbers(content).all(|start| self.follows(start)),
            Section::Codes | Section::Halves => true,
        }
    }

    fn hold_in_the_end(&self) -> bool {
        self.section != Section::Starts || self.last == Some(u64::from(self.blocks))
    }

    fn ascends(&mut self, id: u64) -> bool {
        let last = self.last.replace(id);
        last.is_none_or(|last| last < id)
    }

    fn follows(&mut self, start: u32) -> bool {
        let start = u64::from(start);
        match self.last.replace(start) {
            None => start == 0,
            Some(last) => (last..=last + MAX_LEVEL as u64).contains(&start),
        }
    }
}

fn numbers(content: &[u8]) -> impl Iterator<Item = u32> {
    content.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
}
