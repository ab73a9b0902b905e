//! Conversations off the wire; messages, event by event, onto it.

use std::time::Duration;

use super::answer::stop_reason;
use super::hit::{metrics, micros, usage};
use super::inference::{detailed, inference};
use super::known;
use super::serving::service_tier;
use super::structured::{input, shape, tool_result, tool_use, tools};
use crate::generate::{self, ChosenToken, Role};
use crate::knowledge_base::{
    Block, Conversation, ConversationEvent, ConverseSummary, ConverseUsage, Counted, Error, StageTimes, TokenCount,
    Turn,
};
use crate::service::pb;
use crate::service::pb::content_block::Content;
use crate::service::pb::content_block_delta::Delta;
use crate::service::pb::content_block_start::Start;
use crate::service::pb::converse_stream_response::Event;
use crate::service::pb::count_tokens_input::Input;
use crate::service::pb::document_source::Source;
use crate::service::pb::system_content_block::Content as SystemContent;

impl From<pb::ConverseRequest> for pb::ConverseStreamRequest {
    fn from(request: pb::ConverseRequest) -> Self {
        Self {
            model_id: request.model_id,
            messages: request.messages,
            system: request.system,
            inference_config: request.inference_config,
            additional_model_request_fields: request.additional_model_request_fields,
            service_tier: request.service_tier,
            tool_config: request.tool_config,
            output_config: request.output_config,
        }
    }
}

/// Returns a conversation; what it says is checked behind the border.
pub(in crate::service) fn conversation(request: pb::ConverseStreamRequest) -> Result<Conversation, Error> {
    let inference = inference("inference_config", request.inference_config)?;
    Ok(Conversation {
        service_tier: service_tier(request.service_tier)?,
        model_id: request.model_id,
        system: system("", request.system)?,
        turns: turns("", request.messages)?,
        inference: detailed(inference, request.additional_model_request_fields.unwrap_or_default())?,
        tools: tools("", request.tool_config)?,
        shape: shape("", request.output_config)?,
    })
}

/// Returns what is to be counted.
pub(in crate::service) fn counted(input: Option<pb::CountTokensInput>) -> Result<Counted, Error> {
    match input.and_then(|input| input.input) {
        Some(Input::Text(text)) => Ok(Counted::Text(text)),
        Some(Input::Converse(converse)) => {
            let path = "input.converse.";
            Ok(Counted::Conversation(Box::new(Conversation {
                system: system(path, converse.system)?,
                turns: turns(path, converse.messages)?,
                tools: tools(path, converse.tool_config)?,
                shape: shape(path, converse.output_config)?,
                ..Conversation::default()
            })))
        }
        None => Err(Error::invalid("input", "is required: give `converse` or `text`")),
    }
}

/// Returns a count.
pub(in crate::service) fn token_count(count: TokenCount) -> pb::CountTokensResponse {
    pb::CountTokensResponse {
        input_tokens: count.input_tokens as u64,
        model_id: count.model_id,
        max_input_tokens: count.max_input_tokens as u64,
    }
}

fn system(path: &str, blocks: Vec<pb::SystemContentBlock>) -> Result<Vec<Block>, Error> {
    let block = |(at, block): (usize, pb::SystemContentBlock)| {
        let path = format!("{path}system[{at}]");
        match block.content {
            Some(SystemContent::Text(text)) => Ok(Block::Text(text)),
            Some(SystemContent::CachePoint(point)) => Ok(Block::CachePoint(cache_point(&path, point)?)),
            None => Err(unread(&path, "`text` or `cache_point`")),
        }
    };
    blocks.into_iter().enumerate().map(block).collect()
}

fn turns(path: &str, messages: Vec<pb::ConversationMessage>) -> Result<Vec<Turn>, Error> {
    let turn = |(at, message): (usize, pb::ConversationMessage)| {
        let path = format!("{path}messages[{at}]");
        let content = message.content.into_iter().enumerate();
        let content = content.map(|(at, block)| block_of(&format!("{path}.content[{at}]"), block));
        Ok(Turn {
            role: role(&format!("{path}.role"), message.role)?,
            content: content.collect::<Result<_, _>>()?,
        })
    };
    messages.into_iter().enumerate().map(turn).collect()
}

fn role(field: &str, wire: i32) -> Result<Role, Error> {
    match known(field, wire)? {
        pb::ConversationRole::User => Ok(Role::User),
        pb::ConversationRole::Assistant => Ok(Role::Assistant),
        pb::ConversationRole::Unspecified => Err(Error::invalid(field, "is required: USER or ASSISTANT")),
    }
}

