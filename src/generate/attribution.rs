//! Which sentence of a passage supports a sentence of the answer.
//!
//! Always holds: a source's span is its range in the document, and its text is found there.

use std::collections::{BTreeMap, BTreeSet};

use super::Reference;
use super::sentence::sentences;
use super::words::{content_words, is_number};
use crate::document::ByteSpan;

/// Support from which a sentence is tied to its best source.
pub(super) const ATTRIBUTED_SUPPORT: f64 = 0.6;
/// Support from which a mark that the model wrote itself is believed.
pub(super) const MARKED_SUPPORT: f64 = 0.4;
/// Numbers weigh this much more than words: they are what an answer is usually about.
const NUMBER_WEIGHT: f64 = 2.0;
/// Words of the question weigh this much less: repeating them claims nothing.
const QUESTION_WEIGHT: f64 = 0.5;
/// What two sentences together must support more than the better of them, to be taken instead.
const WINDOW_GAIN: f64 = 0.15;
/// Weight of the question's words where two sources support a sentence alike.
const TIE_WEIGHT: f64 = 0.05;

/// The best support that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Support {
    pub(super) reference_number: u32,
    pub(super) source_span: ByteSpan,
    pub(super) source_text: String,
    /// Weighted share of the sentence's content words that the source holds, 0 to 1.
    pub(super) share: f64,
}

/// The sentences of all passages that were offered.
#[derive(Debug)]
pub(super) struct Sources {
    passages: Vec<String>,
    sentences: Vec<Source>,
    question: BTreeSet<String>,
    frequencies: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Source {
    reference_number: u32,
    // Offset of the passage in its document.
    base: usize,
    // Its place among the passages.
    passage: usize,
    span: ByteSpan,
    words: BTreeSet<String>,
}

impl Sources {
    /// Splits the offered passages. A passage whose text is not its span of the document cannot be cited.
    pub(super) fn new(question: &str, references: &[Reference]) -> Self {
        let mut passages = Vec::new();
        let mut found = Vec::new();
        for reference in references {
            let (hit, passage) = (&reference.hit, reference.hit.passage());
            if passage.span.len() != passage.text.len() {
                tracing::warn!(chunk = ?hit.chunk_id, "a passage differs from its span in the document, it is not cited");
                continue;
            }
            // A heading names a subject and claims nothing.
            let is_claim = |span: &ByteSpan| !span.of(passage.text).unwrap_or_default().starts_with('#');
            found.extend(sentences(passage.text).into_iter().filter(is_claim).map(|span| Source {
                reference_number: reference.number,
                base: passage.span.start,
                passage: passages.len(),
                words: span.of(passage.text).map(content_words).unwrap_or_default(),
                span,
            }));
            passages.push(passage.text.to_owned());
        }
        let mut frequencies = BTreeMap::new();
        for word in found.iter().flat_map(|source: &Source| &source.words) {
            *frequencies.entry(word.clone()).or_insert(0) += 1;
        }
        Self {
            passages,
            sentences: found,
            question: content_words(question),
            frequencies,
        }
    }

    /// Returns whether a passage of this number can be cited.
    pub(super) fn has(&self, reference_number: u32) -> bool {
        self.sentences
            .iter()
            .any(|source| source.reference_number == reference_number)
    }

    /// Finds the source that supports `sentence` best, in all passages or in one.
    pub(super) fn best(&self, sentence: &str, within: Option<u32>) -> Option<Support> {
        let words = content_words(without_item_number(sentence));
        if words.is_empty() {
            return None;
        }
        let mut best: Option<(f64, Support)> = None;
        for (at, source) in self.sentences.iter().enumerate() {
            if within.is_some_and(|number| number != source.reference_number) {
                continue;
            }
            let single = self.share(&words, &source.words);
            let mut candidate = (single, source.span, self.tie(&source.words));
            if let Some(next) = self
                .sentences
                .get(at + 1)
                .filter(|next| next.reference_number == source.reference_number)
            {
                let both: BTreeSet<String> = source.words.union(&next.words).cloned().collect();
                let share = self.share(&words, &both);
                if share >= single.max(self.share(&words, &next.words)) + WINDOW_GAIN {
                    candidate = (share, ByteSpan::new(source.span.start, next.span.end), self.tie(&both));
                }
            }
            let (share, span, tie) = candidate;
            let rank = share + tie;
            if share > 0.0
                && best.as_ref().is_none_or(|(highest, _)| rank > *highest)
                && let Some(text) = span.of(&self.passages[source.passage])
            {
                let support = Support {
                    reference_number: source.reference_number,
                    source_span: ByteSpan::new(source.base + span.start, source.base + span.end),
                    source_text: text.to_owned(),
                    share,
                };
                best = Some((rank, support));
            }
        }
        best.map(|(_, support)| support)
    }

    /// Returns the weighted share of `words` that `source` holds; 0 when it lacks a number.
    fn share(&self, words: &BTreeSet<String>, source: &BTreeSet<String>) -> f64 {
        let (mut held, mut total) = (0.0, 0.0);
        for word in words {
            let weight = self.weight(word);
            total += weight;
            if source.contains(word) {
                held += weight;
            } else if is_number(word) {
                return 0.0;
            }
        }
        if total > 0.0 { held / total } else { 0.0 }
    }

    fn tie(&self, source: &BTreeSet<String>) -> f64 {
        let shared = self.question.intersection(source).count();
        TIE_WEIGHT * shared as f64 / self.question.len().max(1) as f64
    }

    /// Inverse document frequency over the offered sentences.
    fn weight(&self, word: &str) -> f64 {
        let frequency = self.frequencies.get(word).copied().unwrap_or(0) as f64;
        let rarity = (1.0 + self.sentences.len() as f64 / (1.0 + frequency)).ln();
        let kind = if is_number(word) { NUMBER_WEIGHT } else { 1.0 };
        let novelty = if self.question.contains(word) {
            QUESTION_WEIGHT
        } else {
            1.0
        };
        rarity * kind * novelty
    }
}

/// "2. Paris" to "Paris": an item's number is no claim.
fn without_item_number(sentence: &str) -> &str {
    let rest = sentence.trim_start_matches(|c: char| c.is_ascii_digit());
    match rest.strip_prefix(['.', ')']) {
        Some(item) if rest.len() < sentence.len() && item.starts_with(' ') => item,
        _ => sentence,
    }
}

#[cfg(test)]
mod tests;
