//! Health of writing: documents may be refused while searches go on, and the health service says so.
//!
//! Comes in: which knowledge bases take no writes, whenever it is asked for. Goes out: the status of the server and of
//! the service that writes; the others are left as they are.
//! Not here: the health of a server that starts or ends, which is its own to tell.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Names the knowledge bases that take no writes, each with the reason.
pub(super) type WriteFailures = dyn Fn() -> Vec<(String, String)> + Send + Sync;

/// Looks once in a while whether documents are taken.
pub(super) struct WriteWatch {
    failures: Arc<WriteFailures>,
    /// Time between two looks.
    every: Duration,
    /// The look that is under way.
    looking: Option<JoinHandle<Vec<(String, String)>>>,
    is_failing: bool,
}

impl fmt::Debug for WriteWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteWatch")
            .field("is_failing", &self.is_failing)
            .finish_non_exhaustive()
    }
}

impl WriteWatch {
    /// Asks `failures` once a second.
    pub(super) fn new(failures: Arc<WriteFailures>) -> Self {
        Self {
            failures,
            every: EVERY,
            looking: None,
            is_failing: false,
        }
    }

    /// The same, at other intervals.
    #[cfg(test)]
    pub(super) fn every(self, every: Duration) -> Self {
        Self { every, ..self }
    }

    /// Keeps the health of `services` true. Never ends; to drop it is safe, but see [`WriteWatch::settle`].
    pub(super) async fn follow(&mut self, health: &HealthReporter, services: &[&str]) -> Infallible {
        loop {
            tokio::time::sleep(self.every).await;
            let failures = Arc::clone(&self.failures);
            // A look may have to wait for a knowledge base that is being opened.
            let looking = self.looking.insert(tokio::task::spawn_blocking(move || failures()));
            let looked = looking.await;
            self.looking = None;
            match looked {
                Ok(failing) => self.tell(&failing, health, services).await,
                Err(error) => tracing::error!(%error, "cannot tell whether documents are taken"),
            }
        }
    }

    async fn tell(&mut self, failing: &[(String, String)], health: &HealthReporter, services: &[&str]) {
        let is_failing = !failing.is_empty();
        if is_failing == self.is_failing {
            return;
        }
        self.is_failing = is_failing;
        for (knowledge_base, reason) in failing {
            tracing::error!(%knowledge_base, %reason, "documents are refused");
        }
        if !is_failing {
            tracing::info!("documents are taken again");
        }
        let status = if is_failing {
            ServingStatus::NotServing
        } else {
            ServingStatus::Serving
        };
        for service in services {
            health.set_service_status(*service, status).await;
        }
    }

    /// Waits for the look that is under way, so that nothing holds what it looks at any more.
    pub(super) async fn settle(self) {
        if let Some(looking) = self.looking
            && let Err(error) = looking.await
        {
            tracing::error!(%error, "cannot tell whether documents are taken");
        }
    }
}
