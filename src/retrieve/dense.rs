//! The dense leg: cosine similarity.

use crate::index::{Accept, ChunkId, Error, Scored, Vectors};

/// Returns the leg's own list, best first. `accepted` is how many chunks `accept` lets through.
pub(super) fn list(
    vectors: &Vectors,
    embedding: &[f32],
    limit: usize,
    accept: &Accept<'_>,
    accepted: usize,
) -> Result<Vec<Scored>, Error> {
    vectors.search(embedding, limit, accept, accepted)
}

/// Scores candidates of either leg, in their order; 0 where a chunk has no vector, as if it had nothing in common with the
/// query.
pub(super) fn score(vectors: &Vectors, embedding: &[f32], chunk_ids: &[ChunkId]) -> Result<Vec<f32>, Error> {
    let scores = vectors.score(embedding, chunk_ids)?;
    Ok(scores.into_iter().map(Option::unwrap_or_default).collect())
}
