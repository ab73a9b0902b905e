//! How sure a difference between two runs over the same queries is.
//!
//! A paired randomisation test (Fisher; for retrieval see Smucker, Allan and Carterette, CIKM 2007): if both runs were
//! alike, each query's difference could as well have the other sign. The p-value is the share of such sign changes whose
//! mean difference is at least as far from 0 as the one that was seen. It assumes nothing about how values are spread.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Sign changes that are drawn when there are too many to try all.
pub const PERMUTATIONS: u32 = 10_000;
/// Seed of these draws: the same runs give the same p-value.
pub const SEED: u64 = 20_070_611;
/// Up to this many queries that differ, all sign changes are tried.
pub const MAX_EXACT: usize = 14;
/// Differences below this come from rounding.
const NOTHING: f64 = 1e-9;

/// Two runs, by one measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Mean of the first run.
    pub first: f64,
    /// Mean of the second run.
    pub second: f64,
    /// Queries that the second run does better.
    pub better_count: usize,
    /// Queries that it does worse.
    pub worse_count: usize,
    /// Queries of equal values.
    pub same_count: usize,
    /// Chance of a mean difference at least this large, in either direction, if the runs were alike.
    pub p_value: f64,
}

impl Comparison {
    /// Compares the values of two runs, query by query. What one has more than the other is left out.
    pub fn of(first: &[f64], second: &[f64]) -> Self {
        let count = first.len().min(second.len());
        let pairs = first.iter().zip(second);
        let differences: Vec<f64> = pairs
            .map(|(first, second)| second - first)
            .filter(|difference| difference.abs() > NOTHING)
            .collect();
        let better_count = differences.iter().filter(|difference| **difference > 0.0).count();
        Self {
            first: mean(&first[..count]),
            second: mean(&second[..count]),
            better_count,
            worse_count: differences.len() - better_count,
            same_count: count - differences.len(),
            p_value: p_value(&differences),
        }
    }

    /// Returns how much better the second run is; below 0 when it is worse.
    pub fn difference(&self) -> f64 {
        self.second - self.first
    }
}

/// Returns the mean; 0 of nothing.
pub(super) fn mean(values: &[f64]) -> f64 {
    // Sums of floats begin with a negative zero.
    (0.0 + values.iter().sum::<f64>()) / values.len().max(1) as f64
}

fn p_value(differences: &[f64]) -> f64 {
    let seen = differences.iter().sum::<f64>().abs() - NOTHING;
    let is_as_far = |sum: f64| sum.abs() >= seen;
    if differences.len() <= MAX_EXACT {
        let all = 1_u64 << differences.len();
        let as_far = (0..all).filter(|signs| is_as_far(signed_sum(differences, || *signs)));
        return as_far.count() as f64 / all as f64;
    }
    let mut draws = ChaCha8Rng::seed_from_u64(SEED);
    let drawn = (0..PERMUTATIONS).filter(|_| is_as_far(signed_sum(differences, || draws.random())));
    // The signs as they were seen are one of the possible ones, so that no p-value is 0.
    (drawn.count() + 1) as f64 / f64::from(PERMUTATIONS + 1)
}

/// Sums differences, with the other sign where a bit is set. `signs` gives the bits of the next 64 of them.
fn signed_sum(differences: &[f64], mut signs: impl FnMut() -> u64) -> f64 {
    let mut sum = 0.0;
    for differences in differences.chunks(64) {
        let mut bits = signs();
        for difference in differences {
            sum += if bits & 1 == 1 { -difference } else { *difference };
            bits >>= 1;
        }
    }
    sum
}
