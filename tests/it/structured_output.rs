//! Messages that must have a shape, and calls of tools: with the real language model, over the border and over the wire.

use std::sync::Arc;

use groundwork::generate::{
    Asking, CandleModel, ConverseEvent, Conversed, Dialogue, Inference, Message, Role, Shape, StopReason, Tool,
    ToolChoice, Tools, converse,
};
use groundwork::models::{Catalog, InstalledModel, ModelStore};
use groundwork::service::pb;
use groundwork::service::pb::content_block::Content;
use groundwork::service::pb::content_block_delta::Delta;
use groundwork::service::pb::content_block_start::Start;
use groundwork::service::pb::converse_stream_response::Event;
use groundwork::worker::{Cancel, ComputeGate};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::models;
use crate::support::server::{Server, run};

fn model() -> CandleModel {
    let catalog = Catalog::built_in().expect("the catalog is sound");
    let store = ModelStore::open(catalog, models::directory(), Vec::new()).expect("the store opens");
    let InstalledModel::LanguageModel(installed) = store.installed("smollm2-135m-instruct").expect("it is installed")
    else {
        panic!("it makes text");
    };
    CandleModel::open(&installed, 2, Arc::new(ComputeGate::default())).expect("the model opens")
}

fn asked(text: &str) -> Dialogue {
    Dialogue::from(vec![Message {
        role: Role::User,
        content: text.to_owned(),
    }])
}

/// Returns the text and the calls of a message, each call as its name and its input.
fn say(model: &CandleModel, dialogue: &Dialogue, inference: &Inference) -> (String, Vec<(String, String)>, Conversed) {
    let (mut text, mut calls) = (String::new(), Vec::<(String, String)>::new());
    let conversed = converse(
        model,
        Asking::Dialogue(dialogue),
        inference,
        &Cancel::new(),
        &mut |event| {
            match event {
                ConverseEvent::Piece { text: piece, .. } => text.push_str(&piece),
                ConverseEvent::ToolUseStarted { name, .. } => calls.push((name, String::new())),
                ConverseEvent::ToolUseInput { text: piece, .. } => {
                    calls.last_mut().expect("a call is open").1.push_str(&piece);
                }
                ConverseEvent::Started | ConverseEvent::ToolUseEnded => {}
            }
            Ok(())
        },
    );
    (text, calls, conversed.expect("a message"))
}

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 20 },
            "age": { "type": "integer", "minimum": 0, "maximum": 130 },
            "languages": { "type": "array", "items": { "enum": ["en", "de", "fr"] }, "maxItems": 3 },
        },
        "required": ["name", "age", "languages"],
    })
}

fn is_person(value: &Value) -> bool {
    let languages = value["languages"].as_array();
    value.as_object().is_some_and(|keys| keys.len() == 3)
        && value["name"].as_str().is_some_and(|name| name.chars().count() <= 20)
        && value["age"].as_u64().is_some_and(|age| age <= 130)
        && languages.is_some_and(|all| {
            all.len() <= 3
                && all
                    .iter()
                    .all(|language| matches!(language.as_str(), Some("en" | "de" | "fr")))
        })
}

#[test]
fn real_model_fits_shapes_at_any_temperature() {
    let model = model();
    let schema = Shape::Json {
        schema: person(),
        name: String::new(),
        description: String::new(),
    };
    let dialogue = Dialogue {
        shape: Some(schema),
        ..asked("Who is Anna? She is 30 and speaks German and French.")
    };
    for seed in 0..8 {
        let inference = Inference {
            temperature: if seed == 0 { 0.0 } else { 2.0 },
            repetition_penalty: 1.3,
            seed,
            ..Inference::default()
        };
        let (text, _, conversed) = say(&model, &dialogue, &inference);
        assert_eq!(conversed.stop_reason, StopReason::EndTurn, "{text}");
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(is_person(&value), "{text}");
        assert_eq!(
            say(&model, &dialogue, &inference).0,
            text,
            "the same seed says the same"
        );
    }
    let dated = Dialogue {
        shape: Some(Shape::Regex("[0-9]{4}-[0-9]{2}-[0-9]{2}".to_owned())),
        ..asked("When did people first walk on the moon?")
    };
    let (text, _, conversed) = say(&model, &dated, &Inference::default());
    assert_eq!((text.len(), conversed.stop_reason), (10, StopReason::EndTurn), "{text}");
    let short = Inference {
        max_tokens: 6,
        ..Inference::default()
    };
    let (text, _, conversed) = say(&model, &dialogue, &short);
    assert_eq!(conversed.stop_reason, StopReason::MaxTokens);
    assert!(text.starts_with("{\"name\": \"") && serde_json::from_str::<Value>(&text).is_err());
}

