//! A language model as a judge: which of two words would it go on with?
//!
//! What is read once is read for all questions that begin alike, where the model's sequences can be forked.
//! Always holds: the wish to stop is looked at before each step.

use std::collections::HashMap;
use std::fmt;

use parking_lot::Mutex;

use super::decode::STEP_TOKENS;
use super::{Error, LanguageModel, Sequence};
use crate::worker::Cancel;

/// Texts that are kept as they were read at most: a few models, each with what every question begins with.
const MAX_KEPT: usize = 8;

/// What models have read that many questions begin with, by the model's hash and the text.
#[derive(Default)]
pub struct PrefixCache(Mutex<HashMap<(String, &'static str), Read>>);

impl fmt::Debug for PrefixCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixCache").finish_non_exhaustive()
    }
}

impl PrefixCache {
    /// Drops what a model has read, and with it what keeps the model in memory.
    pub fn forget(&self, model_hash: &str) {
        self.0.lock().retain(|(hash, _), _| hash != model_hash);
    }
}

impl Read {
    fn fork(&self) -> Option<Self> {
        Some(Self {
            tokens: self.tokens.clone(),
            sequence: self.sequence.fork()?,
            logits: self.logits.clone(),
        })
    }
}

/// A model that is asked, with what it has read so far in all.
pub(super) struct Judge<'a> {
    model: &'a dyn LanguageModel,
    cancel: &'a Cancel,
    /// Tokens that the model read.
    pub(super) input_tokens: u64,
}

/// A text that the model has read.
pub(super) struct Read {
    /// All of it, for sequences that cannot be forked.
    tokens: Vec<u32>,
    sequence: Box<dyn Sequence>,
    logits: Vec<f32>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(model: &'a dyn LanguageModel, cancel: &'a Cancel) -> Self {
        Self {
            model,
            cancel,
            input_tokens: 0,
        }
    }

    /// Begins with a text, which is kept for the next time.
    pub(super) fn begin(&mut self, text: &'static str, cache: &PrefixCache) -> Result<Read, Error> {
        let key = (self.model.model_hash().to_owned(), text);
        let kept = cache.0.lock().get(&key).and_then(Read::fork);
        if let Some(read) = kept {
            return Ok(read);
        }
        let read = self.read_tokens(Vec::new(), self.model.start()?, &self.model.encode(text)?)?;
        if let Some(kept) = read.fork() {
            let mut cache = cache.0.lock();
            if cache.len() >= MAX_KEPT {
                cache.clear();
            }
            cache.insert(key, kept);
        }
        Ok(read)
    }

    /// Goes on from what was read, which stays as it was.
    pub(super) fn read_on(&mut self, read: &Read, text: &str) -> Result<Read, Error> {
        let more = self.model.encode(text)?;
        if let Some(sequence) = read.sequence.fork() {
            return self.read_tokens(read.tokens.clone(), sequence, &more);
        }
        let all = [read.tokens.as_slice(), &more].concat();
        self.read_tokens(Vec::new(), self.model.start()?, &all)
    }

    /// Goes on from what was read, which is given up for it.
    pub(super) fn go_on(&mut self, read: Read, text: &str) -> Result<Read, Error> {
        let more = self.model.encode(text)?;
        self.read_tokens(read.tokens, read.sequence, &more)
    }

    /// Reads tokens in steps of the same size from the same place on, so that the same text has the same logits.
    fn read_tokens(
        &mut self,
        mut tokens: Vec<u32>,
        mut sequence: Box<dyn Sequence>,
        more: &[u32],
    ) -> Result<Read, Error> {
        let room = self.model.context_tokens().saturating_sub(tokens.len());
        if more.len() > room {
            let tokens = more.len();
            return Err(Error::QuestionTooLong { tokens, room });
        }
        let mut logits = Vec::new();
        for chunk in more.chunks(STEP_TOKENS) {
            logits = sequence.feed(chunk, self.cancel)?;
        }
        self.input_tokens += more.len() as u64;
        tokens.extend_from_slice(more);
        Ok(Read {
            tokens,
            sequence,
            logits,
        })
    }

    /// Returns how much likelier the model goes on with the first token of one word than of the other, as a difference
    /// of logits; 0 where it cannot be told.
    pub(super) fn preference(&self, read: &Read, word: &str, other: &str) -> Result<f64, Error> {
        let both = self.logit(read, word)?.zip(self.logit(read, other)?);
        Ok(both.map_or(0.0, |(word, other)| word - other).clamp(-MOST, MOST))
    }

    /// Returns how much the model likes to go on with the first token of a word; nothing where it cannot be told.
    pub(super) fn logit(&self, read: &Read, word: &str) -> Result<Option<f64>, Error> {
        let token = self.model.encode(word)?.first().copied();
        let logit = token.and_then(|token| read.logits.get(token as usize));
        Ok(logit.map(|logit| f64::from(*logit)).filter(|logit| !logit.is_nan()))
    }
}

/// Largest preference: beyond it the model is as sure as can be, or its logits are no numbers.
const MOST: f64 = 50.0;
