//! How well chunks hold the words of a query: in themselves, with what stands around them, and how near to each other.
//!
//! A chunk is a small piece, and a word of the query often stands just before or after it. So BM25 is counted a second
//! time over the chunk with its surroundings in the same revision, as in passage retrieval with overlapping windows
//! (Callan 1994), and words that follow each other in the query and stand close in the chunk add to the score, falling
//! with the square root of their distance (after Büttcher, Clarke and Lushman 2006).

use std::ops::Range;

use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, DocSet, InvertedIndexReader, SegmentReader, TantivyError, Term};

use super::order::RowOrder;
use super::schema::HEADING_WEIGHT;
use super::snapshot::{TermsSnapshot, alive_rows};
use crate::index::{ChunkId, Error};

/// Weight of BM25 over the surroundings; BM25 over the chunk's own text has the rest. Found on training queries, as are
/// the next two.
const SURROUNDINGS_WEIGHT: f32 = 0.8;
/// Weight of nearness.
const PROXIMITY_WEIGHT: f32 = 1.0;
/// Words farther apart than this are not near.
const NEAR: u32 = 8;
/// Of queries with more distinct terms only the chunks themselves are scored: such a query is a text, not a question.
const MAX_TERMS: usize = 64;

/// tantivy's constants of BM25, which listing uses.
const K1: f32 = 1.2;
const B: f32 = 0.75;

/// How well a chunk holds the words of a query. All parts are 0 or more.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PassageScore {
    /// BM25 over the chunk's own text, its title and headings included.
    pub text: f32,
    /// BM25 over the title and headings, times their weight.
    pub heading: f32,
    /// BM25 over the chunk's text together with its surroundings; the same as `text` for long queries.
    pub surroundings: f32,
    /// Nearness of words that follow each other in the query.
    pub proximity: f32,
}

impl PassageScore {
    /// Returns the score that chunks are ordered by.
    pub fn total(self) -> f32 {
        let words = (1.0 - SURROUNDINGS_WEIGHT) * self.text + SURROUNDINGS_WEIGHT * self.surroundings;
        words + self.heading + PROXIMITY_WEIGHT * self.proximity
    }
}

/// Mean lengths, for BM25.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    text: f32,
    heading: f32,
    window: f32,
}

/// A term of the query.
struct Asked {
    text: Term,
    heading: Term,
    text_idf: f32,
    heading_idf: f32,
    count: f32,
}

impl TermsSnapshot {
    /// Scores chunks by how well they hold the words of a query, in their order; all 0 when no word is there.
    pub fn passages(&self, query: &str, chunk_ids: &[ChunkId]) -> Result<Vec<PassageScore>, Error> {
        let failed = |source: TantivyError| Error::terms("be searched", source);
        let mut scores = vec![PassageScore::default(); chunk_ids.len()];
        if chunk_ids.is_empty() {
            return Ok(scores);
        }
        let asked = self.asked(query).map_err(failed)?;
        let lengths = self.lengths().map_err(failed)?;
        for (segment, order) in self.segments() {
            let passages = Passages::of(segment, order, chunk_ids, asked.len() <= MAX_TERMS);
            if !passages.places.is_empty() {
                passages
                    .score(segment, self.fields().searched(), &asked, lengths, &mut scores)
                    .map_err(failed)?;
            }
        }
        Ok(scores)
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

    fn asked(&self, query: &str) -> Result<Vec<Asked>, TantivyError> {
        let [text_field, heading_field] = self.fields().searched();
        let rows = self.held_rows() as f32;
        let idf = |term: &Term| -> Result<f32, TantivyError> {
            let found = self.searcher().doc_freq(term)? as f32;
            Ok((1.0 + (rows - found + 0.5) / (found + 0.5)).ln())
        };
        let terms = self.analyzer().query_terms(query);
        let asked = terms.iter().map(|(term, count)| {
            let text = Term::from_field_text(text_field, term);
            let heading = Term::from_field_text(heading_field, term);
            Ok(Asked {
                text_idf: idf(&text)?,
                heading_idf: idf(&heading)?,
                text,
                heading,
                count: *count as f32,
            })
        });
        asked.collect()
    }
}

/// A chunk that is scored.
struct Place {
    row: DocId,
    /// Its place among the chunks asked for.
    of: usize,
    /// Its place in [`Passages::rows`].
    own: usize,
    /// The places of its window there.
    window: Range<usize>,
    /// Length of the window in terms.
    window_length: f32,
}

/// The chunks of one segment that are scored, with the rows around them.
struct Passages {
    /// By row.
    places: Vec<Place>,
    /// All rows of all windows, in order.
    rows: Vec<DocId>,
    with_surroundings: bool,
}

impl Passages {
    fn of(segment: &SegmentReader, order: &RowOrder, chunk_ids: &[ChunkId], with_surroundings: bool) -> Self {
        let found = alive_rows(segment, order, chunk_ids);
        let mut passages = Self {
            places: Vec::with_capacity(found.len()),
            rows: Vec::new(),
            with_surroundings,
        };
        for (of, row) in found {
            let window = if with_surroundings {
                order.window(row)
            } else {
                row..row + 1
            };
            let next = passages.rows.last().map_or(0, |last| last + 1);
            passages.rows.extend(next.max(window.start)..window.end);
            // A window is without gaps and ends no earlier than those before, so it is the end of the list.
            let end = passages.rows.len();
            let start = end - window.len();
            passages.places.push(Place {
                row,
                of,
                own: start + (row - window.start) as usize,
                window: start..end,
                window_length: 0.0,
            });
        }
        passages
    }

