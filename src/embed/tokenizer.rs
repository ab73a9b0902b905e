//! Texts to the tokens that an encoder reads.
//!
//! Comes in: a model's `tokenizer.json` and texts. Goes out: tokens, cut to what the model reads.
//! Always holds: of a text that is too long the beginning is kept, between the special tokens.
//! Not here: vectors.

use tokenizers::{Encoding, Tokenizer};

use super::{Error, Purpose, TokenCoverage, coverage};
use crate::models::InstalledEncoder;

/// How vocabularies write the token for what they do not hold.
const UNKNOWN: [&str; 2] = ["[UNK]", "<unk>"];

/// The tokenizer of an encoder.
pub(super) struct EncoderTokenizer {
    tokenizer: Tokenizer,
    max_tokens: usize,
    passage_prefix: String,
    query_prefix: String,
    /// The token that stands for what the model does not know.
    unknown: Option<u32>,
    /// The first token of the vocabulary that stands for text.
    first: u32,
}

/// The tokens that a model reads of a text.
pub(super) struct Tokens {
    /// All of them, special ones included.
    pub(super) ids: Vec<u32>,
    /// Special tokens before the text, and the text's own that are the prefix's.
    pub(super) before: usize,
    /// Place in the vocabulary of each token of the text, 0 being the first that stands for text.
    pub(super) ranks: Vec<u32>,
}

impl EncoderTokenizer {
    /// Reads the tokenizer of an encoder. Fails with the reason.
    pub(super) fn open(files: &InstalledEncoder, json: &[u8]) -> tokenizers::Result<Self> {
        let mut tokenizer = Tokenizer::from_bytes(json)?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None)?;
        Ok(Self {
            max_tokens: files.max_tokens,
            passage_prefix: files.passage_prefix.clone(),
            query_prefix: files.query_prefix.clone(),
            unknown: UNKNOWN.iter().find_map(|token| tokenizer.token_to_id(token)),
            first: first_of_text(&tokenizer),
            tokenizer,
        })
    }

    /// Returns the tokenizer itself, which cuts nothing.
    pub(super) fn inner(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Returns what is put before each text.
    pub(super) fn prefix(&self, purpose: Purpose) -> &str {
        match purpose {
            Purpose::Passage => &self.passage_prefix,
            Purpose::Query => &self.query_prefix,
        }
    }

    /// Returns how long a text is for the model, special tokens included.
    pub(super) fn length(&self, text: &str) -> Result<usize, Error> {
        let encoding = self.tokenizer.encode_fast(text, true).map_err(Error::Inference)?;
        Ok(encoding.len().clamp(1, self.max_tokens))
    }

    /// Counts the tokens of a text, special tokens left out.
    pub(super) fn count(&self, text: &str) -> usize {
        // A tokenizer that fails on a text fails again when the text is embedded, and that call can say so.
        self.tokenizer
            .encode_fast(text, false)
            .map_or(0, |encoding| encoding.len())
    }

    /// Counts the tokens of a text with special ones and the model's prefix, before any cut.
    pub(super) fn count_input(&self, text: &str, purpose: Purpose) -> Result<usize, Error> {
        self.encoding_of_input(text, purpose).map(|encoding| encoding.len())
    }

    /// Returns how a text falls into tokens.
    pub(super) fn coverage(&self, text: &str) -> Option<TokenCoverage> {
        let encoding = self.tokenizer.encode(text, false).ok()?;
        let known = encoding.get_ids().iter().map(|id| Some(*id) != self.unknown);
        let tokens = encoding.get_offsets().iter().copied().zip(known);
        Some(coverage::of(text, tokens))
    }

    /// Returns the tokens that the model reads of a text, special ones included.
    pub(super) fn ids(&self, text: &str, purpose: Purpose) -> Result<Vec<u32>, Error> {
        Ok(self.cut(&self.encoding_of_input(text, purpose)?).0)
    }

    fn encoding_of_input(&self, text: &str, purpose: Purpose) -> Result<Encoding, Error> {
        let prefix = self.prefix(purpose);
        let encoding = if prefix.is_empty() {
            self.tokenizer.encode_fast(text, true)
        } else {
            self.tokenizer.encode_fast(format!("{prefix}{text}"), true)
        };
        encoding.map_err(Error::Inference)
    }

    /// Returns the tokens that the model reads of a text, and which of them are the text's own.
    pub(super) fn tokens(&self, text: &str, purpose: Purpose) -> Result<Tokens, Error> {
        let prefix = self.prefix(purpose);
        let encoding = self.tokenizer.encode(format!("{prefix}{text}"), true);
        let encoding = encoding.map_err(Error::Inference)?;
        let (ids, before, kept) = self.cut(&encoding);
        // What the prefix says is no part of the text.
        let ends = encoding.get_offsets()[before..before + kept]
            .iter()
            .map(|(_, end)| *end);
        let is_prefix = |end: &usize| !prefix.is_empty() && *end <= prefix.len();
        let in_prefix = ends.take_while(is_prefix).count();
        let own = &ids[before + in_prefix..before + kept];
        Ok(Tokens {
            ranks: own.iter().map(|id| id.saturating_sub(self.first)).collect(),
            before: before + in_prefix,
            ids,
        })
    }

    /// Returns the tokens that are kept of an encoding, how many of them are special ones before the text, and how many
    /// are of the text.
    fn cut(&self, encoding: &Encoding) -> (Vec<u32>, usize, usize) {
        let is_special = encoding.get_special_tokens_mask();
        let before = is_special.iter().take_while(|mask| **mask == 1).count();
        let rest = is_special[before..].iter().rev();
        let after = rest.take_while(|mask| **mask == 1).count();
        let kept = is_special.len() - before - after;
        let kept = kept.min(self.max_tokens.saturating_sub(before + after));
        let ids = encoding.get_ids();
        let mut of_model = ids[..before + kept].to_vec();
        of_model.extend_from_slice(&ids[ids.len() - after..]);
        of_model.truncate(self.max_tokens);
        (of_model, before, kept)
    }
}

/// Returns the first token of a vocabulary that stands for text. Before it are those that models put around texts, and
/// places that were never used, all of them in brackets.
fn first_of_text(tokenizer: &Tokenizer) -> u32 {
    let is_bracketed = |token: &str| {
        let brackets = [('[', ']'), ('<', '>')];
        let is_between = |(open, close)| token.len() > 2 && token.starts_with(open) && token.ends_with(close);
        brackets.into_iter().any(is_between)
    };
    let ids = 0..tokenizer.get_vocab_size(true) as u32;
    let mut ids = ids.take_while(|id| tokenizer.id_to_token(*id).is_none_or(|token| is_bracketed(&token)));
    ids.by_ref().last().map_or(0, |last| last + 1)
}
