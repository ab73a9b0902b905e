//! Bytes to the fields of a body of JSON, each asked for by its name and what it must be.
//!
//! Always holds: no key came twice; an error names the path of the field, what it must be, and what it is.
//! Not here: which fields there are.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::knowledge_base::Error;

/// What most numbers must be.
pub(super) const NUMBER: &str = "a number";
/// What counts must be.
pub(super) const WHOLE: &str = "a whole number from 0 to 4294967295";
/// Characters of a text that an error shows at most.
const SHOWN_CHARS: usize = 40;

/// The fields of a body.
#[derive(Debug)]
pub(super) struct Body(Vec<(String, Value)>);

impl Body {
    /// Reads an object of JSON whose keys differ.
    pub(super) fn parse(json: &[u8]) -> Result<Self, Error> {
        let read = serde_json::from_slice(json);
        let body: Self = read.map_err(|error| Error::invalid("body", format!("is no object of JSON: {error}")))?;
        let mut seen = HashSet::new();
        match body.0.iter().find(|(key, _)| !seen.insert(key)) {
            Some((key, _)) => Err(invalid(key, "stands in the body more than once")),
            None => Ok(body),
        }
    }

    /// Fails unless all fields have these names.
    pub(super) fn check_known(&self, known: &[&str]) -> Result<(), Error> {
        match self.0.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((unknown, _)) => {
                let reason = format!("is not a field of such a body; there are {}", known.join(", "));
                Err(invalid(unknown, reason))
            }
            None => Ok(()),
        }
    }

    /// Returns a field that must be what `expected` says; nothing where it is left out, or null.
    pub(super) fn field<T: DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>, Error> {
        match self.value(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(name, value, expected).map(Some),
        }
    }

    /// Returns a text that is no null; nothing where it is left out.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Error> {
        self.value(name).map(|value| read(name, value, "a text")).transpose()
    }

    /// Returns a list of texts; an empty one where it is left out, or null.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let values: Vec<Value> = self.field(name, "a list of texts")?.unwrap_or_default();
        let text = |(at, value): (usize, &Value)| read(&format!("{name}[{at}]"), value, "a text");
        values.iter().enumerate().map(text).collect()
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Body;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Body(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

fn read<T: DeserializeOwned>(path: &str, value: &Value, expected: &str) -> Result<T, Error> {
    T::deserialize(value).map_err(|_| invalid(path, format!("must be {expected}, is {}", shown(value))))
}

fn invalid(path: &str, reason: impl Into<String>) -> Error {
    Error::invalid(format!("body.{path}"), reason)
}

/// Shows a value that is of the wrong type.
fn shown(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.chars().count() > SHOWN_CHARS => {
            let begin: String = text.chars().take(SHOWN_CHARS).collect();
            format!("the text \"{begin}...\"")
        }
        Value::String(text) => format!("the text \"{text}\""),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
