//! Leans a small model towards the words of its passages.
//!
//! A small model readily invents a name in place of the one that it has just read. Tokens that stand in the passages,
//! above all those that follow there on the last token, get a bonus before a token is drawn: copying becomes easier
//! than inventing, while the model still chooses what to say and when to end.

use std::collections::HashSet;

/// Added to the logit of a token that stands in the passages or the question.
const TOKEN_BONUS: f32 = 1.0;
/// Added besides where the token follows there on the last one.
const SUCCESSOR_BONUS: f32 = 1.5;

/// The tokens of the passages, and which follows which.
#[derive(Debug, Default)]
pub(super) struct Grounding {
    tokens: HashSet<u32>,
    successors: HashSet<(u32, u32)>,
}

impl Grounding {
    /// Learns a text's tokens.
    pub(super) fn read(&mut self, tokens: &[u32]) {
        self.tokens.extend(tokens);
        self.successors.extend(tokens.windows(2).map(|pair| (pair[0], pair[1])));
    }

    /// Adds the bonuses for what may follow on `last`.
    pub(super) fn apply(&self, last: Option<u32>, logits: &mut [f32]) {
        for token in &self.tokens {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit += TOKEN_BONUS;
                if last.is_some_and(|last| self.successors.contains(&(last, *token))) {
                    *logit += SUCCESSOR_BONUS;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_tokens_get_their_bonuses() {
        let mut grounding = Grounding::default();
        grounding.read(&[1, 2, 9]);
        grounding.read(&[3]);
        let both = TOKEN_BONUS + SUCCESSOR_BONUS;
        for (last, expected) in [
            (None, [0.0, TOKEN_BONUS, TOKEN_BONUS, TOKEN_BONUS, 0.0]),
            (Some(1), [0.0, TOKEN_BONUS, both, TOKEN_BONUS, 0.0]),
            (Some(9), [0.0, TOKEN_BONUS, TOKEN_BONUS, TOKEN_BONUS, 0.0]),
        ] {
            let mut logits = [0.0; 5];
            grounding.apply(last, &mut logits);
            assert!(
                logits.iter().zip(expected).all(|(got, want)| (got - want).abs() < 1e-6),
                "after {last:?}: {logits:?}"
            );
        }
    }
}
