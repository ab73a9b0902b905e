//! A query to the best chunks of both legs.

use super::fusion::{self, Both, Listed};
use super::{LegScore, Query, SearchType, dense, feedback, keyword, weight};
use crate::embed::TokenCoverage;
use crate::index::{Accepted, ChunkId, Error, Scored, TermsSnapshot, TermsWork, Vectors, VectorsWork, best_first};

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

/// A query as the embedding model sees it.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedQuery<'a> {
    /// Its unit vector.
    pub vector: &'a [f32],
    /// How its text falls into the model's tokens, where that is known.
    pub coverage: Option<TokenCoverage>,
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
/// `embedded` is the query's text; only [`SearchType::Keyword`] does without.
pub fn search(
    legs: &Legs<'_>,
    query: &Query,
    embedded: Option<EmbeddedQuery<'_>>,
    accepted: Accepted<'_>,
) -> Result<(Vec<Candidate>, LegsWork), Error> {
    let embedded = || embedded.ok_or(Error::NoEmbedding);
    let mut work = LegsWork::default();
    let mut candidates = match query.search_type {
        SearchType::Hybrid => hybrid(legs, query, embedded()?, accepted, &mut work)?,
        SearchType::Semantic => {
            let list;
            (list, work.vectors) = dense::list(legs.vectors, embedded()?.vector, query.limit, accepted, query.exact)?;
            fusion::dense_only(&list)
        }
        SearchType::Keyword => {
            let by_keyword;
            (by_keyword, work.terms) = keyword::list(legs.terms, &query.text, listed(query), accepted)?;
            let scores = keyword::score(legs.terms, &query.text, &by_keyword)?;
            fusion::keyword_only(&ranked(&by_keyword, &scores))
        }
    };
    candidates.truncate(query.limit);
    if let Some(threshold) = query.score_threshold {
        candidates.retain(|candidate| candidate.score >= threshold);
    }
    Ok((candidates, work))
}

fn listed(query: &Query) -> usize {
    MIN_LISTED.max(2 * query.limit)
}

fn hybrid(
    legs: &Legs<'_>,
    query: &Query,
    embedded: EmbeddedQuery<'_>,
    accepted: Accepted<'_>,
    work: &mut LegsWork,
) -> Result<Vec<Candidate>, Error> {
    let dense_weight = query.dense_weight.unwrap_or_else(|| weight::of(embedded.coverage));
    let (by_keyword, by_vector);
    (by_keyword, work.terms) = keyword::list(legs.terms, &query.text, listed(query), accepted)?;
    (by_vector, work.vectors) = dense::list(legs.vectors, embedded.vector, listed(query), accepted, query.exact)?;
    let mut chunk_ids = by_keyword.clone();
    chunk_ids.extend(by_vector.iter().map(|scored| scored.chunk_id));
    chunk_ids.sort_unstable();
    chunk_ids.dedup();

    let bm25 = keyword::score(legs.terms, &query.text, &chunk_ids)?;
    let bm25 = Leg::new(&chunk_ids, bm25, &by_keyword);
    let by_vector: Vec<_> = by_vector.iter().map(|scored| scored.chunk_id).collect();
    let cosine = dense::score(legs.vectors, embedded.vector, &chunk_ids)?;
    let cosine = Leg::new(&chunk_ids, cosine, &by_vector);
    let mut both: Vec<Both> = chunk_ids
        .iter()
        .enumerate()
        .map(|(at, chunk_id)| Both {
            chunk_id: *chunk_id,
            bm25: bm25.at(at),
            cosine: cosine.at(at),
            near: f64::from(cosine.scores[at]),
        })
        .collect();
    let fused = fusion::fuse(&both, dense_weight);
    let moved = feedback::moved(legs.vectors, embedded.vector, fused.first(), query.feedback_weight);
    let Some(moved) = moved.filter(|_| query.feedback_weight > 0.0 && dense_weight > 0.0) else {
        return Ok(fused);
    };
    for (both, near) in both.iter_mut().zip(dense::score(legs.vectors, &moved, &chunk_ids)?) {
        both.near = f64::from(near);
    }
    Ok(fusion::fuse(&both, dense_weight))
}

/// The scores of one leg for all candidates, and their ranks in its own list.
struct Leg {
    scores: Vec<f32>,
    ranks: Vec<Option<u32>>,
}

impl Leg {
    /// `chunk_ids` are the candidates in order, `listed` those of them that the leg found by itself.
    fn new(chunk_ids: &[ChunkId], scores: Vec<f32>, listed: &[ChunkId]) -> Self {
        let mut ranks = vec![None; chunk_ids.len()];
        let places = listed
            .iter()
            .filter_map(|chunk_id| chunk_ids.binary_search(chunk_id).ok());
        let mut places: Vec<usize> = places.collect();
        places.sort_unstable_by(|left, right| scores[*right].total_cmp(&scores[*left]).then(left.cmp(right)));
        for (rank, place) in (1..).zip(places) {
            ranks[place] = Some(rank);
        }
        Self { scores, ranks }
    }

    fn at(&self, at: usize) -> Listed {
        Listed {
            rank: self.ranks[at],
            raw: f64::from(self.scores[at]),
        }
    }
}

fn ranked(chunk_ids: &[ChunkId], scores: &[f32]) -> Vec<Scored> {
    let scored = chunk_ids.iter().zip(scores);
    let mut scored: Vec<_> = scored
        .map(|(chunk_id, score)| Scored {
            chunk_id: *chunk_id,
            score: *score,
        })
        .collect();
    scored.sort_unstable_by(best_first);
    scored
}

#[cfg(test)]
mod tests;
