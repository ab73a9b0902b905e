//! Steps that many sequences share.
//!
//! Whoever has tokens to be read puts them into a queue. One of those who wait leads: it holds the compute gate for one
//! step, takes what is in the queue by then, and hands out what came of it; then the next one leads. So sequences join and
//! leave at every token, and one that is alone waits for nobody.
//! Prompts are read in pieces, as long as a step may take: what others wait for their next token is bounded by time,
//! however slow the machine and however long what was read before.
//! Always holds: a step has at most [`MAX_STEP_TOKENS`] tokens beside those of sequences that write; what a sequence
//! gets does not depend on who stood beside it, nor on the pieces.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::cache::Cache;
use super::decoder::{Decoder, Part};
use super::prefixes::Prefixes;
use crate::compute::Crew;
use crate::generate::{Error, PromptTime};
use crate::worker::{Cancel, ComputeGate, Work};

/// Tokens of prompts that are read in one step at most.
const MAX_STEP_TOKENS: usize = 256;
/// Fewest tokens of a prompt that has more: a step reads through all weights, however few its tokens.
const MIN_PIECE: usize = 16;
/// How long a step with prompts is to take where others wait for theirs: so texts go on by some twenty tokens a second,
/// which nobody reads faster.
const SHARED_STEP: Duration = Duration::from_millis(50);
/// The same for a sequence that is alone: so soon it ends when nobody wants it any more.
const LONE_STEP: Duration = Duration::from_millis(150);
/// Tokens of a prompt that are read in a second, until the sequence has seen how many.
const FIRST_PACE: f64 = 1_000.0;
/// Bytes of what prompts left behind that are kept at most, for others that begin alike.
const MAX_PREFIX_BYTES: usize = 128 << 20;
/// Tokens that one sequence may read ahead of those that were chosen, where it is alone: a step of so many takes little
/// longer than a step of one.
const MAX_AHEAD: usize = 7;
/// How long a step waits for sequences of the last one: choosing a token takes some ten microseconds.
const PATIENCE: Duration = Duration::from_micros(300);

/// A decoder that sequences share.
pub(in crate::generate) struct Batcher {
    decoder: Decoder,
    crew: Crew,
    gate: Arc<ComputeGate>,
    prefixes: Mutex<Prefixes>,
    /// Bytes of what sequences have read and left behind.
    cache_bytes: Arc<AtomicUsize>,
    queue: Mutex<Queue>,
    /// Something came into the queue, was done, or the leader left.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    next_id: u64,
    /// In order of arrival.
    waiting: Vec<Waiting>,
    done: BTreeMap<u64, Done>,
    /// Sequences of the last step that were not heard of since.
    expected: BTreeSet<u64>,
    expected_until: Option<Instant>,
    has_leader: bool,
}

/// Tokens that a sequence wants to be read.
struct Waiting {
    id: u64,
    cache: Cache,
    tokens: Vec<u32>,
    /// After how many of the last of them logits are wanted.
    told: usize,
    /// How many tokens of prompts there may be in the step that reads these, if they are of a prompt.
    room: usize,
    cancel: Cancel,
}

/// What came of them. Without a cache the sequence has read nobody knows what.
struct Done {
    cache: Option<Cache>,
    logits: Result<Vec<Vec<f32>>, Error>,
    /// Tokens of prompts that the step read in a second, if there were any.
    pace: Option<f64>,
}

/// A sequence that reads by the steps of a [`Batcher`].
pub(in crate::generate) struct Reading {
    batcher: Arc<Batcher>,
    id: u64,
    /// What it has read.
    tokens: Vec<u32>,
    /// How often prompts had been forgotten when its texts were looked up; nothing where it is not to be kept.
    time: Option<u64>,
    /// Nothing after a failure.
    cache: Option<Cache>,
    /// Tokens of prompts that its last step read in a second.
    pace: f64,
}