#[test]
fn real_model_calls_tools_that_there_are() {
    let model = model();
    let place = json!({
        "type": "object",
        "properties": { "city": { "type": "string", "maxLength": 30 }, "unit": { "enum": ["celsius", "fahrenheit"] } },
        "required": ["city", "unit"],
    });
    let tool = |name: &str, description: &str, schema: Value| Tool {
        name: name.to_owned(),
        description: description.to_owned(),
        schema,
    };
    let offered = vec![
        tool("get_weather", "Tells the weather of a city", place),
        tool(
            "get_time",
            "Tells the time",
            json!({ "type": "object", "properties": {} }),
        ),
    ];
    for choice in [
        ToolChoice::Any,
        ToolChoice::Tool("get_weather".to_owned()),
        ToolChoice::Auto,
    ] {
        for seed in 0_u32..3 {
            let dialogue = Dialogue {
                tools: Tools {
                    offered: offered.clone(),
                    choice: choice.clone(),
                    cache_point: None,
                },
                ..asked("What is the weather in Oslo, in celsius?")
            };
            let inference = Inference {
                temperature: f64::from(seed),
                seed: seed.into(),
                max_tokens: 120,
                ..Inference::default()
            };
            let (text, calls, conversed) = say(&model, &dialogue, &inference);
            let is_cut = conversed.stop_reason == StopReason::MaxTokens;
            assert!(
                choice == ToolChoice::Auto || (text.is_empty() && !calls.is_empty()),
                "{text}"
            );
            for (at, (name, input)) in calls.iter().enumerate() {
                let Ok(input) = serde_json::from_str::<Value>(input) else {
                    assert!(
                        is_cut && at + 1 == calls.len(),
                        "only the last call can be cut short: {input}"
                    );
                    continue;
                };
                match name.as_str() {
                    "get_weather" => assert!(input["city"].is_string() && input["unit"].is_string(), "{input}"),
                    "get_time" => assert_eq!(input, json!({})),
                    other => panic!("there is no tool {other}"),
                }
            }
            if let ToolChoice::Tool(_) = choice {
                assert_eq!((calls.len(), calls[0].0.as_str()), (1, "get_weather"));
                assert!(is_cut || conversed.stop_reason == StopReason::ToolUse);
            }
        }
    }
}

fn text(text: &str) -> pb::ContentBlock {
    pb::ContentBlock {
        content: Some(Content::Text(text.to_owned())),
    }
}

fn message(role: pb::ConversationRole, content: Vec<pb::ContentBlock>) -> pb::ConversationMessage {
    pb::ConversationMessage {
        role: role.into(),
        content,
    }
}

fn weather(choice: Option<pb::tool_choice::Choice>) -> pb::ToolConfiguration {
    let schema = json!({
        "type": "object",
        "properties": { "city": { "type": "string", "maxLength": 24 }, "days": { "type": "integer", "minimum": 1, "maximum": 7 } },
        "required": ["city", "days"],
    });
    let specification = pb::ToolSpecification {
        name: "get_weather".to_owned(),
        description: "Tells the weather of a city".to_owned(),
        input_schema: Some(pb::ToolInputSchema {
            schema: Some(pb::tool_input_schema::Schema::Text(schema.to_string())),
        }),
    };
    pb::ToolConfiguration {
        tools: vec![pb::Tool {
            tool: Some(pb::tool::Tool::ToolSpec(specification)),
        }],
        tool_choice: choice.map(|choice| pb::ToolChoice { choice: Some(choice) }),
    }
}

