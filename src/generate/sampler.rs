//! Logits to a token. Pure: the same logits and draws give the same token on every machine.

use std::cmp::Ordering;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Inference;

/// Draws tokens as an [`Inference`] says.
#[derive(Debug)]
pub(super) struct Sampler {
    temperature: f64,
    top_p: f64,
    draws: ChaCha8Rng,
}

impl Sampler {
    /// Returns a sampler at the beginning of its draws.
    pub(super) fn new(inference: &Inference) -> Self {
        Self {
            temperature: inference.temperature,
            top_p: inference.top_p,
            draws: ChaCha8Rng::seed_from_u64(inference.seed),
        }
    }

    /// Draws a token; nothing when no logit is a number.
    pub(super) fn sample(&mut self, logits: &[f32]) -> Option<u32> {
        if self.temperature <= 0.0 {
            return likeliest(logits);
        }
        let candidates = self.candidates(logits);
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut left = self.draws.random::<f64>() * total;
        for (token, weight) in &candidates {
            left -= weight;
            if left < 0.0 {
                return Some(*token);
            }
        }
        candidates.last().map(|(token, _)| *token)
    }

    /// Returns the likeliest tokens that together reach `top_p`, likeliest first, with weights not scaled to one.
    fn candidates(&self, logits: &[f32]) -> Vec<(u32, f64)> {
        let highest = logits
            .iter()
            .copied()
            .filter(|logit| !logit.is_nan())
            .fold(f32::NEG_INFINITY, f32::max);
        if highest == f32::NEG_INFINITY {
            return Vec::new();
        }
        // An infinite logit minus itself is no number, and as likely as can be.
        let weigh = |logit: f32| {
            let weight = ((f64::from(logit) - f64::from(highest)) / self.temperature).exp();
            if weight.is_nan() { 1.0 } else { weight }
        };
        let mut candidates: Vec<(u32, f64)> = logits
            .iter()
            .enumerate()
            .filter(|(_, logit)| !logit.is_nan())
            .map(|(token, logit)| (token as u32, weigh(*logit)))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        candidates.sort_by(|(a, left), (b, right)| by_weight(*left, *right).then(a.cmp(b)));
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut reached = 0.0;
        let kept = candidates
            .iter()
            .take_while(|(_, weight)| {
                let is_wanted = reached < self.top_p * total;
                reached += weight;
                is_wanted
            })
            .count();
        candidates.truncate(kept.max(1));
        candidates
    }
}

fn by_weight(left: f64, right: f64) -> Ordering {
    right.total_cmp(&left)
}

/// Returns the likeliest token; of equals the first.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (token, logit) in logits.iter().enumerate() {
        if !logit.is_nan() && best.is_none_or(|(_, highest)| *logit > highest) {
            best = Some((token as u32, *logit));
        }
    }
    best.map(|(token, _)| token)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn draw(temperature: f64, top_p: f64, seed: u64, logits: &[f32]) -> Vec<Option<u32>> {
        let mut sampler = Sampler::new(&Inference {
            temperature,
            top_p,
            seed,
            ..Inference::default()
        });
        (0..64).map(|_| sampler.sample(logits)).collect()
    }

    #[test]
    fn temperature_zero_takes_the_likeliest() {
        assert_eq!(draw(0.0, 1.0, 1, &[0.1, 3.0, f32::NAN, 3.0])[0], Some(1));
        assert_eq!(draw(0.0, 1.0, 1, &[f32::NAN])[0], None);
        assert_eq!(draw(1.0, 1.0, 1, &[])[0], None);
    }

    #[test]
    fn seed_decides_every_draw() {
        let logits = [1.0, 1.5, 0.5, 1.2];
        assert_eq!(draw(1.0, 1.0, 7, &logits), draw(1.0, 1.0, 7, &logits));
        assert_ne!(draw(1.0, 1.0, 7, &logits), draw(1.0, 1.0, 8, &logits));
        // A fixed stream: a change of the generator would change answers that callers were promised.
        assert_eq!(
            draw(1.0, 1.0, 7, &logits)[..6],
            [Some(1), Some(1), Some(0), Some(0), Some(3), Some(1)]
        );
    }

    #[test]
    fn top_p_leaves_out_the_unlikely() {
        let logits = [2.0, 1.9, -3.0, -4.0];
        assert!(
            draw(1.0, 0.9, 3, &logits)
                .iter()
                .all(|token| matches!(token, Some(0 | 1)))
        );
        assert!(draw(1.0, 0.01, 3, &logits).iter().all(|token| *token == Some(0)));
        assert!(draw(2.0, 1.0, 3, &logits).contains(&Some(2)));
    }

    #[test]
    fn infinite_logits_are_drawn_without_failing() {
        assert_eq!(draw(0.7, 0.9, 3, &[f32::INFINITY, 1.0])[0], Some(0));
        assert_eq!(draw(0.7, 0.9, 3, &[f32::NEG_INFINITY, 1.0])[0], Some(1));
    }

    proptest! {
        #[test]
        fn drawn_tokens_are_in_the_vocabulary(
            logits in prop::collection::vec(-20f32..20.0, 1..50), temperature in 0f64..2.0, top_p in 0.01f64..1.0, seed: u64,
        ) {
            for token in draw(temperature, top_p, seed, &logits) {
                prop_assert!(token.is_some_and(|token| (token as usize) < logits.len()));
            }
        }
    }
}
