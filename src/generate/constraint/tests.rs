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
fn whole_numbers_end_where_they_are_exact() {
    for (schema, text, expected) in [
        (json!({ "type": "integer" }), "9007199254740992", true),
        (json!({ "type": "integer" }), "-9007199254740992", true),
        (json!({ "type": "integer" }), "9007199254740993", false),
        (json!({ "type": "integer" }), "92233720368547758071", false),
        (json!({ "type": ["integer", "null"] }), "9007199254740993", false),
        (json!({ "type": ["integer", "null"] }), "null", true),
        (json!({ "type": "integer", "minimum": 5 }), "4", false),
        (json!({ "type": "integer", "minimum": 5 }), "9007199254740993", false),
        (json!({ "type": "integer", "exclusiveMaximum": 5 }), "5", false),
        (json!({ "type": "integer", "multipleOf": 1_000 }), "34000", true),
        (json!({ "type": "integer", "multipleOf": 1_000 }), "34001", false),
        (json!({ "type": "integer", "multipleOf": 4_096 }), "8192", true),
        (json!({ "type": "number", "multipleOf": 0.25 }), "3.75", true),
        (
            json!({ "allOf": [{ "type": "integer" }, { "minimum": 7 }] }),
            "6",
            false,
        ),
        (json!({ "allOf": [{ "type": "integer" }, { "minimum": 7 }] }), "7", true),
        (json!({ "type": "integer", "enum": [3, 4] }), "4", true),
    ] {
        check(Some(&json_shape(schema)), &[], &ToolChoice::Auto, text, expected);
    }
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

/// Returns logits that bring a text of JSON to its end: what closes comes first, what opens comes last.
fn closing_logits(text: &[u8]) -> Vec<f32> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for byte in text {
        is_quoted ^= *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    let of = |token: usize| match token.checked_sub(WORDS.len()).map(|byte| byte as u8) {
        Some(b'"') if is_quoted => 6.0,
        Some(b'}' | b']') if !is_quoted => 5.0,
        Some(b'0'..=b'9' | b'a'..=b'z') => 4.0,
        Some(b'"') => 2.0,
        Some(b'[') => 1.0,
        Some(b'{' | b',') => 0.0,
        Some(_) => 3.0,
        None if token == END as usize => 7.0,
        None => -1.0,
    };
    (0..WORDS.len() + 256).map(of).collect()
}

/// Writes a text under a constraint as the sampler would, by the likeliest token that may come; for some tokens by chance,
/// and then to its end.
fn write(constraint: &mut Constraint, seed: u64, by_chance: usize) -> Option<String> {
    let mut text = Vec::new();
    for step in 0..by_chance + 600 {
        let logits = if step < by_chance {
            logits(seed, step)
        } else {
            closing_logits(&text)
        };
        let masked = constraint.mask(&logits).expect("a mask");
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
        let text = write(&mut constraint, seed, 400).expect("strings are short, so that it ends");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        prop_assert!(fits(&value), "{}", text);
    }

    #[test]
    fn whatever_the_logits_calls_fit(seed: u64) {
        let city = json!({ "type": "object", "properties": { "city": { "type": "string", "maxLength": 4 } }, "required": ["city"] });
        let tools = [tool("weather", city), tool("time", json!({ "type": "object", "properties": {} }))];
        let mut constraint = constraint(None, &tools, &ToolChoice::Tool("weather".to_owned())).expect("a grammar");
        let text = write(&mut constraint, seed, 400).expect("strings are short, so that it ends");
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
    let drawn = schema::prepared(&json!({ "items": bounds })).expect("both are far out");
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
        let closed = schema::prepared(&schema).expect("something fits it");
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

fn refusal(schema: Value) -> String {
    match constraint(Some(&json_shape(schema)), &[], &ToolChoice::Auto) {
        Err(Error::Constraint {
            part: ConstraintPart::Shape,
            reason,
        }) => reason,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it compiles"),
    }
}

#[test]
fn schemas_that_nothing_finite_fits_are_refused() {
    let object = |property: Value| json!({ "type": "object", "properties": { "a": property }, "required": ["a"] });
    let defined = |definitions: Value| json!({ "$ref": "#/$defs/a", "$defs": definitions });
    let to = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let endless = "holds another such value without end";
    for (schema, place, reason) in [
        (json!({ "$ref": "#" }), "`#`", endless),
        (object(json!({ "$ref": "#" })), "`#`", endless),
        (object(to("a")), "", "nothing there"),
        (defined(json!({ "a": to("b"), "b": to("a") })), "`#/$defs/a`", endless),
        (
            defined(json!({ "a": { "anyOf": [to("a"), object(to("a"))] } })),
            "`#/$defs/a`",
            endless,
        ),
        (
            defined(json!({ "a": { "type": "array", "items": to("a"), "minItems": 1 } })),
            "`#/$defs/a`",
            endless,
        ),
        (
            defined(json!({ "a": { "type": "array", "prefixItems": [to("a")], "minItems": 1 } })),
            "`#/$defs/a`",
            endless,
        ),
        (
            json!({ "$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{ "$ref": "#" }], "minItems": 1 }),
            "`#`",
            endless,
        ),
        (
            json!({ "properties": { "a": { "$ref": "#" } }, "allOf": [{ "required": ["a"], "type": "object" }] }),
            "",
            "nothing finite fits it",
        ),
        (json!({ "enum": [] }), "`#`", "`enum` is empty"),
        (json!({ "type": [] }), "`#`", "`type` is empty"),
        (json!({ "anyOf": [] }), "`#`", "`anyOf` is empty"),
        (object(json!(false)), "`#/properties/a`", "nothing fits `false`"),
        (
            object(json!({ "type": "string", "minLength": 5, "maxLength": 3 })),
            "`#/properties/a`",
            "`minLength` 5 leaves nothing within `maxLength` 3",
        ),
        (
            json!({ "type": "array", "minItems": 3, "maxItems": 2 }),
            "`#`",
            "`minItems` 3 leaves nothing within `maxItems` 2",
        ),
        (
            json!({ "type": "number", "minimum": 3, "exclusiveMaximum": 3 }),
            "`#`",
            "`minimum` 3 leaves nothing within `exclusiveMaximum` 3",
        ),
        (
            json!({ "type": "object", "required": ["a", "b"], "maxProperties": 1 }),
            "`#`",
            "more properties than `maxProperties`",
        ),
        (
            json!({ "type": "object", "properties": { "a": {} }, "required": ["b"] }),
            "`#`",
            "`required` names `b`",
        ),
        (
            json!({ "type": "string", "anyOf": [{ "type": "null" }, { "type": "integer" }] }),
            "`#`",
            "`anyOf` lets in no type of value",
        ),
        (
            object(json!({ "type": "integer", "minimum": 1, "maximum": 3, "multipleOf": 7 })),
            "'a'",
            "nothing fits it",
        ),
    ] {
        let told = refusal(schema.clone());
        assert!(told.contains(place) && told.contains(reason), "{schema}: {told}");
    }
}

#[test]
fn schemas_that_end_may_refer_to_themselves() {
    let list = json!({
        "type": "object",
        "properties": { "next": { "anyOf": [{ "$ref": "#" }, { "type": "null" }] } },
        "required": ["next"],
    });
    let tree = json!({
        "$ref": "#/$defs/node",
        "$defs": { "node": { "type": "array", "items": { "$ref": "#/$defs/node" }, "maxItems": 2 } },
    });
    // What never ends is no way to go on.
    let dead = json!({ "$defs": { "dead": { "type": "array", "items": { "$ref": "#/$defs/dead" }, "minItems": 1 } },
        "anyOf": [{ "$ref": "#/$defs/dead" }, { "type": "null" }] });
    let optional = json!({ "type": "object", "properties": { "a": { "type": "array", "items": { "$ref": "#/properties/a" }, "minItems": 1 } } });
    for (schema, text, expected) in [
        (&list, r#"{"next": {"next": null}}"#, true),
        (&list, r#"{"next": {}}"#, false),
        (&tree, "[[], [[]]]", true),
        (&tree, "[[], [], []]", false),
        (&dead, "null", true),
        (&dead, "[", false),
        (&optional, "{}", true),
        (&optional, r#"{"a": ["#, false),
    ] {
        let mut constraint = constraint(Some(&json_shape(schema.clone())), &[], &ToolChoice::Auto).expect("it ends");
        assert_eq!(allows(&mut constraint, text), expected, "{schema}: {text}");
    }
}

#[test]
fn references_are_followed_as_they_are_escaped() {
    let schema = |reference: &str| {
        json!({
            "type": "object",
            "properties": { "a": { "$ref": reference } },
            "required": ["a"],
            "$defs": {
                "a/b": { "type": "array", "items": { "$ref": "#/$defs/a~1b" }, "maxItems": 1 },
                "a~b": { "enum": [1] },
                "a%b": { "enum": [2] },
                "a b": { "enum": [3] },
                "größe": { "enum": [4] },
                "list": { "anyOf": [{ "enum": [5] }, { "enum": [6] }] },
                "x/y": { "properties": { "z/w": { "enum": [7] } } },
                "x~1y": { "enum": [8] },
                "list/anyOf/1": { "enum": [9] },
                "list~1anyOf": { "1/2": { "enum": [10] } },
            },
        })
    };
    for (reference, value) in [
        ("#/$defs/a~1b", "[[]]"),
        ("#/$defs/a~0b", "1"),
        ("#/$defs/a%25b", "2"),
        ("#/$defs/a%20b", "3"),
        ("#/$defs/a b", "3"),
        ("#/$defs/gr%C3%B6%C3%9Fe", "4"),
        ("#/$defs/gr%c3%b6ße", "4"),
        ("#/%24defs/list/anyOf/1", "6"),
        ("#/$defs/x~1y/properties/z~1w", "7"),
        ("#/$defs/x~01y", "8"),
        ("#/$defs/list~1anyOf~11", "9"),
        ("#/$defs/list~01anyOf/1~12", "10"),
    ] {
        let shape = json_shape(schema(reference));
        for (value, expected) in [(value, true), ("0", false)] {
            check(
                Some(&shape),
                &[],
                &ToolChoice::Auto,
                &format!(r#"{{"a": {value}}}"#),
                expected,
            );
        }
    }
    for reference in [
        "#/$defs/none",
        "#/$defs/a%2",
        "#/$defs/a%FFb",
        "#/$defs/list/anyOf/2",
        "#name",
        "other.json#/$defs/list",
        "https://example.com/schema",
    ] {
        let told = refusal(schema(reference));
        let expected = format!("the `$ref` at `#/properties/a` is `{reference}`: ");
        assert!(told.starts_with(&expected), "{told}");
    }
}

#[test]
fn keywords_have_values_of_their_kind() {
    for (schema, text, expected) in [
        (
            json!({ "type": "string", "minLength": 2.0, "maxLength": 2e0 }),
            r#""ab""#,
            true,
        ),
        (
            json!({ "type": "string", "minLength": 2.0, "maxLength": 2e0 }),
            r#""a""#,
            false,
        ),
        (
            json!({ "type": "array", "items": { "type": "null" }, "maxItems": 1e0 }),
            "[null]",
            true,
        ),
        (
            json!({ "type": "array", "items": { "type": "null" }, "maxItems": 1e0 }),
            "[null, null]",
            false,
        ),
        (json!({ "type": "string", "maxLength": u64::MAX }), r#""ab""#, true),
        (json!({ "type": "array", "maxItems": 1e300 }), "[1]", true),
    ] {
        check(Some(&json_shape(schema)), &[], &ToolChoice::Auto, text, expected);
    }
    let long = "ä".repeat(200);
    for (keywords, expected) in [
        (
            json!({ "minLength": 2.5 }),
            "`minLength` at `#/items` must be a whole number from 0, is 2.5",
        ),
        (
            json!({ "maxItems": -1 }),
            "`maxItems` at `#/items` must be a whole number from 0, is -1",
        ),
        (
            json!({ "minItems": 2_000_000 }),
            "`minItems` at `#/items` is 2000000: at most 1000000 can be kept to",
        ),
        (
            json!({ "minProperties": long }),
            "`minProperties` at `#/items` must be a whole number",
        ),
        (json!({ "maximum": long }), "`maximum` at `#/items` must be a number"),
        (
            json!({ "multipleOf": 123_457 }),
            "`multipleOf` at `#/items` is 123457: its digits, read as a whole number, are 4096 at most",
        ),
        (
            json!({ "multipleOf": 12.3457 }),
            "`multipleOf` at `#/items` is 12.3457: its digits",
        ),
        (
            json!({ "multipleOf": 1e-12 }),
            "`multipleOf` at `#/items` is 1e-12: its digits",
        ),
        (
            json!({ "multipleOf": 0 }),
            "`multipleOf` at `#/items` must be a number above 0, is 0",
        ),
        (json!({ "pattern": 1 }), "`pattern` at `#/items` must be a text, is 1"),
        (
            json!({ "required": [1] }),
            "`required` at `#/items` must be a list of texts, is [1]",
        ),
        (json!({ "enum": "a" }), "`enum` at `#/items` must be a list, is \"a\""),
        (
            json!({ "properties": { "a/b": 1 } }),
            "`#/items/properties/a~1b` must be a schema",
        ),
    ] {
        let told = refusal(json!({ "type": "array", "items": keywords }));
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn what_is_too_large_is_refused_at_once() {
    let properties = |count: usize| {
        let named = (0..count).map(|at| (format!("p{at}"), json!({ "type": "null" })));
        Value::Object(named.collect())
    };
    let names = |count: usize| (0..count).map(|at| format!("p{at}")).collect::<Vec<_>>();
    let large = "is too large";
    for (schema, expected) in [
        (
            json!({ "items": { "properties": properties(401) } }),
            "`#/items` has 401 properties that may be left out, at most 400",
        ),
        (
            json!({ "properties": properties(1_001), "required": names(1_001) }),
            "`#` has 1001 properties, at most 1000",
        ),
        (
            json!({ "anyOf": (0..2_100).map(|at| json!({ "const": { "a": at } })).collect::<Vec<_>>() }),
            large,
        ),
        (json!({ "type": "string", "pattern": "^(a{1,1000}){1,1000}$" }), large),
    ] {
        let told = refusal(schema);
        assert!(told.starts_with(expected), "{told}");
    }
    for (pattern, is_taken) in [
        ("(a{1,1000}){1,1000}", false),
        ("a{1,200}{1,200}{1,200}", false),
        (r"(\w{1,30}\s?){1,50}", false),
        (r"(\w{1,30}\s){1,50}", true),
        (r"([^\n]{1,200}\n){1,20}", true),
        ("[a-z]{1,3000}", true),
    ] {
        let made = constraint(Some(&Shape::Regex(pattern.to_owned())), &[], &ToolChoice::Auto);
        match made {
            Ok(_) => assert!(is_taken, "{pattern}"),
            Err(error) => assert!(!is_taken && error.to_string().starts_with(large), "{pattern}: {error}"),
        }
    }
    let taken = json!({ "properties": properties(400) });
    check(
        Some(&json_shape(taken)),
        &[],
        &ToolChoice::Auto,
        r#"{"p7": null, "p399": null}"#,
        true,
    );
}

#[test]
fn long_chains_of_references_are_followed() {
    let next = |at: usize| {
        (
            format!("d{at}"),
            json!({ "items": { "$ref": format!("#/$defs/d{}", at + 1) } }),
        )
    };
    let mut definitions: serde_json::Map<String, Value> = (0..1_200).map(next).collect();
    definitions.insert("d1200".to_owned(), json!({ "type": "null" }));
    let schema = json!({ "$ref": "#/$defs/d0", "$defs": definitions });
    check(Some(&json_shape(schema)), &[], &ToolChoice::Auto, "[[[]]]", true);
}

#[test]
fn long_texts_find_room() {
    let shape = json_shape(json!({ "type": "string", "maxLength": 6_000 }));
    for (chars, expected) in [(6_000, true), (6_001, false)] {
        let text = format!("\"{}\"", "a".repeat(chars));
        check(Some(&shape), &[], &ToolChoice::Auto, &text, expected);
    }
}

#[test]
fn grammars_are_compiled_once() {
    let vocabulary = vocabulary();
    let grammar = |pattern: &str| {
        let shape = Shape::Regex(pattern.to_owned());
        Grammar::of(Some(&shape), &[], &ToolChoice::Auto).expect("something is asked for")
    };
    let compiled = |pattern: &str| vocabulary.compiled(grammar(pattern).whole()).expect("a grammar");
    let first = compiled("a+");
    assert!(std::sync::Arc::ptr_eq(&first, &compiled("a+")));
    for other in 0..16 {
        compiled(&format!("a{{{other}}}b"));
    }
    assert!(!std::sync::Arc::ptr_eq(&first, &compiled("a+")), "others came since");
    let (mut one, mut other) = (
        Constraint::new(&vocabulary, &grammar("a+b")).expect("a grammar"),
        Constraint::new(&vocabulary, &grammar("a+b")).expect("a grammar"),
    );
    assert!(
        allows(&mut one, "aab") && allows(&mut other, "ab"),
        "each goes its own way"
    );
}

/// Schemas that are drawn.
const SCHEMAS: u64 = 4000;
/// Draws numbers from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % end
    }

    /// Returns a schema of the keywords that are taken, with references to three definitions and to the whole.
    fn schema(&mut self, depth: u64) -> Value {
        let inner = |draw: &mut Self| {
            if depth == 0 {
                draw.reference()
            } else {
                draw.schema(depth - 1)
            }
        };
        let (low, high) = (self.below(4), self.below(4));
        match self.below(14) {
            0 => json!({ "type": "null" }),
            1 => json!({ "type": "string", "minLength": low, "maxLength": high }),
            2 => json!({ "type": "integer", "minimum": low, "maximum": high, "multipleOf": 1 + self.below(3) }),
            3 => {
                let values = [json!(0), json!("a"), Value::Null, json!([1]), json!({ "a": true })];
                json!({ "enum": &values[..self.below(6) as usize] })
            }
            4 => {
                let patterns = ["^a{1,3}$", "^[bc]*d?$", "z"];
                json!({ "type": "string", "pattern": patterns[self.below(3) as usize] })
            }
            5 => json!({ "type": "array", "items": inner(self), "minItems": low, "maxItems": low + high }),
            6 => {
                json!({ "type": "array", "prefixItems": [inner(self), inner(self)], "items": self.below(2) == 0, "minItems": low, "maxItems": 4 })
            }
            7 => json!({ "anyOf": [inner(self), inner(self)] }),
            8 => json!({ "allOf": [inner(self), inner(self)] }),
            9 => json!({ "type": ["object", "null"], "additionalProperties": inner(self), "maxProperties": low }),
            10 => json!(self.below(2) == 0),
            11 => {
                json!({ "type": "object", "properties": { "a": inner(self) }, "anyOf": [{ "required": ["a"] }, inner(self)] })
            }
            12 => self.reference(),
            _ => {
                let properties = json!({ "a": inner(self), "b/c": inner(self), "d": inner(self) });
                let required = &["a", "b/c", "e"][..self.below(4) as usize];
                json!({ "type": "object", "properties": properties, "required": required })
            }
        }
    }

    fn reference(&mut self) -> Value {
        let target = ["#", "#/$defs/x", "#/$defs/y~1z", "#/$defs/%C3%A4"][self.below(4) as usize];
        json!({ "$ref": target })
    }
}

/// Returns whether a value fits a schema, by the keywords of [`Draw::schema`]; what only refers to itself fits nothing.
fn is_valid(whole: &Value, schema: &Value, value: &Value, depth: usize) -> bool {
    let Value::Object(keys) = schema else {
        return *schema == true;
    };
    let valid = |schema: &Value, value: &Value| is_valid(whole, schema, value, 0);
    let valid_too = |schema: &Value| depth < 14 && is_valid(whole, schema, value, depth + 1);
    let count = |key: &str| keys[key].as_u64().expect("a count") as usize;
    let listed = |key: &str| keys[key].as_array().expect("a list").iter();
    keys.iter().all(|(key, told)| match (key.as_str(), value) {
        ("$ref", _) => {
            let target = told
                .as_str()
                .expect("a text")
                .trim_start_matches('#')
                .replace("%C3%A4", "ä");
            valid_too(whole.pointer(&target).expect("it is there"))
        }
        ("type", _) => {
            let kind = match value {
                Value::Null => "null",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
                Value::Bool(_) => "boolean",
            };
            told == kind
                || told
                    .as_array()
                    .is_some_and(|kinds| kinds.iter().any(|other| other == kind))
        }
        ("enum", _) => listed("enum").any(|one| one == value || (one == 0 && value.as_f64() == Some(0.0))),
        ("anyOf", _) => listed("anyOf").any(valid_too),
        ("allOf", _) => listed("allOf").all(valid_too),
        ("minLength", Value::String(text)) => text.chars().count() >= count("minLength"),
        ("maxLength", Value::String(text)) => text.chars().count() <= count("maxLength"),
        ("pattern", Value::String(text)) => match told.as_str().expect("a text") {
            "z" => text.contains('z'),
            "^a{1,3}$" => ["a", "aa", "aaa"].contains(&text.as_str()),
            _ => text.trim_end_matches('d').chars().all(|c| "bc".contains(c)) && !text.ends_with("dd"),
        },
        ("minimum", Value::Number(number)) => number.as_f64() >= told.as_f64(),
        ("maximum", Value::Number(number)) => number.as_f64() <= told.as_f64(),
        ("multipleOf", Value::Number(number)) => {
            number.as_f64().expect("a number") % told.as_f64().expect("a number") == 0.0
        }
        ("minItems", Value::Array(items)) => items.len() >= count("minItems"),
        ("maxItems", Value::Array(items)) => items.len() <= count("maxItems"),
        ("prefixItems", Value::Array(items)) => items
            .iter()
            .zip(listed("prefixItems"))
            .all(|(item, one)| valid(one, item)),
        ("items", Value::Array(items)) => {
            let first = keys.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
            items.iter().skip(first).all(|item| valid(told, item))
        }
        ("required", Value::Object(object)) => {
            listed("required").all(|name| object.contains_key(name.as_str().expect("a text")))
        }
        ("maxProperties", Value::Object(object)) => object.len() <= count("maxProperties"),
        ("properties", Value::Object(object)) => object
            .iter()
            .all(|(name, value)| told.get(name).is_none_or(|one| valid(one, value))),
        ("additionalProperties", Value::Object(object)) => object.values().all(|value| valid(told, value)),
        _ => true,
    })
}

#[test]
fn schemas_are_refused_at_once_or_lead_to_what_fits() {
    let vocabulary = vocabulary();
    let (mut fitted, mut refused) = (0, 0);
    for seed in 1..=SCHEMAS {
        let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut schema = draw.schema(2);
        let definitions = json!({ "x": draw.schema(1), "y/z": draw.schema(1), "ä": draw.schema(1) });
        let Value::Object(keys) = &mut schema else { continue };
        keys.insert("$defs".to_owned(), definitions);
        let shape = json_shape(schema.clone());
        let grammar = Grammar::of(Some(&shape), &[], &ToolChoice::Auto).expect("something is asked for");
        match Constraint::new(&vocabulary, &grammar) {
            Err(Error::Constraint { reason, .. }) => {
                assert!(
                    !reason.contains("engine") && !reason.contains('\n'),
                    "{schema}: {reason}"
                );
                refused += 1;
                eprintln!("REASON {reason} IN {schema}");
            }
            Err(other) => panic!("{schema}: {other}"),
            Ok(_) => {
                for seed in 0..2 {
                    let mut constraint = Constraint::new(&vocabulary, &grammar).expect("it compiled before");
                    let text = write(&mut constraint, seed, 100).unwrap_or_else(|| panic!("no end: {schema}"));
                    let value: Value = match serde_json::from_str(&text) {
                        Ok(value) => value,
                        // Where any value fits, numbers have exponents without end.
                        Err(error) if error.to_string().starts_with("number out of range") => continue,
                        Err(error) => panic!("{error}: {text}"),
                    };
                    assert!(is_valid(&schema, &schema, &value, 0), "{schema}: {text}");
                }
                fitted += 1;
            }
        }
    }
    assert!(
        fitted > SCHEMAS / 5 && refused > SCHEMAS / 10,
        "{fitted} fitted, {refused} refused"
    );
}