impl Batcher {
    /// Lets sequences share a decoder that computes on a crew, one step at a time behind `gate`.
    pub(in crate::generate) fn new(decoder: Decoder, crew: Crew, gate: Arc<ComputeGate>) -> Self {
        Self {
            decoder,
            crew,
            gate,
            prefixes: Mutex::new(Prefixes::new(MAX_PREFIX_BYTES)),
            cache_bytes: Arc::default(),
            queue: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Begins a sequence that has read nothing.
    pub(in crate::generate) fn begin(self: &Arc<Self>) -> Reading {
        self.go_on(Vec::new(), self.cache(), None)
    }

    /// Begins a sequence that has read what is known of a prompt, but never all of it, and that can be
    /// [kept](Reading::keep) unless prompts were forgotten since `time`.
    pub(in crate::generate) fn begin_with(self: &Arc<Self>, prompt: &[u32], time: PromptTime) -> Reading {
        let known = self.prefixes.lock().longest(prompt);
        let cache = known.unwrap_or_else(|| self.cache());
        self.go_on(prompt[..cache.tokens()].to_vec(), cache, time.0)
    }

    fn cache(&self) -> Cache {
        self.decoder.cache().counted_by(&self.cache_bytes)
    }

    /// Returns how many bytes the weights take, and all that was read and is kept.
    pub(in crate::generate) fn memory_bytes(&self) -> usize {
        self.decoder.bytes() + self.cache_bytes.load(Ordering::Relaxed)
    }

    /// Returns how often prompts were forgotten.
    pub(in crate::generate) fn prompt_time(&self) -> PromptTime {
        PromptTime(Some(self.prefixes.lock().time()))
    }

    /// Gives up what prompts left behind.
    pub(in crate::generate) fn forget(&self) {
        self.prefixes.lock().forget();
    }

    fn go_on(self: &Arc<Self>, tokens: Vec<u32>, cache: Cache, time: Option<u64>) -> Reading {
        let mut queue = self.queue.lock();
        queue.next_id += 1;
        Reading {
            batcher: Arc::clone(self),
            id: queue.next_id,
            tokens,
            time,
            cache: Some(cache),
            pace: FIRST_PACE,
        }
    }

    fn read(&self, waiting: Waiting) -> Done {
        let id = waiting.id;
        let mut queue = self.queue.lock();
        queue.expected.remove(&id);
        queue.waiting.push(waiting);
        self.changed.notify_all();
        loop {
            if let Some(done) = queue.done.remove(&id) {
                return done;
            }
            if queue.has_leader {
                self.changed.wait(&mut queue);
            } else {
                queue.has_leader = true;
                self.lead(&mut queue);
                queue.has_leader = false;
                self.changed.notify_all();
            }
        }
    }

    /// Makes one step.
    fn lead(&self, queue: &mut MutexGuard<'_, Queue>) {
        while let Some(until) = queue.expected_until.filter(|_| !queue.expected.is_empty()) {
            if self.changed.wait_until(queue, until).timed_out() {
                break;
            }
        }
        let gate = MutexGuard::unlocked(queue, || self.gate.enter(Work::Generation));
        // Those who came while the gate was closed take part.
        let mut taken = queue.take();
        let (logits, took) = MutexGuard::unlocked(queue, || {
            let begun = Instant::now();
            let logits = self.step(&mut taken);
            drop(gate);
            (logits, begun.elapsed())
        });
        let of_prompts: usize = taken.iter().map(Waiting::of_prompt).sum();
        let pace = (of_prompts > 0).then(|| of_prompts as f64 / took.as_secs_f64());
        queue.expected = taken.iter().map(|waiting| waiting.id).collect();
        queue.expected_until = Some(Instant::now() + PATIENCE);
        match logits {
            Some(logits) => {
                for (waiting, logits) in taken.into_iter().zip(logits) {
                    let cache = Some(waiting.cache);
                    let logits = Ok(logits);
                    queue.done.insert(waiting.id, Done { cache, logits, pace });
                }
            }
            None => {
                for waiting in taken {
                    let logits = Err(Error::Inference("a step of the language model failed".into()));
                    let cache = None;
                    queue.done.insert(waiting.id, Done { cache, logits, pace });
                }
            }
        }
    }

    /// Reads what was taken; nothing where that fails.
    fn step(&self, taken: &mut [Waiting]) -> Option<Vec<Vec<Vec<f32>>>> {
        let parts = taken.iter_mut().map(|waiting| Part {
            cache: &mut waiting.cache,
            tokens: &waiting.tokens,
            told: waiting.told,
        });
        let mut parts: Vec<Part<'_>> = parts.collect();
        if parts.is_empty() {
            return Some(Vec::new());
        }
        // The caches of a step that failed are given up with it.
        catch_unwind(AssertUnwindSafe(|| self.decoder.step(&self.crew, &mut parts))).ok()
    }
}

impl Waiting {
    /// Returns how many of the tokens are of a prompt: all, or none of who writes.
    fn of_prompt(&self) -> usize {
        let tokens = self.tokens.len();
        let is_written = self.told == tokens && tokens <= 1 + MAX_AHEAD;
        if is_written { 0 } else { tokens }
    }
}

impl Queue {
    /// Takes what the next step reads: all tokens of who writes, and prompts as they came. Those who want no more are told so.
    fn take(&mut self) -> Vec<Waiting> {
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        let (mut of_prompts, mut room) = (0, MAX_STEP_TOKENS);
        for waiting in std::mem::take(&mut self.waiting) {
            if let Err(stopped) = waiting.cancel.check() {
                let done = Done {
                    cache: Some(waiting.cache),
                    logits: Err(stopped.into()),
                    pace: None,
                };
                self.done.insert(waiting.id, done);
                continue;
            }
            let tokens = waiting.of_prompt();
            if tokens == 0 {
                taken.push(waiting);
            } else if of_prompts == 0 || of_prompts + tokens <= room.min(waiting.room) {
                of_prompts += tokens;
                room = room.min(waiting.room);
                taken.push(waiting);
            } else {
                left.push(waiting);
            }
        }
        self.waiting = left;
        taken
    }
}

impl Reading {
    /// Returns how many tokens it has read.
    pub(in crate::generate) fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Keeps the first tokens that it has read for others that begin alike; for so long before what is not held. Returns
    /// whether it may.
    pub(in crate::generate) fn keep(&self, tokens: usize, held: Duration) -> bool {
        let Some((cache, time)) = self.cache.as_ref().zip(self.time) else {
            return false;
        };
        let tokens = tokens.min(self.tokens.len());
        let held_until = (!held.is_zero()).then(|| Instant::now() + held);
        let mut prefixes = self.batcher.prefixes.lock();
        prefixes.keep(&self.tokens[..tokens], cache.beginning(tokens), time, held_until);
        true
    }

    /// Returns how many tokens it may read ahead of those that were chosen without taking others' time.
    pub(in crate::generate) fn room_ahead(&self) -> usize {
        if self.is_alone() { MAX_AHEAD } else { 0 }
    }

    fn is_alone(&self) -> bool {
        let queue = self.batcher.queue.lock();
        queue.waiting.is_empty() && queue.expected.iter().all(|id| *id == self.id)
    }

    /// Forgets the last tokens.
    pub(in crate::generate) fn rewind(&mut self, tokens: usize) {
        let left = self.tokens.len().saturating_sub(tokens);
        self.tokens.truncate(left);
        if let Some(cache) = &mut self.cache {
            cache.truncate(left);
        }
    }

    /// Reads tokens, at least one, in the next steps that have room, and returns the logits after the last `told`, of which
    /// there is at least one. What was read before a failure stays read.
    pub(in crate::generate) fn read(
        &mut self,
        tokens: &[u32],
        told: usize,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let vocabulary = self.batcher.decoder.vocabulary();
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
            return Err(Error::Inference(format!("there is no token {token}").into()));
        }
        let mut left = tokens;
        loop {
            let room = room(self.pace, if self.is_alone() { LONE_STEP } else { SHARED_STEP });
            // Logits of several tokens come of one step.
            let piece = if told > 1 { left.len() } else { piece(left.len(), room) };
            let (now, later) = left.split_at(piece);
            if later.is_empty() {
                return self.step(now, told, room, cancel);
            }
            self.step(now, 1, room, cancel)?;
            left = later;
        }
    }

    fn step(&mut self, tokens: &[u32], told: usize, room: usize, cancel: &Cancel) -> Result<Vec<Vec<f32>>, Error> {
        cancel.check()?;
        let Some(cache) = self.cache.take() else {
            return Err(Error::Inference("the sequence failed before".into()));
        };
        let done = self.batcher.read(Waiting {
            id: self.id,
            cache,
            tokens: tokens.to_vec(),
            told,
            room,
            cancel: cancel.clone(),
        });
        self.cache = done.cache;
        self.pace = done.pace.unwrap_or(self.pace);
        let logits = done.logits?;
        self.tokens.extend_from_slice(tokens);
        Ok(logits)
    }

    /// Returns another sequence that has read the same.
    pub(in crate::generate) fn fork(&self) -> Option<Self> {
        Some(self.batcher.go_on(self.tokens.clone(), self.cache.clone()?, None))
    }
}

/// Returns how many tokens of prompts a step may have that is to take so long, where so many are read in a second.
fn room(pace: f64, step: Duration) -> usize {
    let tokens = (pace * step.as_secs_f64()) as usize;
    (tokens / MIN_PIECE * MIN_PIECE).clamp(MIN_PIECE, MAX_STEP_TOKENS)
}

/// Returns how many of so many tokens are read next where a step has so much room: pieces are of a size.
fn piece(tokens: usize, room: usize) -> usize {
    let pieces = tokens.div_ceil(room);
    tokens.div_ceil(pieces).next_multiple_of(MIN_PIECE).min(tokens)
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.batcher.queue.lock().expected.remove(&self.id) {
            self.batcher.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
