//! A language model behind a meter: what it reads and writes for one generation, and how long that takes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use super::Slot;
use super::rates::Done;
use crate::generate::{ConstraintVocabulary, Error, LanguageModel, Message, PromptTime, Sequence};
use crate::models::AnswerStyle;
use crate::worker::Cancel;

/// What a model did for one generation so far.
#[derive(Debug)]
pub(super) struct Meter {
    /// Generations that run.
    running: Arc<AtomicUsize>,
    count: Mutex<Count>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    is_used: bool,
    known: u64,
    read: u64,
    reading: Duration,
    written: u64,
    writing: Duration,
    /// Generations that ran at each token, in sum.
    beside: usize,
    /// Steps that ended after nobody wanted them any more.
    unwanted: u64,
}

impl Meter {
    pub(super) fn new(running: Arc<AtomicUsize>) -> Self {
        Self {
            running,
            count: Mutex::default(),
        }
    }

    /// Notes that a sequence begins which knows so many tokens of its prompt.
    pub(super) fn begin(&self, known: u64) {
        let mut count = self.count.lock();
        count.is_used = true;
        count.known += known;
    }

    /// Watches a sequence.
    pub(super) fn watch(self: &Arc<Self>, sequence: Box<dyn Sequence>) -> Box<dyn Sequence> {
        let meter = Arc::clone(self);
        Box::new(Watched { meter, sequence })
    }

    /// Returns whether the model did anything.
    pub(super) fn is_used(&self) -> bool {
        self.count.lock().is_used
    }

    /// Returns what the model did.
    pub(super) fn done(&self) -> Done {
        let count = *self.count.lock();
        let steps = usize::try_from(count.written).unwrap_or(usize::MAX);
        Done {
            read: count.read,
            reading: count.reading,
            written: count.written,
            writing: count.writing,
            beside: (count.beside + steps / 2).checked_div(steps).unwrap_or(1),
        }
    }

    /// Returns the tokens of prompts that need not be read.
    pub(super) fn known(&self) -> u64 {
        self.count.lock().known
    }

    /// Returns the steps that ended after nobody wanted them any more: each is one token that was written for nobody.
    pub(super) fn unwanted(&self) -> u64 {
        self.count.lock().unwanted
    }

    fn count_read(&self, tokens: usize, took: Duration, is_unwanted: bool) {
        let mut count = self.count.lock();
        count.unwanted += u64::from(is_unwanted);
        count.read += tokens as u64;
        count.reading += took;
    }

    fn count_written(&self, tokens: usize, took: Duration, is_unwanted: bool) {
        let beside = self.running.load(Ordering::Relaxed).max(1);
        let mut count = self.count.lock();
        count.unwanted += u64::from(is_unwanted);
        count.written += tokens as u64;
        count.writing += took;
        count.beside += tokens * beside;
    }

    /// Takes tokens back that were read ahead and not chosen.
    fn take_back(&self, tokens: usize) {
        let beside = self.running.load(Ordering::Relaxed).max(1);
        let mut count = self.count.lock();
        count.written = count.written.saturating_sub(tokens as u64);
        count.beside = count.beside.saturating_sub(tokens * beside);
    }
}

/// A sequence whose steps are counted: those of one token, or of tokens read ahead with it, as written, others as read.
struct Watched {
    meter: Arc<Meter>,
    sequence: Box<dyn Sequence>,
}

#[deny(
    clippy::missing_trait_methods,
    reason = "a default would hide what the sequence itself does"
)]
impl Sequence for Watched {
    fn feed(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        let began = Instant::now();
        let logits = self.sequence.feed(tokens, cancel)?;
        let is_unwanted = cancel.unwanted_since().is_some();
        match tokens.len() {
            1 => self.meter.count_written(1, began.elapsed(), is_unwanted),
            tokens => self.meter.count_read(tokens, began.elapsed(), is_unwanted),
        }
        Ok(logits)
    }

    fn feed_each(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<Vec<Vec<f32>>, Error> {
        let began = Instant::now();
        let logits = self.sequence.feed_each(tokens, cancel)?;
        let is_unwanted = cancel.unwanted_since().is_some();
        self.meter.count_written(tokens.len(), began.elapsed(), is_unwanted);
        Ok(logits)
    }

    fn room_ahead(&self) -> usize {
        self.sequence.room_ahead()
    }

    fn rewind(&mut self, tokens: usize) {
        self.sequence.rewind(tokens);
        self.meter.take_back(tokens);
    }

    fn keep(&self, tokens: usize, held: Duration) -> bool {
        self.sequence.keep(tokens, held)
    }

    fn fork(&self) -> Option<Box<dyn Sequence>> {
        Some(self.meter.watch(self.sequence.fork()?))
    }
}

/// A language model as one generation sees it.
pub(in crate::knowledge_base) struct Metered<'a> {
    slot: &'a Slot<'a>,
    model: &'a dyn LanguageModel,
}

impl<'a> Metered<'a> {
    pub(super) fn new(slot: &'a Slot<'a>, model: &'a dyn LanguageModel) -> Self {
        Self { slot, model }
    }
}

#[deny(
    clippy::missing_trait_methods,
    reason = "a default would hide what the model itself does"
)]
impl LanguageModel for Metered<'_> {
    fn model_id(&self) -> &str {
        self.model.model_id()
    }

    fn model_hash(&self) -> &str {
        self.model.model_hash()
    }

    fn file(&self) -> Option<&Path> {
        self.model.file()
    }

    fn context_tokens(&self) -> usize {
        self.model.context_tokens()
    }

    fn render(&self, messages: &[Message]) -> Result<String, Error> {
        self.model.render(messages)
    }

    fn render_with_tools(&self, messages: &Value, tools: &Value) -> Result<Option<String>, Error> {
        self.model.render_with_tools(messages, tools)
    }

    fn constraint_vocabulary(&self) -> Option<Arc<ConstraintVocabulary>> {
        self.model.constraint_vocabulary()
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.model.encode(text)
    }

    fn token_bytes(&self, token: u32) -> Vec<u8> {
        self.model.token_bytes(token)
    }

    fn answer_style(&self) -> AnswerStyle {
        self.model.answer_style()
    }

    fn is_end(&self, token: u32) -> bool {
        self.model.is_end(token)
    }

    fn memory_bytes(&self) -> u64 {
        self.model.memory_bytes()
    }

    fn start(&self) -> Result<Box<dyn Sequence>, Error> {
        self.slot.meter.begin(0);
        Ok(self.slot.meter.watch(self.model.start()?))
    }

    fn start_with(&self, prompt: &[u32], time: PromptTime) -> Result<(Box<dyn Sequence>, usize), Error> {
        self.slot.begin(self.model, prompt, time)
    }

    fn prompt_time(&self) -> PromptTime {
        self.model.prompt_time()
    }

    fn forget_prompts(&self) {
        self.model.forget_prompts();
    }
}

#[cfg(test)]
mod tests;
