//! A model's tokens as a tree of their bytes, in which a grammar finds the ones it allows.

use std::fmt;
use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::api::ParserLimits;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};

/// Longest token in bytes that a constraint lets through; the tree has no room for much more.
const MAX_TOKEN_BYTES: usize = 512;
/// Most tokens of a vocabulary; the tree has no room for much more.
const MAX_TOKENS: usize = 1 << 20;
/// Work that the states of all lexemes of a grammar may take at first: some 20 ms.
const COMPILE_FUEL: u64 = 1_000_000;
/// Work that the lexer may do for one token: some 10 ms.
const STEP_FUEL: u64 = 150_000;
/// Items of the parser that one token may make: a few ms.
const STEP_ITEMS: usize = 50_000;
/// Items of the parser beside one another.
const ROW_ITEMS: usize = 2_000;
/// States of the lexer, some kilobytes each.
const LEXER_STATES: usize = 10_000;
/// Symbols of a grammar.
const GRAMMAR_SYMBOLS: usize = 100_000;

/// The tokens of a model as constraints see them. Made once for a model: for 49,152 tokens that takes half a second
/// where our own code is little optimised.
pub struct ConstraintVocabulary {
    pub(super) factory: ParserFactory,
    pub(super) tokens: usize,
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
        Some(Self { factory, tokens })
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
