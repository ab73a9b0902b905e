//! JSON Schemas, before they become grammars.
//!
//! Comes in: the text of a schema. Goes out: a schema that the grammar's engine can keep to, or what it cannot be kept to
//! in, and where.
//! Always holds: what fits the schema that goes out fits the one that came in.
//! Not here: what stands where in a schema (see [`super::places`]), what fits it (see [`super::satisfiable`]).

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::places::{MAX_COUNT, Part, Place, bounds_count, count, places};
use super::satisfiable::barren;

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

/// Keys of a schema that say how small and how large a number may be.
const LOWER_BOUNDS: [&str; 2] = ["minimum", "exclusiveMinimum"];
const UPPER_BOUNDS: [&str; 2] = ["maximum", "exclusiveMaximum"];
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
fn closed(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if !is_combined(&schema) {
        close(&mut schema);
    }
    schema
}

/// Returns the schema as the grammar's engine can keep to it; fails with what it cannot be kept to in.
///
/// Objects are closed, whole numbers have bounds, counts are whole numbers, references are as the engine follows them, and
/// what nothing fits is `false`, so that no text begins with it.
pub(super) fn prepared(schema: &Value) -> Result<Value, String> {
    let closed = closed(schema);
    let places = places(&closed)?;
    let mut prepared = closed.clone();
    for place in &places {
        for (keyword, value) in place.value.as_object().into_iter().flatten() {
            if let (Some(is_upper), Some(count)) = (bounds_count(keyword), count(value)) {
                let count = if is_upper { count.min(MAX_COUNT) } else { count };
                set(&mut prepared, &place.pointer, keyword, count.into());
            }
        }
        let keys = place.value.as_object().filter(|keys| is_whole(keys));
        let missing = keys.into_iter().flat_map(|keys| {
            let bounds = [
                (LOWER_BOUNDS, -MAX_EXACT.cast_signed()),
                (UPPER_BOUNDS, MAX_EXACT.cast_signed()),
            ];
            bounds
                .into_iter()
                .filter(|(names, _)| !names.iter().any(|name| keys.contains_key(*name)))
        });
        for (names, bound) in missing {
            set(&mut prepared, &place.pointer, names[0], bound.into());
        }
    }
    refer(&mut prepared, &places);
    for at in barren(&places)? {
        // What stands in a schema that is `false` by now is gone.
        if let Some(schema) = prepared.pointer_mut(&places[at].pointer) {
            *schema = Value::Bool(false);
        }
    }
    exact(&mut prepared).map_err(|number| {
        format!("the number {number} cannot be kept to exactly: numbers go to 2^53 on both sides of 0")
    })?;
    Ok(prepared)
}

/// Writes references as the engine follows them: names without escapes, so that what has a slash in its name is copied to
/// where it has none.
fn refer(schema: &mut Value, places: &[Place<'_>]) {
    let mut copied = BTreeMap::<String, String>::new();
    for place in places {
        for (_, target) in place.parts.iter().filter(|(part, _)| *part == Part::Reference) {
            let target = &places[*target].pointer;
            let names: Vec<String> = target.split('/').skip(1).map(unescaped).collect();
            let reference = if target == "/" || names.iter().any(|name| name.contains('/')) {
                if !copied.contains_key(target) {
                    copied.insert(target.clone(), free_name(schema, &copied, target));
                }
                format!("#/$defs/{}", copied[target])
            } else {
                std::iter::once("#")
                    .chain(names.iter().map(String::as_str))
                    .collect::<Vec<_>>()
                    .join("/")
            };
            set(schema, &place.pointer, "$ref", reference.into());
        }
    }
    for (target, name) in copied {
        let copy = schema.pointer(&target).cloned().unwrap_or(Value::Bool(true));
        if let Some(keys) = schema.as_object_mut() {
            let definitions = keys.entry("$defs").or_insert_with(|| Value::Object(Map::new()));
            if let Some(definitions) = definitions.as_object_mut() {
                definitions.insert(name, copy);
            }
        }
    }
}

/// Returns the name of a definition that is not there yet, near to what errors would call it.
fn free_name(schema: &Value, copied: &BTreeMap<String, String>, target: &str) -> String {
    let mut name = target.strip_prefix("/$defs/").unwrap_or(target).replace('/', "~1");
    while schema["$defs"].get(&name).is_some() || copied.values().any(|taken| *taken == name) {
        name.push('_');
    }
    name
}

fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

fn set(schema: &mut Value, pointer: &str, keyword: &str, value: Value) {
    if let Some(Value::Object(keys)) = schema.pointer_mut(pointer) {
        keys.insert(keyword.to_owned(), value);
    }
}

/// Draws bounds that are farther out in to where numbers are exact: what fits then fits the schema too. Fails with a number
/// that cannot be kept to exactly.
fn exact(schema: &mut Value) -> Result<(), Number> {
    let keys = match schema {
        Value::Number(number) if !is_exact(number) => return Err(number.clone()),
        Value::Array(values) => return values.iter_mut().try_for_each(exact),
        Value::Object(keys) => keys,
        _ => return Ok(()),
    };
    for (key, value) in keys {
        let is_lower = LOWER_BOUNDS.contains(&key.as_str());
        let is_upper = UPPER_BOUNDS.contains(&key.as_str());
        let bound = value
            .as_number()
            .filter(|bound| (is_lower || is_upper) && !is_exact(bound));
        match bound.and_then(Number::as_f64) {
            Some(bound) if (bound < 0.0) == is_lower => {
                let most = MAX_EXACT.cast_signed();
                *value = if is_lower { -most } else { most }.into();
            }
            _ if SILENT_KEYS.contains(&key.as_str()) => {}
            _ => exact(value)?,
        }
    }
    Ok(())
}

/// Returns whether numbers that fit a schema are whole and not listed: they need bounds, or digits go on and on.
fn is_whole(keys: &Map<String, Value>) -> bool {
    let is_listed = keys.contains_key("enum") || keys.contains_key("const");
    let has = |name: &str| match keys.get("type") {
        Some(Value::Array(names)) => names.iter().any(|listed| listed == name),
        listed => listed.is_some_and(|listed| listed == name),
    };
    !is_listed && has("integer") && !has("number")
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