fn asking() -> pb::ConverseRequest {
    let any = pb::tool_choice::Choice::Any(pb::AnyToolChoice {});
    pb::ConverseRequest {
        messages: vec![message(
            pb::ConversationRole::User,
            vec![text("What is the weather in Oslo for the next 2 days?")],
        )],
        inference_config: Some(pb::InferenceConfiguration {
            // Room for all calls of a small model, which does not know when to end.
            max_tokens: Some(1_500),
            ..pb::InferenceConfiguration::default()
        }),
        additional_model_request_fields: Some(pb::AdditionalModelRequestFields {
            logprobs: true,
            ..pb::AdditionalModelRequestFields::default()
        }),
        tool_config: Some(weather(Some(any))),
        ..pb::ConverseRequest::default()
    }
}

fn result(id: &str, json: &str) -> pb::ContentBlock {
    pb::ContentBlock {
        content: Some(Content::ToolResult(pb::ToolResultBlock {
            tool_use_id: id.to_owned(),
            content: vec![pb::ToolResultContentBlock {
                content: Some(pb::tool_result_content_block::Content::Text(json.to_owned())),
            }],
            status: pb::ToolResultStatus::Success.into(),
        })),
    }
}

fn calls(response: &pb::ConverseResponse) -> Vec<pb::ToolUseBlock> {
    let message = response.output.as_ref().and_then(|output| output.message.as_ref());
    let blocks = &message.expect("a message").content;
    let calls = blocks.iter().filter_map(|block| match &block.content {
        Some(Content::ToolUse(call)) => Some(call.clone()),
        _ => None,
    });
    calls.collect()
}

#[test]
fn calls_and_results_go_over_the_wire() {
    run(async {
        let home = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start(home.path());
        let mut client = server.models().await;
        let whole = client.converse(asking()).await.expect("a message").into_inner();
        assert_eq!(whole.stop_reason(), pb::StopReason::ToolUse, "{whole:?}");
        let made = calls(&whole);
        assert!(
            made.iter()
                .all(|call| call.name == "get_weather" && call.tool_use_id.len() == 32),
            "{made:?}"
        );
        let input = made[0].input.as_ref().expect("an input");
        assert_eq!(input.fields.keys().collect::<Vec<_>>(), ["city", "days"]);
        let fields = whole.additional_model_response_fields.clone().expect("more is told");
        let usage = whole.usage.expect("usage");
        let told = fields.logprobs.len() as u64;
        assert!(
            (1..=usage.output_tokens).contains(&told),
            "those of a call that came again are not told"
        );

        // The stream tells the same.
        let mut stream = client
            .converse_stream(pb::ConverseStreamRequest::from(asking()))
            .await
            .expect("a stream")
            .into_inner();
        let (mut ids, mut inputs, mut open, mut tokens) = (Vec::new(), Vec::<String>::new(), None, 0);
        while let Some(event) = stream.message().await.expect("the stream goes on") {
            match event.event.expect("no event is empty") {
                Event::ContentBlockStart(start) => {
                    assert_eq!((open, start.content_block_index as usize), (None, ids.len()));
                    open = Some(start.content_block_index);
                    let Some(Start::ToolUse(call)) = start.start.and_then(|start| start.start) else {
                        panic!("it has to call");
                    };
                    ids.push(call.tool_use_id);
                    inputs.push(String::new());
                }
                Event::ContentBlockDelta(delta) => {
                    assert_eq!(open, Some(delta.content_block_index));
                    tokens += delta.logprobs.len() as u64;
                    let Some(Delta::ToolUse(more)) = delta.delta.and_then(|delta| delta.delta) else {
                        panic!("it has to call");
                    };
                    inputs.last_mut().expect("a block is open").push_str(&more.input);
                }
                Event::ContentBlockStop(stop) => assert_eq!(open.take(), Some(stop.content_block_index)),
                Event::MessageStop(stop) => assert_eq!(stop.stop_reason(), pb::StopReason::ToolUse),
                Event::MessageStart(_) | Event::Metadata(_) => {}
            }
        }
        assert_eq!(
            ids,
            made.iter().map(|call| call.tool_use_id.clone()).collect::<Vec<_>>()
        );
        assert_eq!(tokens, told);
        let days: Value = serde_json::from_str(&inputs[0]).expect("JSON");
        assert!(
            days["days"].as_u64().is_some_and(|days| (1..=7).contains(&days)),
            "{days}"
        );

        // What came of them goes back, and is read as it is counted.
        let mut request = asking();
        request.tool_config = Some(weather(None));
        let message_of_model = whole.output.and_then(|output| output.message).expect("a message");
        request.messages.push(message_of_model);
        let results = made.iter().map(|call| result(&call.tool_use_id, "Sunny, 21 degrees."));
        request
            .messages
            .push(message(pb::ConversationRole::User, results.collect()));
        let counted = pb::CountTokensRequest {
            input: Some(pb::CountTokensInput {
                input: Some(pb::count_tokens_input::Input::Converse(pb::ConverseTokensRequest {
                    messages: request.messages.clone(),
                    tool_config: request.tool_config.clone(),
                    ..pb::ConverseTokensRequest::default()
                })),
            }),
            ..pb::CountTokensRequest::default()
        };
        let counted = client.count_tokens(counted).await.expect("a count").into_inner();
        let answer = client.converse(request).await.expect("a message").into_inner();
        assert_eq!(answer.usage.expect("usage").input_tokens, counted.input_tokens);
        assert!(counted.input_tokens > usage.input_tokens);
    });
}

