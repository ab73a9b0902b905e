//! A conversation to its next message.
//!
//! Comes in: messages, and how tokens are drawn. Goes out: [`ConverseEvent`]s, then how the message ended and what it took.
//! Always holds: text comes in whole characters, one that a limit cuts left out, and without any part of a stop sequence;
//! what must have a shape has it, unless a limit cuts it short; the wish to stop is looked at before each step, and what
//! was used until then is told.
//! Not here: what the model reads (see [`super::dialogue`]), which tokens may come (see [`super::constraint`]), how tokens
//! become events (see [`writer`]), passages, citations, quoting (see [`super::answer()`]).

mod writer;

use std::time::{Duration, Instant};

use super::constraint::Constraint;
use super::decode::STEP_TOKENS;
use super::dialogue::{Dialogue, cache_points, constraint, conversation_tokens};
use super::logprob::ChosenToken;
use super::lookup::ReadAhead;
use super::sampler::Sampler;
use super::stop::Limits;
use super::{Error, Inference, LanguageModel, StopReason};
use crate::worker::{Cancel, Stopped};
use writer::Writer;

/// One event of a message in the making.
#[derive(Debug, Clone, PartialEq)]
pub enum ConverseEvent {
    /// The conversation fits, and the model begins to read it. First, once.
    Started,
    /// The next piece of text, with the tokens that begin in it, where they are wanted.
    Piece {
        /// The text.
        text: String,
        /// The tokens, those of a stop sequence left out.
        tokens: Vec<ChosenToken>,
    },
    /// The model begins to call a tool.
    ToolUseStarted {
        /// Id of the call.
        id: String,
        /// The tool.
        name: String,
    },
    /// The next piece of what the tool is given, with the tokens that begin in it or before, where they are wanted.
    ToolUseInput {
        /// The piece; all of them joined are a JSON object, unless the message was cut short.
        text: String,
        /// The tokens.
        tokens: Vec<ChosenToken>,
    },
    /// The call is complete, or cut short.
    ToolUseEnded,
}

/// What a model is asked to go on with.
#[derive(Debug, Clone, Copy)]
pub enum Asking<'a> {
    /// A conversation, in the form that the model was trained to read.
    Dialogue(&'a Dialogue),
    /// A text as it is; special tokens are recognised in it.
    Text(&'a str),
}

/// Where events go. Returning an error ends the message.
type Sink<'a> = dyn FnMut(ConverseEvent) -> Result<(), Stopped> + 'a;

/// What was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Tokens of the prompt that were read.
    pub input_tokens: u64,
    /// Those of them that had been read for an earlier prompt.
    pub cached_tokens: u64,
    /// Tokens before the last cache point that were read, and are held.
    pub held_tokens: u64,
    /// Tokens produced.
    pub output_tokens: u64,
    /// Reading the prompt.
    pub prefill: Duration,
    /// Producing tokens after the first.
    pub decode: Duration,
    /// From the start to the first token.
    pub time_to_first_token: Option<Duration>,
}

/// How a message ended, and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversed {
    /// How it ended.
    pub stop_reason: StopReason,
    /// The stop sequence that came, if one did.
    pub stop_sequence: Option<String>,
    /// What was used.
    pub spent: Spent,
}

/// A message that did not come to its end.
#[derive(Debug)]
pub struct Interrupted {
    /// Why.
    pub error: Error,
    /// What was used until then.
    pub spent: Spent,
}

/// Produces the next message of a conversation, or what follows a text. All pieces of text joined are the message.
pub fn converse(
    model: &dyn LanguageModel,
    asking: Asking<'_>,
    inference: &Inference,
    cancel: &Cancel,
    sink: &mut Sink<'_>,
) -> Result<Conversed, Interrupted> {
    let mut turn = Turn {
        model,
        inference,
        cancel,
        started: Instant::now(),
        spent: Spent::default(),
        writer: Writer::new(&inference.stop_sequences),
    };
    let ended = turn.run(asking, sink);
    let mut spent = turn.spent;
    let first = spent.time_to_first_token.unwrap_or(spent.prefill);
    spent.decode = turn.started.elapsed().saturating_sub(first);
    match ended {
        Ok(stop_reason) => Ok(Conversed {
            stop_reason,
            stop_sequence: turn.writer.stop_sequence().map(str::to_owned),
            spent,
        }),
        Err(error) => Err(Interrupted { error, spent }),
    }
}

/// One message in the making.
struct Turn<'a> {
    model: &'a dyn LanguageModel,
    inference: &'a Inference,
    cancel: &'a Cancel,
    started: Instant,
    spent: Spent,
    writer: Writer,
}

