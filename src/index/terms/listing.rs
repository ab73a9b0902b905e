//! Listing: the chunks that BM25 puts first.
//!
//! A window of rows at a time, and in it term by term: what each term adds goes into an array, which costs a posting a few
//! instructions. Common terms, which together cannot lift a row above what was found, are not walked but looked up, for
//! the rows alone that the others have lifted far enough (`MaxScore`, Turtle and Flood 1995). Windows begin small, so that
//! the first of them already tell what later rows must reach.

use std::ops::Range;

use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::BlockSegmentPostings;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, SegmentReader, TantivyError};

use super::asked::{AskedTerms, B, K1, Lookup};
use super::order::RowOrder;
use super::schema::HEADING_WEIGHT;
use super::snapshot::{TermsSnapshot, alive_row, alive_rows};
use crate::index::best::Best;
use crate::index::{Accepted, ChunkId, ChunkSet, Scored, TermsMode, TermsWork};

/// A set that holds more than one of so many chunks is not worth looking up chunk by chunk.
const SELECTIVE_SHARE: u64 = 8;
/// Rows of the first window; each further one has twice as many.
const FIRST_WINDOW: usize = 2_048;
/// Rows of a window at most: their scores fit into the second cache beside the postings.
const LARGEST_WINDOW: usize = 32_768;
/// Scores that are looked at together.
const LANES: usize = 16;
/// How much a sum may differ with the order of what is added.
const ROUNDING: f32 = 1e-5;

/// The terms that chunks are listed by.
pub(super) struct Listing<'a> {
    snapshot: &'a TermsSnapshot,
    clauses: Vec<Clause<'a>>,
    /// What lengths do to a term, by field and by the byte that tells the length.
    lengths: [[f32; 256]; 2],
}

/// A term in one field.
struct Clause<'a> {
    lookup: &'a Lookup,
    /// 0 the text, 1 the headings.
    field: usize,
    /// What it adds at most: BM25 comes near it with the frequency.
    weight: f32,
}

impl AskedTerms<'_> {
    pub(super) fn listing(&self) -> Listing<'_> {
        let clauses = self.terms.iter().flat_map(|term| {
            [(&term.text, 1.0), (&term.heading, HEADING_WEIGHT)]
                .into_iter()
                .enumerate()
                .map(|(field, (lookup, of_field))| Clause {
                    lookup,
                    field,
                    weight: lookup.idf * (K1 + 1.0) * of_field * term.count,
                })
        });
        let of_length = |mean: f32| {
            std::array::from_fn(|byte| {
                let length = FieldNormReader::id_to_fieldnorm(byte as u8) as f32;
                K1 * (1.0 - B + B * length / mean)
            })
        };
        Listing {
            snapshot: self.snapshot,
            clauses: clauses.filter(|clause| clause.lookup.chunk_frequency > 0).collect(),
            lengths: [of_length(self.lengths.text), of_length(self.lengths.heading)],
        }
    }
}

