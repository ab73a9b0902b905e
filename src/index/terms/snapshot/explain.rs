//! Why chunks have the scores that they have: terms, exact ranks, and where words stand.

use std::ops::Range;

use tantivy::DocId;

use super::TermsSnapshot;
use crate::index::best::best_first;
use crate::index::terms::asked::unsearchable;
use crate::index::{Accept, ChunkId, Error, ExactRank, Scored};

/// How much a score may differ with the order in which its terms are added up.
const ROUNDING: f32 = 1e-5;

/// Where a term adds to a chunk's score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermField {
    /// The chunk's own text with its title and headings.
    Text,
    /// The chunk's text together with what stands around it in the document.
    Surroundings,
    /// Title and headings alone.
    Heading,
    /// Near to the term before it in the query.
    Proximity,
}

/// What one term adds to a chunk's score in the keyword leg.
#[derive(Debug, Clone, PartialEq)]
pub struct TermPart {
    /// The term: a stem in lowercase; for [`TermField::Proximity`] both terms.
    pub term: String,
    /// Where it was found.
    pub field: TermField,
    /// How often it stands there; for [`TermField::Proximity`] how many words apart.
    pub frequency: u32,
    /// Chunks that have it in this field, retired ones included; for [`TermField::Surroundings`] chunks that are likely to
    /// have it there; 0 for [`TermField::Proximity`].
    pub chunk_frequency: u64,
    /// Inverse document frequency; for [`TermField::Proximity`] the smaller one of both terms.
    pub idf: f64,
    /// Weight of the field, times how often the query says the word.
    pub weight: f64,
    /// What it adds.
    pub score: f64,
}

impl TermsSnapshot {
    /// Returns the chunk's exact rank in the order that chunks are listed in, by plain BM25, among all accepted chunks;
    /// nothing when no term of the query stands in it.
    pub fn rank(&self, query: &str, chunk_id: ChunkId, accept: &Accept<'_>) -> Result<Option<ExactRank>, Error> {
        let asked = self.asked(query)?;
        let listing = asked.listing();
        let own = listing
            .score(&[chunk_id])
            .map_err(unsearchable)?
            .first()
            .copied()
            .unwrap_or(0.0);
        if own <= 0.0 {
            return Ok(None);
        }
        // Terms may be added up in another order here, so that its own score is looked for among those about as high.
        let least = own * (1.0 - ROUNDING);
        let mut near: Vec<Scored> = Vec::new();
        for (at, (segment, order)) in self.segments().enumerate() {
            let alive = segment.alive_bitset();
            let mut keep = |row: DocId, score: f32| {
                if let Some(found) = order.chunk_id(row)
                    && alive.is_none_or(|alive| alive.is_alive(row))
                    && (found == chunk_id || accept(found))
                {
                    near.push(Scored { chunk_id: found, score });
                }
                least
            };
            listing
                .each_above(at, segment, least, &mut keep)
                .map_err(unsearchable)?;
        }
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
        let forms = self.query_terms(query).into_iter().flat_map(|term| term.forms);
        self.0.analyzer.places_of(&forms.collect(), text, &self.0.languages)
    }
}
