//! Who may use a language model, and when: one queue for answers, messages and all else that is generated.
//!
//! Comes in: what a generation wants at most, and the claim of its caller. Goes out: a [`Slot`], held while it runs; or a
//! refusal that says when it may work.
//! Always holds: a slot is given back however its generation ends, and what the generation took is charged to its tenant.
//! Not here: the order of those who wait (see [`queue`]), what a model is fast at (see [`rates`]).

mod metered;
mod queue;
mod rates;
mod refusal;
mod tally;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Error, ErrorKind, Serving};
use crate::generate::{LanguageModel, PromptTime};
use crate::worker::{Cancel, Claim};
use metered::Meter;
pub(super) use metered::Metered;
use queue::{Bounds, Demand, Hopeless, Queue, Ticket};
pub use queue::{DEFAULT_AGES_AFTER, FLEX_AGES_AFTER};
use rates::Rates;
use tally::Tally;

/// How often a call that waits looks whether its caller is still there.
const WAIT_STEP: Duration = Duration::from_millis(20);
/// Bytes of a text that make a token, as a rule.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens that a chat template adds by itself at most.
const FRAME_TOKENS: u64 = 512;

/// What a generation wants at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Its model.
    pub(super) model_id: &'a str,
    /// Bytes of what the model is to read.
    pub(super) prompt_bytes: usize,
    /// Tokens that it may write.
    pub(super) max_tokens: usize,
    /// Tokens that a sequence of the model may have.
    pub(super) context_tokens: usize,
}

