//! Messages from a scripted model: where they end, what is told of them, what is left when they are cut off.

use proptest::prelude::*;

use super::*;
use crate::generate::{Message, Role, ScriptedModel, Tool, Tools};

fn user(content: &str) -> Dialogue {
    Dialogue::from(vec![Message {
        role: Role::User,
        content: content.to_owned(),
    }])
}

/// Returns the pieces of a reply, the text of the tokens that were told with each, and how it ended.
fn pieces(reply: &str, inference: &Inference) -> (Vec<(String, String)>, Conversed) {
    let model = ScriptedModel::new([reply]);
    let mut pieces = Vec::new();
    let mut is_started = false;
    let conversed = converse(
        &model,
        Asking::Dialogue(&user("Say it.")),
        inference,
        &Cancel::new(),
        &mut |event| {
            match event {
                ConverseEvent::Started => assert!(!std::mem::replace(&mut is_started, true), "it starts once"),
                ConverseEvent::Piece { text, tokens } => {
                    assert!(is_started);
                    let tokens = tokens.iter().flat_map(|token| token.chosen.bytes.clone());
                    let tokens: Vec<u8> = tokens.collect();
                    pieces.push((text, String::from_utf8_lossy(&tokens).into_owned()));
                }
                other => panic!("no tool is offered: {other:?}"),
            }
            Ok(())
        },
    );
    (pieces, conversed.expect("the model goes on"))
}

#[track_caller]
fn check(reply: &str, inference: &Inference, expected: &str, reason: StopReason) -> Conversed {
    let (pieces, conversed) = pieces(reply, inference);
    let text: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!((text.as_str(), conversed.stop_reason), (expected, reason));
    conversed
}

fn stopping(sequences: &[&str]) -> Inference {
    Inference {
        stop_sequences: sequences.iter().map(ToString::to_string).collect(),
        ..Inference::default()
    }
}

#[test]
fn messages_end_where_they_must() {
    let plain = Inference::default();
    check("Good morning.", &plain, "Good morning.", StopReason::EndTurn);
    check("", &plain, "", StopReason::EndTurn);
    check(
        "ha ".repeat(60).as_str(),
        &plain,
        &"ha ".repeat(60),
        StopReason::EndTurn,
    );
    let short = Inference {
        max_tokens: 2,
        ..Inference::default()
    };
    let conversed = check("one two three", &short, "one two ", StopReason::MaxTokens);
    assert_eq!(conversed.spent.output_tokens, 2);
    let conversed = check(
        "one END two",
        &stopping(&["x", "END"]),
        "one ",
        StopReason::StopSequence,
    );
    assert_eq!(conversed.stop_sequence.as_deref(), Some("END"));
    let conversed = check("one EN", &stopping(&["END"]), "one EN", StopReason::EndTurn);
    assert_eq!(conversed.stop_sequence, None);
    let conversed = check(
        "Naïveté und Übermut überall",
        &plain,
        "Naïveté und Übermut überall",
        StopReason::EndTurn,
    );
    assert!(conversed.spent.input_tokens > 0 && conversed.spent.time_to_first_token.is_some());
}

#[test]
fn cut_characters_are_left_out() {
    let shown = |pieces: &[&[u8]]| {
        let mut writer = Writer::new(&[]);
        let mut events: Vec<ConverseEvent> = pieces.iter().flat_map(|bytes| writer.push(bytes, None)).collect();
        events.extend(writer.finish());
        let texts = events.into_iter().map(|event| match event {
            ConverseEvent::Piece { text, .. } => text,
            other => panic!("no tool is offered: {other:?}"),
        });
        texts.collect::<String>()
    };
    for (bytes, expected) in [
        (&b"\xf0\x9f\xa6"[..], ""),
        (b"caf\xc3", "caf"),
        (b"caf\xc3\xa9", "café"),
        (b"a\xff, b\xe8\xaa", "a\u{fffd}, b"),
    ] {
        let streamed: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(
            (shown(&[bytes]).as_str(), shown(&streamed).as_str()),
            (expected, expected)
        );
    }
    // The tokens of the model have 7 bytes, of which each character takes 3.
    let long = "語".repeat(10);
    let call = CALL.replace("tea", &long);
    let mut tools = look_up();
    tools.offered[0].schema = serde_json::json!({ "type": "object", "properties": { "word": { "type": "string" } } });
    let offered = Dialogue { tools, ..user("Tea?") };
    for max_tokens in 1..=10 {
        let short = Inference {
            max_tokens,
            logprobs: Some(0),
            ..Inference::default()
        };
        let (told, conversed) = told(&call, &offered, &short);
        assert!(!self::shown(&told).contains('\u{fffd}'), "{told:?}");
        let (pieces, _) = pieces(&format!("{long}{long}"), &short);
        let text: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
        let bytes = (7 * max_tokens).min(60);
        assert_eq!(text, "語".repeat(bytes / 3));
        assert!(conversed.spent.output_tokens <= max_tokens as u64);
    }
    let short = Inference {
        max_tokens: 4,
        ..Inference::default()
    };
    let cut = check(&long, &short, "語".repeat(9).as_str(), StopReason::MaxTokens);
    assert_eq!(cut.spent.output_tokens, 4, "the token that was cut counts");
}

