//! Query to ranked [`Hit`]s.
//!
//! Comes in: a [`Query`] that is valid once built, and a snapshot of one epoch. Goes out: hits with a score per leg.
//! Always holds: a hit was visible at the epoch and passed the filter in both legs.
//! Not here: storage, prompts.

mod dense;
mod feedback;
pub mod filter;
mod fusion;
mod hit;
mod keyword;
pub mod query;
mod search;
mod weight;

pub use filter::Filter;
pub use hit::{Hit, LegScore};
pub use query::{InvalidQuery, Query, SearchType};
pub use search::{Candidate, EmbeddedQuery, Legs, LegsWork, search};
pub use weight::DEFAULT_DENSE_WEIGHT;
