//! How well chunks hold the words of a query: in themselves, with what stands around them, and how near to each other.
//!
//! A chunk is a small piece, and a word of the query often stands just before or after it. So BM25 is counted a second
//! time over the chunk with its surroundings in the same revision, as in passage retrieval with overlapping windows
//! (Callan 1994), and words that follow each other in the query and stand close in the chunk add to the score, falling
//! with the square root of their distance (after Büttcher, Clarke and Lushman 2006).

use std::ops::Range;

use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{Postings, SegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, InvertedIndexReader, SegmentReader, TantivyError};

use super::asked::{AskedTerm, AskedTerms, B, K1, Lengths, Lookup};
use super::order::RowOrder;
use super::schema::{Fields, HEADING_WEIGHT};
use super::snapshot::{TermField, TermPart, alive_rows};
use crate::index::ChunkId;

/// Weight of BM25 over the surroundings; BM25 over the chunk's own text has the rest. Found on training queries, as are
/// the next three.
const SURROUNDINGS_WEIGHT: f32 = 0.8;
/// The `k1` of BM25 over the surroundings: that a word stands there twice says less than in one chunk.
const SURROUNDINGS_K1: f32 = 0.6;
/// Weight of BM25 over the title and headings, whose words count as the chunk's own too.
const HEADING_SHARE: f32 = 0.3;
/// Weight of nearness.
const PROXIMITY_WEIGHT: f32 = 0.5;
/// Words farther apart than this are not near.
const NEAR: u32 = 8;
/// Of queries with more distinct terms only the chunks themselves are scored: such a query is a text, not a question.
const MAX_TERMS: usize = 32;

/// How well a chunk holds the words of a query. All parts are 0 or more.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PassageScore {
    /// BM25 over the chunk's own text, its title and headings included.
    pub text: f32,
    /// BM25 over the title and headings, times their weight in the leg's own list.
    pub heading: f32,
    /// BM25 over the chunk's text together with its surroundings; over its own text alone for long queries.
    pub surroundings: f32,
    /// Nearness of words that follow each other in the query.
    pub proximity: f32,
}

impl PassageScore {
    /// Returns the score that chunks are ordered by.
    pub fn total(self) -> f32 {
        let words = (1.0 - SURROUNDINGS_WEIGHT) * self.text + SURROUNDINGS_WEIGHT * self.surroundings;
        words + HEADING_SHARE * self.heading + PROXIMITY_WEIGHT * self.proximity
    }
}

/// Where scores go, and what they are made of where somebody wants to know.
struct Tally<'a> {
    scores: &'a mut [PassageScore],
    parts: Option<&'a mut [Vec<TermPart>]>,
}

impl Tally<'_> {
    /// Notes what a term adds to a chunk's score.
    fn note(&mut self, of: usize, part: impl FnOnce() -> TermPart) {
        if let Some(parts) = &mut self.parts {
            let part = part();
            if part.score > 0.0 {
                parts[of].push(part);
            }
        }
    }
}

