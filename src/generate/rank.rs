//! Which sentences of the hits answer the question best.
//!
//! Comes in: a question and its hits. Goes out: every sentence with a score.
//! Always holds: sentences stand in the hits' order, and each span is found in its hit.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use super::sentence::sentences;
use super::words::content_words;
use crate::document::ByteSpan;
use crate::embed::{self, Embedder, Purpose};
use crate::retrieve::Hit;
use crate::worker::Cancel;

/// Weight of the score of a sentence's hit beside the sentence's own cosine similarity.
const HIT_WEIGHT: f64 = 1.0;
/// Weight of the share of the question's words that the sentence holds.
const WORDS_WEIGHT: f64 = 0.15;

/// A sentence of a hit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ranked {
    /// Place of its hit.
    pub(super) hit: usize,
    /// Its range in the hit's text.
    pub(super) span: ByteSpan,
    /// How well it answers; only to be compared within one question.
    pub(super) score: f64,
}

/// Scores every sentence of the hits: with an embedder by the similarity of the sentence under its headings, the score
/// of its hit and the words that it shares with the question; without one by the words alone.
pub(super) fn rank(
    question: &str,
    hits: &[Hit],
    embedder: Option<&dyn Embedder>,
    cancel: &Cancel,
) -> Result<Vec<Ranked>, Error> {
    let mut ranked: Vec<Ranked> = hits
        .iter()
        .enumerate()
        .flat_map(|(at, hit)| sentences(hit.passage().text).into_iter().map(move |span| (at, span)))
        .map(|(hit, span)| Ranked { hit, span, score: 0.0 })
        .collect();
    let shares = shared_words(question, hits, &ranked);
    let Some(embedder) = embedder.filter(|_| !ranked.is_empty()) else {
        for (sentence, share) in ranked.iter_mut().zip(shares) {
            sentence.score = share;
        }
        return Ok(ranked);
    };
    let cosines = cosines(question, hits, &ranked, embedder, cancel).map_err(|error| match error {
        embed::Error::Stopped(stopped) => Error::Stopped(stopped),
        error => Error::Inference(error.into()),
    })?;
    for ((sentence, share), cosine) in ranked.iter_mut().zip(shares).zip(cosines) {
        sentence.score = cosine + HIT_WEIGHT * hits[sentence.hit].score + WORDS_WEIGHT * share;
    }
    Ok(ranked)
}

/// Returns, for each sentence, the share of the question's content words that it holds, rare ones weighing more.
fn shared_words(question: &str, hits: &[Hit], ranked: &[Ranked]) -> Vec<f64> {
    let question = content_words(question);
    let shared: Vec<BTreeSet<String>> = ranked
        .iter()
        .map(|sentence| {
            let text = sentence.span.of(hits[sentence.hit].passage().text).unwrap_or_default();
            content_words(text).intersection(&question).cloned().collect()
        })
        .collect();
    let mut frequencies: BTreeMap<&str, usize> = BTreeMap::new();
    for word in shared.iter().flatten() {
        *frequencies.entry(word).or_insert(0) += 1;
    }
    let count = ranked.len() as f64;
    let weight = |word: &str| {
        let frequency = frequencies.get(word).copied().unwrap_or(0);
        (1.0 + count / (1.0 + frequency as f64)).ln()
    };
    let total: f64 = question.iter().map(|word| weight(word)).sum();
    let share = |words: &BTreeSet<String>| {
        let held: f64 = words.iter().map(|word| weight(word)).sum();
        if total > 0.0 { held / total } else { 0.0 }
    };
    shared.iter().map(share).collect()
}

fn cosines(
    question: &str,
    hits: &[Hit],
    ranked: &[Ranked],
    embedder: &dyn Embedder,
    cancel: &Cancel,
) -> Result<Vec<f64>, embed::Error> {
    let texts: Vec<String> = ranked
        .iter()
        .map(|sentence| {
            let hit = &hits[sentence.hit];
            let mut text = hit.title.clone().unwrap_or_default();
            for heading in &hit.heading_path {
                text.push(' ');
                text.push_str(heading);
            }
            text.push('\n');
            text.push_str(sentence.span.of(hit.passage().text).unwrap_or_default());
            text
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let question = embedder.embed(&[question], Purpose::Query, cancel)?;
    let sentences = embedder.embed(&texts, Purpose::Passage, cancel)?;
    let Some(question) = question.first() else {
        return Ok(vec![0.0; sentences.len()]);
    };
    let cosine = |sentence: &embed::Embedding| {
        let products = sentence.as_slice().iter().zip(question.as_slice());
        products.map(|(a, b)| f64::from(a * b)).sum()
    };
    Ok(sentences.iter().map(cosine).collect())
}
