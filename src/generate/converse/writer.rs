//! Bytes of tokens to the events of a message.
//!
//! Always holds: text comes in whole characters and without any part of a stop sequence; a call that begins ends; each
//! token is told once, with the text that it begins in, unless it belongs to a stop sequence or to a call that came again.

use std::collections::VecDeque;

use super::super::call_reader::{CallReader, Said};
use super::super::dialogue::Dialogue;
use super::super::logprob::ChosenToken;
use super::super::repeated_call::FirstCalls;
use super::super::stop::StopSequences;
use super::super::text::Utf8Pieces;
use super::super::tool::tool_use_id;
use super::ConverseEvent;

/// Makes the events of one message.
pub(super) struct Writer {
    pieces: Utf8Pieces,
    stop: StopSequences,
    /// Nothing where there are no tools.
    calls: Option<Calls>,
    /// Bytes of text that tokens gave, and of those that were told.
    given: usize,
    told: usize,
    /// Tokens whose text was not told yet, each with where it begins.
    waiting: VecDeque<(usize, ChosenToken)>,
}

/// Calls that a message holds.
struct Calls {
    reader: CallReader,
    first: FirstCalls,
    /// Their ids, made ahead of them.
    id: Box<dyn Fn(usize) -> String>,
    begun: usize,
}

impl Calls {
    fn new(prompt: &[u32], seed: u64, dialogue: &Dialogue) -> Self {
        let reader = if dialogue.shape.is_some() {
            CallReader::of_either()
        } else {
            CallReader::default()
        };
        let prompt = prompt.to_vec();
        Self {
            reader,
            first: FirstCalls::default(),
            id: Box::new(move |place| tool_use_id(&prompt, seed, place)),
            begun: 0,
        }
    }
}

impl Writer {
    pub(super) fn new(stop_sequences: &[String]) -> Self {
        Self {
            pieces: Utf8Pieces::default(),
            stop: StopSequences::new(stop_sequences),
            calls: None,
            given: 0,
            told: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Takes calls for calls from now on: the model may make some.
    pub(super) fn expect_calls(&mut self, prompt: &[u32], seed: u64, dialogue: &Dialogue) {
        self.calls = Some(Calls::new(prompt, seed, dialogue));
    }

    /// Returns the stop sequence that came, if one did.
    pub(super) fn stop_sequence(&self) -> Option<&str> {
        self.stop.found()
    }

    /// Returns whether a tool was called.
    pub(super) fn has_called(&self) -> bool {
        self.calls.as_ref().is_some_and(|calls| calls.begun > 0)
    }

    /// Returns whether a call came again.
    pub(super) fn has_repeated(&self) -> bool {
        self.calls.as_ref().is_some_and(|calls| calls.first.has_repeated())
    }

    /// Takes a token. Returns what surely belongs to the message by now.
    pub(super) fn push(&mut self, bytes: &[u8], token: Option<ChosenToken>) -> Vec<ConverseEvent> {
        self.waiting.extend(token.map(|token| (self.given, token)));
        let text = self.pieces.push(bytes);
        self.given += text.len();
        let said = match &mut self.calls {
            None => vec![(Said::Text(text), self.given)],
            Some(calls) => calls.first.push(calls.reader.push(&text)),
        };
        self.events(said)
    }

    /// Ends the message. Returns what was held back, with all tokens that are left; nothing after a stop sequence.
    pub(super) fn finish(&mut self) -> Vec<ConverseEvent> {
        if self.stop.found().is_some() {
            return Vec::new();
        }
        let said = match &mut self.calls {
            None => Vec::new(),
            Some(calls) => calls.first.push(calls.reader.finish()),
        };
        let mut events = self.events(said);
        if self.stop.found().is_some() {
            return events;
        }
        let text = self.stop.take_held();
        if self.has_repeated() {
            self.waiting.clear();
        }
        // Tokens without text of their own, such as special ones, belong to the message too.
        let tokens: Vec<ChosenToken> = self.waiting.drain(..).map(|(_, token)| token).collect();
        // Those of a call that was cut short before its name belong to nothing that is told.
        if !text.is_empty() || (!tokens.is_empty() && !self.has_called()) {
            events.push(ConverseEvent::Piece { text, tokens });
        }
        events
    }

    /// Returns the events of what was said, each with where in the text it ends.
    fn events(&mut self, said: Vec<(Said, usize)>) -> Vec<ConverseEvent> {
        let mut events = Vec::new();
        for (said, end) in said {
            match said {
                Said::Text(text) => {
                    let (text, is_stopped) = self.stop.push(&text);
                    if !text.is_empty() {
                        let told = if is_stopped {
                            self.told + text.len()
                        } else {
                            end - self.stop.held_bytes()
                        };
                        let tokens = self.tokens_to(told);
                        events.push(ConverseEvent::Piece { text, tokens });
                    }
                    if is_stopped {
                        break;
                    }
                }
                Said::Call(name) => {
                    // What could have become a stop sequence can not any more.
                    let text = self.stop.take_held();
                    if !text.is_empty() {
                        let tokens = self.tokens_to(self.told + text.len());
                        events.push(ConverseEvent::Piece { text, tokens });
                    }
                    self.told = end;
                    let id = self.calls.as_mut().map(|calls| {
                        calls.begun += 1;
                        (calls.id)(calls.begun)
                    });
                    let id = id.unwrap_or_default();
                    events.push(ConverseEvent::ToolUseStarted { id, name });
                }
                Said::Input(text) => {
                    let tokens = self.tokens_to(end);
                    events.push(ConverseEvent::ToolUseInput { text, tokens });
                }
                Said::CallEnd => {
                    let tokens = self.tokens_to(end);
                    if !tokens.is_empty() {
                        let text = String::new();
                        events.push(ConverseEvent::ToolUseInput { text, tokens });
                    }
                    events.push(ConverseEvent::ToolUseEnded);
                }
            }
        }
        events
    }

    /// Returns the tokens that begin before a place in the text, up to which it is told now.
    fn tokens_to(&mut self, told: usize) -> Vec<ChosenToken> {
        self.told = told;
        let begun = self.waiting.iter().take_while(|(at, _)| *at < told).count();
        self.waiting.drain(..begun).map(|(_, token)| token).collect()
    }
}
