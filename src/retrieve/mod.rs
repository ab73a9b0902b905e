//! Query to ranked [`Hit`]s.
//!
//! Comes in: a [`Query`] that is valid once built, and a snapshot of one epoch. Goes out: hits with a score per leg.
//! Always holds: a hit was visible at the epoch and passed the filter in both legs.
//! Not here: storage, prompts.

mod dense;
pub mod filter;
mod fusion;
mod hit;
mod keyword;
pub mod query;
mod search;

pub use filter::Filter;
pub use hit::{Hit, LegScore};
pub use query::{InvalidQuery, Query, SearchType};
pub use search::{Candidate, Legs, LegsWork, search};
