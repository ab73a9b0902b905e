//! The keyword leg: BM25 lists chunks, and what was listed is ordered by how well passages hold the words.

use crate::index::{Accepted, ChunkId, Error, PassageScore, TermsSnapshot, TermsWork};

/// Returns the chunks that the leg lists by BM25, and how the list was made.
pub(super) fn list(
    terms: &TermsSnapshot,
    text: &str,
    limit: usize,
    accepted: Accepted<'_>,
) -> Result<(Vec<ChunkId>, TermsWork), Error> {
    let (listed, work) = terms.search_accepted(text, limit, accepted)?;
    Ok((listed.into_iter().map(|scored| scored.chunk_id).collect(), work))
}

/// Scores candidates of either leg, in their order; 0 where no term matches.
pub(super) fn score(terms: &TermsSnapshot, text: &str, chunk_ids: &[ChunkId]) -> Result<Vec<f32>, Error> {
    let passages = terms.passages(text, chunk_ids)?;
    Ok(passages.into_iter().map(PassageScore::total).collect())
}
