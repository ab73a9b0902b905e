//! What callers wish of single tokens: fewer repetitions, more of one word, none of another. Pure.
//!
//! Repetition is weighed as in CTRL (<https://arxiv.org/abs/1909.05858>): positive logits are divided, negative ones
//! multiplied, so that a penalty above 1 always makes a token less likely.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Inference;

/// Changes logits as an [`Inference`] says, and remembers which tokens came.
#[derive(Debug)]
pub(super) struct Penalties {
    repetition: f64,
    presence: f64,
    frequency: f64,
    bias: Vec<(u32, f64)>,
    /// How often each token that came was written; 0 for one that was only read.
    written: BTreeMap<u32, u32>,
}

impl Penalties {
    /// Returns penalties of tokens of which none has come yet.
    pub(super) fn new(inference: &Inference) -> Self {
        Self {
            repetition: inference.repetition_penalty,
            presence: inference.presence_penalty,
            frequency: inference.frequency_penalty,
            bias: inference.logit_bias.clone(),
            written: BTreeMap::new(),
        }
    }

    /// Notes tokens that the model reads.
    pub(super) fn read(&mut self, tokens: &[u32]) {
        if self.repetition.to_bits() != 1f64.to_bits() {
            for token in tokens {
                self.written.entry(*token).or_default();
            }
        }
    }

    /// Notes a token that was written.
    pub(super) fn write(&mut self, token: u32) {
        if self.penalizes() {
            let times = self.written.entry(token).or_default();
            *times = times.saturating_add(1);
        }
    }

    /// Returns the logits with all that is wished for; the same ones where nothing is.
    pub(super) fn apply<'a>(&self, logits: &'a [f32]) -> Cow<'a, [f32]> {
        if self.bias.is_empty() && self.written.is_empty() {
            return Cow::Borrowed(logits);
        }
        let mut changed = logits.to_vec();
        for (token, times) in &self.written {
            if let Some(logit) = changed.get_mut(*token as usize) {
                *logit = self.penalized(*logit, *times);
            }
        }
        for (token, bias) in &self.bias {
            if let Some(logit) = changed.get_mut(*token as usize) {
                *logit = (f64::from(*logit) + bias) as f32;
            }
        }
        Cow::Owned(changed)
    }

    fn penalized(&self, logit: f32, times: u32) -> f32 {
        let logit = f64::from(logit);
        let repeated = if logit > 0.0 {
            logit / self.repetition
        } else {
            logit * self.repetition
        };
        let presence = if times > 0 { self.presence } else { 0.0 };
        (repeated - presence - self.frequency * f64::from(times)) as f32
    }

    fn penalizes(&self) -> bool {
        let neutral = [1.0, 0.0, 0.0].map(f64::to_bits);
        [self.repetition, self.presence, self.frequency].map(f64::to_bits) != neutral
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Penalties of a text in which token 0 was read, 1 was read and written once, and 2 written twice.
    #[track_caller]
    fn check(inference: &Inference, logits: &[f32], expected: &[f32]) {
        let mut penalties = Penalties::new(inference);
        penalties.read(&[0, 1, 0]);
        for token in [1, 2, 2] {
            penalties.write(token);
        }
        let changed = penalties.apply(logits);
        let bits = |logits: &[f32]| logits.iter().map(|logit| logit.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&changed), bits(expected), "{changed:?} is not {expected:?}");
    }

    #[test]
    fn penalties_weigh_what_came_before() {
        let none = Inference::default;
        let logits = [2.0, 2.0, -2.0, 2.0];
        check(&none(), &logits, &logits);
        let repetition_penalty = 2.0;
        check(
            &Inference {
                repetition_penalty,
                ..none()
            },
            &logits,
            &[1.0, 1.0, -4.0, 2.0],
        );
        let repetition_penalty = 0.5;
        check(
            &Inference {
                repetition_penalty,
                ..none()
            },
            &logits,
            &[4.0, 4.0, -1.0, 2.0],
        );
        let presence_penalty = 0.5;
        check(
            &Inference {
                presence_penalty,
                ..none()
            },
            &logits,
            &[2.0, 1.5, -2.5, 2.0],
        );
        let frequency_penalty = 0.5;
        check(
            &Inference {
                frequency_penalty,
                ..none()
            },
            &logits,
            &[2.0, 1.5, -3.0, 2.0],
        );
        let frequency_penalty = -1.0;
        check(
            &Inference {
                frequency_penalty,
                ..none()
            },
            &logits,
            &[2.0, 3.0, 0.0, 2.0],
        );
        let all = Inference {
            repetition_penalty: 2.0,
            presence_penalty: 0.25,
            frequency_penalty: 0.5,
            logit_bias: vec![(1, 100.0), (3, -100.0), (9, 5.0)],
            ..none()
        };
        check(&all, &logits, &[1.0, 100.25, -5.25, -98.0]);
    }

    #[test]
    fn numbers_that_are_none_stay_harmless() {
        let inference = Inference {
            repetition_penalty: 2.0,
            presence_penalty: 1.0,
            logit_bias: vec![(0, 100.0), (1, -100.0), (2, 3.0)],
            ..Inference::default()
        };
        let (nan, most) = (f32::NAN, f32::INFINITY);
        let mut penalties = Penalties::new(&inference);
        penalties.read(&[0, 1, 2]);
        let logits = [most, -most, nan];
        let changed = penalties.apply(&logits);
        assert!(changed[0].is_infinite() && changed[0] > 0.0, "{changed:?}");
        assert!(changed[1].is_infinite() && changed[1] < 0.0, "{changed:?}");
        assert!(changed[2].is_nan(), "{changed:?}");
        assert!(penalties.apply(&[]).is_empty());
    }

    #[test]
    fn logits_are_not_copied_without_need() {
        let mut penalties = Penalties::new(&Inference::default());
        penalties.read(&[1]);
        penalties.write(1);
        assert!(matches!(penalties.apply(&[1.0, 2.0]), Cow::Borrowed(_)));
    }
}
