//! The keyword leg: BM25.

use crate::index::{Accept, ChunkId, Error, Scored, TermsSnapshot};

/// Returns the leg's own list, best first.
pub(super) fn list(terms: &TermsSnapshot, text: &str, limit: usize, accept: &Accept<'_>) -> Result<Vec<Scored>, Error> {
    terms.search(text, limit, accept)
}

/// Scores candidates that the other leg found; 0 where no term matches.
pub(super) fn complete(terms: &TermsSnapshot, text: &str, chunk_ids: &[ChunkId]) -> Result<Vec<f32>, Error> {
    if chunk_ids.is_empty() {
        return Ok(Vec::new());
    }
    terms.score(text, chunk_ids)
}