impl Wanted<'_> {
    /// Returns the most tokens that the prompt can have: no token is shorter than a byte, and what would speak in another
    /// role is broken up.
    fn most_tokens(&self) -> u64 {
        let bytes = self.prompt_bytes as u64;
        let most = bytes + bytes / 4 + FRAME_TOKENS + self.max_tokens as u64;
        most.min(self.context_tokens as u64)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Scheduler {
    bounds: Bounds,
    state: Mutex<State>,
    changed: Condvar,
    running: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// What became of some who wait.
    verdicts: HashMap<Ticket, Verdict>,
    models: BTreeMap<String, Figures>,
    looked: Instant,
}

#[derive(Debug)]
enum Verdict {
    Start,
    Hopeless(Hopeless),
}

/// What is known of a model.
#[derive(Debug)]
struct Figures {
    rates: Rates,
    tally: Tally,
}

impl State {
    fn figures(&mut self, model_id: &str, slots: usize) -> &mut Figures {
        self.models.entry(model_id.to_owned()).or_insert_with(|| Figures {
            rates: Rates::new(slots),
            tally: Tally::default(),
        })
    }
}

/// How a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// By itself, after so many tokens where they were counted.
    Finished(Option<u64>),
    /// Because nobody wanted it any more.
    Cancelled,
    /// Before the model began.
    Refused(&'static str),
    Failed,
}

impl Scheduler {
    /// Runs so many generations at once whose tokens are so many at most, and lets some wait, of each tenant and in all.
    pub(super) fn new(slots: usize, settings: &super::Settings) -> Self {
        let bounds = Bounds {
            slots,
            max_waiting: settings.queued_answers_in_all(),
            max_waiting_per_tenant: settings.max_queued_answers,
            max_tokens: settings.max_running_tokens as u64,
        };
        Self::bounded(bounds)
    }

    fn bounded(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: Mutex::new(State {
                queue: Queue::new(bounds),
                verdicts: HashMap::new(),
                models: BTreeMap::new(),
                looked: Instant::now(),
            }),
            changed: Condvar::new(),
            running: Arc::default(),
        }
    }

    /// Waits for a slot. A full queue, and a deadline that cannot be met, refuse at once.
    pub(super) fn enter(&self, wanted: Wanted<'_>, cancel: &Cancel) -> Result<Slot<'_>, Error> {
        let began = Instant::now();
        let demand = self.demand(wanted, cancel);
        let mut state = self.state.lock();
        let slots = self.bounds.slots;
        let ticket = match state.queue.join(demand.clone(), began) {
            Ok(ticket) => ticket,
            Err(full) => {
                let error = refusal::full(full, &state.queue, &demand, began);
                state.figures(wanted.model_id, slots).tally.refuse(error.reason);
                return Err(error);
            }
        };
        self.look(&mut state, began);
        loop {
            match state.verdicts.remove(&ticket) {
                Some(Verdict::Start) => break,
                Some(Verdict::Hopeless(hopeless)) => {
                    let error = refusal::hopeless(&hopeless);
                    state.figures(wanted.model_id, slots).tally.refuse(error.reason);
                    return Err(error);
                }
                None => {}
            }
            if let Err(stopped) = cancel.check() {
                state.queue.withdraw(ticket);
                state.figures(wanted.model_id, slots).tally.cancelled += 1;
                self.look(&mut state, Instant::now());
                return Err(stopped.into());
            }
            self.changed.wait_for(&mut state, WAIT_STEP);
            let now = Instant::now();
            if now.saturating_duration_since(state.looked) >= WAIT_STEP {
                self.look(&mut state, now);
            }
        }
        self.running.store(state.queue.all_running(), Ordering::Relaxed);
        drop(state);
        Ok(Slot {
            scheduler: self,
            ticket,
            model_id: wanted.model_id.to_owned(),
            wanted_tokens: wanted.max_tokens as u64,
            context_tokens: wanted.context_tokens as u64,
            waited: began.elapsed(),
            cancel: cancel.clone(),
            meter: Arc::new(Meter::new(Arc::clone(&self.running))),
            ended: Mutex::default(),
        })
    }

    fn demand(&self, wanted: Wanted<'_>, cancel: &Cancel) -> Demand {
        let Claim {
            tenant,
            tier,
            is_streamed,
        } = cancel.claim();
        let mut state = self.state.lock();
        let beside = state.queue.all_running() + 1;
        let rates = &state.figures(wanted.model_id, self.bounds.slots).rates;
        let likely = wanted.prompt_bytes as u64 / BYTES_PER_TOKEN;
        let likely = rates.cost(likely, wanted.max_tokens as u64, beside, *is_streamed);
        // All of the prompt may have been read before.
        let best = rates.cost(0, wanted.max_tokens as u64, beside, *is_streamed);
        Demand {
            tenant: tenant.clone().unwrap_or_default(),
            tier: *tier,
            model: Arc::from(wanted.model_id),
            tokens: wanted.most_tokens().min(self.bounds.max_tokens),
            cost: queue::Cost {
                expected: likely.expected,
                ..best
            },
            deadline: cancel.deadline(),
        }
    }

    /// Refuses whoever waits in vain, and starts whoever may.
    fn look(&self, state: &mut State, now: Instant) {
        state.looked = now;
        let hopeless = state.queue.take_hopeless(now);
        let hopeless = hopeless.into_iter().map(|it| (it.ticket, Verdict::Hopeless(it)));
        let started = state.queue.start(now).into_iter().map(|it| (it, Verdict::Start));
        let before = state.verdicts.len();
        state.verdicts.extend(hopeless.chain(started));
        if state.verdicts.len() > before {
            self.changed.notify_all();
        }
    }

    /// Tells how a model serves.
    pub(super) fn serving(&self, model_id: &str) -> Serving {
        let mut state = self.state.lock();
        let (running, waiting) = (state.queue.running(model_id), state.queue.waiting(model_id));
        let (all_running, running_tokens) = (state.queue.all_running(), state.queue.tokens());
        let Figures { rates, tally } = state.figures(model_id, self.bounds.slots);
        Serving {
            running,
            waiting,
            running_tokens,
            reading_rate: rates.reading_rate(),
            writing_rate: rates.writing_rate(all_running.max(1)),
            output_share: rates.share(),
            ..tally.serving()
        }
    }
}

/// A place among those who run, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    scheduler: &'a Scheduler,
    ticket: Ticket,
    model_id: String,
    wanted_tokens: u64,
    context_tokens: u64,
    waited: Duration,
    cancel: Cancel,
    meter: Arc<Meter>,
    ended: Mutex<Ended>,
}

#[derive(Debug, Default)]
struct Ended {
    outcome: Option<Outcome>,
    /// Why the model was not to begin.
    refusal: Option<Error>,
}