fn block_of(path: &str, block: pb::ContentBlock) -> Result<Block, Error> {
    match block.content {
        Some(Content::Text(text)) => Ok(Block::Text(text)),
        Some(Content::Document(document)) => match document.source.and_then(|source| source.source) {
            Some(Source::Text(text)) => Ok(Block::Document {
                name: document.name,
                text,
            }),
            None => Err(unread(&format!("{path}.document.source"), "`text`")),
        },
        Some(Content::ToolUse(call)) => Ok(Block::ToolUse(tool_use(&format!("{path}.tool_use"), call)?)),
        Some(Content::ToolResult(result)) => {
            Ok(Block::ToolResult(tool_result(&format!("{path}.tool_result"), result)?))
        }
        Some(Content::CachePoint(point)) => Ok(Block::CachePoint(cache_point(path, point)?)),
        None => Err(unread(
            path,
            "`text`, `document`, `tool_use`, `tool_result` or `cache_point`",
        )),
    }
}

/// Returns how long what stands before a cache point is held.
pub(super) fn cache_point(path: &str, point: pb::CachePointBlock) -> Result<Duration, Error> {
    known::<pb::CachePointType>(&format!("{path}.cache_point.type"), point.r#type)?;
    Ok(match known(&format!("{path}.cache_point.ttl"), point.ttl)? {
        pb::CacheTtl::Unspecified | pb::CacheTtl::FiveMinutes => Duration::from_mins(5),
        pb::CacheTtl::OneHour => Duration::from_hours(1),
    })
}

/// A kind of content that this server does not know arrives as none at all.
fn unread(field: &str, known: &str) -> Error {
    Error::invalid(field, format!("has no content that this server knows: give {known}"))
}

/// Turns the events of one message into those of the wire.
#[derive(Debug, Default)]
pub(in crate::service) struct ConverseMessages {
    /// Number of the block that is open, or comes next.
    block: u32,
    is_open: bool,
}

impl ConverseMessages {
    /// Returns the messages of an event, in their order.
    pub(in crate::service) fn event(&mut self, event: ConversationEvent) -> Vec<pb::ConverseStreamResponse> {
        let events = match event {
            ConversationEvent::Model(event) => self.of_model(event),
            ConversationEvent::Interrupted(usage) => vec![Event::Metadata(metadata(usage))],
        };
        events.into_iter().map(message).collect()
    }

    fn of_model(&mut self, event: generate::ConverseEvent) -> Vec<Event> {
        match event {
            generate::ConverseEvent::Started => {
                let role = pb::ConversationRole::Assistant.into();
                vec![Event::MessageStart(pb::MessageStartEvent { role })]
            }
            generate::ConverseEvent::Piece { text, tokens } => {
                let mut events = Vec::new();
                if !self.is_open {
                    events.push(self.begin(None));
                }
                events.push(self.go_on(Delta::Text(text), tokens));
                events
            }
            generate::ConverseEvent::ToolUseStarted { id, name } => {
                let mut events: Vec<Event> = self.close().into_iter().collect();
                let call = pb::ToolUseBlockStart { tool_use_id: id, name };
                events.push(self.begin(Some(Start::ToolUse(call))));
                events
            }
            generate::ConverseEvent::ToolUseInput { text, tokens } => {
                vec![self.go_on(Delta::ToolUse(pb::ToolUseBlockDelta { input: text }), tokens)]
            }
            generate::ConverseEvent::ToolUseEnded => self.close().into_iter().collect(),
        }
    }

    /// Returns the messages of the end, in their order; the last one apart.
    pub(in crate::service) fn end(
        mut self,
        summary: ConverseSummary,
    ) -> (Vec<pb::ConverseStreamResponse>, pb::ConverseStreamResponse) {
        let mut events = Vec::new();
        // A message without a word still has a block.
        if self.block == 0 && !self.is_open {
            events.push(self.begin(None));
        }
        events.extend(self.close());
        events.push(Event::MessageStop(pb::MessageStopEvent {
            stop_reason: stop_reason(summary.stop_reason).into(),
            additional_model_response_fields: Some(pb::AdditionalModelResponseFields {
                stop_sequence: summary.stop_sequence.unwrap_or_default(),
                seed: summary.seed,
                logprobs: Vec::new(),
            }),
        }));
        (
            events.into_iter().map(message).collect(),
            message(Event::Metadata(metadata(summary.usage))),
        )
    }

    fn begin(&mut self, start: Option<Start>) -> Event {
        self.is_open = true;
        Event::ContentBlockStart(pb::ContentBlockStartEvent {
            content_block_index: self.block,
            start: start.map(|start| pb::ContentBlockStart { start: Some(start) }),
        })
    }

    fn go_on(&self, delta: Delta, tokens: Vec<ChosenToken>) -> Event {
        Event::ContentBlockDelta(pb::ContentBlockDeltaEvent {
            content_block_index: self.block,
            delta: Some(pb::ContentBlockDelta { delta: Some(delta) }),
            logprobs: tokens.into_iter().map(chosen_token).collect(),
        })
    }

    /// Ends the block that is open, if one is.
    fn close(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.is_open, false) {
            return None;
        }
        let content_block_index = self.block;
        self.block += 1;
        Some(Event::ContentBlockStop(pb::ContentBlockStopEvent {
            content_block_index,
        }))
    }
}

