//! What a command that speaks to a server works with.

use super::connection::Connection;
use super::output::Output;
use super::signal::Interrupt;

/// Configuration, a server to speak to, a place for results, and the user's wish to end.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) output: Output,
    pub(super) interrupt: Interrupt,
    /// Files above this size are not sent.
    pub(super) max_document_bytes: usize,
}
