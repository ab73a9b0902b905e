//! The keyword index.
use super::{Accept, ChunkId, Epoch, Error, Language, Scored};
use std::path::Path;
/// What is indexed of a chunk.
#[derive(Debug, Clone, Copy)]
pub struct TermRow<'a> {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its document's title; empty when there is none.
    pub title: &'a str,
    /// Headings above it.
    pub headings: &'a [String],
    /// Its text.
    pub text: &'a str,
}
/// The keyword index of one knowledge base.
#[derive(Debug)]
pub struct Terms {}
/// The index as one commit left it; clones are cheap.
#[derive(Debug, Clone)]
pub struct TermsSnapshot {}
impl Terms {
    /// Opens the index in `directory`, making it when the directory is empty or absent; tells the epoch of its last commit.
    pub fn open(_directory: &Path, _language: Language) -> Result<(Self, Option<Epoch>), Error> {
        unimplemented!()
    }
    /// Wipes `directory` and makes an empty index there.
    pub fn create_anew(_directory: &Path, _language: Language) -> Result<Self, Error> {
        unimplemented!()
    }
    /// Adds a chunk; it is found after the next commit.
    pub fn add(&self, _row: &TermRow<'_>) -> Result<(), Error> {
        unimplemented!()
    }
    /// Removes chunks; they are gone after the next commit.
    pub fn remove(&self, _chunk_ids: &[ChunkId]) -> Result<(), Error> {
        unimplemented!()
    }
    /// Makes what was added and removed durable and visible, under this epoch.
    pub fn commit(&self, _epoch: Epoch) -> Result<(), Error> {
        unimplemented!()
    }
    /// Forgets what was added and removed since the last commit.
    pub fn rollback(&self) -> Result<(), Error> {
        unimplemented!()
    }
    /// Returns how many chunks the last commit holds.
    pub fn rows(&self) -> u64 {
        unimplemented!()
    }
    /// Returns the index as the last commit left it.
    pub fn snapshot(&self) -> TermsSnapshot {
        unimplemented!()
    }
}
impl TermsSnapshot {
    /// Finds the best chunks for the user's words.
    pub fn search(&self, _query: &str, _limit: usize, _accept: &Accept<'_>) -> Result<Vec<Scored>, Error> {
        unimplemented!()
    }
    /// Scores these chunks, in their order; 0 when no term matches.
    pub fn score(&self, _query: &str, _chunk_ids: &[ChunkId]) -> Result<Vec<f32>, Error> {
        unimplemented!()
    }
}