#[track_caller]
fn check(status: &Status, field: &str, part: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    assert_eq!(violations[0].field, field, "{violations:?}");
    assert!(violations[0].description.contains(part), "{violations:?}");
}

fn call_of(id: &str, name: &str) -> pb::ContentBlock {
    pb::ContentBlock {
        content: Some(Content::ToolUse(pb::ToolUseBlock {
            tool_use_id: id.to_owned(),
            name: name.to_owned(),
            input: None,
        })),
    }
}

/// A request in which the model called, and these blocks come back.
fn answered(calls: Vec<pb::ContentBlock>, back: Vec<pb::ContentBlock>) -> pb::ConverseRequest {
    let mut request = asking();
    request.messages.push(message(pb::ConversationRole::Assistant, calls));
    request.messages.push(message(pb::ConversationRole::User, back));
    request
}

#[test]
fn tools_that_cannot_be_are_refused() {
    run(async {
        let home = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start(home.path());
        let mut client = server.models().await;
        let (one, two) = (|| call_of("1", "get_weather"), || call_of("2", "get_weather"));
        let no_tools = |request: pb::ConverseRequest| pb::ConverseRequest {
            tool_config: None,
            ..request
        };
        let with_tools = |change: &dyn Fn(&mut pb::ToolConfiguration)| {
            let mut request = asking();
            change(request.tool_config.get_or_insert_default());
            request
        };
        let with_schema = |schema: Value| {
            with_tools(&|tools| {
                let schema = pb::tool_input_schema::Schema::Text(schema.to_string());
                if let Some(pb::tool::Tool::ToolSpec(tool)) = &mut tools.tools[0].tool {
                    tool.input_schema = Some(pb::ToolInputSchema { schema: Some(schema) });
                }
            })
        };
        let named = |name: &str| pb::tool_choice::Choice::Tool(pb::SpecificToolChoice { name: name.to_owned() });
        let specification = "tool_config.tools[0].tool_spec";
        for (request, field, part) in [
            (
                answered(vec![one(), two()], vec![result("1", "x")]),
                "messages[2].content",
                "call `2`",
            ),
            (
                answered(vec![one()], vec![result("1", "x"), result("1", "y")]),
                "messages[2].content[1].tool_result.tool_use_id",
                "no call `1`",
            ),
            (
                answered(vec![one(), one()], vec![result("1", "x")]),
                "messages[1].content[1].tool_use.tool_use_id",
                "ids differ",
            ),
            (
                answered(vec![call_of("a b", "get_weather")], vec![result("a b", "x")]),
                "messages[1].content[0].tool_use.tool_use_id",
                "is `a b`",
            ),
            (
                answered(vec![call_of("1", "get_tea")], vec![result("1", "x")]),
                "messages[1].content[0].tool_use.name",
                "no tool `get_tea`",
            ),
            (
                no_tools(answered(vec![one()], vec![result("1", "x")])),
                "messages[1].content[0].tool_use.name",
                "`tool_config`",
            ),
            (
                answered(vec![text("Hm.")], vec![one()]),
                "messages[2].content[0].tool_use",
                "the assistant",
            ),
            (
                answered(vec![result("1", "x")], vec![text("Hm.")]),
                "messages[1].content[0].tool_result",
                "the user",
            ),
            (with_tools(&|tools| tools.tools.clear()), "tool_config.tools", "no tool"),
            (
                with_tools(&|tools| tools.tools.push(tools.tools[0].clone())),
                "tool_config.tools[1].tool_spec.name",
                "names differ",
            ),
            (
                with_tools(&|tools| tools.tool_choice.get_or_insert_default().choice = Some(named("tea"))),
                "tool_config.tool_choice.tool.name",
                "no tool `tea`",
            ),
            (
                with_schema(json!({ "type": "string" })),
                &format!("{specification}.input_schema"),
                "`object`",
            ),
            (
                with_schema(json!({ "type": "object", "properties": { "x": { "type": "tea" } } })),
                &format!("{specification}.input_schema"),
                "tea",
            ),
            (
                with_schema(json!({ "type": "object", "properties": { "x": { "$ref": "#" } }, "required": ["x"] })),
                &format!("{specification}.input_schema"),
                "nothing finite fits it",
            ),
        ] {
            let status = client.converse(request).await.expect_err(field);
            check(&status, field, part);
        }
    });
}

