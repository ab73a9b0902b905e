//! `key=value` on the command line: metadata of documents, filters of searches, tags.

use serde_json::Value;

use crate::service::pb;
use crate::service::pb::metadata_value::Kind;
use crate::service::pb::retrieval_filter::Condition;

/// How attributes are written, for `--help`.
pub(super) const HELP: &str = "\
Attributes: key=text, or key:=json for a number, a truth value or a list of texts:
  team=search   year:=2024   draft:=false   topics:='[\"rust\", \"grpc\"]'";

/// An attribute of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attribute {
    pub(super) key: String,
    pub(super) value: pb::MetadataValue,
}

/// Reads `key=text` or `key:=json`.
pub(super) fn parse(text: &str) -> Result<Attribute, String> {
    let (key, value) = text.split_once('=').ok_or("expected key=text or key:=json")?;
    let (key, kind) = match key.strip_suffix(':') {
        Some(key) => (key, typed(value)?),
        None => (key, Kind::StringValue(value.to_owned())),
    };
    if key.is_empty() {
        return Err("the key before `=` is empty".to_owned());
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

/// Reads an attribute that is to hold, or with `!=` not to hold.
pub(super) fn parse_condition(text: &str) -> Result<pb::RetrievalFilter, String> {
    let at = text.find('=').ok_or("expected key=text, key:=json or key!=text")?;
    let negated = text[..at].ends_with('!');
    let attribute = if negated {
        parse(&format!("{}{}", &text[..at - 1], &text[at..]))?
    } else {
        parse(text)?
    };
    let attribute = pb::FilterAttribute {
        key: attribute.key,
        value: Some(attribute.value),
    };
    Ok(pb::RetrievalFilter {
        condition: Some(if negated {
            Condition::NotEquals(attribute)
        } else {
            Condition::Equals(attribute)
        }),
    })
}

/// Returns the filter under which all conditions hold.
pub(super) fn all(mut conditions: Vec<pb::RetrievalFilter>) -> Option<pb::RetrievalFilter> {
    match conditions.len() {
        0 | 1 => conditions.pop(),
        _ => Some(pb::RetrievalFilter {
            condition: Some(Condition::AndAll(pb::RetrievalFilterList { filters: conditions })),
        }),
    }
}

fn typed(json: &str) -> Result<Kind, String> {
    let expected = "after `:=` comes a JSON text, number, truth value or list of texts";
    match serde_json::from_str(json) {
        Ok(Value::String(text)) => Ok(Kind::StringValue(text)),
        Ok(Value::Number(number)) => number
            .as_f64()
            .map(Kind::NumberValue)
            .ok_or_else(|| expected.to_owned()),
        Ok(Value::Bool(truth)) => Ok(Kind::BooleanValue(truth)),
        Ok(Value::Array(items)) => {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            let values: Option<Vec<String>> = texts.collect();
            let list = values.map(|values| Kind::StringListValue(pb::StringList { values }));
            list.ok_or_else(|| expected.to_owned())
        }
        Ok(_) => Err(expected.to_owned()),
        Err(error) => Err(format!("{expected}: {error}")),
    }
}
