//! Both legs, fused.
use super::{LegScore, Query};
use crate::index::{Accept, ChunkId, Error, TermsSnapshot, Vectors};
/// The two indexes that a query is put to.
#[derive(Debug, Clone, Copy)]
pub struct Legs<'a> {
    /// The keyword leg.
    pub terms: &'a TermsSnapshot,
    /// The dense leg.
    pub vectors: &'a Vectors,
}
/// A chunk that fits the query, by its scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// What candidates are ordered by.
    pub score: f64,
    /// The keyword leg's part, if it took part.
    pub bm25: Option<LegScore>,
    /// The dense leg's part, if it took part.
    pub cosine: Option<LegScore>,
}
/// Finds the best chunks, best first. `accepted` is how many chunks `accept` lets through.
pub fn search(
    _legs: &Legs<'_>,
    _query: &Query,
    _embedding: Option<&[f32]>,
    _accept: &Accept<'_>,
    _accepted: usize,
) -> Result<Vec<Candidate>, Error> {
    unimplemented!()
}
