//! The keeper: one thread that seals and merges vectors, lets old epochs expire and vacuums, while all else goes on.
//!
//! Born with [`super::Groundwork`] and joined when that is dropped. Between the batches of a build it gives the cores
//! to whoever waits for them at the compute gate. A knowledge base whose upkeep fails (a full disk) is tried again after
//! a while; one whose upkeep panics refuses writes from then on, and the others are kept as before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::base::{Base, OpenBases};
use super::result_cache::ResultCache;
use crate::store::{Catalog, Error, UpkeepTurn};
use crate::worker::{Cancel, ComputeGate};

/// How often the keeper looks for work.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it looks for epochs that expired.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// How long a knowledge base is left alone after its upkeep failed.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// The running keeper.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    cancel: Cancel,
    asleep: Mutex<()>,
    wake: Condvar,
}

/// What the keeper works on.
pub(super) struct Kept {
    pub(super) bases: Arc<OpenBases>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) gate: Arc<ComputeGate>,
    pub(super) threads: usize,
    pub(super) results: Arc<ResultCache>,
}

impl Keeper {
    /// Starts the thread.
    pub(super) fn start(kept: Kept) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            cancel: Cancel::new(),
            asleep: Mutex::default(),
            wake: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || keep(&kept, &theirs))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the keeper of the knowledge bases panicked");
        }
    }
}

fn keep(kept: &Kept, shared: &Shared) {
    let mut resting: Vec<(String, Instant)> = Vec::new();
    let mut expired_at = Instant::now();
    while !shared.cancel.is_cancelled() {
        let expires = expired_at.elapsed() >= EXPIRE_EVERY;
        if expires {
            expired_at = Instant::now();
        }
        let now = Instant::now();
        resting.retain(|(_, until)| *until > now);
        for (id, base) in kept.bases.open() {
            if shared.cancel.is_cancelled() {
                return;
            }
            if resting.iter().any(|(resting, _)| *resting == id) {
                continue;
            }
            let turn = || take_turn(kept, &id, &base, expires, &shared.cancel);
            match catch_unwind(AssertUnwindSafe(turn)) {
                Ok(Ok(()) | Err(Error::Stopped(_) | Error::Removed)) => {}
                Ok(Err(error)) => {
                    let error = crate::worker::with_causes(&error);
                    tracing::warn!(knowledge_base = id, error, "upkeep failed; it is tried again later");
                    resting.push((id, Instant::now() + REST_AFTER_FAILURE));
                }
                Err(_) => {
                    base.store.halt("its upkeep panicked".to_owned());
                    resting.push((id, Instant::now() + REST_AFTER_FAILURE));
                }
            }
        }
        let mut asleep = shared.asleep.lock();
        if !shared.cancel.is_cancelled() {
            shared.wake.wait_for(&mut asleep, LOOK_EVERY);
        }
    }
}

fn take_turn(kept: &Kept, id: &str, base: &Base, expires: bool, cancel: &Cancel) -> Result<(), Error> {
    if expires {
        base.store.release_memory();
    }
    if expires && let Some(record) = kept.catalog.find(id)? {
        base.store.vacuum_when_worth_it(record.retention, cancel)?;
    }
    if expires {
        // Nobody can read these epochs any more.
        let oldest = base.store.oldest_epoch();
        let is_readable = |epoch| epoch >= oldest || base.store.lease(Some(epoch)).is_ok();
        kept.results.retain(id, |key| is_readable(key.epoch));
    }
    let turn = UpkeepTurn {
        gate: &kept.gate,
        threads: kept.threads,
        cancel,
    };
    base.store.keep_up(&turn)
}
