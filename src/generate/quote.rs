//! Decoding that can only quote: the language model chooses among the sentences that answer best, and each answer is
//! one of them, word for word.
//!
//! A model of a hundred million parameters reads well enough to choose and not well enough to write. The choice is made
//! token by token along the tree of the sentences' tokens: each branch has the model's log-probability and the best
//! score of the sentences beyond it.
//!
//! Always holds: every quoted sentence is one of a hit's, but for white space.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::decode::{Decoded, STEP_TOKENS};
use super::rank::Ranked;
use super::{Error, Inference, LanguageModel, PromptTime, Reference, Sequence, StopReason};
use crate::retrieve::Hit;
use crate::worker::Cancel;

/// Sentences that the model chooses among at once.
const CHOICES: usize = 4;
/// Sentences of an answer at most.
const MAX_SENTENCES: usize = 3;
/// What a sentence's score may lack to the best one's to be quoted beside it.
const MARGIN: f64 = 0.25;
/// What one unit of a sentence's score weighs beside a log-probability of the model: the score decides, the model where
/// scores are near each other.
const SCORE_WEIGHT: f64 = 60.0;
/// Shortest text that can answer, in bytes.
const MIN_BYTES: usize = 8;
/// Put between two quoted sentences.
const BETWEEN: &str = "\n";

/// Takes the next bytes of an answer, and says whether to go on.
type OnPiece<'a> = dyn FnMut(&[u8]) -> Result<ControlFlow<StopReason>, Error> + 'a;

/// A sentence that can be quoted.
#[derive(Debug, Clone)]
pub(super) struct Quote {
    tokens: Vec<u32>,
    /// The text as it is handed out: the bytes of its tokens where the tokenizer is exact, else its words.
    pieces: Vec<Vec<u8>>,
    score: f64,
}

impl Quote {
    fn new(model: &dyn LanguageModel, text: &str, score: f64) -> Result<Self, Error> {
        let tokens = model.encode(text)?;
        let mut pieces: Vec<Vec<u8>> = tokens.iter().map(|token| model.token_bytes(*token)).collect();
        if pieces.concat() != text.as_bytes() {
            pieces = text.split_inclusive(' ').map(|word| word.as_bytes().to_vec()).collect();
        }
        Ok(Self { tokens, pieces, score })
    }
}

/// Turns the ranked sentences of the offered passages into quotes, best first. Headings and what is no sentence are left out.
pub(super) fn quotes(
    model: &dyn LanguageModel,
    hits: &[Hit],
    ranked: &[Ranked],
    offered: &[Reference],
) -> Result<Vec<Quote>, Error> {
    let is_offered = |hit: &Hit| offered.iter().any(|reference| reference.hit.chunk_id == hit.chunk_id);
    let mut order: Vec<&Ranked> = ranked
        .iter()
        .filter(|sentence| is_offered(&hits[sentence.hit]))
        .collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score));
    let best = order.first().map_or(0.0, |sentence| sentence.score);
    let mut quotes: Vec<Quote> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    for sentence in order {
        if quotes.len() == CHOICES + MAX_SENTENCES || sentence.score < best - MARGIN {
            break;
        }
        let text = quotable(sentence.span.of(hits[sentence.hit].passage().text).unwrap_or_default());
        if text.is_empty() || texts.contains(&text) {
            continue;
        }
        quotes.push(Quote::new(model, &text, sentence.score)?);
        texts.push(text);
    }
    Ok(quotes)
}