#[test]
fn shapes_that_cannot_be_are_refused() {
    run(async {
        let home = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start(home.path());
        let mut client = server.models().await;
        let json_schema = |schema: &str| {
            pb::output_format_structure::Structure::JsonSchema(pb::JsonSchemaDefinition {
                schema: schema.to_owned(),
                ..pb::JsonSchemaDefinition::default()
            })
        };
        let regex = |pattern: &str| {
            pb::output_format_structure::Structure::Regex(pb::RegexDefinition {
                pattern: pattern.to_owned(),
            })
        };
        let (any, not_set) = (pb::OutputFormatType::JsonSchema, pb::OutputFormatType::Unspecified);
        let schema = "structure.json_schema.schema";
        for (kind, structure, field, part) in [
            (any, Some(json_schema("")), schema, "required"),
            (any, Some(json_schema("{\"a\"")), schema, "not JSON"),
            (any, Some(json_schema("[]")), schema, "an array"),
            (not_set, Some(json_schema("{\"type\": \"tea\"}")), schema, "tea"),
            (
                any,
                Some(json_schema("{\"$ref\": \"#\"}")),
                schema,
                "nothing finite fits it",
            ),
            (
                any,
                Some(json_schema("{\"minItems\": 1.5}")),
                schema,
                "`minItems` at `#`",
            ),
            (
                not_set,
                Some(regex("(a{1,1000}){1,1000}")),
                "structure.regex.pattern",
                "is too large",
            ),
            (any, Some(regex("a")), "type", "OUTPUT_FORMAT_TYPE_REGEX"),
            (not_set, Some(regex("(")), "structure.regex.pattern", "regex"),
            (not_set, Some(regex("")), "structure.regex.pattern", "1 to 4096 bytes"),
            (any, None, "structure", "`json_schema` or `regex`"),
        ] {
            let request = pb::ConverseRequest {
                tool_config: None,
                output_config: Some(pb::OutputConfig {
                    text_format: Some(pb::OutputFormat {
                        r#type: kind.into(),
                        structure: Some(pb::OutputFormatStructure { structure }),
                    }),
                }),
                ..asking()
            };
            let status = client.converse(request).await.expect_err(field);
            check(&status, &format!("output_config.text_format.{field}"), part);
        }
    });
}