impl Listing<'_> {
    /// Finds the best accepted chunks, best first, equal ones by chunk id, and tells how.
    pub(super) fn best(&self, limit: usize, accepted: Accepted<'_>) -> Result<(Vec<Scored>, TermsWork), TantivyError> {
        if self.clauses.is_empty() || limit == 0 || accepted.is_empty() {
            return Ok(Default::default());
        }
        if let Accepted::Set(set) = accepted
            && self.is_selective(set)
        {
            return self.best_of_set(limit, set);
        }
        let mut best = Best::new(limit);
        let mut work = TermsWork {
            mode: TermsMode::Postings,
            ..TermsWork::default()
        };
        for (at, (segment, order)) in self.snapshot.segments().enumerate() {
            let alive = segment.alive_bitset();
            // What the segments before have reached prunes this one from its first row.
            let threshold = best.threshold();
            self.each_above(at, segment, threshold, &mut |row, score| {
                work.visited += 1;
                if let Some(chunk_id) = order.chunk_id(row)
                    && alive.is_none_or(|alive| alive.is_alive(row))
                    && accepted.contains(chunk_id)
                {
                    work.candidates += 1;
                    best.offer(Scored { chunk_id, score });
                }
                best.threshold()
            })?;
        }
        Ok((best.into_sorted(), work))
    }

    /// Returns whether looking up the chunks of a set costs less than walking the postings.
    fn is_selective(&self, set: &ChunkSet) -> bool {
        let postings: u64 = self.clauses.iter().map(|clause| clause.lookup.chunk_frequency).sum();
        set.len() as u64 <= self.snapshot.rows() / SELECTIVE_SHARE
            && (set.len() * self.clauses.len()) as u64 <= postings
    }

    /// Looks every chunk of a set up in the postings.
    fn best_of_set(&self, limit: usize, set: &ChunkSet) -> Result<(Vec<Scored>, TermsWork), TantivyError> {
        let mut best = Best::new(limit);
        let mut work = TermsWork {
            mode: TermsMode::AcceptedChunks,
            ..TermsWork::default()
        };
        let (mut rows, mut scores) = (Vec::new(), Vec::new());
        for (at, (segment, order)) in self.snapshot.segments().enumerate() {
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
            self.add(at, segment, rows, &mut scores)?;
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

    /// Scores these chunks, in their order; 0 when no term matches.
    pub(super) fn score(&self, chunk_ids: &[ChunkId]) -> Result<Vec<f32>, TantivyError> {
        let mut scores = vec![0.0; chunk_ids.len()];
        for (at, (segment, order)) in self.snapshot.segments().enumerate() {
            let rows = alive_rows(segment, order, chunk_ids);
            if !rows.is_empty() {
                self.add(at, segment, &rows, &mut scores)?;
            }
        }
        Ok(scores)
    }

    /// Adds up what rows of a segment score, each given with its place in `scores`, in order of rows.
    fn add(
        &self,
        at: usize,
        segment: &SegmentReader,
        rows: &[(usize, DocId)],
        scores: &mut [f32],
    ) -> Result<(), TantivyError> {
        for mut cursor in self.cursors(at, segment)? {
            for &(place, row) in rows {
                scores[place] += cursor.score_of(row);
            }
        }
        Ok(())
    }

    /// Calls `offer` for every row of a segment with a score above the threshold; it returns the threshold from there on,
    /// which never falls.
    pub(super) fn each_above(
        &self,
        at: usize,
        segment: &SegmentReader,
        mut threshold: f32,
        offer: &mut dyn FnMut(DocId, f32) -> f32,
    ) -> Result<(), TantivyError> {
        let mut cursors = self.cursors(at, segment)?;
        cursors.sort_by(|left, right| right.weight.total_cmp(&left.weight));
        // What all from each on add at most.
        let mut rest = vec![0.0; cursors.len() + 1];
        for (at, cursor) in cursors.iter().enumerate().rev() {
            rest[at] = rest[at + 1] + cursor.weight;
        }
        let mut scores = Vec::new();
        let mut candidates: Vec<(DocId, f32)> = Vec::new();
        let (mut begin, mut size) = (0, FIRST_WINDOW);
        while begin < segment.max_doc() {
            let window = size.min((segment.max_doc() - begin) as usize);
            let end = begin + window as DocId;
            let needed = |at: usize, threshold: f32| threshold - rest[at] - ROUNDING * threshold.abs();
            let walked = (0..cursors.len())
                .find(|at| needed(*at, threshold) > 0.0)
                .unwrap_or(cursors.len());
            let (walked, looked_up) = cursors.split_at_mut(walked);
            if walked.is_empty() {
                return Ok(());
            }
            scores.clear();
            scores.resize(window.next_multiple_of(LANES), 0.0);
            for cursor in &mut *walked {
                cursor.add(begin..end, &mut scores);
            }
            let first = walked.len();
            let least = needed(first, threshold).max(0.0);
            candidates.clear();
            for (block, scores) in scores.chunks_exact(LANES).enumerate() {
                let mut highest = 0.0_f32;
                for score in scores {
                    highest = highest.max(*score);
                }
                if highest > least {
                    let row = begin + (block * LANES) as DocId;
                    let above = scores.iter().enumerate().filter(|(_, score)| **score > least);
                    candidates.extend(above.map(|(lane, score)| (row + lane as DocId, *score)));
                }
            }
            for (at, cursor) in looked_up.iter_mut().enumerate() {
                for (row, score) in &mut candidates {
                    *score += cursor.score_of(*row);
                }
                let least = needed(first + at + 1, threshold);
                candidates.retain(|(_, score)| *score > least);
            }
            for &(row, score) in &candidates {
                if score > threshold {
                    threshold = offer(row, score);
                }
            }
            begin = end;
            size = (size * 2).min(LARGEST_WINDOW);
        }
        Ok(())
    }

    /// Opens what a segment has of the terms.
    fn cursors(&self, at: usize, segment: &SegmentReader) -> Result<Vec<Cursor<'_>>, TantivyError> {
        let [text, heading] = self.snapshot.fields().searched();
        let indexes = [segment.inverted_index(text)?, segment.inverted_index(heading)?];
        let norms = [text, heading].map(|field| segment.get_fieldnorms_reader(field));
        let norms = norms.into_iter().collect::<Result<Vec<_>, TantivyError>>()?;
        let mut cursors = Vec::with_capacity(self.clauses.len());
        for clause in &self.clauses {
            for info in &clause.lookup.found[at] {
                let index = &indexes[clause.field];
                cursors.push(Cursor {
                    blocks: index.read_block_postings_from_terminfo(info, IndexRecordOption::WithFreqs)?,
                    at: 0,
                    norms: norms[clause.field].clone(),
                    lengths: &self.lengths[clause.field],
                    weight: clause.weight,
                });
            }
        }
        Ok(cursors)
    }
}

