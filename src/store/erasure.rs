//! Removing every trace of documents, and looking for what is left.

use crate::index::Epoch;

/// What was removed from one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasedPlace {
    /// The place.
    pub place: &'static str,
    /// Entries removed from it.
    pub count: u64,
}

/// What an erasure removed, or would remove.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erasure {
    /// Epoch that no longer sees the documents.
    pub epoch: Epoch,
    /// Documents erased.
    pub documents: u64,
    /// Counts for each place.
    pub places: Vec<ErasedPlace>,
    /// Ids that no retained revision has.
    pub not_found: Vec<String>,
}

/// Something that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remainder {
    /// The place.
    pub place: &'static str,
    /// The file, below the knowledge base's directory; empty for tables.
    pub path: String,
    /// Byte offset in the file, or number of the entry in the table.
    pub offset: u64,
    /// What was found, without its words.
    pub description: String,
    /// Another document that holds the same words and so explains them.
    pub also_in: Option<String>,
}

/// What one place was searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchedPlace {
    /// The place.
    pub place: &'static str,
    /// Entries that were looked at.
    pub entries: u64,
    /// Bytes that were looked at.
    pub bytes: u64,
}

/// Certifies that nothing is left, or names what is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificate {
    /// Epoch that was searched.
    pub epoch: Epoch,
    /// What was searched.
    pub searched: Vec<SearchedPlace>,
    /// What is left, up to [`MAX_REMAINDERS`].
    pub remainders: Vec<Remainder>,
    /// Fingerprints that were looked for.
    pub fingerprints: u64,
}

impl Certificate {
    /// Returns whether nothing is left that no other document explains.
    pub fn is_erased(&self) -> bool {
        self.remainders.iter().all(|remainder| remainder.also_in.is_some())
    }
}

/// Most remainders that a certificate names.
pub const MAX_REMAINDERS: usize = 1_000;