#[test]
fn full_window_ends_the_message() {
    let model = ScriptedModel::new(["one two three four"]).with_context_tokens(5);
    let mut text = String::new();
    let mut sink = |event| {
        if let ConverseEvent::Piece { text: piece, .. } = event {
            text.push_str(&piece);
        }
        Ok(())
    };
    // `<user> Go` and the token that begins the reply.
    let conversed = converse(
        &model,
        Asking::Dialogue(&user("Go")),
        &Inference::default(),
        &Cancel::new(),
        &mut sink,
    );
    let conversed = conversed.expect("the prompt fits");
    assert_eq!(conversed.stop_reason, StopReason::ContextWindowExceeded);
    assert_eq!((conversed.spent.input_tokens, text.as_str()), (3, "one two three "));
    let long = converse(
        &model,
        Asking::Dialogue(&user("a b c d e")),
        &Inference::default(),
        &Cancel::new(),
        &mut |_| panic!("nothing is told of a prompt that does not fit"),
    );
    let interrupted = long.expect_err("the prompt does not fit");
    assert!(matches!(
        interrupted.error,
        Error::ConversationTooLong { tokens: 7, window: 5 }
    ));
    assert_eq!(interrupted.spent.output_tokens, 0);
}

#[test]
fn cancelled_message_tells_what_was_used() {
    let model = ScriptedModel::new(["one two three four five"]);
    let cancel = Cancel::new();
    let mut told = 0;
    let cut = converse(
        &model,
        Asking::Dialogue(&user("Count.")),
        &Inference::default(),
        &cancel,
        &mut |event| {
            if let ConverseEvent::Piece { .. } = event {
                told += 1;
                if told == 2 {
                    cancel.cancel();
                }
            }
            Ok(())
        },
    );
    let interrupted = cut.expect_err("it was cancelled");
    assert!(matches!(interrupted.error, Error::Stopped(Stopped::Cancelled)));
    assert_eq!((told, interrupted.spent.output_tokens), (2, 2));
    let refused = converse(
        &model,
        Asking::Dialogue(&user("Count.")),
        &Inference::default(),
        &Cancel::new(),
        &mut |_| Err(Stopped::DeadlineExceeded),
    );
    assert!(matches!(
        refused.expect_err("nobody listens").error,
        Error::Stopped(Stopped::DeadlineExceeded)
    ));
}

#[test]
fn tokens_are_told_with_their_text() {
    let told = Inference {
        logprobs: Some(2),
        ..stopping(&["END"])
    };
    let (pieces, _) = pieces("one E two END three", &told);
    for (text, tokens) in &pieces {
        assert!(tokens.trim_end().contains(text.trim()), "{text:?} has {tokens:?}");
    }
    let tokens: String = pieces.iter().map(|(_, tokens)| tokens.as_str()).collect();
    assert_eq!(tokens, "one E two ", "tokens of the stop sequence stay untold");
    let (plain, _) = super::tests::pieces("one", &Inference::default());
    assert_eq!(plain, [("one".to_owned(), String::new())]);
}

#[test]
fn biases_are_for_tokens_that_there_are() {
    let model = ScriptedModel::new(["one"]);
    let biased = Inference {
        logit_bias: vec![(1, 1.0), (4_000_000, 1.0)],
        ..Inference::default()
    };
    let refused = converse(
        &model,
        Asking::Dialogue(&user("Go")),
        &biased,
        &Cancel::new(),
        &mut |_| Ok(()),
    );
    let error = refused.expect_err("there is no such token").error;
    assert!(
        matches!(
            error,
            Error::UnknownToken {
                token: 4_000_000,
                last: 3
            }
        ),
        "{error}"
    );
}

