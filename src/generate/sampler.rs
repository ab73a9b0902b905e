//! Logits to a token. Pure: the same logits and draws give the same token on every machine.

use std::cmp::Ordering;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Inference;
use super::penalty::Penalties;

/// Logits that are compared at once.
const LANES: usize = 32;

/// Draws tokens as an [`Inference`] says: penalties and biases, then the temperature, `top_k`, `top_p` and `min_p`.
#[derive(Debug)]
pub(super) struct Sampler {
    penalties: Penalties,
    temperature: f64,
    top_k: usize,
    top_p: f64,
    min_p: f64,
    draws: ChaCha8Rng,
}

impl Sampler {
    /// Returns a sampler at the beginning of its draws.
    pub(super) fn new(inference: &Inference) -> Self {
        Self {
            penalties: Penalties::new(inference),
            temperature: inference.temperature,
            top_k: inference.top_k,
            top_p: inference.top_p,
            min_p: inference.min_p,
            draws: ChaCha8Rng::seed_from_u64(inference.seed),
        }
    }

    /// Notes tokens that the model reads, for the penalty of repetition.
    pub(super) fn read(&mut self, tokens: &[u32]) {
        self.penalties.read(tokens);
    }

    /// Draws a token; nothing when no logit is a number.
    pub(super) fn sample(&mut self, logits: &[f32]) -> Option<u32> {
        let token = self.draw(&self.penalties.apply(logits))?;
        self.penalties.write(token);
        Some(token)
    }

    /// Draws a token that is allowed; those that are not lose their logits. Nothing when none is left.
    pub(super) fn sample_allowed(&mut self, logits: &mut [f32], is_allowed: impl Fn(u32) -> bool) -> Option<u32> {
        loop {
            let token = self.draw(&self.penalties.apply(logits))?;
            if is_allowed(token) {
                self.penalties.write(token);
                return Some(token);
            }
            let logit = logits.get_mut(token as usize)?;
            if *logit == f32::NEG_INFINITY {
                return None;
            }
            *logit = f32::NEG_INFINITY;
        }
    }

    fn draw(&mut self, logits: &[f32]) -> Option<u32> {
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

    /// Returns the tokens that are drawn from, likeliest first, with weights not scaled to one.
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
        let likelier = |(a, left): &(u32, f64), (b, right): &(u32, f64)| by_weight(*left, *right).then(a.cmp(b));
        if (1..candidates.len()).contains(&self.top_k) {
            candidates.select_nth_unstable_by(self.top_k - 1, likelier);
            candidates.truncate(self.top_k);
        }
        candidates.sort_unstable_by(likelier);
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
        let least = candidates.first().map_or(0.0, |(_, weight)| weight * self.min_p);
        candidates.retain(|(_, weight)| *weight >= least);
        candidates
    }
}

fn by_weight(left: f64, right: f64) -> Ordering {
    right.total_cmp(&left)
}

/// Returns the likeliest token; of equals the first.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut highest = [f32::NEG_INFINITY; LANES];
    // Comparisons of many numbers at once, which no number that is none wins.
    for logits in logits.chunks(LANES) {
        for (highest, logit) in highest.iter_mut().zip(logits) {
            *highest = if *logit > *highest { *logit } else { *highest };
        }
    }
    let highest = highest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let first = logits.iter().position(|logit| *logit >= highest)?;
    u32::try_from(first).ok()
}

#[cfg(test)]
mod tests;
