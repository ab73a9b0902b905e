//! The one gate before the cores: whoever computes heavily holds it for one step.
//!
//! Steps differ in length by a hundred times: an embedding batch takes some ten milliseconds, a step of the language model
//! a few, a batch of a graph's build more. So kinds of work share the cores by time, not by turns: whichever has had less of
//! it goes first (start-time fair queueing, Goyal, Vin and Cheng 1996), and one that has just left the gate and is behind is
//! waited for a moment, because the next token is asked for at once. Searches go before all others: they take a fraction of
//! a millisecond. Within a kind: first come, first served.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How long others wait for a kind of work that is behind and has just left the gate.
const GRACE: Duration = Duration::from_millis(1);
/// A kind of work that was away for longer has no claim to the time that it let pass.
const AWAY: Duration = Duration::from_millis(20);

/// What the cores are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Somebody waits for a search.
    Search,
    /// A step of the language model.
    Generation,
    /// Passages are embedded.
    Ingestion,
    /// Passages are read once more to order them.
    Reranking,
    /// Indexes are kept up.
    Upkeep,
}

/// Kinds of work that share the time.
const SHARES: usize = 4;

impl Work {
    /// Returns its place among those that share the time; nothing for work that goes first.
    fn share(self) -> Option<usize> {
        match self {
            Self::Search => None,
            Self::Generation => Some(0),
            Self::Ingestion => Some(1),
            Self::Reranking => Some(2),
            Self::Upkeep => Some(3),
        }
    }
}

/// The gate. Whoever enters has all cores until its guard is dropped.
#[derive(Debug, Default)]
pub struct ComputeGate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_held: bool,
    next_ticket: u64,
    searches: VecDeque<u64>,
    shares: [Share; SHARES],
}

/// What one kind of work has had.
#[derive(Debug, Default)]
struct Share {
    waiting: VecDeque<u64>,
    used: Duration,
    left: Option<Instant>,
}

/// Whether one who waits may enter.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Now,
    /// When something changes.
    Later,
    /// When something changes, or at this time.
    At(Instant),
}

/// Holds the cores until it is dropped.
#[derive(Debug)]
pub struct Entered<'a> {
    gate: &'a ComputeGate,
    work: Work,
    since: Instant,
}

impl ComputeGate {
    /// Waits for the cores; they are free again when the guard is dropped.
    pub fn enter(&self, work: Work) -> Entered<'_> {
        let mut state = self.state.lock();
        let ticket = state.queue(work, Instant::now());
        loop {
            match state.turn(work, ticket, Instant::now()) {
                Turn::Now => break,
                Turn::Later => self.changed.wait(&mut state),
                Turn::At(time) => {
                    self.changed.wait_until(&mut state, time);
                }
            }
        }
        state.is_held = true;
        state.waiting(work).pop_front();
        Entered {
            gate: self,
            work,
            since: Instant::now(),
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.gate.state.lock();
        state.leave(self.work, now - self.since, now);
        self.gate.changed.notify_all();
    }
}

impl State {
    fn waiting(&mut self, work: Work) -> &mut VecDeque<u64> {
        match work.share() {
            None => &mut self.searches,
            Some(share) => &mut self.shares[share].waiting,
        }
    }

