//! A model's tokens as a tree of their bytes, in which a grammar finds the ones it allows; the grammars that were asked for
//! last.

use std::fmt;
use std::sync::Arc;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use parking_lot::Mutex;

use super::compiled::compiled;
use crate::cache::Bounded;

/// Longest token in bytes that a constraint lets through; the tree has no room for much more.
const MAX_TOKEN_BYTES: usize = 512;
/// Most tokens of a vocabulary; the tree has no room for much more.
const MAX_TOKENS: usize = 1 << 20;
/// Work that the states of all lexemes of a grammar may take at first: some 20 ms.
const COMPILE_FUEL: u64 = 1_000_000;
/// Work that the lexer may do for one token: some 10 ms.
pub(super) const STEP_FUEL: u64 = 150_000;
/// Items of the parser that one token may make: a few ms.
const STEP_ITEMS: usize = 50_000;
/// Items of the parser beside one another.
pub(super) const ROW_ITEMS: usize = 2_000;
/// States of the lexer, some 500 bytes each: a string that is counted takes nine for a character.
const LEXER_STATES: usize = 20_000;
/// Symbols of a grammar, which the engine numbers by 16 bits.
const GRAMMAR_SYMBOLS: usize = 60_000;

/// Bytes of the compiled grammars that are kept: those of the largest schema among them.
const KEPT_BYTES: usize = 8 << 20;
/// Bytes that a compiled grammar is counted as at least, which keeps no more than 16: small patterns take up to 0.6 MiB.
const LEAST_KEPT_BYTES: usize = 512 << 10;
/// Bytes of a compiled grammar for each of its text; a schema of 2.8 kB takes 240 kB.
const COMPILED_BYTES: usize = 100;

/// The tokens of a model as constraints see them. Made once for a model: for 49,000 tokens that takes some 0.12 s, also in
/// the dev profile.
pub struct ConstraintVocabulary {
    factory: ParserFactory,
    tokens: usize,
    kept: Mutex<Bounded<String, Arc<Matcher>>>,
}

impl ConstraintVocabulary {
    /// Builds the tree of so many tokens, numbered from 0. A token without bytes never comes, but the end does, and any of
    /// `ends` is one. Nothing where there is no end, or the tokens are too many.
    pub fn new(tokens: usize, ends: &[u32], bytes_of: impl Fn(u32) -> Vec<u8>) -> Option<Self> {
        let ends: Vec<u32> = ends.iter().copied().filter(|end| (*end as usize) < tokens).collect();
        let first_end = *ends.first()?;
        if tokens > MAX_TOKENS {
            return None;
        }
        let words: Vec<Vec<u8>> = (0..tokens as u32)
            .map(|token| {
                let bytes = if ends.contains(&token) {
                    Vec::new()
                } else {
                    bytes_of(token)
                };
                // The byte marks special tokens in the tree, and begins no character.
                let is_special = bytes.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER);
                if is_special || bytes.len() > MAX_TOKEN_BYTES {
                    Vec::new()
                } else {
                    bytes
                }
            })
            .collect();
        let trie = TokTrie::from(&TokRxInfo::new(tokens as u32, first_end), &words).with_eos_tokens(&ends);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = llguidance::earley::SlicedBiasComputer::general_slices();
        let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices).ok()?;
        factory.quiet();
        *factory.limits_mut() = ParserLimits {
            max_items_in_row: ROW_ITEMS,
            initial_lexer_fuel: COMPILE_FUEL,
            step_lexer_fuel: STEP_FUEL,
            step_max_items: STEP_ITEMS,
            max_lexer_states: LEXER_STATES,
            max_grammar_size: GRAMMAR_SYMBOLS,
            precompute_large_lexemes: true,
            verbose_errors: false,
        };
        Some(Self {
            factory,
            tokens,
            kept: Mutex::new(Bounded::new(KEPT_BYTES)),
        })
    }

    /// Returns a matcher at the beginning of a grammar; fails with what is wrong with the grammar.
    pub(super) fn compiled(&self, grammar: TopLevelGrammar) -> Result<Arc<Matcher>, String> {
        let key = serde_json::to_string(&grammar).map_err(|error| format!("cannot be compiled: {error}"))?;
        if let Some(kept) = self.kept.lock().get(&key) {
            return Ok(Arc::clone(kept));
        }
        let compiled = Arc::new(compiled(&self.factory, grammar)?);
        let bytes = LEAST_KEPT_BYTES.max(COMPILED_BYTES * key.len());
        self.kept.lock().put(key, Arc::clone(&compiled), bytes);
        Ok(compiled)
    }
}

impl fmt::Debug for ConstraintVocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.tokens;
        f.debug_struct("ConstraintVocabulary")
            .field("tokens", &tokens)
            .finish_non_exhaustive()
    }
}
