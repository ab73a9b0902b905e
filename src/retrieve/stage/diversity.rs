//! Results that differ from each other: [maximal marginal relevance](https://doi.org/10.1145/290941.291025).

use super::{DiversityEffect, Line, Loss, Lost, Staged, UnitVectors};
use crate::index::ChunkId;
use crate::retrieve::options::MIN_CANDIDATES;

/// Candidates that diversity chooses among, for each result wanted.
const POOL_PER_RESULT: usize = 4;

/// Returns how many candidates diversity chooses `limit` results among.
pub fn pool_size(limit: usize) -> usize {
    limit.saturating_mul(POOL_PER_RESULT).max(MIN_CANDIDATES)
}

/// One that may be chosen next.
struct Waiting<'a> {
    staged: Staged,
    /// Its place by score, from 1.
    place: u32,
    relevance: f64,
    vector: Option<&'a Vec<f32>>,
    similarity: f64,
    similar_to: Option<ChunkId>,
}

impl Waiting<'_> {
    fn marginal_relevance(&self, lambda: f64) -> f64 {
        lambda * self.relevance - (1.0 - lambda) * self.similarity
    }
}

/// Chooses up to `limit` results, each time the one that is relevant and unlike those before: `lambda` weighs the score
/// divided by the best, the rest the largest cosine similarity. What has no vector is unlike everything.
pub fn diversify(line: &mut Line, lambda: f64, limit: usize, vectors: &UnitVectors) {
    let best = line.kept.first().map_or(0.0, |staged| staged.score);
    let scale = if best > 0.0 { best } else { 1.0 };
    let mut waiting: Vec<Waiting<'_>> = (1..)
        .zip(std::mem::take(&mut line.kept))
        .map(|(place, staged)| Waiting {
            place,
            relevance: staged.score / scale,
            vector: vectors.get(&staged.chunk_id()),
            similarity: 0.0,
            similar_to: None,
            staged,
        })
        .collect();
    let pool = pool_size(limit).min(waiting.len());
    let beyond = waiting.split_off(pool);
    while line.kept.len() < limit
        && let Some(next) = next(&waiting, lambda)
    {
        let chosen = waiting.remove(next);
        let penalty = (1.0 - lambda) * chosen.similarity;
        let effect = DiversityEffect {
            relevance: chosen.relevance,
            similarity: chosen.similarity,
            similar_to: chosen.similar_to,
            penalty,
            marginal_relevance: lambda * chosen.relevance - penalty,
        };
        for other in &mut waiting {
            if let (Some(left), Some(right)) = (chosen.vector, other.vector) {
                let similarity = cosine(left, right);
                if other.similar_to.is_none() || similarity > other.similarity {
                    (other.similarity, other.similar_to) = (similarity, Some(chosen.staged.chunk_id()));
                }
            }
        }
        line.kept.push(Staged {
            diversity: Some(effect),
            ..chosen.staged
        });
    }
    let unchosen = waiting.into_iter().chain(beyond).map(|waiting| Lost {
        loss: if waiting.place as usize <= limit {
            Loss::NotDiverse
        } else {
            Loss::CutOff
        },
        place: waiting.place,
        staged: waiting.staged,
    });
    line.lost.extend(unchosen);
}

/// Returns the place of the one to choose next; of equal ones the first, which has the better score.
fn next(waiting: &[Waiting<'_>], lambda: f64) -> Option<usize> {
    let values = waiting.iter().map(|waiting| waiting.marginal_relevance(lambda));
    let best = values
        .enumerate()
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(at, _)| at)
}

/// Vectors have unit length, so that their product is their cosine.
fn cosine(left: &[f32], right: &[f32]) -> f64 {
    f64::from(left.iter().zip(right).map(|(a, b)| a * b).sum::<f32>())
}
