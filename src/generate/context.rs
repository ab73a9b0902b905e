//! Which text of the hits goes into the prompt.
//!
//! Always holds: what is chosen fits the budget, stands in the hits' order, and is numbered from 1.

use std::collections::{BTreeMap, BTreeSet};

use super::sentence::sentences;
use super::words::content_words;
use super::{Error, Reference};
use crate::document::ByteSpan;
use crate::retrieve::Hit;

/// Tokens of passages in a prompt at most. A small model answers best from little text, and reading is what the first
/// token waits for; so where whole passages are longer, their sentences nearest to the question are taken.
pub(super) const MAX_CONTEXT_TOKENS: usize = 192;
/// Tokens around each excerpt: its number and the line breaks.
const EXCERPT_TOKENS: usize = 5;
/// Put where sentences between two chosen ones are left out.
const GAP: &str = " … ";

/// A passage and what the model reads of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Excerpt {
    pub(super) reference: Reference,
    pub(super) text: String,
}

/// A sentence that may be chosen.
struct Candidate {
    hit: usize,
    span: ByteSpan,
    tokens: usize,
    overlap: f64,
}

/// Chooses at most `budget` tokens of text: all passages if they fit, else the sentences that share most with the
/// question, in order.
pub(super) fn choose(
    question: &str,
    hits: &[Hit],
    budget: usize,
    count_tokens: &dyn Fn(&str) -> Result<usize, Error>,
) -> Result<Vec<Excerpt>, Error> {
    let mut candidates = Vec::new();
    for (at, hit) in hits.iter().enumerate() {
        for span in sentences(&hit.text) {
            let tokens = count_tokens(span.of(&hit.text).unwrap_or_default())? + 1;
            candidates.push(Candidate {
                hit: at,
                span,
                tokens,
                overlap: 0.0,
            });
        }
    }
    weigh(question, hits, &mut candidates);
    let total: usize = candidates.iter().map(|candidate| candidate.tokens).sum();
    let is_whole = total + hits.len() * EXCERPT_TOKENS <= budget;
    let chosen = if is_whole {
        (0..candidates.len()).collect()
    } else {
        nearest(&candidates, budget)
    };
    Ok(excerpts(hits, &candidates, &chosen))
}

/// Gives each candidate the inverse-document-frequency-weighted words that it shares with the question.
fn weigh(question: &str, hits: &[Hit], candidates: &mut [Candidate]) {
    let question = content_words(question);
    let shared: Vec<BTreeSet<String>> = candidates
        .iter()
        .map(|candidate| {
            let text = candidate.span.of(&hits[candidate.hit].text).unwrap_or_default();
            content_words(text).intersection(&question).cloned().collect()
        })
        .collect();
    let mut frequencies: BTreeMap<&str, usize> = BTreeMap::new();
    for word in shared.iter().flatten() {
        *frequencies.entry(word).or_insert(0) += 1;
    }
    let count = candidates.len() as f64;
    for (candidate, words) in candidates.iter_mut().zip(&shared) {
        candidate.overlap = words
            .iter()
            .map(|word| (1.0 + count / (1.0 + frequencies[word.as_str()] as f64)).ln())
            .sum();
    }
}

/// Returns the candidates that fit the budget, those of most overlap first; among equals the earlier.
fn nearest(candidates: &[Candidate], budget: usize) -> BTreeSet<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|a, b| candidates[*b].overlap.total_cmp(&candidates[*a].overlap).then(a.cmp(b)));
    let mut left = budget;
    let mut chosen = BTreeSet::new();
    let mut hits = BTreeSet::new();
    for at in order {
        let candidate = &candidates[at];
        let label = if hits.contains(&candidate.hit) {
            0
        } else {
            EXCERPT_TOKENS
        };
        if candidate.tokens + label <= left {
            left -= candidate.tokens + label;
            chosen.insert(at);
            hits.insert(candidate.hit);
        }
    }
    chosen
}

fn excerpts(hits: &[Hit], candidates: &[Candidate], chosen: &BTreeSet<usize>) -> Vec<Excerpt> {
    let mut texts: BTreeMap<usize, String> = BTreeMap::new();
    let mut last = None;
    for at in chosen {
        let candidate = &candidates[*at];
        let text = candidate.span.of(&hits[candidate.hit].text).unwrap_or_default();
        texts
            .entry(candidate.hit)
            .and_modify(|joined| joined.push_str(if last == at.checked_sub(1) { " " } else { GAP }))
            .or_default()
            .push_str(text);
        last = Some(*at);
    }
    let mut numbers = 1..;
    hits.iter()
        .enumerate()
        .filter_map(|(at, hit)| {
            let text = texts.remove(&at)?;
            let reference = Reference {
                number: numbers.next()?,
                hit: hit.clone(),
            };
            Some(Excerpt { reference, text })
        })
        .collect()
}

#[cfg(test)]
mod tests;
