//! Which text of the hits goes into the prompt.
//!
//! Always holds: what is chosen fits the budget, stands in the hits' order, and is numbered from 1.

use std::collections::{BTreeMap, BTreeSet};

use super::rank::Ranked;
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
    score: f64,
}

/// Chooses at most `budget` tokens of text: all passages if they fit, else the sentences that answer the question best,
/// in order.
pub(super) fn choose(
    ranked: &[Ranked],
    hits: &[Hit],
    budget: usize,
    count_tokens: &dyn Fn(&str) -> Result<usize, Error>,
) -> Result<Vec<Excerpt>, Error> {
    let mut candidates = Vec::with_capacity(ranked.len());
    for sentence in ranked {
        let text = sentence.span.of(hits[sentence.hit].passage().text).unwrap_or_default();
        candidates.push(Candidate {
            hit: sentence.hit,
            span: sentence.span,
            tokens: count_tokens(text)? + 1,
            score: sentence.score,
        });
    }
    let total: usize = candidates.iter().map(|candidate| candidate.tokens).sum();
    let is_whole = total + hits.len() * EXCERPT_TOKENS <= budget;
    let chosen = if is_whole {
        (0..candidates.len()).collect()
    } else {
        nearest(&candidates, budget)
    };
    Ok(excerpts(hits, &candidates, &chosen))
}

/// Returns the candidates that fit the budget, those of the best score first; among equals the earlier.
fn nearest(candidates: &[Candidate], budget: usize) -> BTreeSet<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|a, b| candidates[*b].score.total_cmp(&candidates[*a].score).then(a.cmp(b)));
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
        let text = candidate
            .span
            .of(hits[candidate.hit].passage().text)
            .unwrap_or_default();
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
