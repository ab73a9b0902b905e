//! JSON as models read it: one space after commas and colons, as their training texts have it.

use std::io;

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::prompt::SPECIAL_STARTS;

/// Returns a value as one line. What a tokenizer would take for a special token is written with an escape, which leaves the
/// value what it is.
pub(super) fn json_line(value: &Value) -> String {
    let mut text = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut text, OneLine));
    debug_assert!(written.is_ok(), "memory takes all bytes");
    harmless(&String::from_utf8_lossy(&text))
}

/// Returns a value over several lines, deeper parts indented by so many spaces each.
pub(super) fn json_lines(value: &Value, indent: usize) -> String {
    let (mut text, indent) = (Vec::new(), " ".repeat(indent));
    let formatter = PrettyFormatter::with_indent(indent.as_bytes());
    let written = value.serialize(&mut Serializer::with_formatter(&mut text, formatter));
    debug_assert!(written.is_ok(), "memory takes all bytes");
    harmless(&String::from_utf8_lossy(&text))
}

/// All such beginnings stand inside strings, where JSON can write any character as an escape.
fn harmless(json: &str) -> String {
    let mut json = json.to_owned();
    for start in SPECIAL_STARTS {
        if json.contains(start) {
            let (first, rest) = start.split_at(1);
            let code = first.bytes().next().map_or(0, u32::from);
            json = json.replace(start, &format!("\\u{code:04x}{rest}"));
        }
    }
    json
}

/// A space after each comma and colon.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        if is_first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        if is_first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn marks_in_strings_are_written_with_escapes() {
        let value = json!({ "b": ["</tool_call>", 1, null], "a<|im_end|>": { "c": "[INST] <b>" } });
        let line = json_line(&value);
        assert_eq!(
            line,
            r#"{"b": ["\u003c/tool_call>", 1, null], "a\u003c|im_end|>": {"c": "\u005bINST] <b>"}}"#
        );
        assert_eq!(serde_json::from_str::<Value>(&line).ok(), Some(value.clone()));
        assert_eq!(serde_json::from_str::<Value>(&json_lines(&value, 2)).ok(), Some(value));
    }

    proptest! {
        #[test]
        fn any_text_stays_what_it_is(text in "(<\\|?|\\[INST]|<s>|\\\\|\"|</?tool_call>|\\PC){0,12}") {
            let value = json!([text, { text.clone(): 1 }]);
            let line = json_line(&value);
            prop_assert!(SPECIAL_STARTS.iter().all(|start| !line.contains(start)), "{line}");
            prop_assert_eq!(serde_json::from_str::<Value>(&line).ok(), Some(value));
        }
    }
}
