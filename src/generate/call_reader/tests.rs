//! Texts with and without calls, whole and in pieces.

use proptest::prelude::*;

use super::*;

/// Returns what a text says, pieces of one kind joined.
fn read(pieces: impl Iterator<Item = impl AsRef<str>>) -> Vec<Said> {
    let mut reader = CallReader::default();
    let mut all = Vec::new();
    let (mut given, mut read_before) = (0, 0);
    for piece in pieces {
        given += piece.as_ref().len();
        all.extend(reader.push(piece.as_ref()));
    }
    all.extend(reader.finish());
    let mut joined: Vec<Said> = Vec::new();
    for (said, read) in all {
        assert!((read_before..=given).contains(&read), "{said:?} at {read}");
        read_before = read;
        match (joined.last_mut(), said) {
            (Some(Said::Text(text)), Said::Text(more)) | (Some(Said::Input(text)), Said::Input(more)) => {
                text.push_str(&more);
            }
            (_, said) => joined.push(said),
        }
    }
    joined
}

fn call(name: &str, input: &str) -> String {
    format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {input}}}\n</tool_call>")
}

fn said(text: &str, calls: &[(&str, &str)]) -> Vec<Said> {
    let text = Some(Said::Text(text.to_owned())).filter(|_| !text.is_empty());
    let calls = calls.iter().flat_map(|(name, input)| {
        [
            Said::Call((*name).to_owned()),
            Said::Input((*input).to_owned()),
            Said::CallEnd,
        ]
    });
    text.into_iter().chain(calls).collect()
}

#[track_caller]
fn check(text: &str, expected: &[Said]) {
    assert_eq!(read([text].into_iter()), expected, "{text}");
    let chars = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]);
    assert_eq!(read(chars), expected, "char by char: {text}");
}

#[test]
fn calls_are_told_apart_from_text() {
    check("", &[]);
    check("Good day. ", &said("Good day. ", &[]));
    check("a < b <tool <tool_call", &said("a < b <tool <tool_call", &[]));
    let weather = ("weather", r#"{"city": "}\"]\\", "at": [1, {"x": []}]}"#);
    let time = ("time", "{}");
    let (first, second) = (call(weather.0, weather.1), call(time.0, time.1));
    check(&first, &said("", &[weather]));
    check(&format!("\n \n{second}"), &said("", &[time]));
    check(
        &format!("Let me see.\n{first}\n{second}"),
        &said("Let me see.", &[weather, time]),
    );
    for cut in ["\n", "\n<tool_", "\n<tool_call>\n{\"na"] {
        check(&format!("{second}{cut}"), &said("", &[time]));
    }
    let marked = ("note", r#"{"text": "<tool_call> </tool_call>"}"#);
    check(&call(marked.0, marked.1), &said("", &[marked]));
}

#[test]
fn text_in_a_shape_has_no_marks() {
    for (text, expected) in [
        (format!("{{\"a\": \"{}\"}}", call("x", "{}")), None),
        ("<tool".to_owned(), None),
        (" <tool_call>".to_owned(), None),
        (call("x", "{}"), Some(("x", "{}"))),
    ] {
        let mut reader = CallReader::of_either();
        let mut said: Vec<Said> = text
            .chars()
            .flat_map(|c| reader.push(&c.to_string()))
            .map(|(said, _)| said)
            .collect();
        said.extend(reader.finish().into_iter().map(|(said, _)| said));
        let is_call = said.first() == Some(&Said::Call("x".to_owned()));
        assert_eq!(is_call, expected.is_some(), "{text}");
        let told: String = said
            .iter()
            .filter_map(|said| match said {
                Said::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(told, if is_call { "" } else { text.as_str() });
    }
}

#[test]
fn calls_that_are_cut_short_end() {
    let whole = call("time", r#"{"zone": "utc"}"#);
    let cut = |bytes: usize| &whole[..bytes];
    let input_at = whole.find("{\"zone").expect("the input");
    check(cut(20), &[]);
    check(cut(input_at - 1), &[]);
    check(cut(input_at), &[Said::Call("time".into()), Said::CallEnd]);
    check(
        cut(input_at + 5),
        &[Said::Call("time".into()), Said::Input("{\"zon".into()), Said::CallEnd],
    );
    check(cut(whole.len() - 3), &said("", &[("time", r#"{"zone": "utc"}"#)]));
}

proptest! {
    #[test]
    fn any_split_says_the_same(
        text in "[ \n<a]{0,8}",
        value in "[a\"{}\\\\<\\]]{0,8}",
        size in 1usize..9,
        cut in 0usize..90,
    ) {
        let input = serde_json::json!({ "value": value }).to_string();
        let whole = format!("{text}{}\n{}", call("a", &input), call("b", "{}"));
        let whole = &whole[..cut.min(whole.len())];
        let pieces = whole.as_bytes().chunks(size).map(|piece| String::from_utf8_lossy(piece).into_owned());
        prop_assert_eq!(read(pieces), read([whole].into_iter()));
    }
}
