//! The keyword leg: BM25.

use crate::index::{Accepted, ChunkId, Error, Scored, TermsSnapshot, TermsWork};

/// Returns the leg's own list, best first, and how it was made.
pub(super) fn list(
    terms: &TermsSnapshot,
    text: &str,
    limit: usize,
    accepted: Accepted<'_>,
) -> Result<(Vec<Scored>, TermsWork), Error> {
    terms.search_accepted(text, limit, accepted)
}

/// Scores candidates that the other leg found; 0 where no term matches.
pub(super) fn complete(terms: &TermsSnapshot, text: &str, chunk_ids: &[ChunkId]) -> Result<Vec<f32>, Error> {
    if chunk_ids.is_empty() {
        return Ok(Vec::new());
    }
    terms.score(text, chunk_ids)
}
