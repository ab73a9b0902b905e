//! `key=value` on the command line: metadata of documents, filters of searches, tags.

use serde_json::Value;

use super::filter_json;
use super::moment::timestamp;
use crate::service::pb;
use crate::service::pb::metadata_value::Kind;
use crate::service::pb::retrieval_filter::Condition;

/// How attributes are written, for `--help`.
pub(super) const HELP: &str = "\
Attributes: key=text, key:=json for a number, a truth value or a list of texts or numbers, or key@=date:
  team=search   year:=2024   draft:=false   topics:='[\"rust\", \"grpc\"]'   published@=2024-05-01";

/// How conditions are written, for `--help`.
pub(super) const CONDITIONS_HELP: &str = "\
Conditions of --filter, beside attributes:
  draft!=yes  year:!=2024  year>=2020  'published<2024-06-01'   other values; more or less than a number or a date
  'title^=The'  'title*=harbour'  'topics~=rust'   text that begins so, text that holds it, list that holds it
  'grades~:=2.5'                                   list that holds a number
  'topics?'  '!topics?'                            whether there is such an attribute
  '{\"in\": {\"key\": \"team\", \"value\": [\"search\", \"ops\"]}}'   any filter of Amazon Bedrock";

/// An attribute of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attribute {
    pub(super) key: String,
    pub(super) value: pb::MetadataValue,
}

/// Reads `key=text`, `key:=json` or `key@=date`.
pub(super) fn parse(text: &str) -> Result<Attribute, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("expected key=text, key:=json or key@=date")?;
    let (key, kind) = if let Some(key) = key.strip_suffix(':') {
        (key, typed(value)?)
    } else if let Some(key) = key.strip_suffix('@') {
        (key, Kind::TimestampValue(parse_date(value)?))
    } else {
        (key, Kind::StringValue(value.to_owned()))
    };
    attribute(key, kind)
}

fn attribute(key: &str, kind: Kind) -> Result<Attribute, String> {
    if key.is_empty() {
        return Err("the key before the value is empty".to_owned());
    }
    Ok(Attribute {
        key: key.to_owned(),
        value: pb::MetadataValue { kind: Some(kind) },
    })
}

/// Reads `key=text`, for labels that have no types.
pub(super) fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected key=value".to_owned()),
    }
}

/// Reads a day, or an instant in the form of RFC 3339.
pub(super) fn parse_date(text: &str) -> Result<prost_types::Timestamp, String> {
    timestamp(text).ok_or_else(|| format!("`{text}` is no date such as 2024-05-01 or 2024-05-01T12:00:00Z"))
}

/// Reads a condition, as [`CONDITIONS_HELP`] says.
pub(super) fn parse_condition(text: &str) -> Result<pb::RetrievalFilter, String> {
    if text.trim_start().starts_with('{') {
        return filter_json::parse(text);
    }
    let condition = match text.find(['=', '<', '>']) {
        None => return existing(text),
        Some(at) if text[at..].starts_with('=') => compared(text, at)?,
        Some(at) => ranged(text, at)?,
    };
    Ok(filter(condition))
}

fn filter(condition: Condition) -> pb::RetrievalFilter {
    pb::RetrievalFilter {
        condition: Some(condition),
    }
}

/// Reads `key?` or `!key?`.
fn existing(text: &str) -> Result<pb::RetrievalFilter, String> {
    let expected = "expected a condition such as key=text, key:=json, key!=text, key>=number or key?";
    let named = text.strip_suffix('?').ok_or(expected)?;
    let key = named.strip_prefix('!').unwrap_or(named);
    if key.is_empty() {
        return Err(expected.to_owned());
    }
    let exists = filter(Condition::Exists(key.to_owned()));
    Ok(if key.len() < named.len() {
        filter(Condition::Not(Box::new(exists)))
    } else {
        exists
    })
}