impl AskedTerms<'_> {
    /// Scores chunks, and tells what each term adds where `parts` takes it, one list a chunk.
    pub(super) fn score_passages(
        &self,
        chunk_ids: &[ChunkId],
        parts: Option<&mut [Vec<TermPart>]>,
    ) -> Result<Vec<PassageScore>, TantivyError> {
        let mut scores = vec![PassageScore::default(); chunk_ids.len()];
        let mut tally = Tally {
            scores: &mut scores,
            parts,
        };
        for (at, (segment, order)) in self.snapshot.segments().enumerate() {
            let passages = Passages::of(segment, order, chunk_ids, self.terms.len() <= MAX_TERMS);
            if !passages.places.is_empty() {
                let fields = self.snapshot.fields();
                passages.score((at, segment), fields, &self.terms, self.lengths, &mut tally)?;
            }
        }
        Ok(scores)
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
    /// Its length, in mean lengths.
    length: f32,
    /// The length of its window, in mean lengths of windows.
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
                length: 0.0,
                window_length: 0.0,
            });
        }
        passages
    }

    fn score(
        mut self,
        (at, segment): (usize, &SegmentReader),
        fields: &Fields,
        asked: &[AskedTerm],
        lengths: Lengths,
        tally: &mut Tally<'_>,
    ) -> Result<(), TantivyError> {
        let [text, heading] = fields.searched();
        let norms = segment.get_fieldnorms_reader(text)?;
        for place in &mut self.places {
            let window = &self.rows[place.window.clone()];
            place.length = norms.fieldnorm(place.row) as f32 / lengths.text;
            let length: u32 = window.iter().map(|row| norms.fieldnorm(*row)).sum();
            let mean = if self.with_surroundings {
                lengths.window
            } else {
                lengths.text
            };
            place.window_length = length as f32 / mean;
        }
        let index = segment.inverted_index(text)?;
        let mut frequencies = vec![0; self.rows.len()];
        let (mut before, mut here) = (Spots::default(), Spots::default());
        let mut term_before: Option<&AskedTerm> = None;
        for term in asked {
            let wants_spots = self.with_surroundings && asked.len() > 1 && fields.has_places();
            here.clear(self.places.len());
            let forms = &term.text.found[at];
            if !forms.is_empty() {
                frequencies.fill(0);
                for form in forms {
                    self.count(&index, form, wants_spots, &mut frequencies, &mut here)?;
                }
                self.score_text(term, &frequencies, tally);
                if let Some(term_before) = term_before {
                    self.score_proximity((term_before, &before), (term, &here), tally);
                }
            }
            std::mem::swap(&mut before, &mut here);
            term_before = Some(term);
        }
        let norms = segment.get_fieldnorms_reader(heading)?;
        let index = segment.inverted_index(heading)?;
        for term in asked {
            for form in &term.heading.found[at] {
                let postings = index.read_postings_from_terminfo(form, IndexRecordOption::WithFreqs)?;
                self.score_headings(postings, &norms, term, lengths.heading, tally);
            }
        }
        Ok(())
    }

    fn score_text(&self, asked: &AskedTerm, frequencies: &[u32], tally: &mut Tally<'_>) {
        let Lookup {
            chunk_frequency, idf, ..
        } = asked.text;
        for place in &self.places {
            let own = frequencies[place.own];
            let around: u32 = frequencies[place.window.clone()].iter().sum();
            let text = idf * asked.count * saturated(own, place.length, K1);
            let k1 = if self.with_surroundings { SURROUNDINGS_K1 } else { K1 };
            let surroundings = asked.window_idf * asked.count * saturated(around, place.window_length, k1);
            let score = &mut tally.scores[place.of];
            score.text += text;
            score.surroundings += surroundings;
            for (field, frequency, chunk_frequency, idf, weight, score) in [
                (
                    TermField::Text,
                    own,
                    chunk_frequency,
                    idf,
                    1.0 - SURROUNDINGS_WEIGHT,
                    text,
                ),
                (
                    TermField::Surroundings,
                    around,
                    asked.windows,
                    asked.window_idf,
                    SURROUNDINGS_WEIGHT,
                    surroundings,
                ),
            ] {
                tally.note(place.of, || TermPart {
                    term: asked.term.clone(),
                    field,
                    frequency,
                    chunk_frequency,
                    idf: f64::from(idf),
                    weight: f64::from(weight * asked.count),
                    score: f64::from(weight * score),
                });
            }
        }
    }

    fn score_proximity(&self, before: (&AskedTerm, &Spots), here: (&AskedTerm, &Spots), tally: &mut Tally<'_>) {
        let idf = before.0.text.idf.min(here.0.text.idf);
        for (at, place) in self.places.iter().enumerate() {
            let Some(distance) = nearest(before.1.of(at), here.1.of(at)) else {
                continue;
            };
            let proximity = idf / (distance as f32).sqrt();
            tally.scores[place.of].proximity += proximity;
            tally.note(place.of, || TermPart {
                term: format!("{} {}", before.0.term, here.0.term),
                field: TermField::Proximity,
                frequency: distance,
                chunk_frequency: 0,
                idf: f64::from(idf),
                weight: f64::from(PROXIMITY_WEIGHT),
                score: f64::from(PROXIMITY_WEIGHT * proximity),
            });
        }
    }

    /// Adds how often a form of a term is in all rows, and notes where it stands in the chunks themselves.
    fn count(
        &self,
        index: &InvertedIndexReader,
        info: &TermInfo,
        wants_spots: bool,
        frequencies: &mut [u32],
        spots: &mut Spots,
    ) -> Result<(), TantivyError> {
        let option = if wants_spots {
            IndexRecordOption::WithFreqsAndPositions
        } else {
            IndexRecordOption::WithFreqs
        };
        let mut postings = index.read_postings_from_terminfo(info, option)?;
        let mut places = self.places.iter().enumerate().peekable();
        for (row, frequency) in self.rows.iter().zip(frequencies) {
            let is_there = reach(&mut postings, *row);
            while let Some((at, _)) = places.next_if(|(_, place)| place.row == *row) {
                if is_there && wants_spots {
                    spots.note(at, &mut postings);
                }
            }
            if is_there {
                *frequency += postings.term_freq();
            }
        }
        Ok(())
    }

    fn score_headings(
        &self,
        mut postings: SegmentPostings,
        norms: &FieldNormReader,
        asked: &AskedTerm,
        mean_length: f32,
        tally: &mut Tally<'_>,
    ) {
        let Lookup {
            chunk_frequency, idf, ..
        } = &asked.heading;
        for place in &self.places {
            if reach(&mut postings, place.row) {
                let length = norms.fieldnorm(place.row) as f32 / mean_length;
                let frequency = postings.term_freq();
                let weight = HEADING_WEIGHT * asked.count;
                let heading = weight * idf * saturated(frequency, length, K1);
                tally.scores[place.of].heading += heading;
                tally.note(place.of, || TermPart {
                    term: asked.term.clone(),
                    field: TermField::Heading,
                    frequency,
                    chunk_frequency: *chunk_frequency,
                    idf: f64::from(*idf),
                    weight: f64::from(HEADING_SHARE * weight),
                    score: f64::from(HEADING_SHARE * heading),
                });
            }
        }
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
fn saturated(frequency: u32, length: f32, k1: f32) -> f32 {
    let frequency = frequency as f32;
    frequency * (k1 + 1.0) / (frequency + k1 * (1.0 - B + B * length))
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

    /// Notes where a form stands in a chunk. A chunk is in one language, so that one form is all that counts.
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
