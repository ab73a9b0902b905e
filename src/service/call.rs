//! One call: its blocking work, and the ways in which it ends early.
//!
//! Comes in: a request that passed the layer, and the work. Goes out: the reply, or a stream of messages.
//! Always holds: the work is told to stop when the deadline passes, when the client leaves and, if it may be cut short,
//! when the server stops; the client of a passed deadline does not wait for the step that the work is in.
//! Not here: what the work is.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Sleep;
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

use super::convert::MAX_TOKENS;
use super::lifecycle::{Lifecycle, Place};
use super::{ServiceConfig, status};
use crate::knowledge_base::{Error, ErrorKind};
use crate::worker::{Cancel, Claim, Stopped};

/// When a client that was cut off by a shutdown is to try again: a restart takes about this long.
const RETRY_AFTER_SHUTDOWN: Duration = Duration::from_secs(1);

/// Events of a text in the making that may wait for a slow client: more than the longest one has, whose tokens bring an
/// event each, and its sentences and calls of tools some more.
const WAITING_EVENTS: usize = 2 * MAX_TOKENS as usize;

/// What the layer found out about a call; travels in the request's extensions.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Names the call in logs and statuses.
    pub(super) request_id: Arc<str>,
    /// When the caller stops waiting.
    pub(super) deadline: Option<Instant>,
    /// Whose call it is; nothing for callers who do not say.
    pub(super) tenant: Option<Arc<str>>,
    /// What all calls of the server share.
    pub(super) lifecycle: Lifecycle,
    /// Held until response and work are over.
    pub(super) place: Option<Place>,
}

/// What a shutdown does to a call that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtShutdown {
    /// It ends by itself soon.
    Finish,
    /// It is cut short.
    Cancel,
}

impl AtShutdown {
    /// Returns what it does to a read: one is short, but its wait for an epoch may be as long as the deadline.
    pub(super) fn of_read(min_epoch: u64) -> Self {
        match min_epoch {
            0 => Self::Finish,
            _ => Self::Cancel,
        }
    }
}

impl Call {
    /// Parts a request into what the layer said and the message.
    fn open<M>(request: tonic::Request<M>) -> (Self, M) {
        let (_, mut extensions, message) = request.into_parts();
        let call = extensions.remove::<Self>().unwrap_or_else(|| Self {
            request_id: Arc::from("none"),
            deadline: None,
            tenant: None,
            lifecycle: Lifecycle::new(1),
            place: None,
        });
        (call, message)
    }

    /// Returns what the work of the call looks at to see whether it is still wanted, and for whom.
    fn cancel(&self, is_streamed: bool) -> Cancel {
        Cancel::with_deadline(self.deadline).with_claim(Claim {
            tenant: self.tenant.clone(),
            is_streamed,
            ..Claim::default()
        })
    }

    /// Returns the token that cuts the call short.
    fn halt(&self, at_shutdown: AtShutdown) -> CancellationToken {
        match at_shutdown {
            AtShutdown::Finish => self.lifecycle.severed.clone(),
            AtShutdown::Cancel => self.lifecycle.stopping.clone(),
        }
    }

    /// Runs `work` on a blocking thread. Whoever drops the handle must also cancel: see [`CancelOnDrop`].
    fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> JoinHandle<Result<T, Error>> {
        let span = tracing::Span::current();
        let place = self.place.clone();
        tokio::task::spawn_blocking(move || {
            let _place = place;
            span.in_scope(work)
        })
    }

    /// Returns what the work came to, for the client.
    fn settle<T>(&self, ended: Result<Result<T, Error>, JoinError>) -> Result<T, Status> {
        let error = match ended {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(lost) => Error::internal("PANICKED", "the server failed on this call", lost),
        };
        Err(self.refuse(error))
    }

    /// Returns the status of an error of this call.
    pub(super) fn refuse(&self, error: Error) -> Status {
        let cut_off = error.kind == ErrorKind::Cancelled && self.lifecycle.stopping.is_cancelled();
        let error = if cut_off { shutting_down() } else { error };
        status::of(&error, &self.request_id)
    }
}

/// Returns the error of calls that a shutdown ends or refuses.
pub(super) fn shutting_down() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "SHUTTING_DOWN",
        "the server is shutting down, try again",
    )
    .retry_after(RETRY_AFTER_SHUTDOWN)
}

/// How long a client left its stream unread, once that was too long.
#[derive(Debug, Clone, Default)]
struct Stall(Arc<OnceLock<(Duration, Duration)>>);

