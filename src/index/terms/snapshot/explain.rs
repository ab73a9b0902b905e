//! Why chunks have the scores that they have: terms, exact ranks, and where words stand.

use std::collections::HashSet;
use std::ops::Range;

use tantivy::postings::Postings as _;
use tantivy::query::{Bm25StatisticsProvider as _, EnableScoring, Query as _};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, TERMINATED, TantivyError};

use super::{TermsSnapshot, lookup_query};
use crate::index::best::best_first;
use crate::index::{Accept, ChunkId, Error, ExactRank, Scored};

/// How much a score may differ with the order in which its terms are added up.
const ROUNDING: f32 = 1e-5;

/// A field of the keyword index that holds words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermField {
    /// The chunk's text with its title and headings.
    Text,
    /// Title and headings alone.
    Heading,
}

/// What one term adds to a chunk's BM25.
#[derive(Debug, Clone, PartialEq)]
pub struct TermPart {
    /// The term: a stem in lowercase.
    pub term: String,
    /// Where it was found.
    pub field: TermField,
    /// How often it stands there.
    pub frequency: u32,
    /// Chunks that have it there, retired ones included.
    pub chunk_frequency: u64,
    /// Inverse document frequency.
    pub idf: f64,
    /// Weight of the field, times how often the query says the word.
    pub weight: f64,
    /// What it adds.
    pub score: f64,
}

impl TermsSnapshot {
    /// Returns for each of these chunks, in their order, the terms of the query that it holds; their scores add up to
    /// that of [`TermsSnapshot::score`].
    pub fn explain(&self, query: &str, chunk_ids: &[ChunkId]) -> Result<Vec<Vec<TermPart>>, Error> {
        let failed = |source: TantivyError| Error::terms("be searched", source);
        let searcher = &self.0.searcher;
        let scoring = EnableScoring::enabled_from_searcher(searcher);
        let mut parts = vec![Vec::new(); chunk_ids.len()];
        let mut rows_by_segment = Vec::new();
        for (segment, column) in self.segments() {
            rows_by_segment.push((segment, self.rows_of(segment, column, chunk_ids).map_err(failed)?));
        }
        let chunk_count = searcher.total_num_docs().map_err(failed)?;
        for lookup in self.weighted_terms(query) {
            let chunk_frequency = searcher.doc_freq(&lookup.key).map_err(failed)?;
            if chunk_frequency == 0 {
                continue;
            }
            let weight = lookup_query(&lookup).weight(scoring).map_err(failed)?;
            for (segment, rows) in &rows_by_segment {
                let inverted = segment.inverted_index(lookup.key.field()).map_err(failed)?;
                let read = inverted.read_postings(&lookup.key, IndexRecordOption::WithFreqs);
                let Some(mut postings) = read.map_err(|source| failed(source.into()))? else {
                    continue;
                };
                let mut scorer = weight.scorer(segment, 1.0).map_err(failed)?;
                for (row, place) in rows {
                    if !stands_at(&mut postings, *row) || !stands_at(scorer.as_mut(), *row) {
                        continue;
                    }
                    parts[*place].push(TermPart {
                        term: lookup.term.clone(),
                        field: lookup.field,
                        frequency: postings.term_freq(),
                        chunk_frequency,
                        idf: idf(chunk_frequency, chunk_count),
                        weight: f64::from(lookup.weight),
                        score: f64::from(scorer.score()),
                    });
                }
            }
        }
        Ok(parts)
    }

    /// Returns the chunk's exact rank among all accepted chunks; nothing when no term of the query stands in it.
    pub fn rank(&self, query: &str, chunk_id: ChunkId, accept: &Accept<'_>) -> Result<Option<ExactRank>, Error> {
        let own = self.score(query, &[chunk_id])?.first().copied().unwrap_or(0.0);
        if own <= 0.0 {
            return Ok(None);
        }
        // Terms may be added up in another order here, so that its own score is looked for among those about as high.
        let least = own * (1.0 - ROUNDING);
        let mut near: Vec<Scored> = Vec::new();
        self.each_above(query, least, &mut |scored| {
            if scored.chunk_id == chunk_id || accept(scored.chunk_id) {
                near.push(scored);
            }
        })?;
        let own = near
            .iter()
            .find(|scored| scored.chunk_id == chunk_id)
            .copied()
            .unwrap_or(Scored { chunk_id, score: own });
        let better = near.iter().filter(|scored| best_first(scored, &own).is_lt()).count();
        Ok(Some(ExactRank {
            rank: better as u64 + 1,
            score: own.score,
        }))
    }

    /// Returns where words of the query stand in a text, other forms of them included: byte ranges, in order, apart.
    pub fn highlights(&self, query: &str, text: &str) -> Vec<Range<usize>> {
        let terms: HashSet<String> = self
            .0
            .analyzer
            .query_terms(query)
            .into_iter()
            .map(|(term, _)| term)
            .collect();
        self.0.analyzer.places_of(&terms, text)
    }
}

/// Brings a list of rows to this row, and returns whether it is in it. Rows must be asked in order.
fn stands_at<D: tantivy::DocSet + ?Sized>(rows: &mut D, row: DocId) -> bool {
    if rows.doc() < row {
        rows.seek(row);
    }
    rows.doc() != TERMINATED && rows.doc() == row
}

/// The formula of the engine's BM25.
fn idf(chunk_frequency: u64, chunk_count: u64) -> f64 {
    let (found, all) = (chunk_frequency as f64, chunk_count.max(chunk_frequency) as f64);
    (1.0 + (all - found + 0.5) / (found + 0.5)).ln()
}
