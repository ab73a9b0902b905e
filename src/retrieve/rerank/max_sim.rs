//! The sum of largest similarities, pure.

use crate::embed::TokenVectors;
use crate::index::half_dot;

/// Returns for each vector of the query its largest cosine to a token of the passage, at most 1; 0 where the passage has
/// none.
pub(super) fn best_matches(query: &[Vec<f32>], passage: &TokenVectors) -> Vec<f64> {
    let best = |token: &Vec<f32>| {
        let similarities = passage.vectors().map(|vector| half_dot(token, vector));
        // Vectors of half precision are of unit length up to their rounding.
        similarities
            .reduce(f32::max)
            .map_or(0.0, |best| f64::from(best.min(1.0)))
    };
    query.iter().map(best).collect()
}

/// Returns the mean of best matches under these weights; 0 where nothing weighs anything.
pub(super) fn weighted_mean(matches: &[f64], weights: &[f64]) -> f64 {
    let total: f64 = weights.iter().sum();
    if total <= 0.0 {
        return 0.0;
    }
    let products = matches.iter().zip(weights).map(|(best, weight)| best * weight);
    products.sum::<f64>() / total
}
