//! What callers ask of the shape of a message, and the tools of a conversation, checked.
//!
//! Always holds: each call of a tool has a result in the next message, and each result a call in the one before.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Block, Error, Turn};
use crate::generate::{self, ConstraintPart, Dialogue, MAX_SCHEMA_BYTES, Role, Shape, ToolChoice, Tools};

/// Most tools of a conversation.
pub const MAX_TOOLS: usize = 64;
/// Longest description of a tool or a schema in bytes.
pub const MAX_TOOL_DESCRIPTION_BYTES: usize = 4 << 10;
/// Longest regular expression in bytes.
pub const MAX_PATTERN_BYTES: usize = 4 << 10;
/// Longest name of a tool or a schema, and id of a call.
const MAX_NAME_CHARS: usize = 64;

/// Checks the tools that a model is offered.
pub(super) fn check_tools(path: &str, tools: &Tools) -> Result<(), Error> {
    let path = format!("{path}tool_config");
    let count = tools.offered.len();
    if count > MAX_TOOLS {
        let reason = format!("at most {MAX_TOOLS} tools are taken, there are {count}");
        return Err(Error::invalid(format!("{path}.tools"), reason));
    }
    let (mut names, mut bytes) = (BTreeSet::new(), 0);
    for (at, tool) in tools.offered.iter().enumerate() {
        let field = |name: &str| format!("{path}.tools[{at}].tool_spec.{name}");
        check_name(&field("name"), &tool.name)?;
        if !names.insert(&tool.name) {
            let reason = format!("there is a tool `{}` before it: names differ", tool.name);
            return Err(Error::invalid(field("name"), reason));
        }
        check_description(&field("description"), &tool.description)?;
        if tool.schema.get("type") != Some(&Value::from("object")) {
            let reason = "the schema of what a tool is given has the type `object`";
            return Err(Error::invalid(field("input_schema"), reason));
        }
        bytes += tool.schema.to_string().len();
        if bytes > MAX_SCHEMA_BYTES {
            let reason = format!("schemas have {MAX_SCHEMA_BYTES} bytes in all at most, these are more with this one");
            return Err(Error::invalid(field("input_schema"), reason));
        }
    }
    match &tools.choice {
        ToolChoice::Tool(name) if !names.contains(name) => {
            let reason = format!("there is no tool `{name}`: name one of `tools`");
            Err(Error::invalid(format!("{path}.tool_choice.tool.name"), reason))
        }
        _ => Ok(()),
    }
}

/// Checks what a message must be.
pub(super) fn check_shape(path: &str, shape: Option<&Shape>, choice: &ToolChoice) -> Result<(), Error> {
    let path = format!("{path}output_config.text_format");
    let field = |name: &str| format!("{path}.structure.{name}");
    match shape {
        None => return Ok(()),
        Some(Shape::Json { name, description, .. }) => {
            if !name.is_empty() {
                check_name(&field("json_schema.name"), name)?;
            }
            check_description(&field("json_schema.description"), description)?;
        }
        Some(Shape::Regex(pattern)) => {
            let bytes = pattern.len();
            if !(1..=MAX_PATTERN_BYTES).contains(&bytes) {
                let reason = format!("must have 1 to {MAX_PATTERN_BYTES} bytes, has {bytes}");
                return Err(Error::invalid(field("regex.pattern"), reason));
            }
        }
    }
    if *choice == ToolChoice::Auto {
        return Ok(());
    }
    let reason = "a message that has to call tools has no text: take the tool choice `auto`, or leave this out";
    Err(Error::invalid(path, reason))
}

/// Checks calls of tools and what came of them.
pub(super) fn check_tool_turns(path: &str, turns: &[Turn], tools: &Tools) -> Result<(), Error> {
    let mut ids = BTreeSet::new();
    // Calls of the message before.
    let mut open: BTreeSet<&str> = BTreeSet::new();
    for (at, turn) in turns.iter().enumerate() {
        let mut called = BTreeSet::new();
        let path = format!("{path}messages[{at}].content");
        for (block_at, block) in turn.content.iter().enumerate() {
            let field = |name: &str| format!("{path}[{block_at}].{name}");
            match block {
                Block::ToolUse(call) => {
                    if turn.role != Role::Assistant {
                        let reason = "the assistant calls tools, the user tells what came of it";
                        return Err(Error::invalid(field("tool_use"), reason));
                    }
                    check_name(&field("tool_use.tool_use_id"), &call.id)?;
                    if !ids.insert(call.id.as_str()) {
                        let reason = format!("there is a call `{}` before it: ids differ", call.id);
                        return Err(Error::invalid(field("tool_use.tool_use_id"), reason));
                    }
                    if !tools.offered.iter().any(|tool| tool.name == call.name) {
                        let reason = format!("there is no tool `{}` in `tool_config`", call.name);
                        return Err(Error::invalid(field("tool_use.name"), reason));
                    }
                    called.insert(call.id.as_str());
                }
                Block::ToolResult(result) => {
                    let id = result.tool_use_id.as_str();
                    if turn.role != Role::User {
                        let reason = "the user tells what came of a call";
                        return Err(Error::invalid(field("tool_result"), reason));
                    }
                    if !open.remove(id) {
                        let reason = format!("the message before has no call `{id}` that is without a result");
                        return Err(Error::invalid(field("tool_result.tool_use_id"), reason));
                    }
                }
                Block::Text(_) | Block::Document { .. } | Block::CachePoint(_) => {}
            }
        }
        if let Some(id) = open.first() {
            let reason = format!("must have a tool_result for the call `{id}` of the message before");
            return Err(Error::invalid(path, reason));
        }
        open = called;
    }
    Ok(())
}

/// Turns what a model cannot be brought to write into an error about the field that asks for it.
pub(super) fn in_its_field(error: generate::Error, path: &str, dialogue: &Dialogue) -> Error {
    let generate::Error::Constraint { part, reason } = error else {
        return error.into();
    };
    let shape = || match dialogue.shape {
        Some(Shape::Json { .. }) => "output_config.text_format.structure.json_schema.schema".to_owned(),
        Some(Shape::Regex(_)) => "output_config.text_format.structure.regex.pattern".to_owned(),
        None => "tool_config".to_owned(),
    };
    let field = match part {
        ConstraintPart::Tool(at) => format!("tool_config.tools[{at}].tool_spec.input_schema"),
        ConstraintPart::Shape => shape(),
        ConstraintPart::Whole if dialogue.tools.offered.is_empty() => shape(),
        ConstraintPart::Whole => "tool_config".to_owned(),
    };
    Error::invalid(format!("{path}{field}"), reason)
}

fn check_name(field: &str, name: &str) -> Result<(), Error> {
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && name.chars().all(is_known) {
        return Ok(());
    }
    let reason = format!("must be 1 to {MAX_NAME_CHARS} letters, digits, `-` and `_`, is `{name}`");
    Err(Error::invalid(field, reason))
}

fn check_description(field: &str, description: &str) -> Result<(), Error> {
    let bytes = description.len();
    if bytes > MAX_TOOL_DESCRIPTION_BYTES {
        let reason = format!("has {MAX_TOOL_DESCRIPTION_BYTES} bytes at most, this one has {bytes}");
        return Err(Error::invalid(field, reason));
    }
    Ok(())
}
