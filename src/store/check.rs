//! Verifying the store, both indexes and the kept contents against each other.

use crate::index::Epoch;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: &'static str,
    /// File that it is in, below the knowledge base's directory; empty when in none.
    pub path: String,
    /// What is wrong.
    pub description: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether it was repaired.
    pub repaired: bool,
}

/// What was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Epoch that was checked.
    pub epoch: Epoch,
    /// Documents.
    pub documents: u64,
    /// Revisions, earlier ones included.
    pub revisions: u64,
    /// Chunks, retired ones included.
    pub chunks: u64,
    /// Kept contents.
    pub contents: u64,
    /// Findings in all.
    pub findings: u64,
    /// Findings that were repaired.
    pub repaired: u64,
}
