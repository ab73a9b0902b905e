//! Searching in one commit of the keyword index.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use tantivy::index::SegmentId;
use tantivy::query::{BooleanQuery, BoostQuery, EnableScoring, Occur, Query, Scorer, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, Searcher, SegmentReader, TERMINATED, TantivyError};

use super::passage::Lengths;
use super::rows::SegmentRows;
use super::schema::Fields;
use crate::index::analyzer::Analyzer;
use crate::index::best::Best;
use crate::index::{Accept, ChunkId, Error, Scored};

/// The keyword index as one commit left it; clones are cheap.
#[derive(Clone)]
pub struct TermsSnapshot(Arc<Inner>);

struct Inner {
    searcher: Searcher,
    fields: Fields,
    analyzer: Arc<Analyzer>,
    /// By segment.
    rows: Vec<Arc<SegmentRows>>,
    lengths: Lengths,
}

impl TermsSnapshot {
    /// Reads what is not in `earlier` already: segments never change.
    pub(super) fn new(
        searcher: Searcher,
        fields: Fields,
        analyzer: Arc<Analyzer>,
        earlier: Option<&Self>,
    ) -> Result<Self, TantivyError> {
        let rows = searcher.segment_readers().iter().map(|segment| {
            let known = earlier.and_then(|earlier| earlier.rows_of_segment(segment.segment_id()));
            known.map_or_else(|| SegmentRows::read(segment).map(Arc::new), Ok)
        });
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let lengths = lengths(&searcher, &fields, &rows)?;
        Ok(Self(Arc::new(Inner {
            searcher,
            fields,
            analyzer,
            rows,
            lengths,
        })))
    }

    fn rows_of_segment(&self, id: SegmentId) -> Option<Arc<SegmentRows>> {
        let mut segments = self.0.searcher.segment_readers().iter().zip(&self.0.rows);
        segments
            .find(|(segment, _)| segment.segment_id() == id)
            .map(|(_, rows)| Arc::clone(rows))
    }

    pub(super) fn rows(&self) -> u64 {
        self.0.searcher.num_docs()
    }

    pub(super) fn segment_count(&self) -> usize {
        self.0.rows.len()
    }

    /// Returns how many rows the files hold, removed ones too.
    pub(super) fn held_rows(&self) -> u64 {
        self.0.rows.iter().map(|rows| u64::from(rows.len())).sum()
    }

    pub(super) fn searcher(&self) -> &Searcher {
        &self.0.searcher
    }

    pub(super) fn fields(&self) -> &Fields {
        &self.0.fields
    }

    pub(super) fn analyzer(&self) -> &Analyzer {
        &self.0.analyzer
    }

    pub(super) fn lengths(&self) -> Lengths {
        self.0.lengths
    }

    /// Returns every chunk that the files hold, those that were removed and are not purged yet too.
    pub fn held_chunks(&self) -> Vec<ChunkId> {
        self.0.rows.iter().flat_map(|rows| rows.chunk_ids()).copied().collect()
    }

    /// Returns every chunk that can be found.
    pub fn alive_chunks(&self) -> Vec<ChunkId> {
        let rows = self
            .segments()
            .flat_map(|(segment, rows)| segment.doc_ids_alive().filter_map(|row| rows.chunk_id(row)));
        rows.collect()
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = (&SegmentReader, &SegmentRows)> {
        let rows = self.0.rows.iter().map(AsRef::as_ref);
        self.0.searcher.segment_readers().iter().zip(rows)
    }

    /// Returns one query a term and field: BM25 with `k1` = 1.2 and `b` = 0.75, times the weight of the field and how
    /// often the user said the word.
    fn lookups(&self, query: &str) -> Vec<BoostQuery> {
        let terms = self.0.analyzer.query_terms(query);
        let lookups = terms.iter().flat_map(|(term, count)| {
            let fields = self.0.fields.lookups(term).into_iter();
            fields.map(|(term, weight)| (term, weight * *count as f32))
        });
        lookups
            .map(|(term, weight)| {
                let bm25 = TermQuery::new(term, IndexRecordOption::WithFreqs);
                BoostQuery::new(Box::new(bm25), weight)
            })
            .collect()
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
        for (segment, rows) in self.segments() {
            let alive = segment.alive_bitset();
            // What the segments before have reached prunes this one from its first row.
            let threshold = best.threshold();
            let mut offer = |row: DocId, score: f32| {
                if let Some(chunk_id) = rows.chunk_id(row)
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
        for (segment, rows) in self.segments() {
            let rows = alive_rows(segment, rows, chunk_ids);
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
}

fn lengths(searcher: &Searcher, fields: &Fields, rows: &[Arc<SegmentRows>]) -> Result<Lengths, TantivyError> {
    let count: u64 = rows.iter().map(|rows| u64::from(rows.len())).sum();
    let mut means = [1.0, 1.0];
    for (mean, field) in means.iter_mut().zip(fields.searched()) {
        let mut terms = 0;
        for segment in searcher.segment_readers() {
            terms += segment.inverted_index(field)?.total_num_tokens();
        }
        *mean = (terms as f32 / count.max(1) as f32).max(1.0);
    }
    let window_rows: u64 = rows.iter().map(|rows| rows.window_rows()).sum();
    let [text, heading] = means;
    Ok(Lengths {
        text,
        heading,
        window: text * window_rows as f32 / count.max(1) as f32,
    })
}

/// Returns those of the chunks that are in the segment, as row and place in `chunk_ids`, by row.
pub(super) fn alive_rows(segment: &SegmentReader, rows: &SegmentRows, chunk_ids: &[ChunkId]) -> Vec<(DocId, usize)> {
    let alive = segment.alive_bitset();
    let found = chunk_ids.iter().enumerate().filter_map(|(place, chunk_id)| {
        let row = rows.row(*chunk_id)?;
        alive.is_none_or(|alive| alive.is_alive(row)).then_some((row, place))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    found
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
