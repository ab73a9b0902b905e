//! Filters in JSON: in the form of Amazon Bedrock, and with the names of the wire.

use serde_json::Value;

use super::attribute::{KINDS, kind, parse_date};
use crate::service::pb;
use crate::service::pb::metadata_value::Kind;
use crate::service::pb::retrieval_filter::Condition;

/// Nesting that is read; the server's own limit is lower.
const MAX_DEPTH: usize = 64;

/// Reads a filter.
pub(super) fn parse(text: &str) -> Result<pb::RetrievalFilter, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("the filter is not JSON: {error}"))?;
    filter(&value, 1)
}

fn filter(value: &Value, depth: usize) -> Result<pb::RetrievalFilter, String> {
    let entry = value.as_object().filter(|object| object.len() == 1);
    let Some((name, value)) = entry.and_then(|object| object.iter().next()) else {
        return Err("a condition is an object with one operator, such as {\"equals\": {...}}".to_owned());
    };
    if depth > MAX_DEPTH {
        return Err(format!("conditions nest at most {MAX_DEPTH} deep"));
    }
    let compared = |made: fn(pb::FilterAttribute) -> Condition| attribute(name, value).map(made);
    let condition = match name.as_str() {
        "equals" => compared(Condition::Equals)?,
        "notEquals" | "not_equals" => compared(Condition::NotEquals)?,
        "greaterThan" | "greater_than" => compared(Condition::GreaterThan)?,
        "greaterThanOrEquals" | "greater_than_or_equals" => compared(Condition::GreaterThanOrEquals)?,
        "lessThan" | "less_than" => compared(Condition::LessThan)?,
        "lessThanOrEquals" | "less_than_or_equals" => compared(Condition::LessThanOrEquals)?,
        "in" => compared(Condition::In)?,
        "notIn" | "not_in" => compared(Condition::NotIn)?,
        "startsWith" | "starts_with" => compared(Condition::StartsWith)?,
        "listContains" | "list_contains" => compared(Condition::ListContains)?,
        "stringContains" | "string_contains" => compared(Condition::StringContains)?,
        "andAll" | "and_all" => Condition::AndAll(list(name, value, depth)?),
        "orAll" | "or_all" => Condition::OrAll(list(name, value, depth)?),
        "not" => Condition::Not(Box::new(filter(value, depth + 1)?)),
        "exists" => match value.as_str() {
            Some(key) => Condition::Exists(key.to_owned()),
            None => return Err("exists takes the name of an attribute".to_owned()),
        },
        _ => return Err(format!("`{name}` is no operator of a filter")),
    };
    Ok(pb::RetrievalFilter {
        condition: Some(condition),
    })
}

fn list(name: &str, value: &Value, depth: usize) -> Result<pb::RetrievalFilterList, String> {
    // The wire's own form has the conditions in a field.
    let conditions = value.get("filters").unwrap_or(value).as_array();
    let conditions = conditions.ok_or_else(|| format!("{name} takes a list of conditions"))?;
    let filters = conditions.iter().map(|condition| filter(condition, depth + 1));
    Ok(pb::RetrievalFilterList {
        filters: filters.collect::<Result<_, _>>()?,
    })
}

fn attribute(name: &str, value: &Value) -> Result<pb::FilterAttribute, String> {
    let (Some(key), Some(wanted)) = (value.get("key").and_then(Value::as_str), value.get("value")) else {
        return Err(format!("{name} takes an object with a key and a value"));
    };
    let kind = match wanted.get("date").and_then(Value::as_str) {
        Some(date) => Kind::TimestampValue(parse_date(date)?),
        None => {
            kind(wanted).ok_or_else(|| format!("the value of {name} is {KINDS}, or {{\"date\": \"2024-05-01\"}}"))?
        }
    };
    Ok(pb::FilterAttribute {
        key: key.to_owned(),
        value: Some(pb::MetadataValue { kind: Some(kind) }),
    })
}