/// Reads what has its first `=` at `at`, behind a sign of what is meant, if any.
fn compared(text: &str, at: usize) -> Result<Condition, String> {
    let before = &text[..at];
    let made: Option<fn(pb::FilterAttribute) -> Condition> = match before.chars().next_back() {
        Some('^') => Some(Condition::StartsWith),
        Some('*') => Some(Condition::StringContains),
        Some('~') => Some(Condition::ListContains),
        _ => None,
    };
    if let Some(made) = made
        && !before.ends_with(":~")
    {
        let value = Kind::StringValue(text[at + 1..].to_owned());
        return Ok(made(attribute(&before[..at - 1], value)?.into()));
    }
    // `!=` with a type before or behind the mark: `key:!=json` and `key!:=json` say the same.
    let not = before
        .rfind('!')
        .filter(|mark| matches!(&before[mark + 1..], "" | ":" | "@"));
    if let Some(mark) = not {
        let attribute = parse(&format!("{}{}", &text[..mark], &text[mark + 1..]))?;
        return Ok(Condition::NotEquals(attribute.into()));
    }
    // Only a list holds other things than text.
    if let Some(key) = before.strip_suffix("~:").or_else(|| before.strip_suffix(":~")) {
        return Ok(Condition::ListContains(attribute(key, item(&text[at + 1..])?)?.into()));
    }
    if let Some(key) = before.strip_suffix([':', '@'])
        && let Some(sign) = key.chars().next_back().filter(|sign| matches!(sign, '^' | '*' | '~'))
    {
        let key = &key[..key.len() - 1];
        return Err(if sign == '~' {
            format!("lists hold texts or numbers, no dates: write `{key}~=text` or `{key}~:=2.5`")
        } else {
            format!("`{sign}=` takes a text as it stands, without `:` or `@` before it: write `{key}{sign}=text`")
        });
    }
    Ok(Condition::Equals(parse(text)?.into()))
}

/// Reads what has `<` or `>` at `at`, with `=` behind it or not.
fn ranged(text: &str, at: usize) -> Result<Condition, String> {
    let (is_above, rest) = (text[at..].starts_with('>'), &text[at + 1..]);
    let (or_equal, value) = match rest.strip_prefix('=') {
        Some(value) => (true, value),
        None => (false, rest),
    };
    let kind = match value.parse::<f64>() {
        Ok(number) => Kind::NumberValue(number),
        Err(_) => parse_date(value).map(Kind::TimestampValue).map_err(|_| {
            format!("`{value}` is no number and no date such as 2024-05-01, which is what `<` and `>` compare")
        })?,
    };
    // Numbers and dates are told apart by how they are written, so a type is allowed, and says nothing.
    let key = text[..at].strip_suffix([':', '@']).unwrap_or(&text[..at]);
    if let Some(key) = key.strip_suffix('!') {
        let (sign, other) = if is_above { ('>', '<') } else { ('<', '>') };
        let equal = if or_equal { "" } else { "=" };
        return Err(format!(
            "`!` does not stand before `{sign}`: write `{key}{other}{equal}{value}`, or `not` around the condition in JSON"
        ));
    }
    let attribute = attribute(key, kind)?.into();
    Ok(match (is_above, or_equal) {
        (true, false) => Condition::GreaterThan(attribute),
        (true, true) => Condition::GreaterThanOrEquals(attribute),
        (false, false) => Condition::LessThan(attribute),
        (false, true) => Condition::LessThanOrEquals(attribute),
    })
}

impl From<Attribute> for pb::FilterAttribute {
    fn from(attribute: Attribute) -> Self {
        Self {
            key: attribute.key,
            value: Some(attribute.value),
        }
    }
}

/// Returns the filter under which all conditions hold.
pub(super) fn all(mut conditions: Vec<pb::RetrievalFilter>) -> Option<pb::RetrievalFilter> {
    match conditions.len() {
        0 | 1 => conditions.pop(),
        _ => Some(filter(Condition::AndAll(pb::RetrievalFilterList {
            filters: conditions,
        }))),
    }
}

/// Reads what a list can hold.
fn item(json: &str) -> Result<Kind, String> {
    match typed(json) {
        Ok(kind @ (Kind::StringValue(_) | Kind::NumberValue(_))) => Ok(kind),
        _ => Err(format!(
            "`{json}` is no JSON number or text, which is what `~:=` looks for in a list, such as `~:=2.5`"
        )),
    }
}

fn typed(json: &str) -> Result<Kind, String> {
    match serde_json::from_str(json) {
        Ok(value) => kind(&value).ok_or_else(|| format!("after `:=` comes {KINDS}")),
        Err(error) => Err(format!("after `:=` comes {KINDS}: {error}")),
    }
}

/// What [`kind`] takes.
pub(super) const KINDS: &str = "a JSON text, number, truth value or list of texts or numbers";

/// Returns a JSON value as an attribute's.
pub(super) fn kind(value: &Value) -> Option<Kind> {
    match value {
        Value::String(text) => Some(Kind::StringValue(text.clone())),
        Value::Number(number) => number.as_f64().map(Kind::NumberValue),
        Value::Bool(truth) => Some(Kind::BooleanValue(*truth)),
        Value::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            let numbers = || items.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
            texts
                .map(|values| Kind::StringListValue(pb::StringList { values }))
                .or_else(|| numbers().map(|values| Kind::NumberListValue(pb::NumberList { values })))
        }
        Value::Null | Value::Object(_) => None,
    }
}
