//! Removing what no retained epoch sees.

use crate::index::Epoch;

/// What a vacuum removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vacuumed {
    /// Oldest epoch that every read may name.
    pub oldest_epoch: Epoch,
    /// Revisions removed.
    pub revisions: u64,
    /// Chunks removed.
    pub chunks: u64,
    /// Kept contents removed.
    pub contents: u64,
    /// Bytes that the files became smaller by.
    pub freed_bytes: u64,
}
