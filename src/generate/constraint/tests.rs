//! Constraints over small vocabularies of our own.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::generate::tool::{Tool, ToolChoice};

/// Ends the text.
const END: u32 = 0;
/// Tokens of more than a byte.
const WORDS: [&str; 12] = [
    "",
    "{\"",
    "\":",
    " \"",
    "\"}",
    "\": \"",
    "tool",
    "call",
    "<tool_call>",
    "</",
    "name",
    ", \"",
];

/// Returns the bytes of a token: the end, a special one, words, and each byte.
fn bytes_of(token: u32) -> Vec<u8> {
    match token as usize {
        at if at < WORDS.len() => WORDS[at].as_bytes().to_vec(),
        at => vec![(at - WORDS.len()) as u8],
    }
}

fn vocabulary() -> ConstraintVocabulary {
    ConstraintVocabulary::new(WORDS.len() + 256, &[END], bytes_of).expect("there is an end")
}

fn constraint(shape: Option<&Shape>, tools: &[Tool], choice: &ToolChoice) -> Result<Constraint, Error> {
    let grammar = Grammar::of(shape, tools, choice).expect("something is asked for");
    Constraint::new(&vocabulary(), &grammar)
}

fn json_shape(schema: Value) -> Shape {
    Shape::Json {
        schema,
        name: String::new(),
        description: String::new(),
    }
}

/// Returns whether a text can come, byte by byte, and can end there.
fn allows(constraint: &mut Constraint, text: &str) -> bool {
    let logits = vec![0.0; WORDS.len() + 256];
    for byte in text.bytes() {
        let token = WORDS.len() as u32 + u32::from(byte);
        let masked = constraint.mask(&logits).expect("a mask");
        if masked[token as usize].is_nan() {
            return false;
        }
        constraint.take(token).expect("it is allowed");
    }
    !constraint.mask(&logits).expect("a mask")[END as usize].is_nan()
}

#[track_caller]
fn check(shape: Option<&Shape>, tools: &[Tool], choice: &ToolChoice, text: &str, expected: bool) {
    let mut constraint = constraint(shape, tools, choice).expect("a grammar");
    assert_eq!(allows(&mut constraint, text), expected, "{text}");
}

fn tool(name: &str, schema: Value) -> Tool {
    Tool {
        name: name.to_owned(),
        description: String::new(),
        schema,
    }
}

fn tools() -> Vec<Tool> {
    let city = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    let none = json!({ "type": "object", "properties": {} });
    vec![tool("weather", city), tool("time", none)]
}