impl Turn<'_> {
    fn run(&mut self, asking: Asking<'_>, sink: &mut Sink<'_>) -> Result<StopReason, Error> {
        self.cancel.check()?;
        let (prompt, points, constraint) = match asking {
            Asking::Text(text) => (self.model.encode(text)?, Vec::new(), None),
            Asking::Dialogue(dialogue) => {
                let prompt = conversation_tokens(self.model, dialogue)?;
                if !dialogue.tools.offered.is_empty() {
                    self.writer.expect_calls(&prompt, self.inference.seed, dialogue);
                }
                let points = cache_points(self.model, dialogue, &prompt)?;
                (prompt, points, constraint(self.model, dialogue)?)
            }
        };
        let window = self.model.context_tokens();
        if prompt.len() > window {
            let tokens = prompt.len();
            return Err(Error::ConversationTooLong { tokens, window });
        }
        if prompt.is_empty() {
            return Err(Error::NothingToRead);
        }
        sink(ConverseEvent::Started)?;
        let reason = self.write((&prompt, &points), constraint, sink)?;
        self.writer.finish().into_iter().try_for_each(sink)?;
        Ok(match reason {
            StopReason::EndTurn if self.writer.has_called() => StopReason::ToolUse,
            reason => reason,
        })
    }

    /// Reads the prompt, and tells each token that follows until something ends the message.
    fn write(
        &mut self,
        (prompt, points): (&[u32], &[(usize, Duration)]),
        mut constraint: Option<Constraint>,
        sink: &mut Sink<'_>,
    ) -> Result<StopReason, Error> {
        let (mut sequence, known) = self.model.start_with(prompt, self.model.prompt_time())?;
        self.spent.cached_tokens = known as u64;
        self.spent.input_tokens = known as u64;
        let mut logits = Vec::new();
        for step in prompt[known..].chunks(STEP_TOKENS) {
            logits = sequence.feed(step, self.cancel)?;
            self.spent.input_tokens += step.len() as u64;
        }
        for (tokens, held) in points {
            if sequence.keep(*tokens, *held) {
                let written = tokens.saturating_sub(known) as u64;
                self.spent.held_tokens = self.spent.held_tokens.max(written);
            }
        }
        sequence.keep(prompt.len(), Duration::ZERO);
        self.spent.prefill = self.started.elapsed();
        check_biases(self.inference, logits.len())?;
        let mut sequence = ReadAhead::new(sequence, prompt);
        let mut sampler = Sampler::new(self.inference);
        sampler.read(prompt);
        let limits = Limits::new(self.model, prompt.len(), self.inference);
        loop {
            let masked = constraint
                .as_mut()
                .map(|constraint| constraint.mask(&logits))
                .transpose()?;
            let Some(token) = sampler.sample(masked.as_deref().unwrap_or(&logits)) else {
                return Err(Error::no_numbers(self.model));
            };
            self.spent
                .time_to_first_token
                .get_or_insert_with(|| self.started.elapsed());
            if self.model.is_end(token) {
                return Ok(StopReason::EndTurn);
            }
            self.tell(token, &logits, sink)?;
            // A small model makes the same call again and again.
            if self.writer.has_repeated() {
                return Ok(StopReason::EndTurn);
            }
            if self.writer.stop_sequence().is_some() {
                return Ok(StopReason::StopSequence);
            }
            if let Some(constraint) = &mut constraint {
                constraint.take(token)?;
                if constraint.is_complete() {
                    return Ok(StopReason::EndTurn);
                }
            }
            let written = usize::try_from(self.spent.output_tokens).unwrap_or(usize::MAX);
            if let Some(reason) = limits.reached(written) {
                return Ok(reason);
            }
            logits = sequence.feed(token, self.cancel)?;
        }
    }

    /// Tells a token that was chosen where the model gave these logits.
    fn tell(&mut self, token: u32, logits: &[f32], sink: &mut Sink<'_>) -> Result<(), Stopped> {
        self.spent.output_tokens += 1;
        let told = self.inference.logprobs;
        let told = told.map(|count| ChosenToken::of(self.model, logits, token, count));
        let events = self.writer.push(&self.model.token_bytes(token), told);
        events.into_iter().try_for_each(sink)
    }
}

fn check_biases(inference: &Inference, tokens: usize) -> Result<(), Error> {
    let mut biased = inference.logit_bias.iter().map(|(token, _)| *token);
    match biased.find(|token| *token as usize >= tokens) {
        None => Ok(()),
        Some(token) => Err(Error::UnknownToken {
            token,
            last: tokens.saturating_sub(1),
        }),
    }
}

#[cfg(test)]
mod tests;