impl Stall {
    /// Notes that the client took nothing for this long, and what the limit is.
    fn note(&self, unread: Duration, limit: Duration) {
        tracing::warn!(
            unread_seconds = unread.as_secs_f64(),
            limit_seconds = limit.as_secs_f64(),
            "the client took nothing from its stream for too long, the call is ended"
        );
        // Only the work itself sends, one message after the other, so nobody was here before.
        let _ = self.0.set((unread, limit));
    }

    fn is_noted(&self) -> bool {
        self.0.get().is_some()
    }

    /// Says why work was cancelled that could get rid of its messages no more; any other error stays what it is.
    fn explain(&self, error: Error) -> Error {
        match self.0.get() {
            Some((unread, limit)) if error.kind == ErrorKind::Cancelled => unread_stream(*unread, *limit),
            _ => error,
        }
    }
}

fn unread_stream(unread: Duration, limit: Duration) -> Error {
    Error::new(
        ErrorKind::Overloaded,
        "STREAM_UNREAD",
        format!(
            "the client took nothing from the stream for {:.1} s, the limit is {:.1} s; read the messages as they come",
            unread.as_secs_f64(),
            limit.as_secs_f64()
        ),
    )
}

/// Stops the work of a call whose future or stream is dropped: the client left, or its deadline passed.
#[derive(Debug)]
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Answers a call with one message; a shutdown lets it finish.
pub(super) async fn unary<C, Req, Res>(
    request: tonic::Request<Req>,
    context: &Arc<C>,
    work: impl FnOnce(&C, Req, &Cancel) -> Result<Res, Error> + Send + 'static,
) -> Result<tonic::Response<Res>, Status>
where
    C: Send + Sync + 'static,
    Req: Send + 'static,
    Res: Send + 'static,
{
    run(request, context, AtShutdown::Finish, work).await
}

/// Answers a call with one message. Dropping the future cancels the work. The layer's timer drops it at the deadline.
pub(super) async fn run<C, Req, Res>(
    request: tonic::Request<Req>,
    context: &Arc<C>,
    at_shutdown: AtShutdown,
    work: impl FnOnce(&C, Req, &Cancel) -> Result<Res, Error> + Send + 'static,
) -> Result<tonic::Response<Res>, Status>
where
    C: Send + Sync + 'static,
    Req: Send + 'static,
    Res: Send + 'static,
{
    let (call, message) = Call::open(request);
    let cancel = call.cancel(false);
    let guard = CancelOnDrop(cancel.clone());
    let context = Arc::clone(context);
    let mut job = call.spawn(move || work(&context, message, &cancel));
    let halt = call.halt(at_shutdown);
    let ended = tokio::select! {
        biased;
        ended = &mut job => ended,
        () = halt.cancelled() => {
            guard.0.cancel();
            job.await
        }
    };
    call.settle(ended).map(tonic::Response::new)
}

/// How a stream of replies is fed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    /// Messages that may wait for the client.
    pub(super) capacity: usize,
    /// How long the client may leave a full queue unread.
    pub(super) stall_timeout: Duration,
    /// What a shutdown does.
    pub(super) at_shutdown: AtShutdown,
}

impl Flow {
    /// Returns the flow of text in the making: all of it may wait, so that its making never waits for who reads it.
    pub(super) fn of_generation(config: &ServiceConfig) -> Self {
        Self {
            capacity: WAITING_EVENTS,
            stall_timeout: config.stall_timeout,
            at_shutdown: AtShutdown::Cancel,
        }
    }
}

/// Answers a call with a stream: what `work` gives to its [`Outlet`], then what it returns.
pub(super) fn stream<C, Req, T>(
    request: tonic::Request<Req>,
    context: &Arc<C>,
    flow: Flow,
    work: impl FnOnce(&C, Req, &Cancel, &Outlet<T>) -> Result<T, Error> + Send + 'static,
) -> tonic::Response<Replies<T>>
where
    C: Send + Sync + 'static,
    Req: Send + 'static,
    T: Send + 'static,
{
    let (call, message) = Call::open(request);
    let cancel = call.cancel(true);
    let guard = CancelOnDrop(cancel.clone());
    let (sender, waiting) = mpsc::channel(flow.capacity);
    let halt = call.halt(flow.at_shutdown);
    let stall = Stall::default();
    let outlet = Outlet {
        sender,
        stall: stall.clone(),
        halt: halt.clone(),
        deadline: call.deadline,
        stall_timeout: flow.stall_timeout,
        lifecycle: call.lifecycle.clone(),
        runtime: Handle::current(),
    };
    let context = Arc::clone(context);
    let job = call.spawn(move || work(&context, message, &cancel, &outlet));
    tonic::Response::new(Replies {
        waiting,
        stall,
        job,
        halt: Box::pin(halt.cancelled_owned()),
        is_halted: false,
        deadline: call.deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into()))),
        guard,
        call,
        is_finished: false,
    })
}

