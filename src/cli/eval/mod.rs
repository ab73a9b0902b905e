//! `groundwork eval`: how good retrieval is, measured on test collections.
//!
//! Comes in: collections in BEIR's form, TREC run files, judgments. Goes out: measures, run files, comparisons.
//! Always holds: collections are ingested and asked over the wire, so that what is measured is what users get.
//! Not here: how measures are computed, see [`crate::evaluate`].

mod base;
mod compare;
mod fill;
mod question;
mod report;
mod retrieval;
mod run;
#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};

pub(super) use self::compare::run as compare;
pub(super) use self::retrieval::run as retrieval;
pub(super) use self::run::run;
use crate::evaluate::Measure;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Measure retrieval on a test collection in BEIR's form
    Retrieval(Box<retrieval::Arguments>),
    /// Measure a TREC run file, of this program or another
    Run(run::Arguments),
    /// Compare two TREC run files, with a test of significance
    Compare(compare::Arguments),
}

/// What is measured.
#[derive(Debug, Args)]
pub(super) struct MeasureFlags {
    /// nDCG@K, recall@K, MRR@K, P@K or MAP; may be repeated (default: nDCG@10, recall@10, recall@100, MRR@10, MAP, P@10)
    #[arg(long = "measure", value_name = "MEASURE")]
    measures: Vec<Measure>,
}

impl MeasureFlags {
    /// Returns what was named, or what is usual.
    fn measures(&self) -> &[Measure] {
        if self.measures.is_empty() {
            &Measure::USUAL
        } else {
            &self.measures
        }
    }
}
