//! A query to the best chunks of both legs.

use std::collections::BTreeMap;

use super::fusion::{self, Both, Listed};
use super::{LegScore, Query, SearchType, dense, keyword};
use crate::index::{Accepted, ChunkId, Error, TermsSnapshot, TermsWork, Vectors, VectorsWork};

/// Least that each leg lists under [`SearchType::Hybrid`]: what one leg ranks low, the other may lift.
const MIN_LISTED: usize = 100;

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
    /// What candidates are ordered by: the fused score, or the score of the only leg.
    pub score: f64,
    /// The keyword leg's part, if it took part.
    pub bm25: Option<LegScore>,
    /// The dense leg's part, if it took part.
    pub cosine: Option<LegScore>,
}

/// What each leg did for a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LegsWork {
    /// The keyword leg.
    pub terms: TermsWork,
    /// The dense leg.
    pub vectors: VectorsWork,
}

/// Finds the best of the accepted chunks, best first, equal ones by chunk id, and tells how.
///
/// `embedding` is that of the query's text; only [`SearchType::Keyword`] does without.
pub fn search(
    legs: &Legs<'_>,
    query: &Query,
    embedding: Option<&[f32]>,
    accepted: Accepted<'_>,
) -> Result<(Vec<Candidate>, LegsWork), Error> {
    let embedding = || embedding.ok_or(Error::NoEmbedding);
    let mut work = LegsWork::default();
    let mut candidates = match query.search_type {
        SearchType::Hybrid => hybrid(legs, query, embedding()?, accepted, &mut work)?,
        SearchType::Semantic => {
            let list;
            (list, work.vectors) = dense::list(legs.vectors, embedding()?, query.limit, accepted, query.exact)?;
            fusion::dense_only(&list)
        }
        SearchType::Keyword => {
            let list;
            (list, work.terms) = keyword::list(legs.terms, &query.text, query.limit, accepted)?;
            fusion::keyword_only(&list)
        }
    };
    candidates.truncate(query.limit);
    if let Some(threshold) = query.score_threshold {
        candidates.retain(|candidate| candidate.score >= threshold);
    }
    Ok((candidates, work))
}

fn hybrid(
    legs: &Legs<'_>,
    query: &Query,
    embedding: &[f32],
    accepted: Accepted<'_>,
    work: &mut LegsWork,
) -> Result<Vec<Candidate>, Error> {
    let listed = MIN_LISTED.max(2 * query.limit);
    let (by_keyword, by_vector);
    (by_keyword, work.terms) = keyword::list(legs.terms, &query.text, listed, accepted)?;
    (by_vector, work.vectors) = dense::list(legs.vectors, embedding, listed, accepted, query.exact)?;

    let mut union = Union::new();
    for (at, scored) in by_keyword.iter().enumerate() {
        union.entry(scored.chunk_id).or_default().0 = Some(Listed::at(at, scored));
    }
    for (at, scored) in by_vector.iter().enumerate() {
        union.entry(scored.chunk_id).or_default().1 = Some(Listed::at(at, scored));
    }
    complete(
        &mut union,
        |(bm25, _)| bm25,
        |missing| keyword::complete(legs.terms, &query.text, missing),
    )?;
    complete(
        &mut union,
        |(_, cosine)| cosine,
        |missing| dense::complete(legs.vectors, embedding, missing),
    )?;

    let both = union.into_iter().filter_map(|(chunk_id, (bm25, cosine))| {
        Some(Both {
            chunk_id,
            bm25: bm25?,
            cosine: cosine?,
        })
    });
    Ok(fusion::fuse(&both.collect::<Vec<_>>(), query.dense_weight))
}

/// Scores in the keyword leg and in the dense leg, as far as they are known.
type Scores = (Option<Listed>, Option<Listed>);
type Union = BTreeMap<ChunkId, Scores>;

/// Gives a score in one leg to every candidate that the leg did not list.
fn complete(
    union: &mut Union,
    leg: fn(&mut Scores) -> &mut Option<Listed>,
    score: impl FnOnce(&[ChunkId]) -> Result<Vec<f32>, Error>,
) -> Result<(), Error> {
    let missing: Vec<_> = union
        .iter_mut()
        .filter_map(|(chunk_id, scores)| leg(scores).is_none().then_some(*chunk_id))
        .collect();
    for (chunk_id, score) in missing.iter().zip(score(&missing)?) {
        let scores = union.entry(*chunk_id).or_default();
        *leg(scores) = Some(Listed::completed(score));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
