//! Measures as tables for people and as JSON for scripts.

use std::io;

use serde_json::{Map, Value, json};

use crate::cli::output::Output;
use crate::cli::text::{Side, Table};
use crate::evaluate::Evaluation;

/// Returns a value as people read it.
pub(super) fn value(value: f64) -> String {
    format!("{value:.4}")
}

/// Writes the means over all judged queries.
pub(super) fn write_means(evaluation: &Evaluation, output: &mut Output) -> io::Result<()> {
    let mut table = Table::new(&[("MEASURE", Side::Left), ("MEAN", Side::Right)]);
    for (measure, mean) in evaluation.means() {
        table.row([measure.to_string(), value(mean)]);
    }
    table.write(output)
}

/// Returns the means by the measures' keys.
pub(super) fn means(evaluation: &Evaluation) -> Value {
    let means = evaluation.means().into_iter();
    means
        .map(|(measure, mean)| (measure.key(), json!(mean)))
        .collect::<Map<_, _>>()
        .into()
}

/// Writes what was measured of every query.
pub(super) fn write_queries(evaluation: &Evaluation, output: &mut Output) -> io::Result<()> {
    if output.is_json() {
        return write_query_objects(evaluation, output);
    }
    let counts = ["RELEVANT", "FOUND"].map(str::to_owned);
    let measures = evaluation.measures.iter().map(ToString::to_string);
    let mut columns = vec![("QUERY".to_owned(), Side::Left)];
    columns.extend(counts.into_iter().chain(measures).map(|head| (head, Side::Right)));
    let mut table = Table::new(&columns);
    for query in &evaluation.queries {
        let counts = [query.relevant_count, query.found_count].map(|count| count.to_string());
        let values = query.values.iter().map(|it| value(*it));
        table.row(std::iter::once(query.query_id.clone()).chain(counts).chain(values));
    }
    table.write(output)?;
    output.line("")
}

fn write_query_objects(evaluation: &Evaluation, output: &mut Output) -> io::Result<()> {
    for query in &evaluation.queries {
        let values = evaluation.measures.iter().zip(&query.values);
        let values: Map<_, _> = values.map(|(measure, value)| (measure.key(), json!(value))).collect();
        output.object(&json!({ "query": {
            "query_id": query.query_id,
            "relevant_count": query.relevant_count,
            "retrieved_count": query.retrieved_count,
            "found_count": query.found_count,
            "measures": values,
        }}))?;
    }
    Ok(())
}
