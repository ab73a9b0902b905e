//! Query to ranked [`Hit`]s.
//!
//! Comes in: a [`Query`] that is valid once built, and a snapshot of one epoch. Goes out: hits with a score per leg.
//! Always holds: a hit was visible at the epoch and passed the filter in both legs.
//! Not here: storage, prompts.

mod clauses;
mod dense;
mod explanation;
mod feedback;
pub mod filter;
mod fusion;
mod hit;
mod keyword;
pub mod options;
pub mod query;
pub mod rerank;
mod search;
pub mod stage;
mod united;
mod weight;

pub use clauses::{FilterOutcome, LeftOut, left_out, obstacles, outcomes, without_obstacles};
pub use explanation::{Explanation, Leg, LegPart};
pub use filter::Filter;
pub use hit::{Context, FoldedHit, Hit, LegScore, Passage};
pub use options::{
    Boost, Expansion, Extent, FusionMethod, ImplicitFilterOptions, Options, QueryTransformation, Recency, Rerank,
    TransformationKind,
};
pub use query::{InvalidQuery, Query, SearchType};
pub use search::{Candidate, Candidates, EmbeddedQuery, Legs, LegsWork, candidates, dense_weight, listed, search};
pub use united::{averaged, united};
pub use weight::DEFAULT_DENSE_WEIGHT;
