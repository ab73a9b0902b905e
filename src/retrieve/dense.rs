//! The dense leg: cosine similarity.

use crate::index::{Accepted, ChunkId, Error, Scored, Vectors, VectorsWork};

/// Returns the leg's own list, best first, and how it was made: of all accepted chunks if `exact`.
pub(super) fn list(
    vectors: &Vectors,
    embedding: &[f32],
    limit: usize,
    accepted: Accepted<'_>,
    exact: bool,
) -> Result<(Vec<Scored>, VectorsWork), Error> {
    if exact {
        return vectors.scan_accepted(embedding, limit, accepted);
    }
    vectors.search_accepted(embedding, limit, accepted)
}

/// Scores candidates of either leg, in their order; 0 where a chunk has no vector, as if it had nothing in common with the
/// query.
pub(super) fn score(vectors: &Vectors, embedding: &[f32], chunk_ids: &[ChunkId]) -> Result<Vec<f32>, Error> {
    let scores = vectors.score(embedding, chunk_ids)?;
    Ok(scores.into_iter().map(Option::unwrap_or_default).collect())
}
