//! Measures of one ranking, as `trec_eval` computes them.
//!
//! A document is relevant when its grade is above 0; one that was not judged counts as one that is not relevant. Gains
//! are the grades themselves, discounted by `log2(rank + 1)`. A query without relevant documents has 0 in all measures.

use std::fmt;
use std::str::FromStr;

use super::Grades;

/// A measure of a ranking. Cutoffs count documents, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Discounted gain of the first documents, over that of the best order there is (nDCG; Järvelin and Kekäläinen 2002).
    Ndcg(usize),
    /// Share of the relevant documents that are among the first ones.
    Recall(usize),
    /// One over the rank of the first relevant document; 0 when none is among the first ones. Its mean is MRR.
    ReciprocalRank(usize),
    /// Mean of the precision at the rank of each relevant document, over the whole ranking; 0 for those not found. Its
    /// mean is MAP.
    AveragePrecision,
    /// Share of relevant documents in the first ones, of which there count as many as the cutoff says.
    Precision(usize),
}

impl Measure {
    /// What is measured when nobody says what.
    pub const USUAL: [Self; 6] = [
        Self::Ndcg(10),
        Self::Recall(10),
        Self::Recall(100),
        Self::ReciprocalRank(10),
        Self::AveragePrecision,
        Self::Precision(10),
    ];

    /// Returns how many documents of a ranking it looks at; nothing when it looks at all.
    pub fn cutoff(self) -> Option<usize> {
        match self {
            Self::Ndcg(cutoff) | Self::Recall(cutoff) | Self::ReciprocalRank(cutoff) | Self::Precision(cutoff) => {
                Some(cutoff)
            }
            Self::AveragePrecision => None,
        }
    }

    /// Returns its name for programs, such as `ndcg_at_10`.
    pub fn key(self) -> String {
        match self {
            Self::Ndcg(cutoff) => format!("ndcg_at_{cutoff}"),
            Self::Recall(cutoff) => format!("recall_at_{cutoff}"),
            Self::ReciprocalRank(cutoff) => format!("mrr_at_{cutoff}"),
            Self::AveragePrecision => "map".to_owned(),
            Self::Precision(cutoff) => format!("precision_at_{cutoff}"),
        }
    }

    /// Returns its value for a ranking, 0 to 1.
    pub fn of(self, judged: &Judged) -> f64 {
        let relevant = judged.relevant_count();
        if relevant == 0 {
            return 0.0;
        }
        match self {
            Self::Ndcg(cutoff) => gain(&judged.ranked, cutoff) / gain(&judged.ideal, cutoff),
            Self::Recall(cutoff) => judged.found_count(cutoff) as f64 / relevant as f64,
            Self::ReciprocalRank(cutoff) => {
                let first = judged.ranked.iter().take(cutoff).position(|grade| *grade > 0);
                first.map_or(0.0, |at| 1.0 / (at + 1) as f64)
            }
            Self::AveragePrecision => precisions(&judged.ranked) / relevant as f64,
            Self::Precision(cutoff) => judged.found_count(cutoff) as f64 / cutoff as f64,
        }
    }
}

/// Sum of the gains of the first documents. A grade below 0 takes nothing away.
fn gain(grades: &[i64], cutoff: usize) -> f64 {
    let first = grades.iter().take(cutoff).enumerate();
    let gains = first.filter(|(_, grade)| **grade > 0);
    gains.map(|(at, grade)| *grade as f64 / ((at + 2) as f64).log2()).sum()
}

/// Sum of the precisions at the ranks of relevant documents.
fn precisions(grades: &[i64]) -> f64 {
    let ranks = grades.iter().enumerate().filter(|(_, grade)| **grade > 0);
    let found_at = ranks.enumerate().map(|(found, (at, _))| (found + 1, at + 1));
    found_at.map(|(found, rank)| found as f64 / rank as f64).sum()
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ndcg(cutoff) => write!(f, "nDCG@{cutoff}"),
            Self::Recall(cutoff) => write!(f, "recall@{cutoff}"),
            Self::ReciprocalRank(cutoff) => write!(f, "MRR@{cutoff}"),
            Self::AveragePrecision => f.write_str("MAP"),
            Self::Precision(cutoff) => write!(f, "P@{cutoff}"),
        }
    }
}

/// A name that is no measure's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected nDCG@K, recall@K, MRR@K, P@K or MAP, with a whole number K from 1, not `{0}`")]
pub struct UnknownMeasure(String);

impl FromStr for Measure {
    type Err = UnknownMeasure;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownMeasure(text.to_owned());
        let lower = text.to_lowercase();
        if lower == "map" {
            return Ok(Self::AveragePrecision);
        }
        let (name, cutoff) = lower.split_once('@').ok_or_else(unknown)?;
        let cutoff = cutoff.parse().ok().filter(|cutoff| *cutoff > 0).ok_or_else(unknown)?;
        match name {
            "ndcg" => Ok(Self::Ndcg(cutoff)),
            "recall" => Ok(Self::Recall(cutoff)),
            "mrr" => Ok(Self::ReciprocalRank(cutoff)),
            "p" => Ok(Self::Precision(cutoff)),
            _ => Err(unknown()),
        }
    }
}

/// A ranking as its judges see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Grades in the order of the ranking; 0 where nobody judged.
    ranked: Vec<i64>,
    /// Grades of the relevant documents, highest first.
    ideal: Vec<i64>,
}

impl Judged {
    /// Looks the documents of a ranking up in the grades of its query.
    pub fn new<'a>(ranking: impl IntoIterator<Item = &'a str>, grades: &Grades) -> Self {
        let grade = |document: &str| grades.get(document).copied().unwrap_or(0);
        let mut ideal: Vec<i64> = grades.values().copied().filter(|grade| *grade > 0).collect();
        ideal.sort_unstable_by(|left, right| right.cmp(left));
        Self {
            ranked: ranking.into_iter().map(grade).collect(),
            ideal,
        }
    }

    /// Returns how many documents are relevant.
    pub fn relevant_count(&self) -> usize {
        self.ideal.len()
    }

    /// Returns how many relevant ones are among the first `cutoff`.
    pub fn found_count(&self, cutoff: usize) -> usize {
        self.ranked.iter().take(cutoff).filter(|grade| **grade > 0).count()
    }
}
