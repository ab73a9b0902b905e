//! Tools and shapes of messages, off the wire; calls of tools, both ways.

use serde_json::{Map, Number, Value};

use super::conversation::cache_point;
use super::{known, required};
use crate::generate::{Shape, Tool, ToolChoice, ToolResult, ToolUse, Tools, parse_schema};
use crate::knowledge_base::Error;
use crate::service::pb;
use crate::service::pb::output_format_structure::Structure;
use crate::service::pb::tool::Tool as ToolKind;
use crate::service::pb::tool_choice::Choice;
use crate::service::pb::tool_input_schema::Schema;
use crate::service::pb::tool_result_content_block::Content;

/// Whole numbers up to here are exact as doubles.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Returns the tools that a model is offered; `path` is where they stand in the request.
pub(super) fn tools(path: &str, wire: Option<pb::ToolConfiguration>) -> Result<Tools, Error> {
    let Some(mut wire) = wire else {
        return Ok(Tools::default());
    };
    let path = format!("{path}tool_config");
    let is_point = |tool: &mut pb::Tool| matches!(tool.tool, Some(ToolKind::CachePoint(_)));
    let cache_point = match wire.tools.pop_if(is_point).and_then(|tool| tool.tool) {
        Some(ToolKind::CachePoint(point)) => {
            let last = wire.tools.len();
            Some(cache_point(&format!("{path}.tools[{last}]"), point)?)
        }
        _ => None,
    };
    if wire.tools.is_empty() {
        return Err(Error::invalid(format!("{path}.tools"), "is required, but has no tool"));
    }
    let offered = wire.tools.into_iter().enumerate().map(|(at, tool)| {
        let path = format!("{path}.tools[{at}]");
        match tool.tool {
            Some(ToolKind::ToolSpec(specification)) => tool_of(&format!("{path}.tool_spec"), specification),
            Some(ToolKind::CachePoint(_)) => Err(Error::invalid(path, "comes last: put it behind all tools")),
            None => Err(Error::invalid(
                path,
                "has no tool that this server knows: give `tool_spec` or `cache_point`",
            )),
        }
    });
    Ok(Tools {
        cache_point,
        offered: offered.collect::<Result<_, _>>()?,
        choice: match wire.tool_choice.map(|choice| choice.choice) {
            None | Some(Some(Choice::Auto(_))) => ToolChoice::Auto,
            Some(Some(Choice::Any(_))) => ToolChoice::Any,
            Some(Some(Choice::Tool(specific))) => {
                ToolChoice::Tool(required(&format!("{path}.tool_choice.tool.name"), specific.name)?)
            }
            Some(None) => {
                let reason = "has no choice that this server knows: give `auto`, `any` or `tool`";
                return Err(Error::invalid(format!("{path}.tool_choice"), reason));
            }
        },
    })
}

fn tool_of(path: &str, wire: pb::ToolSpecification) -> Result<Tool, Error> {
    let field = format!("{path}.input_schema");
    let schema = match wire.input_schema.and_then(|schema| schema.schema) {
        Some(Schema::Json(schema)) => object(&format!("{field}.json"), schema)?,
        Some(Schema::Text(text)) => {
            parse_schema(&text).map_err(|error| Error::invalid(format!("{field}.text"), error.to_string()))?
        }
        None => return Err(Error::invalid(field, "is required: give `json` or `text`")),
    };
    Ok(Tool {
        name: required(&format!("{path}.name"), wire.name)?,
        description: wire.description,
        schema,
    })
}

