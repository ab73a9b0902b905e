//! Bodies and media types that cannot be, by the field that is named and what is said of it.

use serde_json::json;

use super::*;

fn asking(body: &str) -> Result<(String, Invocation), Error> {
    invocation(pb::InvokeModelRequest {
        body: body.as_bytes().to_vec(),
        ..pb::InvokeModelRequest::default()
    })
}

#[track_caller]
fn check(result: Result<(String, Invocation), Error>, field: &str, part: &str) {
    let error = result.expect_err(part);
    let [violation] = &error.violations[..] else {
        panic!("{error:?}");
    };
    assert_eq!(violation.field, field);
    assert!(violation.description.contains(part), "{}", violation.description);
}

#[test]
fn fields_of_wrong_types_are_named() {
    for (key, value, field, part) in [
        (
            "temperature",
            json!("hot"),
            "temperature",
            "must be a number, is the text \"hot\"",
        ),
        ("temperature", json!([1]), "temperature", "must be a number, is a list"),
        ("top_p", json!({}), "top_p", "must be a number, is an object"),
        (
            "max_gen_len",
            json!(-1),
            "max_gen_len",
            "must be a whole number from 0 to 4294967295, is -1",
        ),
        ("max_gen_len", json!(1.5), "max_gen_len", "is 1.5"),
        ("max_gen_len", json!(5_000_000_000_u64), "max_gen_len", "is 5000000000"),
        (
            "seed",
            json!(true),
            "seed",
            "must be a whole number from 0 to 18446744073709551615, is true",
        ),
        (
            "top_k",
            json!("x".repeat(100)),
            "top_k",
            &format!("is the text \"{}...\"", "x".repeat(40)),
        ),
        (
            "stop",
            json!("end"),
            "stop",
            "must be a list of texts, is the text \"end\"",
        ),
        ("stop", json!(["end", 7]), "stop[1]", "must be a text, is 7"),
        ("prompt", json!(7), "prompt", "must be a text, is 7"),
        ("prompt", json!(null), "prompt", "must be a text, is null"),
        (
            "colour",
            json!(1),
            "colour",
            "is not a field of such a body; there are prompt, max_gen_len",
        ),
    ] {
        let mut body = json!({ "prompt": "Hi" });
        body[key] = value;
        check(asking(&body.to_string()), &format!("body.{field}"), part);
    }
    for (key, value, part) in [
        ("normalize", json!(1), "must be true or false, is 1"),
        ("dimensions", json!("64"), "is the text \"64\""),
        ("inputText", json!(["a"]), "must be a text, is a list"),
        ("prompt", json!("Hi"), "there are inputText, dimensions, normalize"),
    ] {
        let mut body = json!({ "inputText": "Hi" });
        body[key] = value;
        check(asking(&body.to_string()), &format!("body.{key}"), part);
    }
    check(asking("[1]"), "body", "is no object of JSON");
    check(asking("{\"prompt\": "), "body", "is no object of JSON");
    check(asking("{}"), "body", "has neither `prompt`");
}

#[test]
fn keys_stand_in_a_body_once() {
    let again = r#"{"prompt": "Hi", "seed": 1, "temperature": 0, "seed": 2}"#;
    check(asking(again), "body.seed", "more than once");
    // An escape makes no other key of it.
    let again = r#"{"prompt": "Hi", "pro\u006dpt": "Ho"}"#;
    check(asking(again), "body.prompt", "more than once");
}

#[test]
fn what_is_left_out_or_null_has_its_default() {
    let body = r#"{"prompt": "Hi", "temperature": null, "stop": null, "top_k": null}"#;
    let (_, Invocation::Text { prompt, inference }) = asking(body).expect("it is sound") else {
        panic!("it is for a language model");
    };
    assert_eq!((prompt.as_str(), *inference), ("Hi", Inference::default()));
    let body = r#"{"inputText": "Hi", "normalize": null, "dimensions": 64}"#;
    let (_, Invocation::Embedding { options, .. }) = asking(body).expect("it is sound") else {
        panic!("it is for an embedding model");
    };
    assert_eq!((options.normalize, options.dimensions), (true, Some(64)));
}

#[test]
fn media_types_may_have_parameters() {
    let asking = |content_type: &str, accept: &str| {
        invocation(pb::InvokeModelRequest {
            body: br#"{"prompt": "Hi"}"#.to_vec(),
            content_type: content_type.to_owned(),
            accept: accept.to_owned(),
            ..pb::InvokeModelRequest::default()
        })
    };
    for (content_type, accept) in [
        ("", ""),
        ("application/json", "*/*"),
        ("application/json; charset=utf-8", "application/json; charset=utf-8"),
        ("Application/JSON;charset=\"UTF-8\"", "application/*"),
        ("application/json; profile=x", "text/plain, application/json;q=0.5"),
    ] {
        assert!(asking(content_type, accept).is_ok(), "{content_type} {accept}");
    }
    for content_type in [
        "text/plain",
        "application/json; charset=latin1",
        "*/*",
        "application/jsonl",
    ] {
        check(asking(content_type, ""), "content_type", content_type);
    }
    for accept in [
        "text/plain",
        "application/json; charset=utf-16",
        "application/json;q=0.0",
        "text/*",
    ] {
        check(asking("", accept), "accept", accept);
    }
}

#[test]
fn hints_are_for_those_who_can_follow_them() {
    let long = Error::invalid("texts[0]", format!("has 602 tokens: shorten the text{TRUNCATION_HINT}"));
    let error = of_body(long);
    let [violation] = &error.violations[..] else {
        panic!("{error:?}");
    };
    assert_eq!(violation.field, "body.inputText");
    assert_eq!(
        violation.description,
        "has 602 tokens: shorten the text, or have Embed cut it"
    );
    assert_eq!(error.message, format!("body.inputText: {}", violation.description));
}
