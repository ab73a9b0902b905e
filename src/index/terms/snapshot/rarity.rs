//! How rare the words of a query are.

use std::ops::Range;

use tantivy::{TantivyError, Term};

use super::TermsSnapshot;
use crate::index::Error;

/// Returns how much it says that one of `total` rows holds a word which `holding` of them hold: more than 0, and the
/// more the fewer hold it.
pub fn inverse_document_frequency(total: u64, holding: u64) -> f64 {
    let (total, holding) = (total as f64, holding.min(total) as f64);
    (1.0 + (total - holding + 0.5) / (holding + 0.5)).ln()
}

impl TermsSnapshot {
    /// Returns how rare the word is that stands at each of these places of a query: the inverse document frequency of
    /// its rarest term. Stop words, and places where no word stands, count as if every chunk held them; words that no
    /// chunk holds count most.
    pub fn rarities(&self, query: &str, places: &[Range<usize>]) -> Result<Vec<f64>, Error> {
        let failed = |source: TantivyError| Error::terms("be searched", source);
        let total = self.rows();
        let mut words = Vec::new();
        for (bounds, terms) in self.analyzer().query_words(query) {
            let mut holding = None;
            for term in terms {
                let term = Term::from_field_text(self.fields().searched()[0], &term);
                let found = self.searcher().doc_freq(&term).map_err(failed)?;
                holding = Some(holding.map_or(found, |least: u64| least.min(found)));
            }
            words.push((bounds, inverse_document_frequency(total, holding.unwrap_or(total))));
        }
        let rarity = |place: &Range<usize>| {
            let next = words.partition_point(|(bounds, _)| bounds.end <= place.start);
            let word = words.get(next).filter(|(bounds, _)| bounds.start < place.end);
            word.map_or_else(|| inverse_document_frequency(total, total), |(_, rarity)| *rarity)
        };
        Ok(places.iter().map(rarity).collect())
    }
}
