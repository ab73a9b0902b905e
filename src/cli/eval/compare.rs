//! `groundwork eval compare`: two run files over the same judgments. Needs no server.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, json};

use super::{MeasureFlags, report};
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::cli::text::{Side, Table};
use crate::evaluate::{Comparison, Evaluation, Judgments, MAX_EXACT, Measure, PERMUTATIONS, Run, SEED};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct Arguments {
    /// Run file to compare with
    #[arg(value_name = "FIRST")]
    first: PathBuf,
    /// Run file that may be better
    #[arg(value_name = "SECOND")]
    second: PathBuf,
    /// Judgments, in BEIR's form or TREC's
    #[arg(long, value_name = "FILE")]
    qrels: PathBuf,
    #[command(flatten)]
    measures: MeasureFlags,
}

const AFTER_HELP: &str = "\
P is the chance of a mean difference at least as large, in either direction, if both runs were alike: by a paired \
randomisation test, which changes the signs of the queries' differences at random, always in the same way. BETTER, WORSE \
and SAME count queries of the second run. A query that a run lacks has 0 there.

To compare two ways to retrieve, write a run of each.

Examples:
  groundwork eval retrieval scifact --type keyword --write-run keyword.run
  groundwork eval retrieval scifact --type hybrid --write-run hybrid.run
  groundwork eval compare keyword.run hybrid.run --qrels scifact/qrels.tsv";

/// Compares two run files.
pub(in crate::cli) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<Exit> {
    let measures = arguments.measures.measures();
    let judgments = Judgments::read(&arguments.qrels)?;
    let measured = |path| anyhow::Ok(Evaluation::of(&Run::read(path)?, &judgments, measures));
    let (first, second) = (measured(&arguments.first)?, measured(&arguments.second)?);
    let compared = measures.iter().enumerate();
    let compared = compared.map(|(at, measure)| (*measure, Comparison::of(&first.column(at), &second.column(at))));
    let compared: Vec<(Measure, Comparison)> = compared.collect();
    if output.is_json() {
        write_object(&compared, first.queries.len(), output)?;
    } else {
        write_table(&compared, output)?;
        let test = format!(
            "{} judged queries; P by a two-sided paired randomisation test: {PERMUTATIONS} sign changes from seed {SEED}, \
             or all of them where up to {MAX_EXACT} queries differ",
            first.queries.len()
        );
        output.line(output.dim(&test))?;
    }
    Ok(Exit::Done)
}

fn write_table(compared: &[(Measure, Comparison)], output: &mut Output) -> std::io::Result<()> {
    let heads = ["FIRST", "SECOND", "DIFFERENCE", "BETTER", "WORSE", "SAME", "P"];
    let mut columns = vec![("MEASURE", Side::Left)];
    columns.extend(heads.map(|head| (head, Side::Right)));
    let mut table = Table::new(&columns);
    for (measure, it) in compared {
        table.row([
            measure.to_string(),
            report::value(it.first),
            report::value(it.second),
            format!("{:+.4}", it.difference()),
            it.better_count.to_string(),
            it.worse_count.to_string(),
            it.same_count.to_string(),
            report::value(it.p_value),
        ]);
    }
    table.write(output)
}

fn write_object(compared: &[(Measure, Comparison)], queries: usize, output: &mut Output) -> std::io::Result<()> {
    let measures = compared.iter().map(|(measure, it)| {
        let value = json!({
            "first": it.first,
            "second": it.second,
            "difference": it.difference(),
            "better_count": it.better_count,
            "worse_count": it.worse_count,
            "same_count": it.same_count,
            "p_value": it.p_value,
        });
        (measure.key(), value)
    });
    output.object(&json!({
        "query_count": queries,
        "test": {
            "name": "two-sided paired randomisation test",
            "permutations": PERMUTATIONS,
            "seed": SEED,
            "exact_up_to": MAX_EXACT,
        },
        "measures": measures.collect::<Map<_, _>>(),
    }))
}