/// Takes the marks of lists, quotations and headings off and joins lines; gives nothing for what cannot answer.
fn quotable(sentence: &str) -> String {
    let text = sentence.trim();
    if text.starts_with('#') {
        return String::new();
    }
    let text = text.trim_start_matches(['-', '*', '+', '>']).trim_start();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let text = match text[digits..].strip_prefix(". ") {
        Some(rest) if digits > 0 => rest.trim_start(),
        _ => text,
    };
    let has_words = text.chars().any(char::is_alphanumeric);
    if text.len() < MIN_BYTES || !has_words {
        return String::new();
    }
    // Where the source breaks a line, the answer's sentence goes on.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads `prompt` and hands the text of up to [`MAX_SENTENCES`] quotes to `on_piece`, token by token.
pub(super) fn decode_quotes(
    model: &dyn LanguageModel,
    (prompt, time): (&[u32], PromptTime),
    quotes: Vec<Quote>,
    inference: &Inference,
    cancel: &Cancel,
    on_piece: &mut OnPiece<'_>,
) -> Result<Decoded, Error> {
    let started = Instant::now();
    cancel.check()?;
    let (sequence, known) = model.start_with(prompt, time)?;
    let mut reader = Reader {
        model,
        sequence,
        logits: Vec::new(),
        cancel,
    };
    reader.read(&prompt[known..])?;
    reader.sequence.keep(prompt.len(), Duration::ZERO);
    let prefill = started.elapsed();
    let mut left = quotes;
    let mut output_tokens = 0;
    let mut time_to_first_token = None;
    let stop_reason = 'answer: {
        for place in 0..MAX_SENTENCES {
            if left.is_empty() {
                break;
            }
            let chosen = left.remove(reader.choose(&left[..left.len().min(CHOICES)])?);
            let between = (place > 0).then(|| BETWEEN.as_bytes().to_vec());
            for piece in between.iter().chain(&chosen.pieces) {
                cancel.check()?;
                if output_tokens == inference.max_tokens {
                    break 'answer StopReason::MaxTokens;
                }
                time_to_first_token.get_or_insert_with(|| started.elapsed());
                output_tokens += 1;
                if let ControlFlow::Break(reason) = on_piece(piece)? {
                    break 'answer reason;
                }
            }
            if prompt.len() + output_tokens + STEP_TOKENS > model.context_tokens() {
                break;
            }
        }
        StopReason::EndTurn
    };
    let first = time_to_first_token.unwrap_or(prefill);
    Ok(Decoded {
        stop_reason,
        output_tokens: output_tokens as u64,
        cached_tokens: known as u64,
        prefill,
        decode: started.elapsed().saturating_sub(first),
        time_to_first_token,
    })
}

/// The model's place in what it has read.
struct Reader<'a> {
    model: &'a dyn LanguageModel,
    sequence: Box<dyn Sequence>,
    logits: Vec<f32>,
    cancel: &'a Cancel,
}

impl Reader<'_> {
    fn read(&mut self, tokens: &[u32]) -> Result<(), Error> {
        for chunk in tokens.chunks(STEP_TOKENS) {
            self.logits = self.sequence.feed(chunk, self.cancel)?;
        }
        if self.logits.iter().all(|logit| logit.is_nan()) {
            return Err(Error::no_numbers(self.model));
        }
        Ok(())
    }

    /// Walks down the tree of the quotes' tokens to the one that model and scores together prefer.
    fn choose(&mut self, quotes: &[Quote]) -> Result<usize, Error> {
        let mut standing: Vec<usize> = (0..quotes.len()).collect();
        for depth in 0.. {
            let mut branches: BTreeMap<Option<u32>, Vec<usize>> = BTreeMap::new();
            for at in &standing {
                branches
                    .entry(quotes[*at].tokens.get(depth).copied())
                    .or_default()
                    .push(*at);
            }
            if branches.len() > 1 {
                standing = self.branch(quotes, branches);
            }
            let [first, ..] = standing[..] else { break };
            if standing.len() == 1 || quotes[first].tokens.len() <= depth {
                return Ok(first);
            }
            self.read(&quotes[first].tokens[depth..=depth])?;
        }
        Ok(0)
    }

    /// Returns the quotes beyond the preferred branch.
    fn branch(&self, quotes: &[Quote], branches: BTreeMap<Option<u32>, Vec<usize>>) -> Vec<usize> {
        let largest = self.logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = self.logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
        let value = |token: Option<u32>, beyond: &[usize]| {
            let logit = token
                .and_then(|token| self.logits.get(token as usize))
                .copied()
                .unwrap_or(largest);
            let log_probability = f64::from(logit - largest) - total.ln();
            let score = beyond
                .iter()
                .map(|at| quotes[*at].score)
                .fold(f64::NEG_INFINITY, f64::max);
            log_probability + SCORE_WEIGHT * score
        };
        branches
            .into_iter()
            .map(|(token, beyond)| (value(token, &beyond), beyond))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, beyond)| beyond)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
