//! A question and its hits to an answer.

use std::ops::ControlFlow;
use std::time::Duration;

use super::attribution::Sources;
use super::citation::{Annotator, Tally};
use super::decode::decode;
use super::prompt::Prompt;
use super::quote::{decode_quotes, quotes};
use super::rank::rank;
use super::relevance::{no_answer_text, relevance};
use super::stop::StopSequences;
use super::text::Utf8Pieces;
use super::{
    AnswerEvent, AnswerStyle, Error, GenerationSummary, Inference, LanguageModel, NoAnswerReason, PromptTime, Sink,
    StopReason,
};
use crate::embed::Embedder;
use crate::retrieve::Hit;
use crate::worker::{Cancel, Stopped};

/// A small model that has no more to say begins to write the next prompt itself.
const PROMPT_ECHO: &str = "\nQuestion:";

/// What a model is asked to answer, and from what.
#[derive(Clone)]
pub struct Asked<'a> {
    /// The question.
    pub question: &'a str,
    /// What was found for it.
    pub hits: Vec<Hit>,
    /// How tokens are drawn.
    pub inference: &'a Inference,
    /// The model's time from before the hits were looked up.
    pub prompt_time: PromptTime,
    /// What the hits were found with; without it sentences are compared by their words.
    pub embedder: Option<&'a dyn Embedder>,
}

/// Answers a question, or says why there is no answer. All pieces of text joined are the answer.
pub fn answer(
    model: &dyn LanguageModel,
    asked: Asked<'_>,
    cancel: &Cancel,
    sink: &mut Sink<'_>,
) -> Result<GenerationSummary, Error> {
    let Asked {
        question,
        hits,
        inference,
        prompt_time,
        embedder,
    } = asked;
    cancel.check()?;
    if let Err(reason) = relevance(question, &hits) {
        return Ok(answer_nothing(reason, sink)?);
    }
    let ranked = rank(question, &hits, embedder, cancel)?;
    let prompt = Prompt::build(model, question, &hits, &ranked, inference)?;
    let style = inference.style.unwrap_or_else(|| default_style(model, inference));
    let quotes = match style {
        AnswerStyle::Quoted => quotes(model, &hits, &ranked, &prompt.references)?,
        AnswerStyle::Free => Vec::new(),
    };
    let sources = Sources::new(question, &prompt.references);
    let offered = prompt.references.len();
    let input_tokens = prompt.tokens.len() as u64;
    sink(AnswerEvent::References(prompt.references))?;
    let mut stream = TextStream::new(&sources, &inference.stop_sequences, style);
    let mut on_piece = |bytes: &[u8]| {
        let (events, flow) = stream.push(bytes);
        events.into_iter().try_for_each(&mut *sink)?;
        Ok(flow)
    };
    let decoded = if quotes.is_empty() {
        let mut on_token = |token| on_piece(&model.token_bytes(token));
        decode(
            model,
            (&prompt.tokens, prompt_time),
            (&prompt.grounding, offered),
            inference,
            cancel,
            &mut on_token,
        )?
    } else {
        decode_quotes(
            model,
            (&prompt.tokens, prompt_time),
            quotes,
            inference,
            cancel,
            &mut on_piece,
        )?
    };
    let (events, tally) = stream.finish();
    events.into_iter().try_for_each(&mut *sink)?;
    let no_answer_reason = no_answer_reason(tally);
    Ok(GenerationSummary {
        stop_reason: no_answer_reason.map_or(decoded.stop_reason, |_| StopReason::NoAnswer),
        no_answer_reason,
        input_tokens,
        cached_tokens: decoded.cached_tokens,
        output_tokens: decoded.output_tokens,
        prefill: decoded.prefill,
        decode: decoded.decode,
        time_to_first_token: decoded.time_to_first_token,
    })
}

/// A model that is to quote does so unless the caller asks for variety.
fn default_style(model: &dyn LanguageModel, inference: &Inference) -> AnswerStyle {
    if inference.temperature > 0.0 {
        AnswerStyle::Free
    } else {
        model.answer_style()
    }
}

/// Says that there is no answer without asking a model: no references, and a sentence for people.
pub fn answer_nothing(reason: NoAnswerReason, sink: &mut Sink<'_>) -> Result<GenerationSummary, Stopped> {
    sink(AnswerEvent::References(Vec::new()))?;
    sink(AnswerEvent::Text(no_answer_text(reason).to_owned()))?;
    Ok(GenerationSummary {
        stop_reason: StopReason::NoAnswer,
        no_answer_reason: Some(reason),
        input_tokens: 0,
        cached_tokens: 0,
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

/// Bytes of tokens to events: whole characters, one that a limit cuts left out; stop sequences, citations.
struct TextStream<'a> {
    pieces: Utf8Pieces,
    stop: StopSequences,
    annotator: Annotator<'a>,
    is_stopped: bool,
}

impl<'a> TextStream<'a> {
    fn new(sources: &'a Sources, stop_sequences: &[String], style: AnswerStyle) -> Self {
        let mut stop_sequences = stop_sequences.to_vec();
        stop_sequences.push(PROMPT_ECHO.to_owned());
        Self {
            pieces: Utf8Pieces::default(),
            stop: StopSequences::new(&stop_sequences),
            annotator: Annotator::new(sources, style),
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
            events.extend(self.annotator.push(&self.stop.finish()));
        }
        let (last, tally) = self.annotator.finish();
        events.extend(last);
        (events, tally)
    }
}

#[cfg(test)]
mod tests;