    fn queue(&mut self, work: Work, now: Instant) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        if let Some(share) = work.share() {
            let most = self.shares.iter().map(|share| share.used).max().unwrap_or_default();
            let share = &mut self.shares[share];
            let is_away = share.left.is_none_or(|left| now.saturating_duration_since(left) > AWAY);
            if share.waiting.is_empty() && is_away {
                share.used = most;
            }
        }
        self.waiting(work).push_back(ticket);
        ticket
    }

    fn leave(&mut self, work: Work, used: Duration, now: Instant) {
        self.is_held = false;
        if let Some(share) = work.share() {
            self.shares[share].used += used;
            self.shares[share].left = Some(now);
        }
    }

    fn turn(&mut self, work: Work, ticket: u64, now: Instant) -> Turn {
        if self.is_held || self.waiting(work).front() != Some(&ticket) {
            return Turn::Later;
        }
        let Some(own) = work.share() else {
            return Turn::Now;
        };
        if !self.searches.is_empty() {
            return Turn::Later;
        }
        let used = self.shares[own].used;
        let mut turn = Turn::Now;
        for share in self.shares.iter().filter(|share| share.used < used) {
            if !share.waiting.is_empty() {
                return Turn::Later;
            }
            let Some(until) = share.left.map(|left| left + GRACE).filter(|until| *until > now) else {
                continue;
            };
            turn = match turn {
                Turn::At(time) => Turn::At(time.max(until)),
                _ => Turn::At(until),
            };
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_at_a_time_holds_the_cores() {
        let gate = ComputeGate::default();
        let (inside, entered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for work in [Work::Search, Work::Generation, Work::Ingestion, Work::Upkeep].repeat(2) {
                let (gate, inside, entered) = (&gate, &inside, &entered);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let _turn = gate.enter(work);
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        entered.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(entered.into_inner(), 8 * 200);
    }

    /// Plays kinds of work that always want more, with steps of these lengths; returns the time that each had.
    fn played(steps: &[(Work, Duration)], total: Duration) -> Vec<Duration> {
        let (mut state, start) = (State::default(), Instant::now());
        let mut now = start;
        let mut tickets: Vec<u64> = steps.iter().map(|(work, _)| state.queue(*work, now)).collect();
        let mut had = vec![Duration::ZERO; steps.len()];
        while now - start < total {
            let turn = |at: &usize| state.turn(steps[*at].0, tickets[*at], now) == Turn::Now;
            let at = (0..steps.len()).find(turn).expect("somebody may enter");
            let (work, length) = steps[at];
            state.waiting(work).pop_front();
            now += length;
            state.leave(work, length, now);
            had[at] += length;
            tickets[at] = state.queue(work, now);
        }
        had
    }

    #[test]
    fn kinds_of_work_share_the_time() {
        let had = played(&[(Work::Generation, 5 * MS), (Work::Ingestion, 90 * MS)], 10_000 * MS);
        assert!(had.iter().all(|had| *had >= 4_900 * MS), "{had:?}");
        let had = played(
            &[
                (Work::Upkeep, 30 * MS),
                (Work::Generation, 5 * MS),
                (Work::Ingestion, 40 * MS),
            ],
            9_000 * MS,
        );
        assert!(had.iter().all(|had| *had >= 2_900 * MS), "{had:?}");
    }

    #[test]
    fn who_is_behind_is_waited_for_a_moment() {
        let (mut state, now) = (State::default(), Instant::now());
        let token = state.queue(Work::Generation, now);
        let batch = state.queue(Work::Ingestion, now);
        state.leave(Work::Ingestion, 50 * MS, now);
        assert_eq!(state.turn(Work::Ingestion, batch, now), Turn::Later);
        assert_eq!(state.turn(Work::Generation, token, now), Turn::Now);
        state.waiting(Work::Generation).pop_front();
        state.leave(Work::Generation, 5 * MS, now);
        assert_eq!(state.turn(Work::Ingestion, batch, now), Turn::At(now + GRACE));
        assert_eq!(state.turn(Work::Ingestion, batch, now + GRACE), Turn::Now);
        // Time that it let pass is no claim.
        let later = now + AWAY + GRACE;
        state.queue(Work::Generation, later);
        assert_eq!(state.shares[0].used, state.shares[1].used);
    }

    #[test]
    fn searches_go_first() {
        let (mut state, now) = (State::default(), Instant::now());
        let batch = state.queue(Work::Ingestion, now);
        let search = state.queue(Work::Search, now);
        assert_eq!(state.turn(Work::Ingestion, batch, now), Turn::Later);
        assert_eq!(state.turn(Work::Search, search, now), Turn::Now);
    }
}
