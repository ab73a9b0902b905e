//! Searching in one commit of the keyword index.

mod explain;

use std::fmt;
use std::sync::Arc;

use tantivy::{DocId, Searcher, SegmentReader, TantivyError};

use super::asked::unsearchable;
use super::order::RowOrder;
use super::passage::PassageScore;
use super::schema::Fields;
use crate::index::analyzer::{Analyzer, QueryTerm};
use crate::index::{Accept, Accepted, ChunkId, Error, Language, Scored, TermsWork};
pub use explain::{TermField, TermPart};

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

    /// Finds the best accepted chunks for the user's words, best first, equal ones by chunk id. No words have a meaning
    /// as syntax; the first [`MAX_QUERY_TERMS`](crate::index::MAX_QUERY_TERMS) distinct terms count.
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
        self.asked(query)?.list(limit, accepted)
    }

    /// Scores chunks by how well they hold the words of a query, in their order; all 0 when no word is there.
    pub fn passages(&self, query: &str, chunk_ids: &[ChunkId]) -> Result<Vec<PassageScore>, Error> {
        self.asked(query)?.passages(chunk_ids)
    }

    /// Scores these chunks as [`TermsSnapshot::search`] does, in their order; 0 when no term matches.
    pub fn score(&self, query: &str, chunk_ids: &[ChunkId]) -> Result<Vec<f32>, Error> {
        self.asked(query)?.listing().score(chunk_ids).map_err(unsearchable)
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
pub(super) fn alive_row(segment: &SegmentReader, order: &RowOrder, chunk_id: ChunkId) -> Option<DocId> {
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

impl fmt::Debug for TermsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TermsSnapshot")
            .field("rows", &self.rows())
            .finish_non_exhaustive()
    }
}
