//! A query as the keyword index knows its words: looked up once, for listing chunks and for scoring them.

use tantivy::postings::TermInfo;
use tantivy::{SegmentReader, TantivyError, Term};

use super::TermPart;
use super::passage::PassageScore;
use super::snapshot::TermsSnapshot;
use crate::index::{Accepted, ChunkId, Error, Scored, TermsWork};

/// tantivy's constants of BM25.
pub(super) const K1: f32 = 1.2;
pub(super) const B: f32 = 0.75;

/// The distinct terms of a query, with where one snapshot has them. Text without a term matches nothing.
pub struct AskedTerms<'a> {
    pub(super) snapshot: &'a TermsSnapshot,
    pub(super) terms: Vec<AskedTerm>,
    pub(super) lengths: Lengths,
}

/// Mean lengths, for BM25.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    pub(super) text: f32,
    pub(super) heading: f32,
    pub(super) window: f32,
}

/// A term of the query.
pub(super) struct AskedTerm {
    pub(super) term: String,
    pub(super) text: Lookup,
    pub(super) heading: Lookup,
    /// Windows that are likely to have it.
    pub(super) windows: u64,
    /// Inverse document frequency among windows instead of chunks.
    pub(super) window_idf: f32,
    /// How often the query says it.
    pub(super) count: f32,
}

/// A term of the query in one field.
pub(super) struct Lookup {
    /// Its forms in each segment, as far as they are there.
    pub(super) found: Vec<Vec<TermInfo>>,
    /// Chunks that have it, retired ones included.
    pub(super) chunk_frequency: u64,
    pub(super) idf: f32,
}

impl TermsSnapshot {
    /// Looks up the words of a query. No words have a meaning as syntax.
    pub fn asked(&self, query: &str) -> Result<AskedTerms<'_>, Error> {
        Ok(AskedTerms {
            snapshot: self,
            terms: self.looked_up(query).map_err(unsearchable)?,
            lengths: self.lengths().map_err(unsearchable)?,
        })
    }

    fn lengths(&self) -> Result<Lengths, TantivyError> {
        let rows = self.held_rows().max(1) as f32;
        let mean = |field| -> Result<f32, TantivyError> {
            let mut terms = 0;
            for segment in self.searcher().segment_readers() {
                terms += segment.inverted_index(field)?.total_num_tokens();
            }
            Ok((terms as f32 / rows).max(1.0))
        };
        let [text, heading] = self.fields().searched();
        let text = mean(text)?;
        Ok(Lengths {
            text,
            heading: mean(heading)?,
            window: text * self.window_rows() as f32 / rows,
        })
    }

    fn looked_up(&self, query: &str) -> Result<Vec<AskedTerm>, TantivyError> {
        let fields = self.fields().searched();
        let rows = self.held_rows();
        let segments = self.searcher().segment_readers().iter();
        let dictionaries = |of_field: usize| {
            let of_segment = |segment: &SegmentReader| segment.inverted_index(fields[of_field]);
            segments
                .clone()
                .map(of_segment)
                .collect::<Result<Vec<_>, TantivyError>>()
        };
        let dictionaries = [dictionaries(0)?, dictionaries(1)?];
        let lookup = |of_field: usize, forms: &[String]| -> Result<Lookup, TantivyError> {
            let mut found = Vec::with_capacity(dictionaries[of_field].len());
            for index in &dictionaries[of_field] {
                let mut infos = Vec::with_capacity(forms.len());
                for form in forms {
                    infos.extend(index.get_term_info(&Term::from_field_text(fields[of_field], form))?);
                }
                found.push(infos);
            }
            let chunk_frequency = found.iter().flatten().map(|info| u64::from(info.doc_freq)).sum::<u64>();
            let chunk_frequency = chunk_frequency.min(rows);
            Ok(Lookup {
                found,
                chunk_frequency,
                idf: inverse_document_frequency(rows, chunk_frequency) as f32,
            })
        };
        let window = self.window_rows() as f64 / rows.max(1) as f64;
        let terms = self.query_terms(query).into_iter().map(|term| {
            let text = lookup(0, &term.forms)?;
            let windows = windows_with(text.chunk_frequency, rows, window);
            Ok(AskedTerm {
                windows,
                window_idf: inverse_document_frequency(rows, windows) as f32,
                heading: lookup(1, &term.forms)?,
                text,
                count: term.count as f32,
                term: term.forms.into_iter().next().unwrap_or_default(),
            })
        });
        terms.collect()
    }
}

impl AskedTerms<'_> {
    /// Finds the best accepted chunks by BM25, best first, equal ones by chunk id, and tells how; at most `limit`. Of a
    /// query the first [`MAX_QUERY_TERMS`](crate::index::MAX_QUERY_TERMS) distinct terms count.
    pub fn list(&self, limit: usize, accepted: Accepted<'_>) -> Result<(Vec<Scored>, TermsWork), Error> {
        self.listing().best(limit, accepted).map_err(unsearchable)
    }

    /// Scores chunks by how well they hold the words of the query, in their order; all 0 when no word is there.
    pub fn passages(&self, chunk_ids: &[ChunkId]) -> Result<Vec<PassageScore>, Error> {
        self.score_passages(chunk_ids, None).map_err(unsearchable)
    }

    /// Returns for each of these chunks, in their order, what the terms of the query add to its score; the parts add up
    /// to that of [`AskedTerms::passages`].
    pub fn explain(&self, chunk_ids: &[ChunkId]) -> Result<Vec<Vec<TermPart>>, Error> {
        let mut parts = vec![Vec::new(); chunk_ids.len()];
        self.score_passages(chunk_ids, Some(&mut parts)).map_err(unsearchable)?;
        Ok(parts)
    }
}

/// Says that the index could not be searched.
pub(super) fn unsearchable(source: TantivyError) -> Error {
    Error::terms("be searched", source)
}

/// Returns how many windows of so many rows each have a term that `holding` of all rows have, if it stands anywhere alike:
/// a figure that depends on the texts alone, and not on how they lie in segments.
fn windows_with(holding: u64, rows: u64, window: f64) -> u64 {
    let (holding, rows) = (holding as f64, rows.max(1) as f64);
    (rows * (1.0 - (1.0 - (holding / rows).min(1.0)).powf(window))).round() as u64
}

/// Returns how much it says that one of `total` rows holds a word which `holding` of them hold: more than 0, and the
/// more the fewer hold it.
fn inverse_document_frequency(total: u64, holding: u64) -> f64 {
    let (total, holding) = (total as f64, holding.min(total) as f64);
    (1.0 + (total - holding + 0.5) / (holding + 0.5)).ln()
}
