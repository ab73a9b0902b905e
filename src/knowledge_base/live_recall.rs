//! How many of the nearest chunks the walks over graphs find, measured on queries as they come.
//!
//! Comes in: what the dense leg listed for a query by walking. Goes out: the share of the exact list that it holds.
//! Always holds: no answer waits for a check or changes by one; checks are a sampled share, made one at a time by a thread
//! that rests long enough after each to take no more than a twentieth of a core; what does not fit the queue is dropped
//! and counted; a check reads the epoch that the query read, among the chunks that the query could find.
//! Not here: the exact list (see [`crate::store::EpochStore::exact_nearest`]).

mod window;

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::base::{Base, OpenBases};
use super::results::Asked;
use super::{Error, LiveRecallInfo};
use crate::index::{ChunkId, ChunkSet, Epoch, Scored, VectorsWork};
use crate::retrieve::Candidate;
use crate::worker::Cancel;
use window::{Checked, Window};

/// Checks that may wait.
const MAX_WAITING: usize = 32;
/// How many times as long as a check took the thread rests after it.
const REST: u32 = 19;

/// Checks sampled queries while it lives.
#[derive(Debug)]
pub(super) struct LiveRecall {
    /// Queries whose number hashes to no more than this are checked.
    sampled_up_to: u64,
    walked: AtomicU64,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    cancel: Cancel,
    waiting: Mutex<VecDeque<Check>>,
    wake: Condvar,
    windows: Mutex<HashMap<String, Window>>,
}

/// What the dense leg listed.
#[derive(Debug)]
struct Check {
    knowledge_base: String,
    epoch: Epoch,
    vector: Vec<f32>,
    /// The chunks that could be found; nothing for all that the epoch sees.
    within: Option<Arc<ChunkSet>>,
    /// Candidates that the leg was asked for.
    asked: usize,
    /// Best first.
    listed: Vec<(ChunkId, f64)>,
}

impl LiveRecall {
    /// Starts the thread. `share` of the walks is checked, above 0 and up to 1.
    pub(super) fn start(share: f64, bases: Arc<OpenBases>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            cancel: Cancel::new(),
            waiting: Mutex::default(),
            wake: Condvar::new(),
            windows: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("live recall".to_owned())
            .spawn(move || theirs.work(&bases))?;
        Ok(Self {
            // Casts of numbers that are too large end at the largest.
            sampled_up_to: (share * u64::MAX as f64) as u64,
            walked: AtomicU64::new(0),
            shared,
            thread: Some(thread),
        })
    }

    /// Takes note of what the legs found for a query: where the dense leg walked, it may be checked.
    pub(super) fn note(
        &self,
        asked: Asked<'_>,
        within: Option<&Arc<ChunkSet>>,
        (fused, work): (&[Candidate], VectorsWork),
        listed: usize,
    ) {
        let Some(embedded) = asked.embedded.filter(|_| work.walked) else {
            return;
        };
        let number = self.walked.fetch_add(1, Ordering::Relaxed);
        if hash(number) > self.sampled_up_to {
            return;
        }
        let knowledge_base = asked.record.id.clone();
        let mut waiting = self.shared.waiting.lock();
        if waiting.len() >= MAX_WAITING {
            drop(waiting);
            self.shared.drop_one(&knowledge_base);
            return;
        }
        waiting.push_back(Check {
            knowledge_base,
            epoch: asked.lease.epoch(),
            vector: embedded.vector.to_vec(),
            within: within.cloned(),
            asked: listed,
            listed: dense_list(fused),
        });
        drop(waiting);
        self.shared.wake.notify_one();
    }

    /// Returns what the checks of a knowledge base found.
    pub(super) fn of(&self, knowledge_base: &str) -> LiveRecallInfo {
        let windows = self.shared.windows.lock();
        windows.get(knowledge_base).map(Window::info).unwrap_or_default()
    }

    /// Forgets a knowledge base that is removed.
    pub(super) fn forget(&self, knowledge_base: &str) {
        let mut waiting = self.shared.waiting.lock();
        waiting.retain(|check| check.knowledge_base != knowledge_base);
        drop(waiting);
        self.shared.windows.lock().remove(knowledge_base);
    }
}

impl Drop for LiveRecall {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
        // With the lock, so that the thread cannot fall asleep between looking and waiting.
        let waiting = self.shared.waiting.lock();
        self.shared.wake.notify_all();
        drop(waiting);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that measures recall panicked");
        }
    }
}