/// One term in one segment; only moves forward.
struct Cursor<'a> {
    blocks: BlockSegmentPostings,
    /// The next posting of the block.
    at: usize,
    norms: FieldNormReader,
    lengths: &'a [f32; 256],
    weight: f32,
}

impl Cursor<'_> {
    fn part(&self, row: DocId, frequency: u32) -> f32 {
        let frequency = frequency as f32;
        self.weight * frequency / (frequency + self.lengths[usize::from(self.norms.fieldnorm_id(row))])
    }

    /// Adds what the term adds to rows from where it is to the end of a window, whose first row has the first score.
    fn add(&mut self, window: Range<DocId>, scores: &mut [f32]) {
        loop {
            let docs = self.blocks.docs();
            let Some(last) = docs.last() else { return };
            let upto = if *last < window.end {
                docs.len()
            } else {
                self.at + docs[self.at..].partition_point(|row| *row < window.end)
            };
            let freqs = self.blocks.freqs();
            for (row, frequency) in docs[self.at..upto].iter().zip(&freqs[self.at..upto]) {
                scores[(row - window.start) as usize] += self.part(*row, *frequency);
            }
            if upto < docs.len() {
                self.at = upto;
                return;
            }
            self.blocks.advance();
            self.at = 0;
        }
    }

    /// Moves on to a row, or past it, and returns what the term adds to it.
    fn score_of(&mut self, row: DocId) -> f32 {
        self.at = self.blocks.seek(row);
        if self.blocks.doc(self.at) != row {
            return 0.0;
        }
        self.part(row, self.blocks.freq(self.at))
    }
}

/// Sorts rows, which come in order of their chunks.
fn in_order<'a>(order: &RowOrder, rows: &'a mut [(usize, DocId)]) -> &'a [(usize, DocId)] {
    if !order.is_sorted() {
        rows.sort_unstable_by_key(|(_, row)| *row);
    }
    rows
}

#[cfg(test)]
mod tests;
