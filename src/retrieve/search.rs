//! A query to the best chunks of both legs.

use super::fusion::{self, Both, Listed};
use super::options::MIN_CANDIDATES;
use super::{FusionMethod, LegScore, Query, SearchType, dense, feedback, keyword, weight};
use crate::embed::TokenCoverage;
use crate::index::{
    Accepted, AskedTerms, ChunkId, Error, Scored, TermsSnapshot, TermsWork, Vectors, VectorsWork, best_first,
};

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

/// What the legs list for a query, fused.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    /// Best first, equal ones by chunk id.
    pub fused: Vec<Candidate>,
    /// Weight of the dense leg.
    pub dense_weight: f64,
    /// Whether a leg that is asked for more may have more.
    pub may_go_deeper: bool,
    /// How the legs went about it.
    pub work: LegsWork,
}

/// Finds the best of the accepted chunks, best first, equal ones by chunk id, without the stages that ask about their
/// documents.
pub fn search(
    legs: &Legs<'_>,
    query: &Query,
    embedded: Option<EmbeddedQuery<'_>>,
    accepted: Accepted<'_>,
) -> Result<Vec<Candidate>, Error> {
    let found = candidates(legs, query, embedded, accepted, listed(query))?;
    let mut fused = found.fused;
    fused.truncate(query.limit);
    if let Some(threshold) = query.score_threshold {
        fused.retain(|candidate| candidate.score >= threshold);
    }
    Ok(fused)
}

/// Returns how many candidates each leg is to list for a query.
pub fn listed(query: &Query) -> usize {
    let chooses = query.search_type != SearchType::Semantic || query.options.has_stages();
    let default = if chooses {
        MIN_CANDIDATES.max(2 * query.limit)
    } else {
        query.limit
    };
    query.options.candidates_per_leg.unwrap_or(default)
}

/// Returns the weight that the dense leg has for a query.
pub fn dense_weight(query: &Query, embedded: Option<EmbeddedQuery<'_>>) -> f64 {
    match query.search_type {
        SearchType::Semantic => 1.0,
        SearchType::Keyword => 0.0,
        SearchType::Hybrid => query
            .dense_weight
            .unwrap_or_else(|| weight::of(embedded.and_then(|embedded| embedded.coverage))),
    }
}

/// Puts a query to its legs, of which each lists up to `listed` of the accepted chunks, and fuses what they find.
///
/// `embedded` is the query's text; only [`SearchType::Keyword`] does without.
pub fn candidates(
    legs: &Legs<'_>,
    query: &Query,
    embedded: Option<EmbeddedQuery<'_>>,
    accepted: Accepted<'_>,
    listed: usize,
) -> Result<Candidates, Error> {
    let mut work = LegsWork::default();
    let (mut by_keyword, mut by_vector) = (Vec::new(), Vec::new());
    let asks_words = query.search_type != SearchType::Semantic;
    let asked = asks_words.then(|| legs.terms.asked(&query.text)).transpose()?;
    if let Some(asked) = &asked {
        (by_keyword, work.terms) = keyword::list(asked, listed, accepted)?;
    }
    if query.search_type != SearchType::Keyword {
        let vector = embedded.ok_or(Error::NoEmbedding)?.vector;
        (by_vector, work.vectors) = dense::list(legs.vectors, vector, listed, accepted, query.exact)?;
    }
    let may_go_deeper = by_keyword.len() >= listed || by_vector.len() >= listed;
    let dense_weight = dense_weight(query, embedded);
    let fused = match (&asked, embedded) {
        (Some(asked), Some(embedded)) if query.search_type == SearchType::Hybrid => {
            let vector = (embedded.vector, dense_weight);
            hybrid(legs, query, asked, vector, (&by_keyword, &by_vector))?
        }
        (Some(asked), _) => {
            let scores = keyword::score(asked, &by_keyword)?;
            fusion::keyword_only(&ranked(&by_keyword, &scores))
        }
        (None, _) => fusion::dense_only(&by_vector),
    };
    Ok(Candidates {
        fused,
        dense_weight,
        may_go_deeper,
        work,
    })
}

fn hybrid(
    legs: &Legs<'_>,
    query: &Query,
    asked: &AskedTerms<'_>,
    (vector, dense_weight): (&[f32], f64),
    (by_keyword, by_vector): (&[ChunkId], &[Scored]),
) -> Result<Vec<Candidate>, Error> {
    let by_vector: Vec<_> = by_vector.iter().map(|scored| scored.chunk_id).collect();
    let mut chunk_ids = [by_keyword, &by_vector].concat();
    chunk_ids.sort_unstable();
    chunk_ids.dedup();

    let bm25 = keyword::score(asked, &chunk_ids)?;
    let bm25 = Leg::new(&chunk_ids, bm25, by_keyword);
    let cosine = dense::score(legs.vectors, vector, &chunk_ids)?;
    let cosine = Leg::new(&chunk_ids, cosine, &by_vector);
    let both = chunk_ids.iter().enumerate().map(|(at, chunk_id)| Both {
        chunk_id: *chunk_id,
        bm25: bm25.at(at),
        cosine: cosine.at(at),
        near: f64::from(cosine.scores[at]),
    });
    let mut both: Vec<Both> = both.collect();
    let fuse = |both: &[Both]| match query.options.fusion {
        FusionMethod::WeightedSum => fusion::fuse(both, dense_weight),
        FusionMethod::ReciprocalRank => fusion::fuse_ranks(both, dense_weight),
    };
    let fused = fuse(&both);
    if query.feedback_weight <= 0.0 || dense_weight <= 0.0 {
        return Ok(fused);
    }
    let Some(moved) = feedback::moved(legs.vectors, vector, fused.first(), query.feedback_weight) else {
        return Ok(fused);
    };
    for (both, near) in both.iter_mut().zip(dense::score(legs.vectors, &moved, &chunk_ids)?) {
        both.near = f64::from(near);
    }
    Ok(fuse(&both))
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
