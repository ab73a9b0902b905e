//! `groundwork eval run`: a run file against judgments. Needs no server.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{MeasureFlags, report};
use crate::cli::exit::Exit;
use crate::cli::output::{Output, note};
use crate::evaluate::{Evaluation, Judgments, Run};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct Arguments {
    /// Run file: query-id Q0 document-id rank score tag
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Judgments, in BEIR's form or TREC's
    #[arg(long, value_name = "FILE")]
    qrels: PathBuf,
    #[command(flatten)]
    measures: MeasureFlags,
    /// Show every query, then the means
    #[arg(long)]
    per_query: bool,
}

const AFTER_HELP: &str = "\
Values are those of trec_eval -c: scores decide the order, equal ones the document ids, and every judged query counts in \
the means, with 0 when the run lacks it.

Examples:
  groundwork eval run hybrid.run --qrels scifact/qrels.tsv
  groundwork eval run bm25.run --qrels qrels.txt --measure nDCG@20 --measure MAP
  groundwork --json eval run hybrid.run --qrels scifact/qrels.tsv | jq .summary.measures.ndcg_at_10

With --json the last line is {\"summary\": ...}; with --per-query a line {\"query\": ...} for each query comes before.";

/// Measures a run file.
pub(in crate::cli) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<Exit> {
    let judgments = Judgments::read(&arguments.qrels)?;
    let run = Run::read(&arguments.run)?;
    let evaluation = Evaluation::of(&run, &judgments, arguments.measures.measures());
    if arguments.per_query {
        report::write_queries(&evaluation, output)?;
    }
    if output.is_json() {
        let summary = json!({
            "query_count": evaluation.queries.len(),
            "empty_query_count": evaluation.empty_count(),
            "unjudged_query_count": evaluation.unjudged_count,
            "measures": report::means(&evaluation),
        });
        output.object(&json!({ "summary": summary }))?;
    } else {
        report::write_means(&evaluation, output)?;
    }
    note(format!(
        "{} judged queries, {} of them without documents in the run; {} queries of the run are not judged",
        evaluation.queries.len(),
        evaluation.empty_count(),
        evaluation.unjudged_count
    ));
    Ok(Exit::Done)
}
