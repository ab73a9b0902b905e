//! JSON Schemas, before they become grammars.

use serde_json::{Map, Number, Value};

/// Longest JSON Schema in bytes.
pub const MAX_SCHEMA_BYTES: usize = 64 << 10;

/// Keys of a schema whose value is a schema.
const SCHEMA_KEYS: [&str; 3] = ["items", "additionalProperties", "additionalItems"];
/// Keys of a schema whose value has a schema for each name.
const NAMED_SCHEMAS_KEYS: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
/// Keys of a schema whose value is a list of schemas.
const SCHEMA_LIST_KEYS: [&str; 4] = ["anyOf", "oneOf", "prefixItems", "items"];
/// Keys of a schema that say what else an object may hold.
const OPEN_KEYS: [&str; 3] = ["additionalProperties", "unevaluatedProperties", "patternProperties"];
/// Keys of a schema that put another one over it.
const COMBINING_KEYS: [&str; 3] = ["anyOf", "oneOf", "$ref"];

/// Keys of a schema that say nothing of what fits it.
const SILENT_KEYS: [&str; 5] = ["title", "description", "default", "examples", "$comment"];
/// Whole numbers up to here are exact as doubles, which the grammar's engine computes with.
const MAX_EXACT: u64 = 1 << 53;

/// Why a text is no schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It is too long.
    #[error("a JSON schema has {MAX_SCHEMA_BYTES} bytes at most, this one has {bytes}")]
    TooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// It is not JSON.
    #[error("is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// It is JSON of another kind.
    #[error("a JSON schema is an object, this is {kind}")]
    NotObject {
        /// What it is.
        kind: &'static str,
    },
}

/// Reads a schema. The order of its properties is the one in which they are written.
pub fn parse_schema(text: &str) -> Result<Value, SchemaError> {
    let bytes = text.len();
    if bytes > MAX_SCHEMA_BYTES {
        return Err(SchemaError::TooLong { bytes });
    }
    let kind = match serde_json::from_str(text).map_err(SchemaError::NotJson)? {
        schema @ Value::Object(_) => return Ok(schema),
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
    };
    Err(SchemaError::NotObject { kind })
}

/// Returns the schema with objects that name their properties holding no others, unless they say what else they hold: a
/// small model goes on inventing properties. Schemas that are put over one another stay as they are.
pub(super) fn closed(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if !is_combined(&schema) {
        close(&mut schema);
    }
    schema
}

/// Draws bounds that are farther out in to where numbers are exact: what fits then fits the schema too. Fails with a number
/// that cannot be kept to exactly.
pub(super) fn exact(schema: &mut Value) -> Result<(), Number> {
    let keys = match schema {
        Value::Number(number) if !is_exact(number) => return Err(number.clone()),
        Value::Array(values) => return values.iter_mut().try_for_each(exact),
        Value::Object(keys) => keys,
        _ => return Ok(()),
    };
    for (key, value) in keys {
        let is_lower = ["minimum", "exclusiveMinimum"].contains(&key.as_str());
        let is_upper = ["maximum", "exclusiveMaximum"].contains(&key.as_str());
        match value.as_f64().filter(|_| is_lower || is_upper) {
            Some(bound) if !is_exact_bound(value) && (bound < 0.0) == is_lower => {
                let most = MAX_EXACT.cast_signed();
                *value = if is_lower { -most } else { most }.into();
            }
            _ if SILENT_KEYS.contains(&key.as_str()) => {}
            _ => exact(value)?,
        }
    }
    Ok(())
}

fn is_exact_bound(value: &Value) -> bool {
    value.as_number().is_none_or(is_exact)
}

fn is_exact(number: &Number) -> bool {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(whole), _, _) => whole <= MAX_EXACT,
        (_, Some(whole), _) => whole.unsigned_abs() <= MAX_EXACT,
        (_, _, Some(number)) => number.abs() <= MAX_EXACT as f64,
        _ => false,
    }
}

fn is_combined(schema: &Value) -> bool {
    let Value::Object(keys) = schema else {
        return false;
    };
    let is_over_another = keys.contains_key("properties") && COMBINING_KEYS.iter().any(|key| keys.contains_key(*key));
    keys.contains_key("allOf") || is_over_another || inner(keys).any(is_combined)
}

fn close(schema: &mut Value) {
    let Value::Object(keys) = schema else {
        return;
    };
    inner_mut(keys).for_each(close);
    if keys.contains_key("properties") && !OPEN_KEYS.iter().any(|key| keys.contains_key(*key)) {
        keys.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}

fn inner(keys: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    keys.iter().flat_map(|(key, value)| -> Vec<&Value> {
        match value {
            Value::Object(named) if NAMED_SCHEMAS_KEYS.contains(&key.as_str()) => named.values().collect(),
            Value::Array(listed) if SCHEMA_LIST_KEYS.contains(&key.as_str()) => listed.iter().collect(),
            schema if SCHEMA_KEYS.contains(&key.as_str()) => vec![schema],
            _ => Vec::new(),
        }
    })
}

fn inner_mut(keys: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    keys.iter_mut().flat_map(|(key, value)| -> Vec<&mut Value> {
        let key = key.as_str();
        if NAMED_SCHEMAS_KEYS.contains(&key) {
            value.as_object_mut().map(|named| named.values_mut().collect())
        } else if SCHEMA_LIST_KEYS.contains(&key) && value.is_array() {
            value.as_array_mut().map(|listed| listed.iter_mut().collect())
        } else {
            SCHEMA_KEYS.contains(&key).then(|| vec![value])
        }
        .unwrap_or_default()
    })
}
