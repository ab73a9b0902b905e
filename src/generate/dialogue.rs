//! What was said so far to the tokens that a model reads.
//!
//! Always holds: no text of a caller can pass for a call, for what came of one, or for another role.

use std::time::Duration;

use serde_json::{Value, json};

use super::constraint::{Constraint, Grammar, Shape};
use super::json_text::json_line;
use super::prompt::defused;
use super::tool::{CALL_END, CALL_MARK, Tool, ToolChoice, ToolResult, ToolUse};
use super::{ConstraintPart, Error, LanguageModel, Message, Role};

/// Tells a model of its tools, where its chat template does not.
const TOOLS: &str = include_str!("prompts/tools.md");
/// Where the tools stand in it.
const TOOLS_MARK: &str = "{tools}";

/// A conversation that a model is to go on with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dialogue {
    /// What was said. Roles take turns; one of the system may come first.
    pub speeches: Vec<Speech>,
    /// The tools that the model may call.
    pub tools: Tools,
    /// What its message must be, unless it calls tools.
    pub shape: Option<Shape>,
}

/// Tools that a model is offered; none by default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tools {
    /// The tools.
    pub offered: Vec<Tool>,
    /// Whether the model calls them.
    pub choice: ToolChoice,
    /// Holds them, with the rules of the system, for so long.
    pub cache_point: Option<Duration>,
}

/// What one side says before the other does.
#[derive(Debug, Clone, PartialEq)]
pub struct Speech {
    /// Who speaks.
    pub role: Role,
    /// What is said; texts are set apart by an empty line.
    pub parts: Vec<Part>,
}

/// A part of what one side says.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text.
    Text(String),
    /// A call of a tool, by the model.
    ToolUse(ToolUse),
    /// What came of one, told by the user.
    ToolResult(ToolResult),
    /// Holds what the model has read up to here for so long.
    CachePoint(Duration),
}

impl Dialogue {
    /// Returns about how many bytes a model is to read of it.
    pub fn bytes(&self) -> usize {
        let of_part = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::ToolUse(call) => call.name.len() + json_line(&call.input).len(),
            Part::ToolResult(result) => result.content.len(),
            Part::CachePoint(_) => 0,
        };
        let of_tool = |tool: &Tool| json_line(&signature(tool)).len();
        let said: usize = self.speeches.iter().flat_map(|speech| &speech.parts).map(of_part).sum();
        let tools: usize = self.tools.offered.iter().map(of_tool).sum();
        said + tools + self.shape.as_ref().map_or(0, |shape| told(shape).len())
    }
}

impl From<Vec<Message>> for Dialogue {
    fn from(messages: Vec<Message>) -> Self {
        let speech = |message: Message| Speech {
            role: message.role,
            parts: vec![Part::Text(message.content)],
        };
        Self {
            speeches: messages.into_iter().map(speech).collect(),
            ..Self::default()
        }
    }
}

/// Returns the tokens that a model reads of a conversation. Fails with [`Error::MessagesRefused`] where the model's chat
/// template has no form for it.
pub fn conversation_tokens(model: &dyn LanguageModel, dialogue: &Dialogue) -> Result<Vec<u32>, Error> {
    model.encode(&rendered(model, dialogue).map_err(refused)?)
}

/// Returns how many tokens of a conversation's prompt stand before each of its cache points, and how long they are held.
///
/// Whatever the chat template does, what stands before a point is what stays when all that was said after it is another.
pub(super) fn cache_points(
    model: &dyn LanguageModel,
    dialogue: &Dialogue,
    prompt: &[u32],
) -> Result<Vec<(usize, Duration)>, Error> {
    let mut points = Vec::new();
    if let Some(held) = dialogue.tools.cache_point {
        let of_system = dialogue.speeches.iter().filter(|speech| speech.role == Role::System);
        points.push((of_system.count(), 0, held));
    }
    for (speech, of_speech) in dialogue.speeches.iter().enumerate() {
        for (part, of_part) in of_speech.parts.iter().enumerate() {
            if let Part::CachePoint(held) = of_part {
                points.push((speech, part, *held));
            }
        }
    }
    let before = |(speech, part, held): (usize, usize, Duration)| {
        let mut other = dialogue.clone();
        let later = other
            .speeches
            .iter_mut()
            .enumerate()
            .skip(speech)
            .flat_map(|(at, of_speech)| {
                let first = if at == speech { part } else { 0 };
                of_speech.parts.iter_mut().skip(first)
            });
        for part in later {
            if let Part::Text(text) | Part::ToolResult(ToolResult { content: text, .. }) = part {
                let other = if text.starts_with('A') { "B" } else { "A" };
                other.clone_into(text);
            }
        }
        let other = conversation_tokens(model, &other)?;
        let common = prompt.iter().zip(&other).take_while(|(a, b)| a == b).count();
        Ok((common, held))
    };
    points.into_iter().map(before).collect()
}

/// Returns what the next message of a conversation must be; nothing where it may be anything.
pub(super) fn constraint(model: &dyn LanguageModel, dialogue: &Dialogue) -> Result<Option<Constraint>, Error> {
    let tools = &dialogue.tools;
    let Some(grammar) = Grammar::of(dialogue.shape.as_ref(), &tools.offered, &tools.choice) else {
        return Ok(None);
    };
    let vocabulary = model.constraint_vocabulary().ok_or_else(|| Error::Constraint {
        part: ConstraintPart::Whole,
        reason: format!("the model {} can write free text only", model.model_id()),
    })?;
    Constraint::new(&vocabulary, &grammar).map(Some)
}

