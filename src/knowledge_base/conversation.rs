//! Conversations with a language model, without a knowledge base; and what they take in tokens.
//!
//! Always holds: a message takes a slot of the same queue as answers, and gives it back however it ends; what was used by
//! then is told.

use std::time::{Duration, Instant};

use super::scheduler::Wanted;
use super::structured::{check_shape, check_tool_turns, check_tools, in_its_field};
use super::{
    Block, Completion, Conversation, ConversationEvent, ConverseSummary, ConverseUsage, Counted, Error, Groundwork,
    TokenCount, Turn,
};
use crate::embed::Purpose;
use crate::generate::{
    self, Asking, Conversed, Dialogue, Inference, Interrupted, LanguageModel, Part, Role, Speech, Spent, Tools,
};
use crate::worker::{Cancel, ServiceTier, Stopped};

/// Longest name of a document block in characters.
pub const MAX_DOCUMENT_NAME_CHARS: usize = 200;
/// Most cache points of a conversation.
pub const MAX_CACHE_POINTS: usize = 4;
/// How long before its deadline a message ends, so that the client hears what was used: a step of the model and the way
/// back.
const LEAD: Duration = Duration::from_millis(100);
/// The same for short deadlines: a share of the time that is left.
const LEAD_SHARE: u32 = 10;

/// Where events go. Returning an error ends the message.
type Sink<'a> = dyn FnMut(ConversationEvent) -> Result<(), Stopped> + 'a;

/// What a language model is asked to go on with.
struct Asked<'a> {
    /// Empty takes the server's.
    model_id: &'a str,
    asking: Asking<'a>,
    /// Bytes of what the model is to read.
    bytes: usize,
    inference: &'a Inference,
    service_tier: ServiceTier,
}