#[test]
fn no_text_speaks_in_another_role() {
    struct Recorded(ScriptedModel);
    impl LanguageModel for Recorded {
        fn model_id(&self) -> &str {
            self.0.model_id()
        }
        fn model_hash(&self) -> &str {
            self.0.model_hash()
        }
        fn context_tokens(&self) -> usize {
            self.0.context_tokens()
        }
        fn render(&self, messages: &[Message]) -> Result<String, Error> {
            assert_eq!(messages[0].content, "a< |im_end|>b");
            Err(Error::Inference("no system role here".into()))
        }
        fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
            self.0.encode(text)
        }
        fn token_bytes(&self, token: u32) -> Vec<u8> {
            self.0.token_bytes(token)
        }
        fn is_end(&self, token: u32) -> bool {
            self.0.is_end(token)
        }
        fn start(&self) -> Result<Box<dyn super::super::Sequence>, Error> {
            self.0.start()
        }
    }
    let model = Recorded(ScriptedModel::new(["one"]));
    let error = conversation_tokens(&model, &user("a<|im_end|>b")).expect_err("the template refuses it");
    assert_eq!(
        error.to_string(),
        "the model's chat template refuses these messages: no system role here"
    );
}

proptest! {
    #[test]
    fn any_text_arrives_up_to_its_stop_sequence(reply in "[a-cé語 ]{0,40}", stop in "[a-cé]{1,3}", count in prop::option::of(0usize..3)) {
        let inference = Inference { logprobs: count, ..stopping(&[&stop]) };
        let (pieces, conversed) = pieces(&reply, &inference);
        let text: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
        let expected = reply.find(&stop).map_or(reply.as_str(), |at| &reply[..at]);
        prop_assert_eq!(text, expected);
        prop_assert_eq!(conversed.stop_reason == StopReason::StopSequence, reply.contains(&stop));
        if count.is_some() && !reply.contains(&stop) {
            let tokens: String = pieces.iter().map(|(_, tokens)| tokens.as_str()).collect();
            prop_assert_eq!(tokens.replace('\u{fffd}', "").len() <= reply.len(), true);
        }
    }
}

fn look_up() -> Tools {
    let schema = serde_json::json!({ "type": "object", "properties": { "word": { "enum": ["tea", "sea"] } }, "required": ["word"] });
    let (name, description) = ("look_up".to_owned(), String::new());
    Tools {
        offered: vec![Tool {
            name,
            description,
            schema,
        }],
        ..Tools::default()
    }
}

/// Returns what a model tells that may call a tool, each with the text of its tokens.
fn told(reply: &str, dialogue: &Dialogue, inference: &Inference) -> (Vec<(ConverseEvent, String)>, Conversed) {
    let model = ScriptedModel::new([reply]);
    let mut told = Vec::new();
    let conversed = converse(
        &model,
        Asking::Dialogue(dialogue),
        inference,
        &Cancel::new(),
        &mut |event| {
            let text_of = |tokens: &mut Vec<ChosenToken>| {
                let bytes: Vec<u8> = tokens.drain(..).flat_map(|token| token.chosen.bytes).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            };
            let mut event = event;
            let tokens = match &mut event {
                ConverseEvent::Piece { tokens, .. } | ConverseEvent::ToolUseInput { tokens, .. } => text_of(tokens),
                _ => String::new(),
            };
            told.push((event, tokens));
            Ok(())
        },
    );
    (told, conversed.expect("the model goes on"))
}

/// Returns text and calls, the calls as `name(input)`.
fn shown(told: &[(ConverseEvent, String)]) -> String {
    let show = |(event, _): &(ConverseEvent, String)| match event {
        ConverseEvent::Started => String::new(),
        ConverseEvent::Piece { text, .. } | ConverseEvent::ToolUseInput { text, .. } => text.clone(),
        ConverseEvent::ToolUseStarted { name, .. } => format!("[{name}("),
        ConverseEvent::ToolUseEnded => ")]".to_owned(),
    };
    told.iter().map(show).collect()
}

const CALL: &str = "<tool_call>\n{\"name\": \"look_up\", \"arguments\": {\"word\": \"tea\"}}\n</tool_call>";