fn refused(error: Error) -> Error {
    match error {
        Error::Inference(cause) => Error::MessagesRefused {
            reason: cause.to_string(),
        },
        other => other,
    }
}

fn rendered(model: &dyn LanguageModel, dialogue: &Dialogue) -> Result<String, Error> {
    let offered = &dialogue.tools.offered;
    let wanted = dialogue.shape.as_ref().map(told);
    if !offered.is_empty() {
        let messages = for_template(&with_rules(&dialogue.speeches, wanted.as_deref()));
        let tools: Vec<Value> = offered.iter().map(signature).collect();
        if let Some(text) = model.render_with_tools(&messages.into(), &tools.into())? {
            return Ok(text);
        }
    }
    let tools: Vec<String> = offered.iter().map(|tool| json_line(&signature(tool))).collect();
    let tools = (!tools.is_empty()).then(|| TOOLS.trim().replace(TOOLS_MARK, &tools.join("\n")));
    let rules: Vec<String> = tools.into_iter().chain(wanted).collect();
    let rules = (!rules.is_empty()).then(|| rules.join("\n\n"));
    let speeches = with_rules(&dialogue.speeches, rules.as_deref());
    let messages = speeches.iter().map(|(role, speech, rules)| Message {
        role: *role,
        content: in_text(speech, *rules),
    });
    model.render(&messages.collect::<Vec<_>>())
}

/// What one side says, with rules of ours that belong to it.
type Ruled<'a> = (Role, &'a [Part], Option<&'a str>);

/// Returns what was said, with rules of ours after those of the system.
fn with_rules<'a>(speeches: &'a [Speech], rules: Option<&'a str>) -> Vec<Ruled<'a>> {
    let mut ruled = Vec::with_capacity(speeches.len() + 1);
    let has_system = speeches.first().is_some_and(|speech| speech.role == Role::System);
    if rules.is_some() && !has_system {
        ruled.push((Role::System, &[][..], rules));
    }
    for (at, speech) in speeches.iter().enumerate() {
        let rules = rules.filter(|_| at == 0 && has_system);
        ruled.push((speech.role, &speech.parts[..], rules));
    }
    ruled
}

/// Tells a model what its message must be.
fn told(shape: &Shape) -> String {
    match shape {
        Shape::Json {
            schema,
            name,
            description,
        } => {
            let name = if name.is_empty() {
                String::new()
            } else {
                format!(" \"{}\"", defused(name))
            };
            let description = if description.is_empty() {
                String::new()
            } else {
                format!(" ({})", defused(description))
            };
            let schema = json_line(schema);
            format!("Answer with nothing but one line of JSON that fits the JSON Schema{name}{description}: {schema}")
        }
        Shape::Regex(pattern) => format!(
            "Answer with nothing but a text that fits the regular expression {}",
            defused(pattern)
        ),
    }
}

/// Returns a tool as chat templates know tools.
fn signature(tool: &Tool) -> Value {
    json!({
        "type": "function",
        "function": { "name": tool.name, "description": tool.description, "parameters": tool.schema },
    })
}

/// Returns what was said as chat templates know it.
fn for_template(speeches: &[Ruled<'_>]) -> Vec<Value> {
    let mut messages = Vec::new();
    for (role, parts, rules) in speeches {
        let results = parts.iter().filter_map(|part| match part {
            Part::ToolResult(result) => Some(result),
            _ => None,
        });
        messages.extend(results.map(|result| json!({ "role": "tool", "content": returned(result) })));
        let text = texts(parts, *rules);
        let calls: Vec<Value> = calls(parts)
            .map(|call| json!({ "type": "function", "function": { "name": call.name, "arguments": call.input } }))
            .collect();
        let role = match role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        if !calls.is_empty() {
            messages.push(json!({ "role": role, "content": text, "tool_calls": calls }));
        } else if !text.is_empty() {
            messages.push(json!({ "role": role, "content": text }));
        }
    }
    messages
}

/// Returns what one side says as text, calls and what came of them between their marks.
fn in_text(parts: &[Part], rules: Option<&str>) -> String {
    let results = parts.iter().filter_map(|part| match part {
        Part::ToolResult(result) => Some(format!("<tool_response>\n{}\n</tool_response>", returned(result))),
        _ => None,
    });
    let calls = calls(parts).map(|call| {
        let call = json_line(&json!({ "name": call.name, "arguments": call.input }));
        format!("{CALL_MARK}\n{call}\n{CALL_END}")
    });
    let text = Some(texts(parts, rules)).filter(|text| !text.is_empty());
    results.chain(text).chain(calls).collect::<Vec<_>>().join("\n")
}

fn texts(parts: &[Part], rules: Option<&str>) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(defused(text)),
        _ => None,
    });
    texts.chain(rules.map(str::to_owned)).collect::<Vec<_>>().join("\n\n")
}

fn calls(parts: &[Part]) -> impl Iterator<Item = &ToolUse> {
    parts.iter().filter_map(|part| match part {
        Part::ToolUse(call) => Some(call),
        _ => None,
    })
}

fn returned(result: &ToolResult) -> String {
    let content = defused(&result.content);
    if result.is_error {
        format!("Error: {content}")
    } else {
        content
    }
}

#[cfg(test)]
mod tests;
