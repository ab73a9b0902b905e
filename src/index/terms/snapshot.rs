//! Searching in one commit of the keyword index.

mod explain;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tantivy::query::{
    Bm25StatisticsProvider, BooleanQuery, BoostQuery, EnableScoring, Occur, Query, Scorer, TermQuery, Weight,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, Searcher, SegmentReader, TERMINATED, TantivyError, Term};

use super::order::RowOrder;
use super::schema::Fields;
use crate::index::analyzer::{Analyzer, QueryTerm};
use crate::index::best::Best;
use crate::index::{Accept, Accepted, ChunkId, ChunkSet, Error, Language, Scored, TermsMode, TermsWork};
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
    // Those that chunks are in, most of them in the first; none where they are not detected.
    languages: Vec<Language>,
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
        let languages = languages(&searcher, fields)?;
        Ok(Self(Arc::new(Inner {
            searcher,
            fields,
            analyzer,
            orders,
            languages,
        })))
    }

    /// Returns the distinct words of a query as they are in the languages of the index.
    pub(super) fn query_terms(&self, query: &str) -> Vec<QueryTerm> {
        self.0.analyzer.query_terms(query, &self.0.languages)
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

    pub(super) fn segments(&self) -> impl Iterator<Item = (&SegmentReader, &Arc<RowOrder>)> {
        self.0.searcher.segment_readers().iter().zip(&self.0.orders)
    }

    /// Returns one query a form and field: BM25 with `k1` = 1.2 and `b` = 0.75, times the weight of the field and how
    /// often the user said the word. Of many terms those that say most are looked up.
    fn lookups(&self, query: &str) -> Result<Lookups<'_>, TantivyError> {
        let mut lookups = Lookups {
            queries: Vec::new(),
            frequencies: Frequencies {
                searcher: &self.0.searcher,
                shared: HashMap::new(),
            },
        };
        for term in self.telling(self.query_terms(query))? {
            for field in 0..self.0.fields.searched().len() {
                let forms = term.forms.iter().map(|form| self.0.fields.lookups(form)[field].clone());
                lookups.add(forms.collect(), term.count)?;
            }
        }
        Ok(lookups)
    }

    /// Leaves out the most common terms of a query that has more than [`MAX_LISTING_TERMS`]: a walk over the postings of
    /// a text's worth of words is long, and the others list nearly the same chunks.
    fn telling(&self, mut terms: Vec<QueryTerm>) -> Result<Vec<QueryTerm>, TantivyError> {
        if terms.len() <= MAX_LISTING_TERMS {
            return Ok(terms);
        }
        let mut rarest = Vec::with_capacity(terms.len());
        for (place, term) in terms.iter().enumerate() {
            let mut found = 0;
            for (key, _) in term.forms.iter().flat_map(|form| self.0.fields.lookups(form)) {
                found += self.0.searcher.doc_freq(&key)?;
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
        if lookups.queries.is_empty() || limit == 0 || accepted.is_empty() {
            return Ok(Default::default());
        }
        if let Accepted::Set(set) = accepted
            && self.is_selective(set, &lookups).map_err(failed)?
        {
            return self.search_set(&lookups, limit, set).map_err(failed);
        }
        self.search_postings(&lookups, limit, accepted).map_err(failed)
    }

    /// Walks the postings, and asks of every chunk that may be among the best whether it is accepted.
    fn search_postings(
        &self,
        lookups: &Lookups<'_>,
        limit: usize,
        accepted: Accepted<'_>,
    ) -> Result<(Vec<Scored>, TermsWork), TantivyError> {
        let weight = lookups.any()?;
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
    fn is_selective(&self, set: &ChunkSet, lookups: &Lookups<'_>) -> Result<bool, TantivyError> {
        if set.len() as u64 > self.rows() / SELECTIVE_SHARE {
            return Ok(false);
        }
        let mut postings = 0;
        for lookup in &lookups.queries {
            let mut terms = Vec::new();
            lookup.query_terms(&mut |term, _| terms.push(term.clone()));
            for term in terms {
                postings += self.0.searcher.doc_freq(&term)?;
            }
        }
        let seeks = (set.len() * lookups.queries.len()) as u64;
        Ok(seeks / SEEKS_PER_POSTING <= postings)
    }

    /// Looks every chunk of a set up in the postings.
    fn search_set(
        &self,
        lookups: &Lookups<'_>,
        limit: usize,
        set: &ChunkSet,
    ) -> Result<(Vec<Scored>, TermsWork), TantivyError> {
        let weights = lookups.each()?;
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

    /// Calls `each` for every chunk with a score above `least`, whoever may find it.
    fn each_above(&self, query: &str, least: f32, each: &mut dyn FnMut(Scored)) -> Result<(), Error> {
        let failed = |source: TantivyError| Error::terms("be searched", source);
        let weight = self.lookups(query).and_then(|lookups| lookups.any()).map_err(failed)?;
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
        let weights = self.lookups(query).and_then(|lookups| lookups.each()).map_err(failed)?;
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

/// What a query looks up.
struct Lookups<'a> {
    queries: Vec<BoostQuery>,
    frequencies: Frequencies<'a>,
}

impl Lookups<'_> {
    /// Adds the forms of a word in one field, which count as one term.
    fn add(&mut self, forms: Vec<(Term, f32)>, count: u32) -> Result<(), TantivyError> {
        if forms.len() > 1 {
            let mut found = 0;
            for (form, _) in &forms {
                found += self.frequencies.searcher.doc_freq(form)?;
            }
            let found = found.min(self.frequencies.searcher.num_docs());
            let shared = forms.iter().map(|(form, _)| (form.clone(), found));
            self.frequencies.shared.extend(shared);
        }
        for (form, weight) in forms {
            let bm25 = TermQuery::new(form, IndexRecordOption::WithFreqs);
            self.queries
                .push(BoostQuery::new(Box::new(bm25), weight * count as f32));
        }
        Ok(())
    }

    fn scoring(&self) -> EnableScoring<'_> {
        EnableScoring::enabled_from_statistics_provider(&self.frequencies, self.frequencies.searcher)
    }

    /// Returns the sum of all.
    fn any(&self) -> Result<Box<dyn Weight>, TantivyError> {
        let queries = self.queries.iter();
        let any = queries.map(|query| (Occur::Should, Box::new(query.clone()) as Box<dyn Query>));
        BooleanQuery::new(any.collect()).weight(self.scoring())
    }

    /// Returns each by itself.
    fn each(&self) -> Result<Vec<Box<dyn Weight>>, TantivyError> {
        let weights = self.queries.iter().map(|query| query.weight(self.scoring()));
        weights.collect()
    }
}

/// In how many rows terms are: those that are forms of one word as often as all of them together.
struct Frequencies<'a> {
    searcher: &'a Searcher,
    shared: HashMap<Term, u64>,
}

impl Bm25StatisticsProvider for Frequencies<'_> {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        self.searcher.total_num_tokens(field)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        self.searcher.total_num_docs()
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        if let Some(found) = self.shared.get(term) {
            return Ok(*found);
        }
        Bm25StatisticsProvider::doc_freq(self.searcher, term)
    }
}

/// Returns the languages that chunks are in, most of them in the first.
fn languages(searcher: &Searcher, fields: Fields) -> Result<Vec<Language>, TantivyError> {
    let mut found = Vec::new();
    for language in Language::detectable() {
        if let Some(term) = fields.language(language) {
            found.push((searcher.doc_freq(&term)?, language));
        }
    }
    found.retain(|(chunks, _)| *chunks > 0);
    // Of as many chunks the first in the list of languages.
    found.sort_by_key(|(chunks, _)| std::cmp::Reverse(*chunks));
    Ok(found.into_iter().map(|(_, language)| language).collect())
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
