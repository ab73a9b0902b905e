//! What every call passes before its handler: an id, a deadline, a place, a span; and what is logged of it.
//!
//! Comes in: an HTTP request. Goes out: the handler's response with `x-request-id`; or a refusal, when all places are
//! taken, the server stops, or the deadline passes before the handler has answered.
//! Always holds: every call is logged once, when its last byte was handed over or its client left.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use super::call::{Call, shutting_down};
use super::lifecycle::Lifecycle;
use super::status;
use crate::knowledge_base::{Error, ErrorKind};
use crate::worker::Stopped;

#[cfg(test)]
mod tests;

/// Names a call, in requests and responses.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// Names the tenant that a call is made for.
pub(super) const TENANT: &str = "x-groundwork-tenant";
/// Longest name of a tenant.
pub(super) const MAX_TENANT_BYTES: usize = 128;

/// What the codec says of a request that it cannot decode.
const UNDECODED: &str = "failed to decode Protobuf message";
const GRPC_STATUS: &str = "grpc-status";
const GRPC_TIMEOUT: &str = "grpc-timeout";
const TRACEPARENT: &str = "traceparent";
/// Longest request id that is taken over from a client.
const MAX_REQUEST_ID_BYTES: usize = 128;
/// Paths of our own services. Health and reflection take no places: they must answer under full load.
const OWN_PREFIX: &str = "/groundwork.";
/// Methods that run as long as their work takes: two have no end of their own, and the work of the others grows with the
/// knowledge base. No default deadline bounds them.
const UNBOUNDED: [&str; 11] = [
    "/groundwork.v1.DocumentService/IngestDocuments",
    "/groundwork.v1.ModelService/EmbedStream",
    "/groundwork.v1.DocumentService/GetDocumentContent",
    "/groundwork.v1.DocumentService/EraseDocuments",
    "/groundwork.v1.DocumentService/VerifyErasure",
    "/groundwork.v1.KnowledgeBaseService/DiffKnowledgeBase",
    "/groundwork.v1.KnowledgeBaseService/VacuumKnowledgeBase",
    "/groundwork.v1.KnowledgeBaseService/CheckKnowledgeBase",
    "/groundwork.v1.KnowledgeBaseService/BackupKnowledgeBase",
    "/groundwork.v1.KnowledgeBaseService/RestoreKnowledgeBase",
    "/groundwork.v1.KnowledgeBaseService/BundleKnowledgeBase",
];
/// When a client that found all places taken is to try again.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(1);

/// Puts a [`CallService`] before the services.
#[derive(Debug, Clone)]
pub(super) struct CallLayer {
    /// What all calls share.
    pub(super) lifecycle: Lifecycle,
    /// Deadline of calls that bring none.
    pub(super) default_deadline: Option<Duration>,
}

impl<S> Layer<S> for CallLayer {
    type Service = CallService<S>;

    fn layer(&self, inner: S) -> CallService<S> {
        CallService {
            inner,
            layer: self.clone(),
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct CallService<S> {
    inner: S,
    layer: CallLayer,
}

type Responding = Pin<Box<dyn Future<Output = Result<http::Response<Recorded>, Infallible>> + Send>>;

impl<S> Service<http::Request<Body>> for CallService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Recorded>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Responding {
        let is_own = request.uri().path().starts_with(OWN_PREFIX);
        let mut call = self.layer.open(&request, is_own);
        let record = Record::new(&request, &call.request_id, is_own);
        let span = record.span.clone();
        if is_own {
            let admitted = tenant(request.headers()).and_then(|tenant| Ok((tenant, self.layer.admit()?)));
            match admitted {
                Ok((tenant, place)) => (call.tenant, call.place) = (tenant, Some(place)),
                Err(error) => {
                    let response = status::of(&error, &call.request_id).into_http();
                    return Box::pin(std::future::ready(Ok(record.watch(response, call, is_own))));
                }
            }
        }
        request.extensions_mut().insert(call.clone());
        let handling = self.inner.call(request);
        Box::pin(
            async move {
                let response = respond(Box::pin(handling), &call).await;
                Ok(record.watch(response, call, is_own))
            }
            .instrument(span),
        )
    }
}

impl CallLayer {
    fn open<B>(&self, request: &http::Request<B>, is_own: bool) -> Call {
        let headers = request.headers();
        let default = self
            .default_deadline
            .filter(|_| is_own && !UNBOUNDED.contains(&request.uri().path()));
        let timeout = headers.get(GRPC_TIMEOUT).and_then(timeout).or(default);
        Call {
            request_id: request_id(headers),
            // A timeout beyond what the clock can count is none.
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            tenant: None,
            lifecycle: self.lifecycle.clone(),
            place: None,
        }
    }

    fn admit(&self) -> Result<super::lifecycle::Place, Error> {
        if self.lifecycle.stopping.is_cancelled() {
            return Err(shutting_down());
        }
        self.lifecycle.enter().ok_or_else(|| {
            let limit = self.lifecycle.limit();
            Error::new(
                ErrorKind::Overloaded,
                "TOO_MANY_CALLS",
                format!("the server runs at most {limit} calls at once, all places are taken; try again"),
            )
            .retry_after(RETRY_WHEN_FULL)
        })
    }
}

/// Waits for the handler until the deadline; whatever befalls it becomes a status.
async fn respond<F>(mut handling: Pin<Box<F>>, call: &Call) -> http::Response<Body>
where
    F: Future<Output = Result<http::Response<Body>, Infallible>>,
{
    let caught = std::future::poll_fn(|cx| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(cx)));
        if let Ok(polled) = polled {
            return polled.map(|Ok(response)| response);
        }
        let error = Error::new(ErrorKind::Internal, "PANICKED", "the server failed on this call");
        Poll::Ready(call.refuse(error).into_http())
    });
    let response = match call.deadline {
        None => caught.await,
        Some(deadline) => tokio::time::timeout_at(deadline.into(), caught)
            .await
            .unwrap_or_else(|_| call.refuse(Stopped::DeadlineExceeded.into()).into_http()),
    };
    name_refusal(response, call)
}