/// Where blocking work puts the messages of its stream.
#[derive(Debug)]
pub(super) struct Outlet<T> {
    sender: mpsc::Sender<T>,
    stall: Stall,
    halt: CancellationToken,
    deadline: Option<Instant>,
    stall_timeout: Duration,
    lifecycle: Lifecycle,
    runtime: Handle,
}

impl<T> Outlet<T> {
    /// Sends a message, and waits while the client is slower than the work. Fails when nobody will read it: the client
    /// left or stopped reading, its deadline passed, or the call is cut short.
    pub(super) fn send(&self, message: T) -> Result<(), Stopped> {
        let message = match self.sender.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Stopped::Cancelled),
            // Work that has more to say before it ends does not wait again for each message.
            Err(TrySendError::Full(_)) if self.stall.is_noted() => return Err(Stopped::Cancelled),
            Err(TrySendError::Full(message)) => message,
        };
        let full_since = Instant::now();
        let stalls_at = full_since + self.stall_timeout;
        let gives_up_at = self.deadline.map_or(stalls_at, |deadline| deadline.min(stalls_at));
        let sent = self.wait(gives_up_at, self.sender.send(message));
        match sent {
            Waited::Came(Ok(())) => Ok(()),
            Waited::Came(Err(_)) | Waited::Halted => Err(Stopped::Cancelled),
            Waited::TimedOut if self.deadline == Some(gives_up_at) => Err(Stopped::DeadlineExceeded),
            Waited::TimedOut => {
                self.stall.note(full_since.elapsed(), self.stall_timeout);
                Err(Stopped::Cancelled)
            }
        }
    }

    /// Sends a message if the client has room for it, else leaves it out.
    pub(super) fn offer(&self, message: T) {
        if let Err(TrySendError::Full(_) | TrySendError::Closed(_)) = self.sender.try_send(message) {
            tracing::trace!("left out a message that the client has no room for");
        }
    }

    /// Waits on a blocking thread for something of the async world.
    pub(super) fn wait<F: Future>(&self, until: Instant, future: F) -> Waited<F::Output> {
        self.wait_or(&self.halt, until, future)
    }

    /// The same, but ends at the first sign of a shutdown.
    pub(super) fn wait_until_stopping<F: Future>(&self, until: Instant, future: F) -> Waited<F::Output> {
        self.wait_or(&self.lifecycle.stopping, until, future)
    }

    fn wait_or<F: Future>(&self, halt: &CancellationToken, until: Instant, future: F) -> Waited<F::Output> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = halt.cancelled() => Waited::Halted,
                output = future => Waited::Came(output),
                () = tokio::time::sleep_until(until.into()) => Waited::TimedOut,
            }
        })
    }

    /// Returns when the caller stops waiting.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited<T> {
    /// With what was waited for.
    Came(T),
    /// Because the call is cut short.
    Halted,
    /// Because the time was over.
    TimedOut,
}

/// The stream that a client reads. Dropping it cancels the work.
#[derive(Debug)]
pub(super) struct Replies<T> {
    waiting: mpsc::Receiver<T>,
    stall: Stall,
    job: JoinHandle<Result<T, Error>>,
    halt: Pin<Box<WaitForCancellationFutureOwned>>,
    is_halted: bool,
    deadline: Option<Pin<Box<Sleep>>>,
    guard: CancelOnDrop,
    call: Call,
    is_finished: bool,
}

// Nothing in it is pinned in place: what must stay put is boxed.
impl<T> Unpin for Replies<T> {}

impl<T> Stream for Replies<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_finished {
            return Poll::Ready(None);
        }
        match self.waiting.poll_recv(cx) {
            Poll::Ready(Some(reply)) => return Poll::Ready(Some(Ok(reply))),
            Poll::Ready(None) => {
                // The work dropped its outlet; a panic shows in the handle.
                if let Poll::Ready(ended) = Pin::new(&mut self.job).poll(cx) {
                    self.is_finished = true;
                    let ended = ended.map(|work| work.map_err(|error| self.stall.explain(error)));
                    return Poll::Ready(Some(self.call.settle(ended)));
                }
            }
            Poll::Pending => {}
        }
        if !self.is_halted && self.halt.as_mut().poll(cx).is_ready() {
            self.is_halted = true;
            self.guard.0.cancel();
        }
        let is_late = self
            .deadline
            .as_mut()
            .is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
        if is_late {
            self.is_finished = true;
            self.guard.0.cancel();
            return Poll::Ready(Some(Err(self.call.refuse(Stopped::DeadlineExceeded.into()))));
        }
        Poll::Pending
    }
}
