//! A run against judgments: every measure for every judged query, and their means.

use super::{Judged, Judgments, Measure, Ranking, Run};

/// What was measured of one query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryValues {
    /// The query.
    pub query_id: String,
    /// Documents that are relevant to it.
    pub relevant_count: usize,
    /// Documents in its ranking.
    pub retrieved_count: usize,
    /// Relevant ones among these.
    pub found_count: usize,
    /// One value for each measure, in their order.
    pub values: Vec<f64>,
}

/// What was measured of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The measures.
    pub measures: Vec<Measure>,
    /// All judged queries, ordered by id. One that the run lacks has no documents in its ranking.
    pub queries: Vec<QueryValues>,
    /// Queries of the run that nobody judged; they do not count.
    pub unjudged_count: usize,
}

impl Evaluation {
    /// Measures a run.
    pub fn of(run: &Run, judgments: &Judgments, measures: &[Measure]) -> Self {
        let nothing = Ranking::default();
        let queries = judgments.queries().map(|(query_id, grades)| {
            let documents = run.ranking(query_id).unwrap_or(&nothing).documents();
            let ids = documents.iter().map(|document| document.document_id.as_str());
            let judged = Judged::new(ids, grades);
            QueryValues {
                query_id: query_id.to_owned(),
                relevant_count: judged.relevant_count(),
                retrieved_count: documents.len(),
                found_count: judged.found_count(documents.len()),
                values: measures.iter().map(|measure| measure.of(&judged)).collect(),
            }
        });
        let unjudged = run.rankings().filter(|(query, _)| !judgments.contains(query));
        Self {
            measures: measures.to_vec(),
            queries: queries.collect(),
            unjudged_count: unjudged.count(),
        }
    }

    /// Returns how many judged queries have no document in their ranking.
    pub fn empty_count(&self) -> usize {
        self.queries.iter().filter(|query| query.retrieved_count == 0).count()
    }

    /// Returns the values of the measure at this place, in the order of the queries.
    pub fn column(&self, measure: usize) -> Vec<f64> {
        let values = self.queries.iter().filter_map(|query| query.values.get(measure));
        values.copied().collect()
    }

    /// Returns each measure with its mean over all judged queries.
    pub fn means(&self) -> Vec<(Measure, f64)> {
        let measures = self.measures.iter().enumerate();
        measures
            .map(|(at, measure)| (*measure, super::significance::mean(&self.column(at))))
            .collect()
    }
}