/// Says what the codec found wrong with a request as any other refusal is said: it answers `OUT_OF_RANGE` for a message
/// over the limit, which nothing else here does, and `INTERNAL` for one that it cannot decode.
fn name_refusal(response: http::Response<Body>, call: &Call) -> http::Response<Body> {
    let too_large = Status::from_header_map(response.headers()).filter(|status| status.code() == Code::OutOfRange);
    if let Some(status) = too_large {
        return call.refuse(message_too_large(status.message())).into_http();
    }
    let unreadable = Status::from_header_map(response.headers())
        .filter(|status| status.code() == Code::Internal && status.message().contains(UNDECODED));
    if let Some(status) = unreadable {
        let message = format!("the request is not a message of this method ({})", status.message());
        return call
            .refuse(Error::new(ErrorKind::InvalidRequest, "UNREADABLE_MESSAGE", message))
            .into_http();
    }
    response
}

/// Returns the error of a message over the limit; it names no time to try again, because the same message never fits.
pub(super) fn message_too_large(reason: &str) -> Error {
    Error::new(
        ErrorKind::Overloaded,
        "MESSAGE_TOO_LARGE",
        format!("the message exceeds the server's limit; send a large document in parts ({reason})"),
    )
}

/// Returns the client's own id if it is fit for headers and logs, else a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()))
        .map_or_else(|| Arc::from(ulid::Ulid::generate().to_string()), Arc::from)
}

/// Returns whose call it is. A name that is none is refused: whoever mistypes theirs would share with all others.
fn tenant(headers: &HeaderMap) -> Result<Option<Arc<str>>, Error> {
    let mut values = headers.get_all(TENANT).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let name = value.to_str().ok().filter(|name| {
        let is_visible = name.bytes().all(|byte| byte.is_ascii_graphic());
        is_visible && (1..=MAX_TENANT_BYTES).contains(&name.len())
    });
    match name {
        Some(name) if values.next().is_none() => Ok(Some(Arc::from(name))),
        Some(_) => Err(Error::invalid(TENANT, "is given more than once: a call has one tenant")),
        None => {
            let bytes = value.as_bytes();
            let given = if bytes.len() > MAX_TENANT_BYTES {
                format!("has {}", bytes.len())
            } else {
                format!("is {:?}", String::from_utf8_lossy(bytes))
            };
            let reason = format!("must have 1 to {MAX_TENANT_BYTES} visible ASCII characters, this {given}");
            Err(Error::invalid(TENANT, reason))
        }
    }
}

/// Reads a `grpc-timeout`: up to eight digits and a unit. What is malformed counts as absent, as in other servers.
fn timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_hours(count)),
        "M" => Some(Duration::from_mins(count)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// What the log is told of a call.
#[derive(Debug)]
struct Record {
    span: Span,
    started: Instant,
    is_own: bool,
    is_told: bool,
}

impl Record {
    fn new<B>(request: &http::Request<B>, request_id: &str, is_own: bool) -> Self {
        let method = request.uri().path();
        let span = tracing::info_span!("call", method, request_id, traceparent = tracing::field::Empty);
        if let Some(parent) = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()) {
            span.record("traceparent", parent);
        }
        Self {
            span,
            started: Instant::now(),
            is_own,
            is_told: false,
        }
    }

    /// Puts the request id on the response and follows its body to the end.
    fn watch(mut self, mut response: http::Response<Body>, call: Call, is_own: bool) -> http::Response<Recorded> {
        if let Ok(value) = HeaderValue::from_str(&call.request_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        if let Some(code) = code(response.headers()) {
            self.tell(code);
        }
        let stopping = (!is_own).then(|| Box::pin(call.lifecycle.stopping.clone().cancelled_owned()));
        response.map(|body| Recorded {
            body,
            record: self,
            call,
            stopping,
        })
    }

    fn tell(&mut self, code: Code) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let duration_ms = self.started.elapsed().as_secs_f64() * 1_000.0;
        let _entered = self.span.enter();
        if self.is_own {
            tracing::info!(?code, duration_ms, "call ended");
        } else {
            tracing::debug!(?code, duration_ms, "call ended");
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // No trailers went out: the client left first.
        self.tell(Code::Cancelled);
    }
}

fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get(GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// A response body that is followed to its end, where the code of a stream stands.
#[derive(Debug)]
pub(super) struct Recorded {
    body: Body,
    record: Record,
    call: Call,
    /// For streams of health and reflection, which have no end of their own and would hold up a shutdown.
    stopping: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl http_body::Body for Recorded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.record.is_told {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(code) = frame.trailers_ref().and_then(code) {
                    self.record.tell(code);
                }
            }
            Poll::Ready(Some(Err(status))) => self.record.tell(status.code()),
            Poll::Ready(None) => self.record.tell(Code::Unknown),
            Poll::Pending => {
                let is_stopping = self
                    .stopping
                    .as_mut()
                    .is_some_and(|stopping| stopping.as_mut().poll(cx).is_ready());
                if is_stopping {
                    let mut trailers = HeaderMap::new();
                    let status = self.call.refuse(shutting_down());
                    status.add_header(&mut trailers)?;
                    self.record.tell(status.code());
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
