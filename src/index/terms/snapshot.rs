//! Searching in one commit of the keyword index.

mod explain;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use tantivy::query::{BooleanQuery, BoostQuery, EnableScoring, Occur, Query, Scorer, TermQuery, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, Searcher, SegmentReader, TERMINATED, TantivyError, Term};

use super::order::RowOrder;
use super::schema::Fields;
use crate::index::analyzer::Analyzer;
use crate::index::best::Best;
use crate::index::{Accept, Accepted, ChunkId, ChunkSet, Error, Scored, TermsMode, TermsWork};
pub use explain::{TermField, TermPart};

/// A set that holds more than one of so many chunks is not worth looking up chunk by chunk.
const SELECTIVE_SHARE: u64 = 8;
/// Lookups of chunks in postings that cost as much as one posting that is walked.
const SEEKS_PER_POSTING: u64 = 1;

/// Distinct terms of a query by which chunks are listed; what was listed is scored by all of them.
const MAX_LISTING_TERMS: usize = 16;

/// The keyword index as one commit left it; clones are cheap.
#[derive(Clone)]
pub struct TermsSnapshot(Arc<Inner>);

struct Inner {
    searcher: Searcher,
    fields: Fields,
    analyzer: Arc<Analyzer>,
    // Chunk ids by row and rows by chunk id, for each segment.
    orders: Vec<Arc<RowOrder>>,
}

impl TermsSnapshot {
    /// Returns the snapshot of a commit; of the one before, what is known of segments that are still there is kept.
    pub(super) fn new(
        searcher: Searcher,
        fields: Fields,
        analyzer: Arc<Analyzer>,
        before: Option<&Self>,
    ) -> Result<Self, TantivyError> {
        let known = |segment: &SegmentReader| {
            let (_, order) = before?
                .segments()
                .find(|(known, _)| known.segment_id() == segment.segment_id())?;
            Some(Arc::clone(order))
        };
        let order = |segment: &SegmentReader| {
            if let Some(order) = known(segment) {
                return Ok(order);
            }
            RowOrder::of(segment).map(Arc::new)
        };
        let orders = searcher.segment_readers().iter().map(order);
        let orders = orders.collect::<Result<_, TantivyError>>()?;
        Ok(Self(Arc::new(Inner {
            searcher,
            fields,
            analyzer,
            orders,
        })))
    }

    pub(super) fn rows(&self) -> u64 {
        self.0.searcher.num_docs()
    }

    pub(super) fn segment_count(&self) -> usize {
        self.0.orders.len()
    }

    /// Returns every chunk that the files hold, those that were removed and are not purged yet too.
    pub fn held_chunks(&self) -> Vec<ChunkId> {
        let rows = self
            .segments()
            .flat_map(|(segment, order)| (0..segment.max_doc()).filter_map(|row| order.chunk_id(row)));
        rows.collect()
    }

    /// Returns every chunk that can be found.
    pub fn alive_chunks(&self) -> Vec<ChunkId> {
        let rows = self
            .segments()
            .flat_map(|(segment, order)| segment.doc_ids_alive().filter_map(|row| order.chunk_id(row)));
        rows.collect()
    }

    /// Returns how many rows the files hold, removed ones too.
    pub(super) fn held_rows(&self) -> u64 {
        self.0.orders.iter().map(|order| u64::from(order.len())).sum()
    }

