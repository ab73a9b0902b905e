//! Which epochs can be read: the newest ones, pinned ones, and those that somebody reads right now.

use std::collections::BTreeMap;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::Error;
use super::history::Retention;
use super::records::Records;
use crate::index::Epoch;

/// The epochs of one knowledge base that can be read.
#[derive(Debug)]
pub(super) struct Retained(Mutex<State>);

#[derive(Debug)]
struct State {
    oldest: Epoch,
    pins: BTreeMap<String, Epoch>,
    leases: BTreeMap<Epoch, usize>,
}

/// Keeps what an epoch sees from being removed, until it is dropped.
#[derive(Debug)]
pub struct Lease<'a> {
    retained: &'a Retained,
    epoch: Epoch,
}

impl Lease<'_> {
    /// Returns the epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut state = self.retained.0.lock();
        if let Some(readers) = state.leases.get_mut(&self.epoch) {
            *readers -= 1;
            if *readers == 0 {
                state.leases.remove(&self.epoch);
            }
        }
    }
}

impl Retained {
    pub(super) fn new(oldest: Epoch, pins: BTreeMap<String, Epoch>) -> Self {
        Self(Mutex::new(State {
            oldest,
            pins,
            leases: BTreeMap::new(),
        }))
    }

    /// Begins to read an epoch up to `published`.
    pub(super) fn lease(&self, epoch: Epoch, published: Epoch) -> Result<Lease<'_>, Error> {
        let mut state = self.0.lock();
        state.check(epoch, published)?;
        *state.leases.entry(epoch).or_default() += 1;
        Ok(Lease { retained: self, epoch })
    }

    pub(super) fn oldest(&self) -> Epoch {
        self.0.lock().oldest
    }

    /// Refuses reads below `oldest` from now on, but for pinned epochs.
    pub(super) fn advance(&self, oldest: Epoch) {
        let mut state = self.0.lock();
        state.oldest = state.oldest.max(oldest);
    }

    pub(super) fn pins(&self) -> BTreeMap<String, Epoch> {
        self.0.lock().pins.clone()
    }

    pub(super) fn pin(&self, name: String, epoch: Epoch) {
        self.0.lock().pins.insert(name, epoch);
    }

    pub(super) fn unpin(&self, name: &str) {
        self.0.lock().pins.remove(name);
    }

    /// Returns the epochs below the oldest that are pinned or read right now, each once, in order.
    pub(super) fn exceptions(&self) -> Vec<Epoch> {
        let state = self.0.lock();
        let mut epochs: Vec<Epoch> = state.pins.values().chain(state.leases.keys()).copied().collect();
        epochs.retain(|epoch| *epoch < state.oldest);
        epochs.sort_unstable();
        epochs.dedup();
        epochs
    }

    /// Returns whether somebody reads an epoch below this one.
    pub(super) fn is_read_below(&self, epoch: Epoch) -> bool {
        self.0.lock().leases.range(..epoch).next().is_some()
    }
}

impl State {
    fn check(&self, epoch: Epoch, published: Epoch) -> Result<(), Error> {
        if epoch > published {
            return Err(Error::NotPublished { epoch, published });
        }
        if epoch < self.oldest && !self.pins.values().any(|pinned| *pinned == epoch) {
            return Err(Error::NotRetained {
                epoch,
                oldest: self.oldest,
            });
        }
        Ok(())
    }
}

/// Returns the oldest epoch that `retention` keeps at `now`.
pub(super) fn oldest_kept(
    records: &Records,
    retention: Retention,
    published: Epoch,
    now: SystemTime,
) -> Result<Epoch, Error> {
    let by_count = retention
        .epochs
        .map(|epochs| Epoch((published.0 + 1).saturating_sub(epochs.max(1))));
    let by_age = match retention.age {
        // The epoch that was the published one when the time began is kept too.
        Some(age) => now
            .checked_sub(age)
            .map_or(Ok(None), |since| records.epoch_at(since, published))
            .map(|epoch| Some(epoch.unwrap_or_default()))?,
        None => None,
    };
    let oldest = [by_count, by_age].into_iter().flatten().min();
    Ok(oldest.unwrap_or(published).min(published))
}
