//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::exit::Exit;

/// The wish of the user, or of the machine, to end.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(CancellationToken);

/// Keeps listening until it is dropped.
#[derive(Debug)]
pub(super) struct Listening {
    _stop: DropGuard,
    _task: JoinHandle<()>,
}

impl Interrupt {
    /// Begins to listen for signals. Needs the runtime.
    pub(super) fn listen() -> std::io::Result<(Self, Listening)> {
        let signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (wish, stop) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(watch(signals, wish.clone(), stop.clone()));
        let listening = Listening {
            _stop: stop.drop_guard(),
            _task: task,
        };
        Ok((Self(wish), listening))
    }

    /// Waits for the wish.
    pub(super) async fn wished(&self) {
        self.0.cancelled().await;
    }

    #[cfg(test)]
    pub(super) fn by(wish: CancellationToken) -> Self {
        Self(wish)
    }
}

async fn watch((mut interrupt, mut terminate): (Signal, Signal), wish: CancellationToken, stop: CancellationToken) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = stop.cancelled() => return,
        }
        if wish.is_cancelled() {
            end_at_once();
        }
        wish.cancel();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what was acknowledged is on disk, and what was not is made whole when it is opened next"
)]
fn end_at_once() {
    std::process::exit(Exit::Interrupted.code().into());
}
