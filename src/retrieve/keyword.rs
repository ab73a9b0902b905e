//! The keyword leg: BM25 lists chunks, and what was listed is ordered by how well passages hold the words.

use crate::index::{Accepted, AskedTerms, ChunkId, Error, PassageScore, TermsWork};

/// Returns the chunks that the leg lists by BM25, and how the list was made.
pub(super) fn list(
    terms: &AskedTerms<'_>,
    limit: usize,
    accepted: Accepted<'_>,
) -> Result<(Vec<ChunkId>, TermsWork), Error> {
    let (listed, work) = terms.list(limit, accepted)?;
    Ok((listed.into_iter().map(|scored| scored.chunk_id).collect(), work))
}

/// Scores candidates of either leg, in their order; 0 where no term matches.
pub(super) fn score(terms: &AskedTerms<'_>, chunk_ids: &[ChunkId]) -> Result<Vec<f32>, Error> {
    let passages = terms.passages(chunk_ids)?;
    Ok(passages.into_iter().map(PassageScore::total).collect())
}