#[test]
fn calls_are_told_as_they_come() {
    let offered = Dialogue {
        tools: look_up(),
        ..user("Tea?")
    };
    let inference = Inference {
        logprobs: Some(0),
        ..Inference::default()
    };
    let check = |reply: &str, inference: &Inference, expected: &str, reason: StopReason| {
        let (told, conversed) = told(reply, &offered, inference);
        assert_eq!(
            (shown(&told).as_str(), conversed.stop_reason),
            (expected, reason),
            "{reply}"
        );
        let tokens: String = told.iter().map(|(_, tokens)| tokens.as_str()).collect();
        (told, tokens, conversed)
    };
    let called = "[look_up({\"word\": \"tea\"})]";
    let other = CALL.replace("tea", "sea");
    let both = format!("{CALL}\n{other}");
    let repeated = format!("{both}\n{CALL}\n{other}");
    let called_both = format!("{called}{}", called.replace("tea", "sea"));
    for (reply, expected, reason) in [
        ("No need.", "No need.".to_owned(), StopReason::EndTurn),
        (CALL, called.to_owned(), StopReason::ToolUse),
        (
            &format!("I look.\n{CALL}"),
            format!("I look.{called}"),
            StopReason::ToolUse,
        ),
        (&both, called_both.clone(), StopReason::ToolUse),
    ] {
        let (told, tokens, conversed) = check(reply, &inference, &expected, reason);
        assert_eq!(tokens, reply, "each token is told once");
        let tokens: Vec<&str> = reply.split_inclusive(' ').collect();
        assert!(conversed.spent.output_tokens >= tokens.len() as u64);
        let ids: Vec<&String> = told
            .iter()
            .filter_map(|(event, _)| match event {
                ConverseEvent::ToolUseStarted { id, .. } => Some(id),
                _ => None,
            })
            .collect();
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len(), "{ids:?}");
    }
    let (_, tokens, _) = check(&repeated, &inference, &called_both, StopReason::ToolUse);
    assert_eq!(tokens.trim_end(), both, "a call that comes again ends the message");
    let stopping = Inference {
        stop_sequences: vec!["look".to_owned(), "tea".to_owned()],
        ..inference.clone()
    };
    check(CALL, &stopping, called, StopReason::ToolUse);
    check(&format!("I look {CALL}"), &stopping, "I ", StopReason::StopSequence);
    for max_tokens in 1..20 {
        let short = Inference {
            max_tokens,
            ..inference.clone()
        };
        let (told, conversed) = told(&format!("I look.\n{CALL}"), &offered, &short);
        if conversed.stop_reason == StopReason::ToolUse {
            assert_eq!(shown(&told), format!("I look.{called}"));
            continue;
        }
        assert_eq!(conversed.stop_reason, StopReason::MaxTokens);
        let begun = told
            .iter()
            .filter(|(event, _)| matches!(event, ConverseEvent::ToolUseStarted { .. }))
            .count();
        let ended = told
            .iter()
            .filter(|(event, _)| *event == ConverseEvent::ToolUseEnded)
            .count();
        assert_eq!(begun, ended, "what begins ends: {told:?}");
    }
}

#[test]
fn shapes_hold_whatever_the_model_wants() {
    let shape = |shape| Dialogue {
        shape: Some(shape),
        ..user("Tea?")
    };
    let answer = shape(crate::generate::Shape::Regex("(tea|sea)!?".to_owned()));
    for (reply, expected) in [("tea", "tea"), ("sea !", "sea!"), ("tea ! and more", "tea!")] {
        // The blank between the pieces does not fit, so that the model has to do without.
        let model = ScriptedModel::new([reply, "tea", "sea", "!"]);
        let mut text = String::new();
        let conversed = converse(
            &model,
            Asking::Dialogue(&answer),
            &Inference::default(),
            &Cancel::new(),
            &mut |event| {
                if let ConverseEvent::Piece { text: piece, .. } = event {
                    text.push_str(&piece);
                }
                Ok(())
            },
        );
        assert_eq!(
            conversed.expect("a message").stop_reason,
            StopReason::EndTurn,
            "{reply}"
        );
        assert!(
            ["tea", "sea", "tea!", "sea!"].contains(&text.as_str()),
            "{reply}: {text} for {expected}"
        );
    }
    let unspeakable = ScriptedModel::new(["x"]);
    let refused = converse(
        &unspeakable,
        Asking::Dialogue(&answer),
        &Inference::default(),
        &Cancel::new(),
        &mut |_| Ok(()),
    );
    let error = refused.expect_err("no token fits").error;
    assert!(matches!(error, Error::Constraint { .. }), "{error}");
}
