//! Tokenizers of `SentencePiece` (Kudo and Richardson 2018) inside of GGUF files: tokens with scores.
//!
//! Of two neighbours those are joined first whose join has the highest score. As merges in the order of those scores it is
//! what the tokenizers library computes.

use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence};
use tokenizers::{AddedToken, Tokenizer};

use super::{TYPE_BYTE, TYPE_CONTROL, TYPE_NORMAL, TYPE_UNKNOWN, TYPE_USER_DEFINED};

/// What stands for a space in tokens.
pub(super) const SPACE: &str = "\u{2581}";

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a file says about its tokenizer.
pub(super) struct Pieces<'a> {
    /// Tokens, as they are numbered.
    pub(super) tokens: &'a [String],
    /// Score of each.
    pub(super) scores: &'a [f32],
    /// Type of each.
    pub(super) types: &'a [i64],
    /// The token of what is in no other.
    pub(super) unknown: Option<u32>,
    /// A space comes before each text.
    pub(super) has_space_before: bool,
    /// White space after special tokens is part of them.
    pub(super) takes_space_after: bool,
}

impl Pieces<'_> {
    /// Makes the tokenizer.
    pub(super) fn tokenizer(&self) -> Result<Tokenizer, Error> {
        let numbered = self.tokens.iter().zip(0..);
        let vocabulary: Vocab = numbered.map(|(token, id)| (token.clone(), id)).collect();
        let mut builder = BPE::builder()
            .vocab_and_merges(vocabulary, self.merges())
            .byte_fallback(self.types.contains(&TYPE_BYTE))
            .fuse_unk(true);
        if let Some(unknown) = self.unknown.and_then(|id| self.tokens.get(id as usize)) {
            builder = builder.unk_token(unknown.clone());
        }
        let mut tokenizer = Tokenizer::new(builder.build()?);
        let mut steps: Vec<NormalizerWrapper> = Vec::new();
        if self.has_space_before {
            steps.push(Prepend::new(SPACE.to_owned()).into());
        }
        steps.push(Replace::new(" ", SPACE)?.into());
        tokenizer.with_normalizer(Some(Sequence::new(steps)))?;
        let of_type = |kind: i64| {
            let tokens = self.tokens.iter().zip(self.types);
            tokens
                .filter(move |(_, of_token)| **of_token == kind)
                .map(|(token, _)| token)
        };
        let special = of_type(TYPE_CONTROL).chain(of_type(TYPE_UNKNOWN)).map(|token| {
            // These end or begin texts, in which white space counts.
            let counts = ["<s>", "<unk>", "<|endoftext|>"].contains(&token.as_str());
            AddedToken::from(token.clone(), true).rstrip(self.takes_space_after && !counts)
        });
        tokenizer.add_special_tokens(special.collect::<Vec<_>>())?;
        let own = of_type(TYPE_USER_DEFINED).map(|token| AddedToken::from(token.clone(), false).normalized(false));
        tokenizer.add_tokens(own.collect::<Vec<_>>())?;
        Ok(tokenizer)
    }

    /// Returns which neighbours are joined, the highest score first.
    fn merges(&self) -> Vec<(String, String)> {
        let is_text = |id: usize| {
            let kind = self.types.get(id).copied().unwrap_or(TYPE_NORMAL);
            matches!(kind, TYPE_NORMAL | TYPE_USER_DEFINED)
        };
        let tokens = self.tokens.iter().enumerate().filter(|(id, _)| is_text(*id));
        let known: HashMap<&str, usize> = tokens.map(|(id, token)| (token.as_str(), id)).collect();
        let mut joined: Vec<usize> = known.values().copied().collect();
        let score = |id: usize| self.scores.get(id).copied().unwrap_or(0.0);
        joined.sort_unstable_by(|a, b| score(*b).total_cmp(&score(*a)).then(a.cmp(b)));
        let mut merges = Vec::new();
        for id in joined {
            let token = &self.tokens[id];
            let cuts = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
            let mut parts: Vec<(&str, &str)> = cuts
                .filter(|(left, right)| known.contains_key(left) && known.contains_key(right))
                .collect();
            parts.sort_unstable_by_key(|(left, right)| (known[left], known[right]));
            merges.extend(
                parts
                    .into_iter()
                    .map(|(left, right)| (left.to_owned(), right.to_owned())),
            );
        }
        merges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_the_highest_score_join_first() {
        let normal = |token: &str, score: f32| (token.to_owned(), score, TYPE_NORMAL);
        let pieces = [
            ("<unk>".to_owned(), 0.0, TYPE_UNKNOWN),
            ("<|end|>".to_owned(), 0.0, TYPE_CONTROL),
            ("<0xC3>".to_owned(), 0.0, TYPE_BYTE),
            ("<0xA9>".to_owned(), 0.0, TYPE_BYTE),
            ("[own]".to_owned(), 0.0, TYPE_USER_DEFINED),
            normal("\u{2581}", -9.0),
            normal("a", -9.0),
            normal("b", -9.0),
            normal("c", -9.0),
            normal("ab", -3.0),
            normal("bc", -2.0),
            normal("\u{2581}a", -4.0),
            normal("\u{2581}abc", -5.0),
        ];
        let tokens: Vec<String> = pieces.iter().map(|(token, ..)| token.clone()).collect();
        let scores: Vec<f32> = pieces.iter().map(|(_, score, _)| *score).collect();
        let types: Vec<i64> = pieces.iter().map(|(.., kind)| *kind).collect();
        let check = |has_space_before: bool, takes_space_after: bool, text: &str, expected: &[u32]| {
            let pieces = Pieces {
                tokens: &tokens,
                scores: &scores,
                types: &types,
                unknown: Some(0),
                has_space_before,
                takes_space_after,
            };
            let tokenizer = pieces.tokenizer().expect("it can be made");
            let found = tokenizer.encode_fast(text, false).expect("text becomes tokens");
            assert_eq!(found.get_ids(), expected, "{text}");
        };
        check(false, false, "abc", &[6, 10]);
        check(false, false, "ab", &[9]);
        check(true, false, "abc", &[12]);
        check(true, false, "ab b", &[5, 9, 5, 7]);
        check(true, false, "a b", &[11, 5, 7]);
        check(false, false, "a\u{e9}", &[6, 2, 3]);
        check(false, false, "a<|end|> b[own]", &[6, 1, 5, 7, 4]);
        check(false, true, "a<|end|> b", &[6, 1, 7]);
    }
}
