//! Epochs: which one a read wants, how two differ, where to go back to.

use std::time::SystemTime;

use crate::index::Epoch;

/// Which epoch a read wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadAt {
    /// Wait until this is published.
    pub min_epoch: Option<Epoch>,
    /// Read as of this.
    pub as_of: Option<AsOf>,
}

/// An earlier state, by number or by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// This epoch.
    Epoch(Epoch),
    /// The epoch that was the published one at this time.
    Time(SystemTime),
}

/// Asks how two epochs differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DifferenceRequest {
    /// The epoch to start from.
    pub from: Epoch,
    /// The epoch to arrive at; nothing takes the published one.
    pub to: Option<Epoch>,
    /// Whether the texts of chunks are wanted; counts are given always.
    pub with_chunks: bool,
    /// Ends after this many differences; 0 for no end.
    pub size: usize,
    /// Where to go on; empty at the start.
    pub token: String,
}

/// Totals of differences that were told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DifferenceSummary {
    /// The epoch that was started from.
    pub from: Epoch,
    /// The epoch that was arrived at.
    pub to: Epoch,
    /// Documents added.
    pub added: u64,
    /// Documents changed.
    pub changed: u64,
    /// Documents removed.
    pub removed: u64,
    /// Where to go on; empty when all was told.
    pub next_token: String,
}

/// Where a rollback goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollbackTarget {
    /// This epoch.
    Epoch(Epoch),
    /// The epoch of this pin.
    Pin(String),
}
