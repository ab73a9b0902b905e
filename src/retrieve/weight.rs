//! How much the dense leg counts when the caller does not say.
//!
//! An embedding model gives every text a vector, also one in a language that it never learned, and such vectors say
//! nothing. What gives the language away is how a query falls into the model's tokens: words that the model was made for
//! are few long tokens. So the weight falls with the letters per token, from the full one of a language that the model
//! knows to none. Found on training queries in English and on queries in Arabic and Russian.

use crate::embed::TokenCoverage;

/// Weight of the dense leg in a language that the model knows.
pub const DEFAULT_DENSE_WEIGHT: f64 = 0.75;

/// Letters per token at which the model is taken to know nothing.
const UNKNOWN_LANGUAGE: f64 = 1.2;
/// Letters per token from which on the model is taken to know the language.
const KNOWN_LANGUAGE: f64 = 3.5;
/// Letters per token of English, and how many such tokens every query is given: a few rare names say little.
const ENGLISH: f64 = 4.3;
const PRIOR_TOKENS: f64 = 5.0;

/// Returns the weight for a query that falls into the model's tokens like this.
pub(super) fn of(coverage: Option<TokenCoverage>) -> f64 {
    let Some(coverage) = coverage else {
        return DEFAULT_DENSE_WEIGHT;
    };
    let letters = coverage.letters + PRIOR_TOKENS * ENGLISH;
    let per_token = letters / (coverage.tokens as f64 + PRIOR_TOKENS);
    let known = (per_token - UNKNOWN_LANGUAGE) / (KNOWN_LANGUAGE - UNKNOWN_LANGUAGE);
    DEFAULT_DENSE_WEIGHT * known.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_languages_leave_it_to_the_words() {
        #[track_caller]
        fn check(letters: f64, tokens: usize, expected: f64) {
            let weight = of(Some(TokenCoverage { letters, tokens }));
            assert!((weight - expected).abs() < 0.005, "{weight} for {letters} in {tokens}");
        }
        // English; one rare name; German; Russian by single letters; Chinese characters that are not known.
        check(50.0, 12, 0.75);
        check(8.0, 4, 0.68);
        check(66.0, 24, 0.59);
        check(40.0, 40, 0.05);
        check(0.0, 20, 0.0);
        check(0.0, 0, 0.75);
        assert!((of(None) - DEFAULT_DENSE_WEIGHT).abs() < f64::EPSILON);
    }
}
