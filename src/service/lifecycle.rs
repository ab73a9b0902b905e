//! From the first call to the last: how many run, and which step of the shutdown has come.
//!
//! Comes in: calls that want a place; the wish to stop. Goes out: places, and two signals, one after the other.
//! Always holds: a place is taken until the call's response is sent *and* its work is over, so that nobody who waits for
//! all places leaves work behind.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// A place among the calls that run; shared by all parts of a call, free when the last part drops it.
pub(super) type Place = Arc<OwnedSemaphorePermit>;

/// What all calls of one server share.
#[derive(Debug, Clone)]
pub(super) struct Lifecycle {
    /// No new calls; answers end, ingestion goes on to its commit.
    pub(super) stopping: CancellationToken,
    /// The grace period is over: connections are cut.
    pub(super) severed: CancellationToken,
    places: Arc<Semaphore>,
    limit: u32,
}

impl Lifecycle {
    /// Returns the lifecycle of a server that runs `max_concurrent_calls` at once, at least one.
    pub(super) fn new(max_concurrent_calls: usize) -> Self {
        let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        let limit = max_concurrent_calls.clamp(1, most);
        Self {
            stopping: CancellationToken::new(),
            severed: CancellationToken::new(),
            places: Arc::new(Semaphore::new(limit)),
            limit: limit as u32,
        }
    }

    /// Returns a place, or nothing when all are taken.
    pub(super) fn enter(&self) -> Option<Place> {
        Arc::clone(&self.places).try_acquire_owned().ok().map(Arc::new)
    }

    /// Returns how many calls run at once at most.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Returns how many places are taken.
    pub(super) fn running(&self) -> usize {
        self.limit as usize - self.places.available_permits()
    }

    /// Waits until all places are free.
    pub(super) async fn drained(&self) {
        // The semaphore is never closed, and a failure would mean the same: nobody is left to wait for.
        let _all = self.places.acquire_many(self.limit).await;
    }
}
