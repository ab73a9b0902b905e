//! The file of a segment: written once, never changed, used as it lies.
//!
//! ```text
//!       0  header, 256 bytes
//!            0  magic "gwvector"            8  format version      12  dimensions
//!           16  rows, n                    20  links, M            24  highest level
//!           28  entry row                  32  longest row (f32)   36  blocks of upper links, b
//!           40  for each of the sections: offset (u64), length (u64), CRC-32 (u32), 0 (u32)
//!          208  zeros                     252  CRC-32 of the header before this
//!     256  chunk ids       n x u64, ascending
//!          codes           n x dimensions x i8
//!          fits            n x (scale f32, error f32)
//!          halves          n x dimensions x f16
//!          lowest links    n x 2M x u32; u32::MAX where there is no further one
//!          upper starts    (n + 1) x u32: the upper levels of row i are the blocks starts[i]..starts[i + 1]
//!          upper links     b x M x u32, from level 1 up; u32::MAX as above
//! ```
//!
//! Numbers are little-endian. Each section begins at a multiple of 64 and is filled with zeros up to the next one; its
//! checksum covers them too, so that no bit of the file can change unseen. Offsets and lengths follow from n, b and the
//! dimensions; a file that says otherwise is damaged.

use std::ops::Range;

use super::build::MAX_LEVEL;
use super::walk::{BASE_LINKS, M, MAX_ROWS};

#[cfg(target_endian = "big")]
compile_error!("segments are mapped as they lie, in little-endian order");

const MAGIC: [u8; 8] = *b"gwvector";
/// Version of the format.
pub(super) const VERSION: u32 = 1;
/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 256;
/// Sections begin at multiples of this, as long as cache lines.
pub(super) const ALIGNMENT: u64 = 64;
/// Largest dimension of a vector.
pub(super) const MAX_DIMENSIONS: usize = 1 << 16;
/// Number of sections.
pub(super) const SECTIONS: usize = 7;

/// A part of the file, in the order in which they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Ids,
    Codes,
    Fits,
    Halves,
    Base,
    Starts,
    Upper,
}

impl Section {
    pub(super) const ALL: [Self; SECTIONS] = [
        Self::Ids,
        Self::Codes,
        Self::Fits,
        Self::Halves,
        Self::Base,
        Self::Starts,
        Self::Upper,
    ];
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Header {
    pub(super) dimensions: u32,
    pub(super) rows: u32,
    pub(super) max_level: u32,
    pub(super) entry: u32,
    pub(super) max_norm: f32,
    pub(super) blocks: u32,
    pub(super) checksums: [u32; SECTIONS],
}

/// Why bytes are no header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// It was made by another version or with other settings.
    Other { expected: String, found: String },
    /// It is not what was written.
    Damaged(&'static str),
}

impl Header {
    /// Returns where the bytes of a section lie, without the zeros behind them.
    pub(super) fn section(&self, section: Section) -> Range<u64> {
        let [rows, dimensions, blocks] = [self.rows, self.dimensions, self.blocks].map(u64::from);
        let lengths = [
            rows * 8,
            rows * dimensions,
            rows * 8,
            rows * dimensions * 2,
            rows * BASE_LINKS as u64 * 4,
            (rows + 1) * 4,
            blocks * M as u64 * 4,
        ];
        let mut start = HEADER_BYTES as u64;
        for length in &lengths[..section as usize] {
            start = (start + length).next_multiple_of(ALIGNMENT);
        }
        start..start + lengths[section as usize]
    }

    /// Returns the length of the file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.section(Section::Upper).end.next_multiple_of(ALIGNMENT)
    }

    /// Writes it as bytes.
    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(&MAGIC);
        for number in [
            VERSION,
            self.dimensions,
            self.rows,
            M as u32,
            self.max_level,
            self.entry,
            self.max_norm.to_bits(),
            self.blocks,
        ] {
            put(&number.to_le_bytes());
        }
        for (section, checksum) in Section::ALL.into_iter().zip(self.checksums) {
            let range = self.section(section);
            put(&range.start.to_le_bytes());
            put(&(range.end - range.start).to_le_bytes());
            put(&checksum.to_le_bytes());
            put(&[0; 4]);
        }
        let (content, checksum) = bytes.split_at_mut(HEADER_BYTES - 4);
        checksum.copy_from_slice(&crc32fast::hash(content).to_le_bytes());
        bytes
    }

    /// Reads it, and checks that everything in it fits together.
    pub(super) fn from_bytes(bytes: &[u8; HEADER_BYTES], dimensions: usize) -> Result<Self, NoHeader> {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let damaged = |what| Err(NoHeader::Damaged(what));
        if bytes[..8] != MAGIC {
            return damaged("the file is no segment");
        }
        if number(HEADER_BYTES - 4) != crc32fast::hash(&bytes[..HEADER_BYTES - 4]) {
            return damaged("the header's checksum is wrong");
        }
        if number(8) != VERSION || number(20) != M as u32 {
            return Err(NoHeader::Other {
                expected: format!("format {VERSION} with {M} links"),
                found: format!("format {} with {} links", number(8), number(20)),
            });
        }
        if number(12) as usize != dimensions {
            return Err(NoHeader::Other {
                expected: format!("{dimensions} dimensions"),
                found: format!("{} dimensions", number(12)),
            });
        }
        let mut header = Self {
            dimensions: number(12),
            rows: number(16),
            max_level: number(24),
            entry: number(28),
            max_norm: f32::from_bits(number(32)),
            blocks: number(36),
            checksums: [0; SECTIONS],
        };
        let rows = header.rows as usize;
        let fits = (1..=MAX_ROWS).contains(&rows)
            && (1..=MAX_DIMENSIONS).contains(&dimensions)
            && header.entry < header.rows
            && header.max_level as usize <= MAX_LEVEL
            && header.blocks as usize <= rows.saturating_mul(MAX_LEVEL)
            && header.max_norm.is_finite();
        if !fits {
            return damaged("the header's numbers do not fit together");
        }
        for (at, checksum) in header.checksums.iter_mut().enumerate() {
            *checksum = number(40 + at * 24 + 16);
        }
        if header.to_bytes() != *bytes {
            return damaged("the header's sections do not fit its numbers");
        }
        Ok(header)
    }

    /// Returns the number that stands for the whole file: the checksum of its header, which holds all the others.
    pub(super) fn checksum(self) -> u32 {
        let bytes = self.to_bytes();
        u32::from_le_bytes([bytes[252], bytes[253], bytes[254], bytes[255]])
    }
}
