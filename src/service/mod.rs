//! gRPC: the only place that knows the wire.
//!
//! Comes in: messages of `groundwork.v1`. Goes out: the same, or a status with `google.rpc` details.
//! Always holds: a call ends at its deadline, at its client's leaving and at shutdown, and nothing waits in an unbounded
//! queue; a panic is one call's INTERNAL.
//! Not here: decisions; a handler checks, converts, calls [`crate::knowledge_base`], converts.
//!
//! A call passes `layer` (request id, deadline, limit, log), a handler (one file for each service), and
//! `call` (the blocking thread that does the work). Read on in `server`.

mod archive;
mod assembly;
mod call;
pub mod client;
mod connection;
mod convert;
mod document;
mod embedding;
mod knowledge_base;
mod layer;
mod lifecycle;
mod meter;
mod model;
pub mod pb;
mod retrieval;
mod server;
mod status;
mod upkeep;
mod write_watch;

use std::time::Duration;

pub use server::{InProcess, in_process, serve};
pub use status::DOMAIN;

/// How calls are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceConfig {
    /// Largest message that is taken in, in bytes. Default 4 MiB; larger documents come in parts.
    pub max_message_bytes: usize,
    /// Calls that are served at once over all connections; more are refused at once. Default 256.
    /// Each may hold a blocking thread, of which Tokio gives 512 unless told otherwise.
    pub max_concurrent_calls: usize,
    /// Largest document of an ingestion stream, in bytes. Default 64 MiB.
    pub max_document_bytes: usize,
    /// Time that calls have to end after shutdown was asked for. Default 20 s.
    pub grace_period: Duration,
    /// How often an idle connection is pinged; nothing never pings. Default 30 s.
    pub keepalive_interval: Option<Duration>,
    /// How long a ping may go unanswered before the connection is closed. Default 20 s.
    pub keepalive_timeout: Duration,
    /// Deadline of calls that bring none, except those whose work grows with the knowledge base: ingestion, vacuum,
    /// check, erasure, comparison, backup. Nothing leaves all without. Default 5 min.
    pub default_deadline: Option<Duration>,
    /// How long a client may leave a stream unread before the call is ended. Default 60 s.
    pub stall_timeout: Duration,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 << 20,
            max_concurrent_calls: 256,
            max_document_bytes: 64 << 20,
            grace_period: Duration::from_secs(20),
            keepalive_interval: Some(Duration::from_secs(30)),
            keepalive_timeout: Duration::from_secs(20),
            default_deadline: Some(Duration::from_mins(5)),
            stall_timeout: Duration::from_mins(1),
        }
    }
}

/// Why serving ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connections could not be served.
    #[error("cannot serve connections")]
    Transport(#[from] tonic::transport::Error),
    /// The embedded descriptors are damaged.
    #[error("the descriptors for reflection cannot be read")]
    Descriptors(#[from] tonic_reflection::server::Error),
    /// The task that serves panicked or was dropped with its runtime.
    #[error("the server's task ended early")]
    Task(#[from] tokio::task::JoinError),
}
