//! Logits to logarithms of probabilities. Pure.

use super::LanguageModel;

/// Stands for the logarithm of no probability at all, which no number would.
const IMPOSSIBLE: f64 = -9_999.0;

/// How likely a model found a token, before anything that callers wish.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub token: u32,
    /// Its bytes, which may end inside a character; none for special tokens.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability, -9999 to 0.
    pub logprob: f64,
}

/// A token that was chosen, and what could have been.
#[derive(Debug, Clone, PartialEq)]
pub struct ChosenToken {
    /// The token.
    pub chosen: TokenLogprob,
    /// The likeliest tokens in its place, likeliest first.
    pub top: Vec<TokenLogprob>,
}

impl ChosenToken {
    /// Tells of `token`, chosen where a model gave these logits, and of the `count` likeliest.
    pub(super) fn of(model: &dyn LanguageModel, logits: &[f32], token: u32, count: usize) -> Self {
        let (chosen, top) = logprobs(logits, token, count);
        let told = |(token, logprob)| TokenLogprob {
            token,
            bytes: model.token_bytes(token),
            logprob,
        };
        Self {
            chosen: told((token, chosen)),
            top: top.into_iter().map(told).collect(),
        }
    }
}

/// Returns the logarithm of a token's probability, and the `count` likeliest tokens with theirs; of equals the first.
fn logprobs(logits: &[f32], token: u32, count: usize) -> (f64, Vec<(u32, f64)>) {
    let numbers = || logits.iter().copied().filter(|logit| !logit.is_nan());
    let highest = f64::from(numbers().fold(f32::NEG_INFINITY, f32::max));
    // An infinite logit minus itself is no number, and as likely as can be.
    let below = |logit: f32| {
        let difference = f64::from(logit) - highest;
        if difference.is_nan() { 0.0 } else { difference }
    };
    let total: f64 = numbers().map(|logit| below(logit).exp()).sum();
    let logprob = |logit: f32| {
        if logit.is_nan() {
            return IMPOSSIBLE;
        }
        (below(logit) - total.ln()).clamp(IMPOSSIBLE, 0.0)
    };
    let tokens = (0_u32..).zip(logits.iter().copied());
    let mut top: Vec<(u32, f32)> = tokens.filter(|(_, logit)| !logit.is_nan()).collect();
    let by_logit = |left: &(u32, f32), right: &(u32, f32)| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0));
    if (1..top.len()).contains(&count) {
        top.select_nth_unstable_by(count - 1, by_logit);
    }
    top.truncate(count);
    top.sort_unstable_by(by_logit);
    let chosen = logits.get(token as usize).copied().unwrap_or(f32::NAN);
    let top = top.into_iter().map(|(token, logit)| (token, logprob(logit)));
    (logprob(chosen), top.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(logits: &[f32], token: u32, count: usize, chosen: f64, top: &[(u32, f64)]) {
        let (found, found_top) = logprobs(logits, token, count);
        let near = |left: f64, right: f64| (left - right).abs() < 1e-6;
        assert!(near(found, chosen), "{found} is not {chosen}");
        assert_eq!(found_top.len(), top.len(), "{found_top:?}");
        for ((token, logprob), (expected, expected_logprob)) in found_top.iter().zip(top) {
            assert!(
                token == expected && near(*logprob, *expected_logprob),
                "{found_top:?} is not {top:?}"
            );
        }
    }

    #[test]
    fn logarithms_are_those_of_the_softmax() {
        let half = 0.5f64.ln();
        check(&[1.0, 1.0], 1, 0, half, &[]);
        check(&[1.0, 1.0], 0, 5, half, &[(0, half), (1, half)]);
        let third = 3f32.ln();
        check(&[0.0, third], 0, 1, 0.25f64.ln(), &[(1, 0.75f64.ln())]);
        check(&[0.0, 1.0, 1000.0], 1, 2, -999.0, &[(2, 0.0), (1, -999.0)]);
    }

    #[test]
    fn numbers_that_are_none_stay_harmless() {
        let most = f32::INFINITY;
        check(&[f32::NAN, 1.0], 0, 3, IMPOSSIBLE, &[(1, 0.0)]);
        check(&[most, 1.0], 1, 2, IMPOSSIBLE, &[(0, 0.0), (1, IMPOSSIBLE)]);
        check(&[-most, 1.0], 0, 2, IMPOSSIBLE, &[(1, 0.0), (0, IMPOSSIBLE)]);
        check(&[], 3, 2, IMPOSSIBLE, &[]);
        check(&[1.0], 7, 1, IMPOSSIBLE, &[(0, 0.0)]);
    }

    proptest! {
        #[test]
        fn probabilities_add_up_to_one(logits in prop::collection::vec(-30f32..30.0, 1..40)) {
            let (_, top) = logprobs(&logits, 0, logits.len());
            let sum: f64 = top.iter().map(|(_, logprob)| logprob.exp()).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9);
            prop_assert!(top.is_sorted_by(|left, right| left.1 >= right.1));
        }
    }
}