    /// Returns the sum of the sizes of all windows, in rows.
    pub(super) fn window_rows(&self) -> u64 {
        self.0.orders.iter().map(|order| order.window_rows()).sum()
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

    pub(super) fn segments(&self) -> impl Iterator<Item = (&SegmentReader, &Arc<RowOrder>)> {
        self.0.searcher.segment_readers().iter().zip(&self.0.orders)
    }

    /// Returns one query a term and field: BM25 with `k1` = 1.2 and `b` = 0.75, times the weight of the field and how
    /// often the user said the word. Of many terms those that say most are looked up.
    fn lookups(&self, query: &str) -> Result<Vec<BoostQuery>, TantivyError> {
        let terms = self.telling(self.0.analyzer.query_terms(query))?;
        let lookups = terms.iter().flat_map(|(term, count)| {
            let fields = self.0.fields.lookups(term).into_iter();
            fields.map(|(term, weight)| (term, weight * *count as f32))
        });
        let lookups = lookups.map(|(term, weight)| {
            let bm25 = TermQuery::new(term, IndexRecordOption::WithFreqs);
            BoostQuery::new(Box::new(bm25), weight)
        });
        Ok(lookups.collect())
    }

    /// Leaves out the most common terms of a query that has more than [`MAX_LISTING_TERMS`]: a walk over the postings of
    /// a text's worth of words is long, and the others list nearly the same chunks.
    fn telling(&self, mut terms: Vec<(String, u32)>) -> Result<Vec<(String, u32)>, TantivyError> {
        if terms.len() <= MAX_LISTING_TERMS {
            return Ok(terms);
        }
        let mut rarest = Vec::with_capacity(terms.len());
        for (place, (term, _)) in terms.iter().enumerate() {
            let mut found = 0;
            for field in self.0.fields.searched() {
                found += self.0.searcher.doc_freq(&Term::from_field_text(field, term))?;
            }
            if found > 0 {
                rarest.push((found, place));
            }
        }
        rarest.sort_unstable();
        let mut is_rare = vec![false; terms.len()];
        for (_, place) in rarest.into_iter().take(MAX_LISTING_TERMS) {
            is_rare[place] = true;
        }
        let mut is_rare = is_rare.into_iter();
        terms.retain(|_| is_rare.next().unwrap_or(false));
        Ok(terms)
    }

    /// Finds the best accepted chunks for the user's words, best first, equal ones by chunk id. No words have a meaning
    /// as syntax; of a query with more than 16 distinct terms the rarest of the first
    /// [`MAX_QUERY_TERMS`](crate::index::MAX_QUERY_TERMS) count.
    pub fn search(&self, query: &str, limit: usize, accept: &Accept<'_>) -> Result<Vec<Scored>, Error> {
        let (found, _) = self.search_accepted(query, limit, Accepted::Test(accept, usize::MAX))?;
        Ok(found)
    }

    /// Finds the best accepted chunks as [`TermsSnapshot::search`] does, and tells how.
    pub fn search_accepted(
        &self,
        query: &str,
        limit: usize,
        accepted: Accepted<'_>,
    ) -> Result<(Vec<Scored>, TermsWork), Error> {
        let failed = |source: TantivyError| Error::terms("be searched", source);
        let lookups = self.lookups(query).map_err(failed)?;
        if lookups.is_empty() || limit == 0 || accepted.is_empty() {
            return Ok(Default::default());
        }
        if let Accepted::Set(set) = accepted
            && self.is_selective(set, &lookups).map_err(failed)?
        {
            return self.search_set(&lookups, limit, set).map_err(failed);
        }
        self.search_postings(lookups, limit, accepted).map_err(failed)
    }

    /// Walks the postings, and asks of every chunk that may be among the best whether it is accepted.
    fn search_postings(
        &self,
        lookups: Vec<BoostQuery>,
        limit: usize,
        accepted: Accepted<'_>,
    ) -> Result<(Vec<Scored>, TermsWork), TantivyError> {
        let any = lookups
            .into_iter()
            .map(|lookup| (Occur::Should, Box::new(lookup) as Box<dyn Query>))
            .collect();
        let scoring = EnableScoring::enabled_from_searcher(&self.0.searcher);
        let weight = BooleanQuery::new(any).weight(scoring)?;
        let mut best = Best::new(limit);
        let mut work = TermsWork {
            mode: TermsMode::Postings,
            ..TermsWork::default()
        };
        for (segment, order) in self.segments() {
            let alive = segment.alive_bitset();
            // What the segments before have reached prunes this one from its first row.
            let threshold = best.threshold();
            let mut offer = |row: DocId, score: f32| {
                work.visited += 1;
                if let Some(chunk_id) = order.chunk_id(row)
                    && alive.is_none_or(|alive| alive.is_alive(row))
                    && accepted.contains(chunk_id)
                {
                    work.candidates += 1;
                    best.offer(Scored { chunk_id, score });
                }
                best.threshold()
            };
            weight.for_each_pruning(threshold, segment, &mut offer)?;
        }
        Ok((best.into_sorted(), work))
    }

    /// Returns whether looking up the chunks of a set costs less than walking the postings.
    fn is_selective(&self, set: &ChunkSet, lookups: &[BoostQuery]) -> Result<bool, TantivyError> {
        if set.len() as u64 > self.rows() / SELECTIVE_SHARE {
            return Ok(false);
        }
        let mut postings = 0;
        for lookup in lookups {
            let mut terms = Vec::new();
            lookup.query_terms(&mut |term, _| terms.push(term.clone()));
            for term in terms {
                postings += self.0.searcher.doc_freq(&term)?;
            }
        }
        let seeks = (set.len() * lookups.len()) as u64;
        Ok(seeks / SEEKS_PER_POSTING <= postings)
    }

    /// Looks every chunk of a set up in the postings.
    fn search_set(
        &self,
        lookups: &[BoostQuery],
        limit: usize,
        set: &ChunkSet,
    ) -> Result<(Vec<Scored>, TermsWork), TantivyError> {
        let weights = self.weights(lookups)?;
        let mut best = Best::new(limit);
        let mut work = TermsWork {
            mode: TermsMode::AcceptedChunks,
            ..TermsWork::default()
        };
        let (mut rows, mut scores) = (Vec::new(), Vec::new());
        for (segment, order) in self.segments() {
            let (first, last) = order.bounds();
            rows.clear();
            let chunks = set.iter_within(first, last);
            rows.extend(
                chunks
                    .filter_map(|chunk_id| alive_row(segment, order, chunk_id))
                    .enumerate(),
            );
            let rows = in_order(order, &mut rows);
            scores.clear();
            scores.resize(rows.len(), 0.0);
            work.visited += rows.len() as u64;
            for weight in &weights {
                let mut scorer = weight.scorer(segment, 1.0)?;
                add_scores(scorer.as_mut(), rows, &mut scores);
            }
            for &(place, row) in rows {
                let score = scores[place];
                if score > 0.0
                    && let Some(chunk_id) = order.chunk_id(row)
                {
                    work.candidates += 1;
                    best.offer(Scored { chunk_id, score });
                }
            }
        }
        Ok((best.into_sorted(), work))
    }

    fn weights(&self, lookups: &[BoostQuery]) -> Result<Vec<Box<dyn Weight>>, TantivyError> {
        let scoring = EnableScoring::enabled_from_searcher(&self.0.searcher);
        lookups.iter().map(|lookup| lookup.weight(scoring)).collect()
    }

    /// Calls `each` for every chunk with a score above `least`, whoever may find it.
    fn each_above(&self, query: &str, least: f32, each: &mut dyn FnMut(Scored)) -> Result<(), Error> {
        let failed = |source: TantivyError| Error::terms("be searched", source);
        let any = self
            .lookups(query)
            .map_err(failed)?
            .into_iter()
            .map(|lookup| (Occur::Should, Box::new(lookup) as Box<dyn Query>))
            .collect();
        let scoring = EnableScoring::enabled_from_searcher(&self.0.searcher);
        let weight = BooleanQuery::new(any).weight(scoring).map_err(failed)?;
        for (segment, order) in self.segments() {
            let alive = segment.alive_bitset();
            let mut offer = |row: DocId, score: f32| {
                if let Some(chunk_id) = order.chunk_id(row)
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
        let weights = self
            .lookups(query)
            .and_then(|lookups| self.weights(&lookups))
            .map_err(failed)?;
        let mut scores = vec![0.0; chunk_ids.len()];
        for (segment, order) in self.segments() {
            let rows = alive_rows(segment, order, chunk_ids);
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

/// Returns the row of a chunk that was not removed from the segment.
fn alive_row(segment: &SegmentReader, order: &RowOrder, chunk_id: ChunkId) -> Option<DocId> {
    let alive = segment.alive_bitset();
    order.row(chunk_id, |row| alive.is_none_or(|alive| alive.is_alive(row)))
}

/// Returns those of the chunks that are in the segment, as place in `chunk_ids` and row, by row.
pub(super) fn alive_rows(segment: &SegmentReader, order: &RowOrder, chunk_ids: &[ChunkId]) -> Vec<(usize, DocId)> {
    let (first, last) = order.bounds();
    let within = chunk_ids
        .iter()
        .enumerate()
        .filter(|(_, id)| (first..=last).contains(id));
    let rows = within.filter_map(|(place, chunk_id)| Some((place, alive_row(segment, order, *chunk_id)?)));
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable_by_key(|(_, row)| *row);
    rows
}

/// Sorts rows, which come in order of their chunks.
fn in_order<'a>(order: &RowOrder, rows: &'a mut [(usize, DocId)]) -> &'a [(usize, DocId)] {
    if !order.is_sorted() {
        rows.sort_unstable_by_key(|(_, row)| *row);
    }
    rows
}

/// Adds the scores of rows, each given with its place in `scores`, in order of rows.
fn add_scores(scorer: &mut dyn Scorer, rows: &[(usize, DocId)], scores: &mut [f32]) {
    for &(place, row) in rows {
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
