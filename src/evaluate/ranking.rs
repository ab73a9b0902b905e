//! Ranked documents, in the order in which `trec_eval` reads them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

/// A document that was found for a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieved {
    /// Its id.
    pub document_id: String,
    /// Its score; higher is better.
    pub score: f64,
}

/// Documents by falling score. Scores that are equal as 32-bit numbers, which `trec_eval` reads them as, leave the order
/// to the ids: the last by bytes comes first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranking(Vec<Retrieved>);

impl Ranking {
    /// Orders documents, each of which comes once.
    pub fn new(mut documents: Vec<Retrieved>) -> Self {
        documents.sort_unstable_by(before);
        Self(documents)
    }

    /// Folds hits, given as document and score, to their documents: each has the score of its best hit. The best `depth`
    /// documents stay.
    pub fn of_hits(hits: impl IntoIterator<Item = (String, f64)>, depth: usize) -> Self {
        let mut best: HashMap<String, f64> = HashMap::new();
        for (document_id, score) in hits {
            let kept = best.entry(document_id).or_insert(score);
            *kept = kept.max(score);
        }
        let documents = best.into_iter();
        let documents = documents.map(|(document_id, score)| Retrieved { document_id, score });
        let mut ranking = Self::new(documents.collect());
        ranking.0.truncate(depth);
        ranking
    }

    /// Returns the documents, best first.
    pub fn documents(&self) -> &[Retrieved] {
        &self.0
    }
}

fn before(left: &Retrieved, right: &Retrieved) -> Ordering {
    let by_score = comparable(right.score).total_cmp(&comparable(left.score));
    by_score.then_with(|| right.document_id.cmp(&left.document_id))
}

/// What a score is compared as: zeros have no sign, and what is no number comes last.
fn comparable(score: f64) -> f32 {
    if score.is_nan() {
        f32::NEG_INFINITY
    } else {
        score as f32 + 0.0
    }
}

/// The rankings of a set of queries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run(BTreeMap<String, Ranking>);

impl Run {
    /// Adds the ranking of a query; returns the one that it had before.
    pub fn insert(&mut self, query_id: impl Into<String>, ranking: Ranking) -> Option<Ranking> {
        self.0.insert(query_id.into(), ranking)
    }

    /// Returns the ranking of a query, if it has one.
    pub fn ranking(&self, query_id: &str) -> Option<&Ranking> {
        self.0.get(query_id)
    }

    /// Returns all rankings, ordered by the queries' ids.
    pub fn rankings(&self) -> impl ExactSizeIterator<Item = (&str, &Ranking)> {
        self.0.iter().map(|(query, ranking)| (query.as_str(), ranking))
    }
}