#[test]
fn schemas_allow_what_fits_them() {
    let shape = json_shape(json!({
        "type": "object",
        "properties": { "b": { "type": "integer", "minimum": 1, "maximum": 12 }, "a": { "enum": ["x", "y"] } },
        "required": ["b", "a"],
    }));
    for (text, expected) in [
        (r#"{"b": 7, "a": "x"}"#, true),
        (r#"{"b": 13, "a": "x"}"#, false),
        (r#"{"b": 7, "a": "z"}"#, false),
        (r#"{"b": 7}"#, false),
        (r#"{"a": "x", "b": 7}"#, false),
        (r#"{"b":7,"a":"x"}"#, false),
        (r#"{"b": 7, "a": "x", "c": 1}"#, false),
        (r#"{"b": 7,  "a": "x"}"#, false),
        (r#"{"b": 7, "a": "x"} "#, false),
        (r#"{"b": 7, "a": "x""#, false),
        ("", false),
    ] {
        check(Some(&shape), &[], &ToolChoice::Auto, text, expected);
    }
}

#[test]
fn regular_expressions_fit_whole_texts() {
    let shape = Shape::Regex("(yes|no), [a-z/]+\\.".to_owned());
    for (text, expected) in [
        ("yes, a/b.", true),
        ("yes, a", false),
        ("oh yes, a.", false),
        ("no, a.\n", false),
    ] {
        check(Some(&shape), &[], &ToolChoice::Auto, text, expected);
    }
}

#[test]
fn calls_name_a_tool_and_fit_its_schema() {
    let weather = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>";
    let time = "<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>";
    let both = format!("{weather}\n{time}");
    let wrong = weather.replace("city", "town");
    let unknown = weather.replace("weather", "wether");
    let after_text = format!("Let me see.\n{weather}");
    let then_text = format!("{weather} Done.");
    let (auto, any, one) = (ToolChoice::Auto, ToolChoice::Any, ToolChoice::Tool("time".to_owned()));
    for (text, in_auto, in_any, in_one) in [
        (weather, true, true, false),
        (time, true, true, true),
        (both.as_str(), true, true, false),
        (wrong.as_str(), false, false, false),
        (unknown.as_str(), false, false, false),
        (after_text.as_str(), true, false, false),
        (then_text.as_str(), false, false, false),
        ("Good day.", true, false, false),
        ("a <tool_cal> b <tool", true, false, false),
        ("", true, false, false),
        ("<tool_call>", false, false, false),
    ] {
        check(None, &tools(), &auto, text, in_auto);
        check(None, &tools(), &any, text, in_any);
        check(None, &tools(), &one, text, in_one);
    }
    let shape = json_shape(json!({ "type": "boolean" }));
    for (text, expected) in [("true", true), (weather, true), ("Good day.", false)] {
        check(Some(&shape), &tools(), &auto, text, expected);
    }
}

/// Returns logits that come from a seed, some of them infinite; higher for bytes that close a text.
fn logits(seed: u64, step: usize) -> Vec<f32> {
    let mut state = seed ^ (step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let of = |token: usize| match token.checked_sub(WORDS.len()) {
        Some(byte) if b"\"}]".contains(&(byte as u8)) => 8.0,
        _ => 0.0,
    };
    let mut logits: Vec<f32> = (0..WORDS.len() + 256)
        .map(|token| of(token) + (draw() % 1_000) as f32 / 100.0)
        .collect();
    for value in [f32::INFINITY, f32::NEG_INFINITY] {
        let at = draw() as usize % logits.len();
        logits[at] = value;
    }
    logits
}

/// Writes a text under a constraint as the sampler would, by the likeliest token that may come.
fn write(constraint: &mut Constraint, seed: u64) -> Option<String> {
    let mut text = Vec::new();
    for step in 0..400 {
        let masked = constraint.mask(&logits(seed, step)).expect("a mask");
        let numbers = (0_u32..).zip(&masked).filter(|(_, logit)| !logit.is_nan());
        let (token, _) = numbers.max_by(|left, right| left.1.total_cmp(right.1))?;
        if token == END {
            return String::from_utf8(text).ok();
        }
        text.extend(bytes_of(token));
        constraint.take(token).expect("it is allowed");
        if constraint.is_complete() {
            break;
        }
    }
    constraint
        .is_complete()
        .then(|| String::from_utf8(text).expect("UTF-8"))
}

fn fits(value: &Value) -> bool {
    // -0 is a whole number too.
    let is_whole = |count: f64| count.fract() == 0.0 && (-3.0..=40.0).contains(&count);
    let count = value["count"].as_f64().is_some_and(is_whole);
    let tags = value["tags"].as_array().is_some_and(|tags| {
        (1..=3).contains(&tags.len()) && tags.iter().all(|tag| matches!(tag.as_str(), Some("a" | "b")))
    });
    let keys = value
        .as_object()
        .is_some_and(|keys| keys.keys().all(|key| ["count", "tags", "note"].contains(&key.as_str())));
    let note = value
        .get("note")
        .is_none_or(|note| note.is_null() || note.as_str().is_some_and(|note| note.chars().count() <= 5));
    count && tags && keys && note
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_logits_json_fits(seed: u64) {
        let shape = json_shape(json!({
            "type": "object",
            "properties": {
                "count": { "type": "integer", "minimum": -3, "maximum": 40 },
                "tags": { "type": "array", "items": { "enum": ["a", "b"] }, "minItems": 1, "maxItems": 3 },
                "note": { "anyOf": [{ "type": "string", "maxLength": 5 }, { "type": "null" }] },
            },
            "required": ["count", "tags"],
        }));
        let mut constraint = constraint(Some(&shape), &[], &ToolChoice::Auto).expect("a grammar");
        let text = write(&mut constraint, seed).expect("strings are short, so that it ends");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        prop_assert!(fits(&value), "{}", text);
    }

    #[test]
    fn whatever_the_logits_calls_fit(seed: u64) {
        let city = json!({ "type": "object", "properties": { "city": { "type": "string", "maxLength": 4 } }, "required": ["city"] });
        let tools = [tool("weather", city), tool("time", json!({ "type": "object", "properties": {} }))];
        let mut constraint = constraint(None, &tools, &ToolChoice::Tool("weather".to_owned())).expect("a grammar");
        let text = write(&mut constraint, seed).expect("strings are short, so that it ends");
        let call = text.strip_prefix("<tool_call>\n").and_then(|text| text.strip_suffix("\n</tool_call>"));
        let call: Value = serde_json::from_str(call.expect("marks")).expect("JSON");
        prop_assert_eq!(&call["name"], "weather");
        let keys: Vec<&String> = call["arguments"].as_object().expect("an object").keys().collect();
        prop_assert_eq!(keys, ["city"]);
        prop_assert!(call["arguments"]["city"].as_str().expect("a string").chars().count() <= 4);
    }
}

#[test]
fn grammars_that_cannot_be_are_refused() {
    let refused = |shape: Option<&Shape>, tools: &[Tool]| match constraint(shape, tools, &ToolChoice::Auto) {
        Err(Error::Constraint { part, reason }) => (part, reason),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it compiles"),
    };
    for (schema, expected) in [
        (json!({ "type": "strnig" }), "strnig"),
        (json!({ "type": "string", "format": "tea" }), "tea"),
        (json!({ "not": { "type": "string" } }), "not"),
        (json!({ "type": "integer", "minimum": 3, "maximum": 1 }), "3"),
        (json!({ "$ref": "#/$defs/none" }), "none"),
        (json!({ "$ref": "https://example.com/schema" }), "example.com"),
        (json!({ "type": "string", "pattern": "(" }), "unclosed group"),
        (json!({ "const": 9_007_199_254_740_993_i64 }), "9007199254740993"),
        (json!({ "type": "integer", "minimum": 1e19 }), "1e+19"),
        (json!({ "enum": [1, [u64::MAX]] }), "18446744073709551615"),
    ] {
        let (part, reason) = refused(Some(&json_shape(schema.clone())), &[]);
        assert_eq!(part, ConstraintPart::Shape, "{schema}: {reason}");
        assert!(
            reason.contains(expected) && !reason.contains('\n'),
            "{schema}: {reason}"
        );
        let second = [
            tools().remove(0),
            tool(
                "bad",
                json!({ "type": "object", "properties": { "x": schema }, "required": ["x"] }),
            ),
        ];
        assert_eq!(refused(None, &second).0, ConstraintPart::Tool(1));
    }
    for pattern in ["(", "a(?=b)"] {
        let (part, reason) = refused(Some(&Shape::Regex(pattern.to_owned())), &[]);
        assert_eq!(part, ConstraintPart::Shape, "{pattern}: {reason}");
    }
}

#[test]
fn bounds_beyond_exact_numbers_are_drawn_in() {
    let schema = json!({ "type": "integer", "minimum": i64::MIN, "maximum": 5, "default": u64::MAX });
    let constraint = constraint(Some(&json_shape(schema)), &[], &ToolChoice::Auto);
    assert!(constraint.is_ok());
    let bounds = json!({ "minimum": i64::MIN, "exclusiveMaximum": 1e300 });
    let mut drawn = json!({ "items": bounds });
    schema::exact(&mut drawn).expect("both are far out");
    let most = 1_i64 << 53;
    assert_eq!(
        drawn,
        json!({ "items": { "minimum": -most, "exclusiveMaximum": most } })
    );
}

#[test]
fn schemas_close_objects_that_name_their_properties() {
    let named = json!({ "a": { "properties": { "b": {} } } });
    for (schema, expected) in [
        (json!({ "properties": named }), true),
        (
            json!({ "properties": named, "additionalProperties": { "type": "null" } }),
            false,
        ),
        (json!({ "properties": named, "anyOf": [{ "required": ["a"] }] }), false),
        (json!({ "allOf": [{ "properties": named }] }), false),
        (json!({ "type": "object" }), false),
        (json!({ "const": { "properties": {} } }), false),
        (
            json!({ "properties": { "properties": { "type": "string" }, "allOf": { "type": "string" } } }),
            true,
        ),
    ] {
        let closed = super::schema::closed(&schema);
        assert_eq!(
            closed.get("additionalProperties") == Some(&Value::Bool(false)),
            expected,
            "{closed}"
        );
        if expected {
            assert_eq!(
                closed.pointer("/properties/a/properties/b"),
                schema.pointer("/properties/a/properties/b")
            );
        } else {
            assert_eq!(closed["const"], schema["const"]);
        }
    }
    for (text, part) in [("[1]", "an array"), ("{", "not JSON"), ("true", "a boolean")] {
        let error = parse_schema(text).expect_err(text);
        assert!(error.to_string().contains(part), "{error}");
    }
    let long = format!("{{\"title\": \"{}\"}}", "a".repeat(MAX_SCHEMA_BYTES));
    assert!(matches!(parse_schema(&long), Err(SchemaError::TooLong { .. })));
}