impl Slot<'_> {
    /// Returns the model with a meter before it: what it does is counted, and what it is to read is settled before it does.
    pub(super) fn metered<'s>(&'s self, model: &'s dyn LanguageModel) -> Metered<'s> {
        Metered::new(self, model)
    }

    /// Notes that the generation came to its end, after so many tokens where they are known.
    pub(super) fn finish(&self, written: Option<u64>) {
        self.ended.lock().outcome = Some(Outcome::Finished(written));
    }

    /// Notes that the generation failed, and returns why in the words of whoever ended it.
    pub(super) fn fail(&self, error: impl Into<Error>) -> Error {
        let mut ended = self.ended.lock();
        if let Some(refusal) = ended.refusal.take() {
            ended.outcome = Some(Outcome::Refused(refusal.reason));
            return refusal;
        }
        let error = error.into();
        let is_stopped = matches!(error.kind, ErrorKind::Cancelled | ErrorKind::DeadlineExceeded);
        ended.outcome = Some(if is_stopped {
            Outcome::Cancelled
        } else {
            Outcome::Failed
        });
        error
    }

    /// Says how many tokens the prompt has, and how many of them need not be read. Fails where they do not fit, or cannot be
    /// read in time; the reason waits for [`Slot::fail`].
    fn settle(&self, prompt: u64, known: u64) -> Result<(), crate::worker::Stopped> {
        let now = Instant::now();
        let tokens = (prompt + self.wanted_tokens).min(self.context_tokens.max(prompt));
        let scheduler = self.scheduler;
        let mut state = scheduler.state.lock();
        let beside = state.queue.all_running();
        let rates = &state.figures(&self.model_id, scheduler.bounds.slots).rates;
        let is_streamed = self.cancel.claim().is_streamed;
        let cost = rates.cost(prompt - known, self.wanted_tokens, beside, is_streamed);
        let refused = if let Err(room) = state.queue.revise(self.ticket, tokens, cost) {
            Some(refusal::no_room(tokens, room, scheduler.bounds.max_tokens))
        } else {
            let left = self.cancel.deadline().map(|at| at.saturating_duration_since(now));
            let due = Duration::try_from_secs_f64(cost.due).unwrap_or(Duration::MAX);
            let late = left.filter(|left| !left.is_zero() && due > *left);
            late.map(|left| refusal::late(due, left, self.waited))
        };
        let Some(error) = refused else {
            // Tokens may have become free for others.
            scheduler.look(&mut state, now);
            return Ok(());
        };
        self.ended.lock().refusal = Some(error);
        Err(crate::worker::Stopped::DeadlineExceeded)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let outcome = self.ended.get_mut().outcome.unwrap_or(Outcome::Failed);
        let done = self.meter.done();
        let scheduler = self.scheduler;
        let mut state = scheduler.state.lock();
        let ran = state.queue.ran_for(self.ticket, now);
        let figures = state.figures(&self.model_id, scheduler.bounds.slots);
        figures.rates.learn(done);
        // The first token comes with the prompt; sentences that are read at once are no steps.
        if matches!(outcome, Outcome::Finished(_)) && self.meter.is_used() {
            figures.rates.learn_length(done.written + 1, self.wanted_tokens);
        }
        let since = self.cancel.unwanted_since();
        let wish = since.map(|since| now.saturating_duration_since(since));
        figures.tally.end(outcome, &self.meter, wish);
        // What has no meter is charged by the clock.
        let took = if self.meter.is_used() {
            figures.rates.worth(done)
        } else {
            ran.as_secs_f64()
        };
        state.queue.leave(self.ticket, took);
        scheduler.running.store(state.queue.all_running(), Ordering::Relaxed);
        scheduler.look(&mut state, now);
    }
}

/// Begins a sequence of a model, behind its meter.
type Begun = Result<(Box<dyn crate::generate::Sequence>, usize), crate::generate::Error>;

impl Slot<'_> {
    fn begin(&self, model: &dyn LanguageModel, prompt: &[u32], time: PromptTime) -> Begun {
        let (sequence, known) = model.start_with(prompt, time)?;
        self.meter.begin(known as u64);
        self.settle(prompt.len() as u64, known as u64)?;
        Ok((self.meter.watch(sequence), known))
    }
}

#[cfg(test)]
mod tests;
