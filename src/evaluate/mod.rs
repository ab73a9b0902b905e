//! How good is what was found, judged by people's grades?
//!
//! Comes in: the files of a test collection in BEIR's form, rankings of documents, TREC run files. Goes out: measures of
//! a run as `trec_eval` computes them, and how sure a difference between two runs is.
//! Always holds: every measure lies in 0 to 1; all judged queries count in a mean, also those without a ranking; a bad
//! line is an error that names file, line and field.
//! Not here: where rankings come from. This asks no server and knows no index.

mod collection;
mod error;
mod evaluation;
mod judgments;
mod lines;
mod measures;
mod ranking;
mod run_file;
mod significance;
#[cfg(test)]
mod tests;

pub use collection::{Collection, CorpusDocument, CorpusSummary, Documents, TestQuery};
pub use error::{Error, Problem};
pub use evaluation::{Evaluation, QueryValues};
pub use judgments::{Grades, Judgments};
pub use measures::{Judged, Measure, UnknownMeasure};
pub use ranking::{Ranking, Retrieved, Run};
pub use run_file::check_word;
pub use significance::{Comparison, MAX_EXACT, PERMUTATIONS, SEED};