/// The one response that has all events of a stream.
#[derive(Debug, Default)]
pub(in crate::service) struct WholeMessage {
    pub(in crate::service) response: pb::ConverseResponse,
    /// The call that is open, with what its tool is given so far.
    call: Option<(pb::ToolUseBlockStart, String)>,
}

impl WholeMessage {
    /// Adds an event.
    pub(in crate::service) fn collect(&mut self, message: pb::ConverseStreamResponse) {
        let response = &mut self.response;
        let fields = &mut response.additional_model_response_fields;
        match message.event {
            Some(Event::MessageStart(start)) => {
                let output = response.output.get_or_insert_default();
                output.message.get_or_insert_default().role = start.role;
            }
            Some(Event::ContentBlockStart(start)) => {
                if let Some(Start::ToolUse(call)) = start.start.and_then(|start| start.start) {
                    self.call = Some((call, String::new()));
                }
            }
            Some(Event::ContentBlockDelta(delta)) => {
                fields.get_or_insert_default().logprobs.extend(delta.logprobs);
                match delta.delta.and_then(|delta| delta.delta) {
                    Some(Delta::Text(more)) => self.add_text(more),
                    Some(Delta::ToolUse(more)) => {
                        if let Some((_, json)) = &mut self.call {
                            json.push_str(&more.input);
                        }
                    }
                    None => {}
                }
            }
            Some(Event::ContentBlockStop(_)) => {
                // A call that was cut short is no call.
                let call = self.call.take();
                if let Some((call, input)) = call.and_then(|(call, json)| Some((call, input(&json)?))) {
                    self.content().push(pb::ContentBlock {
                        content: Some(Content::ToolUse(pb::ToolUseBlock {
                            tool_use_id: call.tool_use_id,
                            name: call.name,
                            input: Some(input),
                        })),
                    });
                }
            }
            Some(Event::MessageStop(stop)) => {
                response.stop_reason = stop.stop_reason;
                let told = stop.additional_model_response_fields.unwrap_or_default();
                let fields = fields.get_or_insert_default();
                fields.stop_sequence = told.stop_sequence;
                fields.seed = told.seed;
            }
            Some(Event::Metadata(metadata)) => {
                response.usage = metadata.usage;
                response.metrics = metadata.metrics;
                response.model_id = metadata.model_id;
                response.model_hash = metadata.model_hash;
            }
            None => {}
        }
    }

    fn content(&mut self) -> &mut Vec<pb::ContentBlock> {
        let output = self.response.output.get_or_insert_default();
        &mut output.message.get_or_insert_default().content
    }

    fn add_text(&mut self, more: String) {
        let content = self.content();
        match content.last_mut() {
            Some(pb::ContentBlock {
                content: Some(Content::Text(text)),
            }) => text.push_str(&more),
            _ => content.push(pb::ContentBlock {
                content: Some(Content::Text(more)),
            }),
        }
    }
}

fn message(event: Event) -> pb::ConverseStreamResponse {
    pb::ConverseStreamResponse { event: Some(event) }
}

/// Returns what a message took.
pub(super) fn metadata(used: ConverseUsage) -> pb::ConverseStreamMetadataEvent {
    let spent = used.spent;
    let first_token = spent
        .time_to_first_token
        .map_or(Duration::ZERO, |time| used.queue + time);
    let times = StageTimes {
        queue: used.queue,
        total: used.total,
        ..StageTimes::default()
    };
    pb::ConverseStreamMetadataEvent {
        usage: Some(pb::TokenUsage {
            cache_read_input_tokens: spent.cached_tokens,
            cache_write_input_tokens: spent.held_tokens,
            ..usage(spent.input_tokens, spent.output_tokens)
        }),
        metrics: Some(pb::ConverseMetrics {
            latency_ms: micros(used.total) / 1_000,
            time_to_first_token_ms: micros(first_token) / 1_000,
            stages: Some(pb::StageMetrics {
                prefill_micros: micros(spent.prefill),
                decode_micros: micros(spent.decode),
                time_to_first_token_micros: micros(first_token),
                ..metrics(times)
            }),
        }),
        model_id: used.model_id,
        model_hash: used.model_hash,
    }
}

fn chosen_token(token: ChosenToken) -> pb::ChosenToken {
    pb::ChosenToken {
        chosen: Some(logprob(token.chosen)),
        top_logprobs: token.top.into_iter().map(logprob).collect(),
    }
}

fn logprob(told: generate::TokenLogprob) -> pb::TokenLogprob {
    pb::TokenLogprob {
        token: told.token,
        text: String::from_utf8_lossy(&told.bytes).into_owned(),
        bytes: told.bytes,
        logprob: told.logprob,
    }
}
