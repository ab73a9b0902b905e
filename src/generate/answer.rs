//! A question and its hits to an answer.

use std::ops::ControlFlow;
use std::time::Duration;

use super::attribution::Sources;
use super::citation::{Annotator, Tally};
use super::decode::decode;
use super::prompt::Prompt;
use super::relevance::{no_answer_text, relevance};
use super::stop::StopSequences;
use super::text::Utf8Pieces;
use super::{AnswerEvent, Error, GenerationSummary, Inference, LanguageModel, NoAnswerReason, Sink, StopReason};
use crate::retrieve::Hit;
use crate::worker::{Cancel, ComputeGate, Stopped};

/// Answers `question` from `hits`, or says why there is no answer. All pieces of text joined are the answer.
#[expect(clippy::needless_pass_by_value, reason = "callers have no more use for the hits")]
pub fn answer(
    model: &dyn LanguageModel,
    question: &str,
    hits: Vec<Hit>,
    inference: &Inference,
    gate: &ComputeGate,
    cancel: &Cancel,
    sink: &mut Sink<'_>,
) -> Result<GenerationSummary, Error> {
    cancel.check()?;
    if let Err(reason) = relevance(question, &hits) {
        return Ok(answer_nothing(reason, sink)?);
    }
    let prompt = Prompt::build(model, question, &hits, inference)?;
    let sources = Sources::new(question, &prompt.references);
    let input_tokens = prompt.tokens.len() as u64;
    sink(AnswerEvent::References(prompt.references))?;
    let mut stream = TextStream::new(&sources, &inference.stop_sequences);
    let decoded = decode(
        model,
        &prompt.tokens,
        &prompt.grounding,
        inference,
        gate,
        cancel,
        &mut |token| {
            let (events, flow) = stream.push(&model.token_bytes(token));
            events.into_iter().try_for_each(&mut *sink)?;
            Ok(flow)
        },
    )?;
    let (events, tally) = stream.finish();
    events.into_iter().try_for_each(&mut *sink)?;
    Ok(GenerationSummary {
        stop_reason: decoded.stop_reason,
        no_answer_reason: no_answer_reason(tally),
        input_tokens,
        output_tokens: decoded.output_tokens,
        prefill: decoded.prefill,
        decode: decoded.decode,
        time_to_first_token: decoded.time_to_first_token,
    })
}

/// Says that there is no answer without asking a model: no references, and a sentence for people.
pub fn answer_nothing(reason: NoAnswerReason, sink: &mut Sink<'_>) -> Result<GenerationSummary, Stopped> {
    sink(AnswerEvent::References(Vec::new()))?;
    sink(AnswerEvent::Text(no_answer_text(reason).to_owned()))?;
    Ok(GenerationSummary {
        stop_reason: StopReason::NoAnswer,
        no_answer_reason: Some(reason),
        input_tokens: 0,
        output_tokens: 0,
        prefill: Duration::ZERO,
        decode: Duration::ZERO,
        time_to_first_token: None,
    })
}

/// One supported sentence makes an answer.
fn no_answer_reason(tally: Tally) -> Option<NoAnswerReason> {
    match tally {
        Tally { supported: 1.., .. } => None,
        Tally { declined: 1.., .. } => Some(NoAnswerReason::ModelDeclined),
        Tally { .. } => Some(NoAnswerReason::NotSupported),
    }
}

/// Bytes of tokens to events: whole characters, stop sequences, citations.
struct TextStream<'a> {
    pieces: Utf8Pieces,
    stop: StopSequences,
    annotator: Annotator<'a>,
    is_stopped: bool,
}

impl<'a> TextStream<'a> {
    fn new(sources: &'a Sources, stop_sequences: &[String]) -> Self {
        Self {
            pieces: Utf8Pieces::default(),
            stop: StopSequences::new(stop_sequences),
            annotator: Annotator::new(sources),
            is_stopped: false,
        }
    }

    fn push(&mut self, bytes: &[u8]) -> (Vec<AnswerEvent>, ControlFlow<StopReason>) {
        let (text, is_stopped) = self.stop.push(&self.pieces.push(bytes));
        self.is_stopped |= is_stopped;
        let events = self.annotator.push(&text);
        let flow = if self.is_stopped {
            ControlFlow::Break(StopReason::StopSequence)
        } else if self.annotator.has_repeated() {
            ControlFlow::Break(StopReason::EndTurn)
        } else {
            ControlFlow::Continue(())
        };
        (events, flow)
    }

    fn finish(mut self) -> (Vec<AnswerEvent>, Tally) {
        let mut events = Vec::new();
        if !self.is_stopped {
            let (text, is_stopped) = self.stop.push(&self.pieces.finish());
            events.extend(self.annotator.push(&text));
            if !is_stopped {
                events.extend(self.annotator.push(&self.stop.finish()));
            }
        }
        let (last, tally) = self.annotator.finish();
        events.extend(last);
        (events, tally)
    }
}

#[cfg(test)]
mod tests;
