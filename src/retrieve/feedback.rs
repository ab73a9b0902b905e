//! The query's vector, moved towards the best hit.
//!
//! What ranks first in both legs together is likely relevant, and says in the documents' words what is looked for
//! (Rocchio 1971, with one assumed-relevant chunk, seeded by the fused ranking rather than by the dense leg's own).

use super::Candidate;
use crate::index::Vectors;

/// Returns the unit vector of the query plus `weight` times that of the best candidate; nothing where there is none.
pub(super) fn moved(vectors: &Vectors, query: &[f32], best: Option<&Candidate>, weight: f64) -> Option<Vec<f32>> {
    let found = vectors.vectors_of(&[best?.chunk_id]).pop()??;
    let sum = query
        .iter()
        .zip(&found)
        .map(|(query, found)| f64::from(*query) + weight * f64::from(*found));
    let sum: Vec<f64> = sum.collect();
    let norm = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    (norm > 0.0).then(|| sum.iter().map(|value| (value / norm) as f32).collect())
}
