//! What a client of the wire needs beside the generated code: a channel, documents in parts, readable failures.
//!
//! Comes in: an address, documents, statuses. Goes out: a channel, messages, [`Failure`]s in the words of the border.

use std::fmt;
use std::time::Duration;

use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

use super::pb;
use super::pb::document_service_client::DocumentServiceClient;
use super::pb::ingest_documents_request::Payload;
use super::pb::inline_document::Content;
use super::pb::knowledge_base_service_client::KnowledgeBaseServiceClient;
use super::pb::model_service_client::ModelServiceClient;
use super::pb::retrieval_service_client::RetrievalServiceClient;
use super::status;
use crate::knowledge_base::{ErrorKind, FieldViolation};

#[cfg(test)]
mod tests;

/// Size of the parts of a large document; a smaller one goes whole.
pub const PART_BYTES: usize = 1 << 20;
/// Largest reply that is taken, such as a document with its text. The server bounds documents itself.
const MAX_REPLY_BYTES: usize = 256 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Why there is no channel to a server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is malformed.
    #[error("`{endpoint}` is not an address, give `host:port` or `http://host:port`")]
    Address {
        /// The address as given.
        endpoint: String,
        /// What is wrong with it.
        source: tonic::transport::Error,
    },
    /// The address wants TLS.
    #[error("`{endpoint}` asks for TLS, which this client does not speak; give `http://host:port`")]
    Tls {
        /// The address as given.
        endpoint: String,
    },
    /// Nobody answers there.
    #[error("no server answers at {endpoint}, start one with `groundwork serve`")]
    Unreachable {
        /// The address as given.
        endpoint: String,
        /// What went wrong.
        source: tonic::transport::Error,
    },
}

/// Connects to a server at `host:port` or `http://host:port`.
pub async fn connect(endpoint: &str) -> Result<Channel, ConnectError> {
    let named = || endpoint.to_owned();
    if endpoint.starts_with("https://") {
        return Err(ConnectError::Tls { endpoint: named() });
    }
    let address = match endpoint.strip_prefix("http://") {
        Some(_) => named(),
        None => format!("http://{endpoint}"),
    };
    let address = Endpoint::from_shared(address).map_err(|source| ConnectError::Address {
        endpoint: named(),
        source,
    })?;
    address
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .connect()
        .await
        .map_err(|source| ConnectError::Unreachable {
            endpoint: named(),
            source,
        })
}

/// Returns a client of `KnowledgeBaseService`.
pub fn knowledge_bases(channel: Channel) -> KnowledgeBaseServiceClient<Channel> {
    KnowledgeBaseServiceClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES)
}

/// Returns a client of `DocumentService`.
pub fn documents(channel: Channel) -> DocumentServiceClient<Channel> {
    DocumentServiceClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES)
}

/// Returns a client of `RetrievalService`.
pub fn retrieval(channel: Channel) -> RetrievalServiceClient<Channel> {
    RetrievalServiceClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES)
}

/// Returns a client of `ModelService`.
pub fn models(channel: Channel) -> ModelServiceClient<Channel> {
    ModelServiceClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES)
}

/// Returns the first message of an ingestion stream.
pub fn ingest_start(knowledge_base_id: impl Into<String>) -> pb::IngestDocumentsRequest {
    message(Payload::Start(pb::IngestStart {
        knowledge_base_id: knowledge_base_id.into(),
        ..pb::IngestStart::default()
    }))
}

/// Returns the messages of one document: one, or several when its content is larger than [`PART_BYTES`]. They must
/// stand together in the stream.
pub fn ingest_messages(
    header: pb::DocumentHeader,
    content: Vec<u8>,
) -> impl Iterator<Item = pb::IngestDocumentsRequest> + Send {
    if content.len() <= PART_BYTES {
        let whole = Payload::Document(pb::InlineDocument {
            header: Some(header),
            content: Some(Content::Data(content)),
        });
        return Messages::Whole(Some(message(whole)));
    }
    Messages::Parts {
        header: Some(header),
        content,
        sent: 0,
        is_ended: false,
    }
}

fn message(payload: Payload) -> pb::IngestDocumentsRequest {
    pb::IngestDocumentsRequest { payload: Some(payload) }
}

enum Messages {
    Whole(Option<pb::IngestDocumentsRequest>),
    Parts {
        header: Option<pb::DocumentHeader>,
        content: Vec<u8>,
        sent: usize,
        is_ended: bool,
    },
}

impl Iterator for Messages {
    type Item = pb::IngestDocumentsRequest;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Whole(whole) => whole.take(),
            Self::Parts {
                header,
                content,
                sent,
                is_ended,
            } => {
                if let Some(header) = header.take() {
                    return Some(message(Payload::DocumentStart(header)));
                }
                if *sent < content.len() {
                    let end = content.len().min(*sent + PART_BYTES);
                    let part = content[*sent..end].to_vec();
                    *sent = end;
                    return Some(message(Payload::DocumentPart(part)));
                }
                let is_new = !std::mem::replace(is_ended, true);
                is_new.then(|| message(Payload::DocumentEnd(pb::DocumentEnd {})))
            }
        }
    }
}

/// A call that failed, in the words of the border.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whose turn it is.
    pub kind: ErrorKind,
    /// Stable name for programs; empty when the server gave none.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Fields of the request that are wrong.
    pub violations: Vec<FieldViolation>,
    /// When to try again, if that helps.
    pub retry_after: Option<Duration>,
    /// Names the call in the server's log; empty when the server gave none.
    pub request_id: String,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let violations = details.bad_request().map(|bad_request| {
            let wrong = bad_request.field_violations.iter();
            wrong
                .map(|violation| FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                })
                .collect()
        });
        let message = match status.message() {
            "" => format!("the server answered {:?}", status.code()),
            message => message.to_owned(),
        };
        let kind = if timed_out(&status) {
            ErrorKind::DeadlineExceeded
        } else {
            status::kind(status.code())
        };
        Self {
            kind,
            reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
            message,
            violations: violations.unwrap_or_default(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
            request_id: details
                .request_info()
                .map(|info| info.request_id.clone())
                .unwrap_or_default(),
        }
    }
}

/// The client's own timer may fire before the server's answer is here, and says CANCELLED of it.
fn timed_out(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::TimeoutExpired>() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        // One violation is the message itself.
        if self.violations.len() > 1 {
            for violation in &self.violations {
                write!(f, "\n  {}: {}", violation.field, violation.description)?;
            }
        }
        if let Some(delay) = self.retry_after {
            write!(f, " (try again in {delay:?})")?;
        }
        if self.kind == ErrorKind::Internal && !self.request_id.is_empty() {
            write!(f, " (request id {})", self.request_id)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