    fn score(
        mut self,
        segment: &SegmentReader,
        [text, heading]: [Field; 2],
        asked: &[Asked],
        lengths: Lengths,
        scores: &mut [PassageScore],
    ) -> Result<(), TantivyError> {
        let norms = segment.get_fieldnorms_reader(text)?;
        for place in &mut self.places {
            let window = &self.rows[place.window.clone()];
            place.window_length = window.iter().map(|row| norms.fieldnorm(*row) as f32).sum();
        }
        let text_index = segment.inverted_index(text)?;
        let mut frequencies = vec![0; self.rows.len()];
        let (mut before, mut here) = (Spots::default(), Spots::default());
        let mut idf_before = 0.0_f32;
        for term in asked {
            let wants_spots = self.with_surroundings && asked.len() > 1;
            here.clear(self.places.len());
            if self.count(&text_index, &term.text, wants_spots, &mut frequencies, &mut here)? {
                let idf = term.text_idf * term.count;
                for place in &self.places {
                    let score = &mut scores[place.of];
                    let own = frequencies[place.own] as f32;
                    score.text += idf * saturated(own, norms.fieldnorm(place.row) as f32 / lengths.text);
                    let around: u32 = frequencies[place.window.clone()].iter().sum();
                    let (length, mean) = if self.with_surroundings {
                        (place.window_length, lengths.window)
                    } else {
                        (place.window_length, lengths.text)
                    };
                    score.surroundings += idf * saturated(around as f32, length / mean);
                }
                if wants_spots {
                    let weight = idf_before.min(term.text_idf);
                    for (at, place) in self.places.iter().enumerate() {
                        if let Some(distance) = nearest(before.of(at), here.of(at)) {
                            scores[place.of].proximity += weight / (distance as f32).sqrt();
                        }
                    }
                }
            }
            std::mem::swap(&mut before, &mut here);
            idf_before = term.text_idf;
        }
        let norms = segment.get_fieldnorms_reader(heading)?;
        let heading_index = segment.inverted_index(heading)?;
        for term in asked {
            self.score_headings(&heading_index, &norms, term, lengths.heading, scores)?;
        }
        Ok(())
    }

    /// Counts a term in all rows, and notes where it stands in the chunks themselves. Returns whether it is in the
    /// segment at all.
    fn count(
        &self,
        index: &InvertedIndexReader,
        term: &Term,
        wants_spots: bool,
        frequencies: &mut [u32],
        spots: &mut Spots,
    ) -> Result<bool, TantivyError> {
        let option = if wants_spots {
            IndexRecordOption::WithFreqsAndPositions
        } else {
            IndexRecordOption::WithFreqs
        };
        let Some(mut postings) = index.read_postings(term, option)? else {
            return Ok(false);
        };
        frequencies.fill(0);
        let mut places = self.places.iter().enumerate().peekable();
        for (row, frequency) in self.rows.iter().zip(frequencies) {
            let is_there = reach(&mut postings, *row);
            while let Some((at, _)) = places.next_if(|(_, place)| place.row == *row) {
                if is_there && wants_spots {
                    spots.note(at, &mut postings);
                }
            }
            if is_there {
                *frequency = postings.term_freq();
            }
        }
        Ok(true)
    }

    fn score_headings(
        &self,
        index: &InvertedIndexReader,
        norms: &FieldNormReader,
        term: &Asked,
        mean_length: f32,
        scores: &mut [PassageScore],
    ) -> Result<(), TantivyError> {
        let Some(mut postings) = index.read_postings(&term.heading, IndexRecordOption::WithFreqs)? else {
            return Ok(());
        };
        for place in &self.places {
            if reach(&mut postings, place.row) {
                let length = norms.fieldnorm(place.row) as f32 / mean_length;
                let bm25 = term.heading_idf * term.count * saturated(postings.term_freq() as f32, length);
                scores[place.of].heading += HEADING_WEIGHT * bm25;
            }
        }
        Ok(())
    }
}

/// Moves on to the row, or past it; returns whether the term is in it.
fn reach(postings: &mut SegmentPostings, row: DocId) -> bool {
    if postings.doc() < row {
        postings.seek(row);
    }
    postings.doc() == row
}

/// Returns the share of BM25 that a frequency has; `length` is in mean lengths.
fn saturated(frequency: f32, length: f32) -> f32 {
    frequency * (K1 + 1.0) / (frequency + K1 * (1.0 - B + B * length))
}

/// Where one term stands in each of the chunks.
#[derive(Debug, Default)]
struct Spots {
    positions: Vec<u32>,
    ranges: Vec<Range<usize>>,
    buffer: Vec<u32>,
}

impl Spots {
    fn clear(&mut self, places: usize) {
        self.positions.clear();
        self.ranges.clear();
        self.ranges.resize(places, 0..0);
    }

    fn note(&mut self, at: usize, postings: &mut SegmentPostings) {
        postings.positions(&mut self.buffer);
        let start = self.positions.len();
        self.positions.extend_from_slice(&self.buffer);
        self.ranges[at] = start..self.positions.len();
    }

    fn of(&self, at: usize) -> &[u32] {
        self.ranges
            .get(at)
            .and_then(|range| self.positions.get(range.clone()))
            .unwrap_or_default()
    }
}

/// Returns the smallest distance between two ascending lists of positions, if it is at most [`NEAR`].
fn nearest(left: &[u32], right: &[u32]) -> Option<u32> {
    let (mut at_left, mut at_right) = (0, 0);
    let mut nearest = u32::MAX;
    while let (Some(&a), Some(&b)) = (left.get(at_left), right.get(at_right)) {
        nearest = nearest.min(a.abs_diff(b).max(1));
        if a < b {
            at_left += 1;
        } else {
            at_right += 1;
        }
    }
    (nearest <= NEAR).then_some(nearest)
}

#[cfg(test)]
mod tests;
