//! A query to the best chunks of both legs.

use std::collections::BTreeMap;

use super::fusion::{self, Both, Listed};
use super::options::MIN_CANDIDATES;
use super::{FusionMethod, LegScore, Query, SearchType, dense, keyword};
use crate::index::{Accept, ChunkId, Error, Scored, TermsSnapshot, Vectors};

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

/// What the legs list for a query, fused.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    /// Best first, equal ones by chunk id.
    pub fused: Vec<Candidate>,
    /// Whether a leg that is asked for more may have more.
    pub may_go_deeper: bool,
}

/// Finds the best chunks, best first, equal ones by chunk id, without the stages that ask about their documents.
/// `accepted` is how many chunks `accept` lets through.
pub fn search(
    legs: &Legs<'_>,
    query: &Query,
    embedding: Option<&[f32]>,
    accept: &Accept<'_>,
    accepted: usize,
) -> Result<Vec<Candidate>, Error> {
    let found = candidates(legs, query, embedding, (accept, accepted), listed(query))?;
    let mut fused = found.fused;
    fused.truncate(query.limit);
    if let Some(threshold) = query.score_threshold {
        fused.retain(|candidate| candidate.score >= threshold);
    }
    Ok(fused)
}

/// Returns how many candidates each leg is to list for a query.
pub fn listed(query: &Query) -> usize {
    let chooses = query.search_type == SearchType::Hybrid || query.options.has_stages();
    let default = if chooses {
        MIN_CANDIDATES.max(2 * query.limit)
    } else {
        query.limit
    };
    query.options.candidates_per_leg.unwrap_or(default)
}

/// Puts a query to its legs, of which each lists up to `listed` chunks, and fuses what they find. `accepted` is how many
/// chunks `accept` lets through.
///
/// `embedding` is that of the query's text; only [`SearchType::Keyword`] does without.
pub fn candidates(
    legs: &Legs<'_>,
    query: &Query,
    embedding: Option<&[f32]>,
    (accept, accepted): (&Accept<'_>, usize),
    listed: usize,
) -> Result<Candidates, Error> {
    let embedding = || embedding.ok_or(Error::NoEmbedding);
    let by_keyword = match query.search_type {
        SearchType::Semantic => Vec::new(),
        _ => keyword::list(legs.terms, &query.text, listed, accept)?,
    };
    let by_vector = match query.search_type {
        SearchType::Keyword => Vec::new(),
        _ => dense::list(legs.vectors, embedding()?, listed, accept, accepted)?,
    };
    let fused = match query.search_type {
        SearchType::Hybrid => hybrid(legs, query, embedding()?, &by_keyword, &by_vector)?,
        SearchType::Semantic => fusion::dense_only(&by_vector),
        SearchType::Keyword => fusion::keyword_only(&by_keyword),
    };
    Ok(Candidates {
        fused,
        may_go_deeper: by_keyword.len() >= listed || by_vector.len() >= listed,
    })
}

fn hybrid(
    legs: &Legs<'_>,
    query: &Query,
    embedding: &[f32],
    by_keyword: &[Scored],
    by_vector: &[Scored],
) -> Result<Vec<Candidate>, Error> {
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
    let both: Vec<_> = both.collect();
    Ok(match query.options.fusion {
        FusionMethod::WeightedSum => fusion::fuse(&both, query.dense_weight),
        FusionMethod::ReciprocalRank => fusion::fuse_ranks(&both, query.dense_weight),
    })
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