impl Groundwork {
    /// Asks a language model for the next message of a conversation; events go to `sink` as they come.
    pub fn converse(
        &self,
        conversation: &Conversation,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<ConverseSummary, Error> {
        let dialogue = dialogue("", conversation)?;
        let asked = Asked {
            model_id: &conversation.model_id,
            asking: Asking::Dialogue(&dialogue),
            bytes: dialogue.bytes(),
            inference: &conversation.inference,
            service_tier: conversation.service_tier,
        };
        self.go_on(&asked, &|error| in_its_field(error, "", &dialogue), cancel, sink)
    }

    /// Asks a language model for what follows a text; events go to `sink` as they come.
    pub fn complete(
        &self,
        completion: &Completion,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<ConverseSummary, Error> {
        let asked = Asked {
            model_id: &completion.model_id,
            asking: Asking::Text(&completion.prompt),
            bytes: completion.prompt.len(),
            inference: &completion.inference,
            service_tier: completion.service_tier,
        };
        self.go_on(&asked, &Error::from, cancel, sink)
    }

    /// Asks a language model to go on; `told` turns what the model cannot do into what the caller is told.
    fn go_on(
        &self,
        asked: &Asked<'_>,
        told: &dyn Fn(generate::Error) -> Error,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<ConverseSummary, Error> {
        let started = Instant::now();
        let model_id = self.language_model_id(asked.model_id);
        let checked = self.models.check_language_model(model_id);
        checked.map_err(|error| error.in_field("model_id"))?;
        let cancel = &cancel.with_tier(asked.service_tier).with_lead(LEAD, LEAD_SHARE);
        let wanted = Wanted {
            model_id,
            prompt_bytes: asked.bytes,
            max_tokens: asked.inference.max_tokens,
            context_tokens: self.models.context_tokens(model_id),
        };
        let slot = self.answers.enter(wanted, cancel)?;
        let queue = started.elapsed();
        let model = self
            .models
            .language_model(model_id, cancel)
            .map_err(|error| slot.fail(error))?;
        let usage = |spent: Spent| ConverseUsage {
            spent,
            queue,
            total: started.elapsed(),
            model_id: model_id.to_owned(),
            model_hash: model.model_hash().to_owned(),
        };
        let inference = asked.inference;
        let metered = slot.metered(&*model);
        let conversed = generate::converse(&metered, asked.asking, inference, cancel, &mut |event| {
            sink(ConversationEvent::Model(event))
        });
        match conversed {
            Ok(Conversed {
                stop_reason,
                stop_sequence,
                spent,
            }) => {
                slot.finish(Some(spent.output_tokens));
                Ok(ConverseSummary {
                    stop_reason,
                    stop_sequence,
                    seed: inference.seed,
                    usage: usage(spent),
                })
            }
            Err(Interrupted { error, spent }) => {
                if spent.input_tokens > 0 {
                    // Whoever left does not hear it; the error is told all the same.
                    let _ = sink(ConversationEvent::Interrupted(usage(spent)));
                }
                let error = slot
                    .fail(told(error))
                    .with_fact("input_tokens", spent.input_tokens)
                    .with_fact("output_tokens", spent.output_tokens);
                Err(error)
            }
        }
    }

    /// Counts the tokens of a text or a conversation. Conversations are for language models only.
    pub fn count_tokens(&self, model_id: &str, counted: &Counted, cancel: &Cancel) -> Result<TokenCount, Error> {
        let id = self.language_model_id(model_id);
        let language_model = || {
            self.models
                .language_model(id, cancel)
                .map_err(|error| error.in_field("model_id"))
        };
        let of_language_model = |model: &dyn LanguageModel, input_tokens| TokenCount {
            input_tokens,
            model_id: id.to_owned(),
            max_input_tokens: model.context_tokens(),
        };
        match counted {
            Counted::Conversation(conversation) => {
                let dialogue = dialogue("input.converse.", conversation)?;
                let model = language_model()?;
                let tokens = generate::conversation_tokens(&*model, &dialogue);
                let tokens =
                    tokens.map_err(|error| Error::from(error).renamed("messages", "input.converse.messages"))?;
                Ok(of_language_model(&*model, tokens.len()))
            }
            Counted::Text(text) if self.models.dimensions(id).is_some() => {
                let embedder = self.models.embedder(id, cancel)?;
                Ok(TokenCount {
                    input_tokens: embedder.count_input_tokens(text, Purpose::Passage)?,
                    model_id: id.to_owned(),
                    max_input_tokens: embedder.max_tokens(),
                })
            }
            Counted::Text(text) => {
                let model = language_model()?;
                Ok(of_language_model(&*model, model.encode(text)?.len()))
            }
        }
    }

    fn language_model_id<'a>(&'a self, wanted: &'a str) -> &'a str {
        match wanted {
            "" => &self.settings.language_model_id,
            id => id,
        }
    }
}

/// Returns what a model is to read of a conversation, checked; `path` is where its fields stand in the request.
fn dialogue(path: &str, conversation: &Conversation) -> Result<Dialogue, Error> {
    let Conversation {
        system,
        turns,
        tools,
        shape,
        ..
    } = conversation;
    let mut speeches = Vec::with_capacity(turns.len() + 1);
    if !system.is_empty() {
        speeches.push(Speech {
            role: Role::System,
            parts: content(&format!("{path}system"), Role::System, system)?,
        });
    }
    check_roles(path, turns)?;
    check_tools(path, tools)?;
    check_shape(path, shape.as_ref(), &tools.choice)?;
    for (at, turn) in turns.iter().enumerate() {
        speeches.push(Speech {
            role: turn.role,
            parts: content(&format!("{path}messages[{at}].content"), turn.role, &turn.content)?,
        });
    }
    check_tool_turns(path, turns, tools)?;
    check_cache_points(path, &speeches, tools)?;
    Ok(Dialogue {
        speeches,
        tools: tools.clone(),
        shape: shape.clone(),
    })
}

fn check_cache_points(path: &str, speeches: &[Speech], tools: &Tools) -> Result<(), Error> {
    let parts = speeches.iter().flat_map(|speech| &speech.parts);
    let points = parts.filter(|part| matches!(part, Part::CachePoint(_))).count();
    let points = points + usize::from(tools.cache_point.is_some());
    if points > MAX_CACHE_POINTS {
        let reason =
            format!("have {points} cache points with those of `system` and `tool_config`; at most {MAX_CACHE_POINTS}");
        return Err(Error::invalid(format!("{path}messages"), reason));
    }
    Ok(())
}

/// Chat templates have no form for two messages of one side in a row, nor for a model that answers itself.
fn check_roles(path: &str, turns: &[Turn]) -> Result<(), Error> {
    for (at, turn) in turns.iter().enumerate() {
        let expected = if at % 2 == 0 { Role::User } else { Role::Assistant };
        if turn.role == expected {
            continue;
        }
        let reason = if at == 0 {
            "must be USER: the user begins a conversation".to_owned()
        } else {
            let name = if expected == Role::User { "USER" } else { "ASSISTANT" };
            format!(
                "must be {name}: roles take turns, and messages[{}] is of the same role",
                at - 1
            )
        };
        return Err(Error::invalid(format!("{path}messages[{at}].role"), reason));
    }
    match turns.len() {
        0 => Err(Error::invalid(
            format!("{path}messages"),
            "is required, but has no message",
        )),
        count if count % 2 == 0 => {
            let field = format!("{path}messages[{}].role", count - 1);
            Err(Error::invalid(
                field,
                "must be USER: the user has the last word, the model answers",
            ))
        }
        _ => Ok(()),
    }
}

/// Returns what the model reads of a message. One of the assistant may be without a word: a model that says nothing has
/// said so, and the conversation goes on.
fn content(path: &str, role: Role, blocks: &[Block]) -> Result<Vec<Part>, Error> {
    if blocks.is_empty() {
        return match role {
            Role::Assistant => Ok(vec![Part::Text(String::new())]),
            Role::System | Role::User => Err(Error::invalid(path, "is required, but has no block")),
        };
    }
    let mut read = Vec::with_capacity(blocks.len());
    for (at, block) in blocks.iter().enumerate() {
        read.push(match block {
            Block::Text(text) => {
                if role != Role::Assistant {
                    check_text(&format!("{path}[{at}].text"), text)?;
                }
                Part::Text(text.clone())
            }
            Block::Document { name, text } => {
                check_name(&format!("{path}[{at}].document.name"), name)?;
                check_text(&format!("{path}[{at}].document.source.text"), text)?;
                Part::Text(format!("Document \"{name}\":\n{text}"))
            }
            Block::ToolUse(call) => Part::ToolUse(call.clone()),
            Block::ToolResult(result) => Part::ToolResult(result.clone()),
            Block::CachePoint(held) => Part::CachePoint(*held),
        });
    }
    if read.iter().all(|part| matches!(part, Part::CachePoint(_))) {
        return Err(Error::invalid(
            path,
            "has nothing but cache points: give some text before them",
        ));
    }
    Ok(read)
}

fn check_text(field: &str, text: &str) -> Result<(), Error> {
    if text.trim().is_empty() {
        return Err(Error::invalid(field, "is blank: give it some text"));
    }
    Ok(())
}

fn check_name(field: &str, name: &str) -> Result<(), Error> {
    let chars = name.chars().count();
    if name.trim().is_empty() || chars > MAX_DOCUMENT_NAME_CHARS {
        let reason = format!("a document's name has 1 to {MAX_DOCUMENT_NAME_CHARS} characters, this one has {chars}");
        return Err(Error::invalid(field, reason));
    }
    if name.contains(char::is_control) {
        return Err(Error::invalid(field, "must be one line without control characters"));
    }
    Ok(())
}