impl Shared {
    fn work(&self, bases: &OpenBases) {
        while let Some(check) = self.next() {
            let started = Instant::now();
            let knowledge_base = &check.knowledge_base;
            let checked = catch_unwind(AssertUnwindSafe(|| {
                let base = bases.opened(knowledge_base)?;
                Some(recall(&base, &check, &self.cancel))
            }));
            match checked {
                // Its knowledge base is gone.
                Ok(None) => {}
                Ok(Some(Ok(Some(checked)))) => self.add(knowledge_base, checked),
                Ok(Some(Ok(None))) => self.drop_one(knowledge_base),
                Ok(Some(Err(error))) => {
                    tracing::debug!(
                        knowledge_base,
                        error = error.with_causes(),
                        "a check of recall was dropped"
                    );
                    self.drop_one(knowledge_base);
                }
                Err(_) => {
                    tracing::error!(knowledge_base, "a check of recall panicked");
                    self.drop_one(knowledge_base);
                }
            }
            self.rest(started.elapsed() * REST);
        }
    }

    /// Waits for a check; nothing once the process ends.
    fn next(&self) -> Option<Check> {
        let mut waiting = self.waiting.lock();
        loop {
            if self.cancel.is_cancelled() {
                return None;
            }
            if let Some(check) = waiting.pop_front() {
                return Some(check);
            }
            self.wake.wait(&mut waiting);
        }
    }

    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut waiting = self.waiting.lock();
        while !self.cancel.is_cancelled() && Instant::now() < until {
            // New checks wake it too early.
            self.wake.wait_until(&mut waiting, until);
        }
    }

    fn drop_one(&self, knowledge_base: &str) {
        let mut windows = self.windows.lock();
        windows.entry(knowledge_base.to_owned()).or_default().drop_one();
    }

    fn add(&self, knowledge_base: &str, checked: Checked) {
        tracing::debug!(
            knowledge_base,
            recall_at_10 = checked.recall_at_10,
            recall = checked.recall,
            is_filtered = checked.is_filtered,
            "checked the recall of a query"
        );
        let mut windows = self.windows.lock();
        let window = windows.entry(knowledge_base.to_owned()).or_default();
        window.add(checked);
        if let Some(low) = window.warning(Instant::now()) {
            tracing::warn!(
                knowledge_base,
                recall_at_10 = low.recall_at_10,
                queries = low.queries,
                "searches by vectors miss near chunks: `exact` searches find them"
            );
        }
    }
}

/// Returns what the dense leg listed by itself, best first.
fn dense_list(fused: &[Candidate]) -> Vec<(ChunkId, f64)> {
    let listed = fused.iter().filter_map(|candidate| {
        let cosine = candidate.cosine?;
        Some((cosine.rank?, candidate.chunk_id, cosine.raw))
    });
    let mut listed: Vec<(u32, ChunkId, f64)> = listed.collect();
    listed.sort_unstable_by_key(|(rank, chunk_id, _)| (*rank, *chunk_id));
    listed.into_iter().map(|(_, id, score)| (id, score)).collect()
}

/// Answers a query exactly and compares; nothing when it cannot be compared any more, because a listed chunk was erased.
fn recall(base: &Base, check: &Check, cancel: &Cancel) -> Result<Option<Checked>, Error> {
    let lease = base.store.lease(Some(check.epoch))?;
    let within = check.within.as_deref();
    let exact = base
        .store
        .exact_nearest(&lease, &check.vector, check.asked, within, cancel)?;
    if !base.store.has_vectors(check.listed.iter().map(|(id, _)| *id)) {
        return Ok(None);
    }
    let listed: Vec<f64> = check.listed.iter().map(|(_, score)| *score).collect();
    Ok(Some(Checked {
        recall_at_10: recall_at(10, &listed, &exact),
        recall: recall_at(check.asked, &listed, &exact),
        is_filtered: check.within.is_some(),
    }))
}

/// Returns the share of the `k` nearest that stand among the first `k` listed. Which of several equally near chunks are
/// listed makes no difference.
fn recall_at(k: usize, listed: &[f64], exact: &[Scored]) -> f64 {
    let k = k.min(exact.len());
    let Some(farthest) = k.checked_sub(1).map(|at| f64::from(exact[at].score)) else {
        return 1.0;
    };
    let near = listed.iter().take(k).filter(|score| **score >= farthest).count();
    near as f64 / k as f64
}

/// Spreads numbers evenly, so that no rhythm of the queries meets one of the sampling.
fn hash(number: u64) -> u64 {
    // The finalizer of SplitMix64.
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