/// Returns what a message must be; `path` is where that stands in the request.
pub(super) fn shape(path: &str, wire: Option<pb::OutputConfig>) -> Result<Option<Shape>, Error> {
    let Some(format) = wire.and_then(|wire| wire.text_format) else {
        return Ok(None);
    };
    let path = format!("{path}output_config.text_format");
    let kind: pb::OutputFormatType = known(&format!("{path}.type"), format.r#type)?;
    let (found, shape) = match format.structure.and_then(|structure| structure.structure) {
        Some(Structure::JsonSchema(definition)) => {
            let field = format!("{path}.structure.json_schema.schema");
            let text = required(&field, definition.schema)?;
            let schema = parse_schema(&text).map_err(|error| Error::invalid(field, error.to_string()))?;
            let (name, description) = (definition.name, definition.description);
            let shape = Shape::Json {
                schema,
                name,
                description,
            };
            (pb::OutputFormatType::JsonSchema, shape)
        }
        Some(Structure::Regex(definition)) => (pb::OutputFormatType::Regex, Shape::Regex(definition.pattern)),
        None => {
            let reason = "is required: give `json_schema` or `regex`";
            return Err(Error::invalid(format!("{path}.structure"), reason));
        }
    };
    if kind != pb::OutputFormatType::Unspecified && kind != found {
        let reason = format!(
            "is {}, but the structure is of {}",
            kind.as_str_name(),
            found.as_str_name()
        );
        return Err(Error::invalid(format!("{path}.type"), reason));
    }
    Ok(Some(shape))
}

/// Returns a call of a tool.
pub(super) fn tool_use(path: &str, wire: pb::ToolUseBlock) -> Result<ToolUse, Error> {
    Ok(ToolUse {
        id: wire.tool_use_id,
        name: wire.name,
        input: object(&format!("{path}.input"), wire.input.unwrap_or_default())?,
    })
}

/// Returns what came of a call.
pub(super) fn tool_result(path: &str, wire: pb::ToolResultBlock) -> Result<ToolResult, Error> {
    let status: pb::ToolResultStatus = known(&format!("{path}.status"), wire.status)?;
    let content = wire
        .content
        .into_iter()
        .enumerate()
        .map(|(at, block)| match block.content {
            Some(Content::Text(text)) => Ok(text),
            Some(Content::Json(json)) => Ok(value(&format!("{path}.content[{at}].json"), json)?.to_string()),
            None => {
                let reason = "has no content that this server knows: give `text` or `json`";
                Err(Error::invalid(format!("{path}.content[{at}]"), reason))
            }
        });
    Ok(ToolResult {
        tool_use_id: wire.tool_use_id,
        content: content.collect::<Result<Vec<_>, _>>()?.join("\n"),
        is_error: status == pb::ToolResultStatus::Error,
    })
}

/// Returns what a tool is given, from its JSON; nothing where that is no whole object.
pub(super) fn input(json: &str) -> Option<prost_types::Struct> {
    match serde_json::from_str(json).ok()? {
        Value::Object(object) => Some(wire_object(object)),
        _ => None,
    }
}

fn object(path: &str, wire: prost_types::Struct) -> Result<Value, Error> {
    let fields = wire.fields.into_iter();
    let fields = fields.map(|(key, wire)| Ok((key, value(path, wire)?)));
    Ok(Value::Object(fields.collect::<Result<_, Error>>()?))
}

/// Returns JSON; fails where it is none, with the path of all of it.
fn value(path: &str, wire: prost_types::Value) -> Result<Value, Error> {
    use prost_types::value::Kind;
    let value = match wire.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(truth)) => truth.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() <= MAX_EXACT => {
            Value::from(number as i64)
        }
        Some(Kind::NumberValue(number)) => match Number::from_f64(number) {
            Some(number) => Value::Number(number),
            None => return Err(Error::invalid(path, format!("holds {number}, which JSON cannot"))),
        },
        Some(Kind::ListValue(list)) => {
            let values = list.values.into_iter().map(|wire| value(path, wire));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Some(Kind::StructValue(wire)) => object(path, wire)?,
    };
    Ok(value)
}

fn wire_object(object: Map<String, Value>) -> prost_types::Struct {
    prost_types::Struct {
        fields: object
            .into_iter()
            .map(|(key, value)| (key, wire_value(value)))
            .collect(),
    }
}

fn wire_value(value: Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(truth),
        Value::String(text) => Kind::StringValue(text),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::Array(values) => Kind::ListValue(prost_types::ListValue {
            values: values.into_iter().map(wire_value).collect(),
        }),
        Value::Object(object) => Kind::StructValue(wire_object(object)),
    };
    prost_types::Value { kind: Some(kind) }
}
