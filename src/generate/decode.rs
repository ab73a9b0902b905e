//! Prompt to tokens: the loop around the model.
//!
//! Always holds: the wish to stop is looked at before each step.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::grounding::Grounding;
use super::lookup::ReadAhead;
use super::mark::Marks;
use super::sampler::Sampler;
use super::stop::{Limits, goes_in_circles};
use super::{Error, Inference, LanguageModel, PromptTime, StopReason};
use crate::worker::Cancel;

/// Tokens of the prompt that are read in one step: what a cancelled call waits for at most.
pub(super) const STEP_TOKENS: usize = 128;

/// What decoding took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decoded {
    pub(super) stop_reason: StopReason,
    pub(super) output_tokens: u64,
    /// Tokens of the prompt that had been read before.
    pub(super) cached_tokens: u64,
    pub(super) prefill: Duration,
    pub(super) decode: Duration,
    pub(super) time_to_first_token: Option<Duration>,
}

/// Reads `prompt` and hands each token that follows to `on_token`, until that breaks, the model ends, or a limit. Marks of
/// other passages than the `offered` ones are never among them.
pub(super) fn decode(
    model: &dyn LanguageModel,
    (prompt, time): (&[u32], PromptTime),
    (grounding, offered): (&Grounding, usize),
    inference: &Inference,
    cancel: &Cancel,
    on_token: &mut dyn FnMut(u32) -> Result<ControlFlow<StopReason>, Error>,
) -> Result<Decoded, Error> {
    let started = Instant::now();
    cancel.check()?;
    let (mut sequence, known) = model.start_with(prompt, time)?;
    let mut logits = Vec::new();
    for chunk in prompt[known..].chunks(STEP_TOKENS) {
        logits = sequence.feed(chunk, cancel)?;
    }
    sequence.keep(prompt.len(), Duration::ZERO);
    let prefill = started.elapsed();
    let mut sampler = Sampler::new(inference);
    let mut sequence = ReadAhead::new(sequence, prompt);
    let mut marks = Marks::new(offered);
    let mut tokens = Vec::new();
    let mut is_after_sentence = false;
    let mut time_to_first_token = None;
    let limits = Limits::new(model, prompt.len(), inference);
    let stop_reason = loop {
        // Whether to go on after a sentence is for the model alone.
        if !is_after_sentence {
            grounding.apply(&tokens, &mut logits);
        }
        let is_allowed = |token| marks.allows(&model.token_bytes(token));
        let Some(token) = sampler.sample_allowed(&mut logits, is_allowed) else {
            return Err(Error::no_numbers(model));
        };
        time_to_first_token.get_or_insert_with(|| started.elapsed());
        if model.is_end(token) {
            break StopReason::EndTurn;
        }
        tokens.push(token);
        let bytes = model.token_bytes(token);
        marks.push(&bytes);
        is_after_sentence = ends_sentence(&bytes);
        if let ControlFlow::Break(reason) = on_token(token)? {
            break reason;
        }
        if goes_in_circles(&tokens) {
            break StopReason::EndTurn;
        }
        if let Some(reason) = limits.reached(tokens.len()) {
            break reason;
        }
        logits = sequence.feed(token, cancel)?;
    };
    let first = time_to_first_token.unwrap_or(prefill);
    Ok(Decoded {
        stop_reason,
        output_tokens: tokens.len() as u64,
        cached_tokens: known as u64,
        prefill,
        decode: started.elapsed().saturating_sub(first),
        time_to_first_token,
    })
}

fn ends_sentence(token: &[u8]) -> bool {
    matches!(token.last(), Some(b'.' | b'!' | b'?' | b'\n'))
}
