//! Searching in one commit of the keyword index.

mod explain;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use tantivy::columnar::Column;
use tantivy::query::{BooleanQuery, BoostQuery, EnableScoring, Occur, Query, Scorer, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, Searcher, SegmentReader, TERMINATED, TantivyError, Term};

use super::schema::Fields;
use crate::index::analyzer::Analyzer;
use crate::index::best::Best;
use crate::index::{Accept, ChunkId, Error, Scored};
pub use explain::{TermField, TermPart};

/// A term of a query and where it is looked up.
struct WeightedTerm {
    term: String,
    field: TermField,
    key: Term,
    /// Weight of the field, times how often the user said the word.
    weight: f32,
}

/// The keyword index as one commit left it; clones are cheap.
#[derive(Clone)]
pub struct TermsSnapshot(Arc<Inner>);

struct Inner {
    searcher: Searcher,
    fields: Fields,
    analyzer: Arc<Analyzer>,
    // Chunk ids by row, one column a segment.
    chunk_ids: Vec<Column<u64>>,
}

impl TermsSnapshot {
    pub(super) fn new(searcher: Searcher, fields: Fields, analyzer: Arc<Analyzer>) -> Result<Self, TantivyError> {
        let chunk_ids = searcher
            .segment_readers()
            .iter()
            .map(|segment| segment.fast_fields().u64(Fields::CHUNK_ID_COLUMN))
            .collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner {
            searcher,
            fields,
            analyzer,
            chunk_ids,
        })))
    }

    pub(super) fn rows(&self) -> u64 {
        self.0.searcher.num_docs()
    }

    pub(super) fn segment_count(&self) -> usize {
        self.0.chunk_ids.len()
    }

    /// Returns every chunk that the files hold, those that were removed and are not purged yet too.
    pub fn held_chunks(&self) -> Vec<ChunkId> {
        let rows = self.segments().flat_map(|(segment, chunk_ids)| {
            (0..segment.max_doc())
                .filter_map(|row| chunk_ids.first(row))
                .map(ChunkId)
        });
        rows.collect()
    }

    /// Returns every chunk that can be found.
    pub fn alive_chunks(&self) -> Vec<ChunkId> {
        let rows = self.segments().flat_map(|(segment, chunk_ids)| {
            segment
                .doc_ids_alive()
                .filter_map(|row| chunk_ids.first(row))
                .map(ChunkId)
        });
        rows.collect()
    }

    fn segments(&self) -> impl Iterator<Item = (&SegmentReader, &Column<u64>)> {
        self.0.searcher.segment_readers().iter().zip(&self.0.chunk_ids)
    }

    /// Returns every term of the user's words in every field.
    fn weighted_terms(&self, query: &str) -> Vec<WeightedTerm> {
        let terms = self.0.analyzer.query_terms(query);
        let lookups = terms.iter().flat_map(|(term, count)| {
            let fields = [TermField::Text, TermField::Heading].into_iter();
            fields
                .zip(self.0.fields.lookups(term))
                .map(|(field, (key, weight))| WeightedTerm {
                    term: term.clone(),
                    field,
                    key,
                    weight: weight * *count as f32,
                })
        });
        lookups.collect()
    }

    fn lookups(&self, query: &str) -> Vec<BoostQuery> {
        self.weighted_terms(query).iter().map(lookup_query).collect()
    }

    /// Finds the best accepted chunks for the user's words, best first, equal ones by chunk id. No words have a meaning
    /// as syntax; of a long query the first [`MAX_QUERY_TERMS`](crate::index::MAX_QUERY_TERMS) distinct terms count.
    pub fn search(&self, query: &str, limit: usize, accept: &Accept<'_>) -> Result<Vec<Scored>, Error> {
        let failed = |source: TantivyError| Error::terms("be searched", source);
        let lookups = self.lookups(query);
        if lookups.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let any = lookups
            .into_iter()
            .map(|lookup| (Occur::Should, Box::new(lookup) as Box<dyn Query>))
            .collect();
        let scoring = EnableScoring::enabled_from_searcher(&self.0.searcher);
        let weight = BooleanQuery::new(any).weight(scoring).map_err(failed)?;
        let mut best = Best::new(limit);
        for (segment, chunk_ids) in self.segments() {
            let alive = segment.alive_bitset();
            // What the segments before have reached prunes this one from its first row.
            let threshold = best.threshold();
            let mut offer = |row: DocId, score: f32| {
                let chunk_id = chunk_ids.first(row).map(ChunkId);
                if let Some(chunk_id) = chunk_id
                    && alive.is_none_or(|alive| alive.is_alive(row))
                    && accept(chunk_id)
                {
                    best.offer(Scored { chunk_id, score });
                }
                best.threshold()
            };
            weight
                .for_each_pruning(threshold, segment, &mut offer)
                .map_err(failed)?;
        }
        Ok(best.into_sorted())
    }

    /// Calls `each` for every chunk with a score above `least`, whoever may find it.
    fn each_above(&self, query: &str, least: f32, each: &mut dyn FnMut(Scored)) -> Result<(), Error> {
        let failed = |source: TantivyError| Error::terms("be searched", source);
        let any = self
            .lookups(query)
            .into_iter()
            .map(|lookup| (Occur::Should, Box::new(lookup) as Box<dyn Query>))
            .collect();
        let scoring = EnableScoring::enabled_from_searcher(&self.0.searcher);
        let weight = BooleanQuery::new(any).weight(scoring).map_err(failed)?;
        for (segment, chunk_ids) in self.segments() {
            let alive = segment.alive_bitset();
            let mut offer = |row: DocId, score: f32| {
                if let Some(chunk_id) = chunk_ids.first(row).map(ChunkId)
                    && alive.is_none_or(|alive| alive.is_alive(row))
                {
                    each(Scored { chunk_id, score });
                }
                least
            };
            weight.for_each_pruning(least, segment, &mut offer).map_err(failed)?;
        }
        Ok(())
    }

    /// Scores these chunks as [`TermsSnapshot::search`] does, in their order; 0 when no term matches.
    pub fn score(&self, query: &str, chunk_ids: &[ChunkId]) -> Result<Vec<f32>, Error> {
        let failed = |source: TantivyError| Error::terms("be searched", source);
        let scoring = EnableScoring::enabled_from_searcher(&self.0.searcher);
        let weights = self
            .lookups(query)
            .iter()
            .map(|lookup| lookup.weight(scoring))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let mut scores = vec![0.0; chunk_ids.len()];
        for (segment, column) in self.segments() {
            let rows = self.rows_of(segment, column, chunk_ids).map_err(failed)?;
            if rows.is_empty() {
                continue;
            }
            for weight in &weights {
                let mut scorer = weight.scorer(segment, 1.0).map_err(failed)?;
                add_scores(scorer.as_mut(), &rows, &mut scores);
            }
        }
        Ok(scores)
    }

    /// Returns those of the chunks that are in the segment, as row and place in `chunk_ids`, by row.
    fn rows_of(
        &self,
        segment: &SegmentReader,
        column: &Column<u64>,
        chunk_ids: &[ChunkId],
    ) -> Result<Vec<(DocId, usize)>, TantivyError> {
        let range = column.min_value()..=column.max_value();
        let by_chunk_id = segment.inverted_index(self.0.fields.chunk_id)?;
        let alive = segment.alive_bitset();
        let mut rows = Vec::new();
        for (place, chunk_id) in chunk_ids.iter().enumerate() {
            if !range.contains(&chunk_id.0) {
                continue;
            }
            let term = Term::from_field_u64(self.0.fields.chunk_id, chunk_id.0);
            let Some(postings) = by_chunk_id.read_postings(&term, IndexRecordOption::Basic)? else {
                continue;
            };
            let row = postings.doc();
            if row != TERMINATED && alive.is_none_or(|alive| alive.is_alive(row)) {
                rows.push((row, place));
            }
        }
        rows.sort_unstable();
        Ok(rows)
    }
}

/// Returns the query of one term in one field: BM25 with `k1` = 1.2 and `b` = 0.75, times its weight.
fn lookup_query(lookup: &WeightedTerm) -> BoostQuery {
    let bm25 = TermQuery::new(lookup.key.clone(), IndexRecordOption::WithFreqs);
    BoostQuery::new(Box::new(bm25), lookup.weight)
}

fn add_scores(scorer: &mut dyn Scorer, rows: &[(DocId, usize)], scores: &mut [f32]) {
    for &(row, place) in rows {
        if scorer.doc() < row {
            scorer.seek(row);
        }
        match scorer.doc().cmp(&row) {
            Ordering::Equal => scores[place] += scorer.score(),
            _ if scorer.doc() == TERMINATED => return,
            _ => {}
        }
    }
}

impl fmt::Debug for TermsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TermsSnapshot")
            .field("rows", &self.rows())
            .finish_non_exhaustive()
    }
}
