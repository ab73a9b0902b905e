//! Models over the wire, with the generated client against the real program and its models.

use std::time::Duration;

use groundwork::service::pb::content_block::Content;
use groundwork::service::pb::content_block_delta::Delta;
use groundwork::service::pb::converse_stream_response::Event;
use groundwork::service::pb::embed_result::Result as Outcome;
use groundwork::service::pb::embed_stream_request::Payload;
use groundwork::service::pb::embed_stream_response::Event as Embedded;
use groundwork::service::pb::invoke_model_with_response_stream_response::Event as InvokeEvent;
use groundwork::service::pb::{
    AdditionalModelRequestFields, ContentBlock, ConversationMessage, ConversationRole, ConverseRequest,
    ConverseResponse, ConverseStreamRequest, ConverseStreamResponse, ConverseTokensRequest, CountTokensInput,
    CountTokensRequest, EmbedBatch, EmbedRequest, EmbedStreamRequest, EmbeddingConfiguration, EmbeddingPurpose,
    EmbeddingTruncation, GetFoundationModelRequest, InferenceConfiguration, InvokeModelRequest,
    InvokeModelWithResponseStreamRequest, LoadModelRequest, ModelAvailability, StopReason, TokenUsage,
    UnloadModelRequest, count_tokens_input,
};
use serde_json::{Value, json};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::support::server::{Server, run};

const LANGUAGE_MODEL: &str = "smollm2-135m-instruct";
const EMBEDDING_MODEL: &str = "all-minilm-l6-v2";

fn start() -> (tempfile::TempDir, Server) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(home.path());
    (home, server)
}

fn user(text: &str) -> ConversationMessage {
    ConversationMessage {
        role: ConversationRole::User.into(),
        content: vec![ContentBlock {
            content: Some(Content::Text(text.to_owned())),
        }],
    }
}

fn asking(text: &str, max_tokens: u32) -> ConverseRequest {
    ConverseRequest {
        messages: vec![user(text)],
        inference_config: Some(InferenceConfiguration {
            max_tokens: Some(max_tokens),
            ..InferenceConfiguration::default()
        }),
        ..ConverseRequest::default()
    }
}

fn text_of(response: &ConverseResponse) -> String {
    let message = response.output.as_ref().and_then(|output| output.message.as_ref());
    let message = message.expect("a message");
    assert_eq!(message.role(), ConversationRole::Assistant);
    let texts = message.content.iter().map(|block| match &block.content {
        Some(Content::Text(text)) => text.as_str(),
        other => panic!("{other:?} is no text"),
    });
    texts.collect()
}

async fn events(server: &Server, request: ConverseRequest) -> Vec<Event> {
    let mut stream = server
        .models()
        .await
        .converse_stream(ConverseStreamRequest::from(request))
        .await
        .expect("a stream")
        .into_inner();
    let mut events = Vec::new();
    while let Some(ConverseStreamResponse { event }) = stream.message().await.expect("the stream goes on") {
        events.push(event.expect("no event is empty"));
    }
    events
}

#[test]
fn stream_and_response_tell_the_same() {
    run(async {
        let (_home, server) = start();
        let mut request = asking("Name three colours of the rainbow.", 40);
        request.inference_config = Some(InferenceConfiguration {
            temperature: Some(0.8),
            seed: Some(11),
            ..request.inference_config.unwrap_or_default()
        });
        request.additional_model_request_fields = Some(AdditionalModelRequestFields {
            top_k: Some(40),
            min_p: Some(0.02),
            repetition_penalty: Some(1.1),
            top_logprobs: 2,
            ..AdditionalModelRequestFields::default()
        });
        let mut client = server.models().await;
        let whole = client.converse(request.clone()).await.expect("a message").into_inner();
        let events = events(&server, request.clone()).await;
        assert!(matches!(events[0], Event::MessageStart(_)) && matches!(events[1], Event::ContentBlockStart(_)));
        let [
            ..,
            Event::ContentBlockStop(_),
            Event::MessageStop(stop),
            Event::Metadata(metadata),
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        let mut text = String::new();
        let mut logprobs = Vec::new();
        for event in &events[2..events.len() - 3] {
            let Event::ContentBlockDelta(delta) = event else {
                panic!("{event:?}")
            };
            let Some(Delta::Text(piece)) = delta.delta.as_ref().and_then(|delta| delta.delta.as_ref()) else {
                panic!("{delta:?}");
            };
            text.push_str(piece);
            logprobs.extend(delta.logprobs.clone());
        }
        assert_eq!(text_of(&whole), text);
        assert_eq!(whole.stop_reason, stop.stop_reason);
        // The second one read the prompt of the first where it could be kept.
        let plain = |usage: TokenUsage| TokenUsage {
            cache_read_input_tokens: 0,
            ..usage
        };
        assert_eq!(whole.usage.map(plain), metadata.usage.map(plain));
        assert!(
            metadata
                .usage
                .is_some_and(|usage| usage.cache_read_input_tokens < usage.input_tokens)
        );
        let fields = whole.additional_model_response_fields.expect("more is told");
        assert_eq!((fields.logprobs.len(), fields.seed), (logprobs.len(), 11));
        assert_eq!(fields.logprobs, logprobs);
        let usage = whole.usage.expect("usage");
        assert_eq!(usage.total_tokens, usage.input_tokens + usage.output_tokens);
        assert_eq!(fields.logprobs.len() as u64, usage.output_tokens);
        for token in &fields.logprobs {
            let chosen = token.chosen.as_ref().expect("the chosen token");
            let best = &token.top_logprobs[0];
            assert!(token.top_logprobs.len() == 2 && best.logprob >= chosen.logprob && best.logprob <= 0.0);
        }
        let metrics = metadata.metrics.expect("metrics");
        let stages = metrics.stages.expect("stages");
        assert!(stages.prefill_micros > 0 && stages.decode_micros > 0 && metrics.latency_ms > 0);
        assert!(metrics.time_to_first_token_ms <= metrics.latency_ms);
        assert_eq!(
            (metadata.model_id.as_str(), metadata.model_hash.len()),
            (LANGUAGE_MODEL, 64)
        );
        let counted = CountTokensRequest {
            model_id: String::new(),
            input: Some(CountTokensInput {
                input: Some(count_tokens_input::Input::Converse(ConverseTokensRequest {
                    messages: request.messages,
                    ..ConverseTokensRequest::default()
                })),
            }),
        };
        let counted = client.count_tokens(counted).await.expect("a count").into_inner();
        assert_eq!(counted.input_tokens, usage.input_tokens);
    });
}

#[test]
fn stop_sequences_and_biases_are_heeded() {
    run(async {
        let (_home, server) = start();
        let mut client = server.models().await;
        let plain = client
            .converse(asking("Count from one to five.", 60))
            .await
            .expect("a message");
        let plain = text_of(&plain.into_inner());
        // Any word of the reply can end it.
        let word = plain
            .split_whitespace()
            .nth(2)
            .expect("a reply of some words")
            .to_owned();
        let mut stopping = asking("Count from one to five.", 60);
        stopping.inference_config.get_or_insert_default().stop_sequences = vec!["\u{1}".to_owned(), word.clone()];
        let stopped = client.converse(stopping).await.expect("a message").into_inner();
        assert_eq!(stopped.stop_reason(), StopReason::StopSequence);
        assert_eq!(plain.split_once(&word).expect("the word is there").0, text_of(&stopped));
        let fields = stopped.additional_model_response_fields.expect("more is told");
        assert_eq!(fields.stop_sequence, word);

        let mut biased = asking("Count from one to five.", 1);
        biased.additional_model_request_fields = Some(AdditionalModelRequestFields {
            logit_bias: [(500, 100.0)].into(),
            logprobs: true,
            ..AdditionalModelRequestFields::default()
        });
        let biased = client.converse(biased).await.expect("a message").into_inner();
        assert_eq!(biased.stop_reason(), StopReason::MaxTokens);
        let told = &biased.additional_model_response_fields.expect("more is told").logprobs;
        assert_eq!(told[0].chosen.as_ref().map(|chosen| chosen.token), Some(500));
    });
}

/// Checks that a status names this field of the request, and says this.
#[track_caller]
fn check(status: &Status, field: &str, part: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    assert_eq!(violations[0].field, field);
    assert!(violations[0].description.contains(part), "{violations:?}");
}

#[test]
fn draws_out_of_bounds_are_refused() {
    run(async {
        let (_home, server) = start();
        let mut client = server.models().await;
        let fields = AdditionalModelRequestFields::default;
        for (wrong, field, part) in [
            (
                AdditionalModelRequestFields {
                    top_k: Some(1001),
                    ..fields()
                },
                "top_k",
                "1 to 1000",
            ),
            (
                AdditionalModelRequestFields {
                    min_p: Some(1.5),
                    ..fields()
                },
                "min_p",
                "is 1.5",
            ),
            (
                AdditionalModelRequestFields {
                    repetition_penalty: Some(0.0),
                    ..fields()
                },
                "repetition_penalty",
                "above 0 and up to 2, is 0",
            ),
            (
                AdditionalModelRequestFields {
                    presence_penalty: Some(f64::NAN),
                    ..fields()
                },
                "presence_penalty",
                "-2 to 2, is NaN",
            ),
            (
                AdditionalModelRequestFields {
                    frequency_penalty: Some(-2.1),
                    ..fields()
                },
                "frequency_penalty",
                "is -2.1",
            ),
            (
                AdditionalModelRequestFields {
                    top_logprobs: 21,
                    ..fields()
                },
                "top_logprobs",
                "0 to 20, is 21",
            ),
            (
                AdditionalModelRequestFields {
                    logit_bias: [(7, 100.5)].into(),
                    ..fields()
                },
                "logit_bias[7]",
                "is 100.5",
            ),
            (
                AdditionalModelRequestFields {
                    logit_bias: [(4_000_000, 1.0)].into(),
                    ..fields()
                },
                "logit_bias",
                "no token 4000000",
            ),
        ] {
            let request = ConverseRequest {
                additional_model_request_fields: Some(wrong),
                ..asking("Hi", 1)
            };
            let status = client.converse(request).await.expect_err(field);
            check(&status, &format!("additional_model_request_fields.{field}"), part);
        }
    });
}

#[test]
fn messages_that_cannot_be_are_refused() {
    run(async {
        let (_home, server) = start();
        let mut client = server.models().await;
        let status = client.converse(asking("Hi", 5_000)).await.expect_err("too many tokens");
        check(&status, "inference_config.max_tokens", "1 to 4096, is 5000");
        let unread = ConverseRequest {
            messages: vec![ConversationMessage {
                content: vec![ContentBlock { content: None }],
                ..user("")
            }],
            ..ConverseRequest::default()
        };
        let status = client.converse(unread).await.expect_err("no content");
        check(
            &status,
            "messages[0].content[0]",
            "`text`, `document`, `tool_use`, `tool_result` or `cache_point`",
        );
        let status = client
            .converse(asking(&"tide ".repeat(9_000), 1))
            .await
            .expect_err("too long");
        check(&status, "messages", "context window");
        let status = client
            .converse_stream(ConverseStreamRequest::from(ConverseRequest {
                messages: vec![user("a"), user("b")],
                ..ConverseRequest::default()
            }))
            .await
            .expect("a stream")
            .into_inner()
            .message()
            .await
            .expect_err("two messages of one side");
        check(&status, "messages[1].role", "messages[0]");
        let wrong = ConverseRequest {
            model_id: EMBEDDING_MODEL.to_owned(),
            ..asking("Hi", 1)
        };
        let status = client.converse(wrong).await.expect_err("it embeds");
        check(&status, "model_id", "embedding model");
    });
}

#[test]
fn texts_that_cannot_be_embedded_are_refused() {
    run(async {
        let (_home, server) = start();
        let mut client = server.models().await;
        let wrong = EmbedRequest {
            texts: vec!["tide".to_owned()],
            configuration: Some(EmbeddingConfiguration {
                dimensions: Some(385),
                ..EmbeddingConfiguration::default()
            }),
        };
        let status = client.embed(wrong).await.expect_err("too many dimensions");
        check(&status, "configuration.dimensions", "1 to 384");
        let long = EmbedRequest {
            texts: vec!["tide".to_owned(), "tide ".repeat(600)],
            configuration: None,
        };
        let status = client.embed(long).await.expect_err("too long");
        check(&status, "texts[1]", "602 tokens");
    });
}

#[test]
fn passed_deadline_tells_the_tokens_used() {
    run(async {
        let (_home, server) = start();
        let mut client = server.models().await;
        let load = LoadModelRequest {
            model_id: LANGUAGE_MODEL.to_owned(),
            pinned: false,
        };
        client.load_model(load).await.expect("it is installed");
        let mut endless = asking("Tell a very long story.", 4_096);
        endless.additional_model_request_fields = Some(AdditionalModelRequestFields {
            // Neither of the two tokens that could end it comes.
            logit_bias: [(0, -100.0), (2, -100.0)].into(),
            ..AdditionalModelRequestFields::default()
        });
        let mut request = Request::new(endless.clone());
        request
            .metadata_mut()
            .insert("grpc-timeout", "2S".parse().expect("a timeout"));
        let status = client.converse(request).await.expect_err("the deadline passes");
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        let told = status.get_details_error_info().expect("an ErrorInfo").metadata;
        let output_tokens: u64 = told["output_tokens"].parse().expect("a number");
        assert!(output_tokens > 0 && told.contains_key("input_tokens"), "{told:?}");

        let mut request = Request::new(ConverseStreamRequest::from(endless));
        request
            .metadata_mut()
            .insert("grpc-timeout", "2S".parse().expect("a timeout"));
        let mut stream = client.converse_stream(request).await.expect("a stream").into_inner();
        let mut last = None;
        let status = loop {
            match stream.message().await {
                Ok(message) => last = message.expect("a status ends it").event,
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        let Some(Event::Metadata(metadata)) = last else {
            panic!("{last:?}")
        };
        assert!(metadata.usage.expect("usage").output_tokens > 0);
    });
}

fn batch(texts: &[&str]) -> EmbedStreamRequest {
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    EmbedStreamRequest {
        payload: Some(Payload::Batch(EmbedBatch { texts })),
    }
}

fn configured(configuration: EmbeddingConfiguration) -> EmbedStreamRequest {
    EmbedStreamRequest {
        payload: Some(Payload::Configuration(configuration)),
    }
}

/// Sends messages, and returns what came until the stream ended or failed.
async fn embed_stream(server: &Server, messages: Vec<EmbedStreamRequest>) -> (Vec<Embedded>, Option<Status>) {
    let mut client = server.models().await;
    let opened = client.embed_stream(tokio_stream::iter(messages)).await;
    let mut stream = opened.expect("a stream").into_inner();
    let mut told = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => told.push(message.event.expect("no event is empty")),
            Ok(None) => return (told, None),
            Err(status) => return (told, Some(status)),
        }
    }
}

#[test]
fn batches_are_answered_in_order_with_errors_in_place() {
    run(async {
        let (_home, server) = start();
        let long = "tide ".repeat(600);
        let too_many = vec!["a"; 513];
        let messages = vec![
            configured(EmbeddingConfiguration {
                purpose: EmbeddingPurpose::Query.into(),
                truncation: EmbeddingTruncation::None.into(),
                dimensions: Some(128),
                ..EmbeddingConfiguration::default()
            }),
            batch(&["red fox", &long, "dog"]),
            batch(&too_many),
            batch(&["", "cat"]),
        ];
        let (told, status) = embed_stream(&server, messages).await;
        assert!(status.is_none(), "{status:?}");
        let [
            Embedded::Batch(first),
            Embedded::Batch(second),
            Embedded::Batch(third),
            Embedded::Summary(summary),
        ] = &told[..]
        else {
            panic!("{told:?}");
        };
        let is_error = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Error(_)));
        let errors: Vec<bool> = first.results.iter().map(|it| is_error(&it.result)).collect();
        assert_eq!(errors, [false, true, false]);
        let Some(Outcome::Error(error)) = &first.results[1].result else {
            panic!("{first:?}")
        };
        assert_eq!((error.code, error.field.as_str()), (3, "texts[1]"));
        assert!(error.message.contains("602 tokens"), "{error:?}");
        assert!(second.results.is_empty() && second.error.as_ref().is_some_and(|it| it.message.contains("513")));
        assert_eq!(
            (
                third.index,
                is_error(&third.results[0].result),
                is_error(&third.results[1].result)
            ),
            (2, true, false)
        );
        assert_eq!(
            (
                summary.batch_count,
                summary.embedded_text_count,
                summary.failed_text_count
            ),
            (3, 3, 515)
        );
        assert_eq!((summary.dimensions, summary.model_id.as_str()), (128, EMBEDDING_MODEL));
        let request = EmbedRequest {
            texts: vec!["red fox".to_owned()],
            configuration: Some(EmbeddingConfiguration {
                purpose: EmbeddingPurpose::Query.into(),
                dimensions: Some(128),
                ..EmbeddingConfiguration::default()
            }),
        };
        let alone = server
            .models()
            .await
            .embed(request)
            .await
            .expect("a vector")
            .into_inner();
        assert_eq!(
            first.results[0].result,
            Some(Outcome::Embedding(alone.embeddings[0].clone()))
        );
        assert_eq!(alone.embeddings[0].input_tokens, 4);
        assert_eq!(
            alone.usage.map(|usage| (usage.input_tokens, usage.output_tokens)),
            Some((4, 0))
        );
    });
}

#[test]
fn embedding_streams_end_where_they_are_misused() {
    run(async {
        let (_home, server) = start();
        let plain = EmbeddingConfiguration::default;
        let (told, status) = embed_stream(&server, vec![batch(&["a"]), configured(plain())]).await;
        assert_eq!(told.len(), 1);
        check(&status.expect("it came too late"), "configuration", "first message");
        let (_, status) = embed_stream(&server, vec![EmbedStreamRequest { payload: None }]).await;
        check(&status.expect("nothing was sent"), "payload", "`batch`");
        let unknown = EmbeddingConfiguration {
            model_id: LANGUAGE_MODEL.to_owned(),
            ..plain()
        };
        let (told, status) = embed_stream(&server, vec![configured(unknown), batch(&["a"])]).await;
        assert!(told.is_empty());
        check(
            &status.expect("it does not embed"),
            "configuration.model_id",
            "language model",
        );
        let (told, status) = embed_stream(&server, Vec::new()).await;
        assert!(
            matches!(&told[..], [Embedded::Summary(_)]) && status.is_none(),
            "{told:?}"
        );
    });
}

#[test]
fn model_in_use_leaves_with_its_last_user() {
    run(async {
        let (_home, server) = start();
        let mut client = server.models().await;
        let named = || LANGUAGE_MODEL.to_owned();
        let load = LoadModelRequest {
            model_id: named(),
            pinned: false,
        };
        let loaded = client
            .load_model(load.clone())
            .await
            .expect("it is installed")
            .into_inner();
        let details = loaded.model_details.expect("a description");
        assert!(details.memory_bytes > 10 << 20, "{details:?}");
        assert_eq!(details.availability(), ModelAvailability::Loaded);
        let mut request = asking("Write about the sea.", 200);
        request.additional_model_request_fields = Some(AdditionalModelRequestFields {
            logit_bias: [(0, -100.0), (2, -100.0)].into(),
            ..AdditionalModelRequestFields::default()
        });
        let mut stream = client
            .converse_stream(ConverseStreamRequest::from(request))
            .await
            .expect("a stream")
            .into_inner();
        while let Some(message) = stream.message().await.expect("the stream goes on") {
            if matches!(message.event, Some(Event::ContentBlockDelta(_))) {
                break;
            }
        }
        let unload = UnloadModelRequest { model_id: named() };
        let unloaded = client
            .unload_model(unload.clone())
            .await
            .expect("it can go")
            .into_inner();
        assert!(unloaded.was_loaded && unloaded.in_use, "{unloaded:?}");
        let again = client.unload_model(unload.clone()).await.expect("it is gone");
        let again = again.into_inner();
        assert!(!again.was_loaded && again.in_use, "the stream goes on: {again:?}");
        let described = client
            .get_foundation_model(GetFoundationModelRequest { model_id: named() })
            .await
            .expect("it is in the catalog")
            .into_inner();
        let details = described.model_details.expect("a description");
        assert_eq!(
            (details.availability(), details.memory_bytes),
            (ModelAvailability::Installed, 0)
        );
        let mut last = None;
        while let Some(message) = stream.message().await.expect("the stream goes on") {
            last = message.event;
        }
        let Some(Event::Metadata(metadata)) = last else {
            panic!("{last:?}")
        };
        assert_eq!(metadata.usage.map(|usage| usage.output_tokens), Some(200));
        let again = client
            .unload_model(unload)
            .await
            .expect("it is gone already")
            .into_inner();
        assert!(!again.was_loaded && !again.in_use);
        let answered = client
            .converse(asking("Hello?", 3))
            .await
            .expect("it is loaded again")
            .into_inner();
        assert!(!text_of(&answered).is_empty());
        let loaded = client.load_model(load).await.expect("it is there").into_inner();
        assert!(loaded.already_loaded);
        let nowhere = LoadModelRequest {
            model_id: "nowhere".to_owned(),
            pinned: false,
        };
        let status = client.load_model(nowhere).await.expect_err("no such model");
        assert_eq!(status.code(), Code::NotFound);
    });
}

#[test]
fn client_that_leaves_frees_its_slot() {
    run(async {
        let (_home, server) = start();
        let mut client = server.models().await;
        // Twice as many as there are slots, each left after its first words.
        for _ in 0..16 {
            let mut stream = client
                .converse_stream(ConverseStreamRequest::from(asking("Tell a very long story.", 4_000)))
                .await
                .expect("a stream")
                .into_inner();
            while let Some(message) = stream.message().await.expect("the stream goes on") {
                if matches!(message.event, Some(Event::ContentBlockDelta(_))) {
                    break;
                }
            }
        }
        let mut request = Request::new(asking("Hello?", 2));
        request.set_timeout(Duration::from_secs(30));
        let answered = client.converse(request).await.expect("a slot is free").into_inner();
        assert_eq!(answered.stop_reason(), StopReason::MaxTokens);
    });
}

fn body(json: &serde_json::Value) -> InvokeModelRequest {
    InvokeModelRequest {
        body: json.to_string().into_bytes(),
        ..InvokeModelRequest::default()
    }
}

#[test]
fn bodies_of_json_are_answered_in_json() {
    run(async {
        let (_home, server) = start();
        let mut client = server.models().await;
        let prompt = "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n";
        let asked = json!({ "prompt": prompt, "max_gen_len": 12, "temperature": 0.7, "seed": 5, "top_k": 40, "stop": ["\n\n"] });
        let answer = client.invoke_model(body(&asked)).await.expect("an answer").into_inner();
        assert_eq!(
            (answer.content_type.as_str(), answer.model_id.as_str()),
            ("application/json", LANGUAGE_MODEL)
        );
        let whole: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let usage = answer.usage.expect("usage");
        assert_eq!(whole["prompt_token_count"], usage.input_tokens);
        assert_eq!(whole["generation_token_count"], usage.output_tokens);
        assert!(["stop", "length"].contains(&whole["stop_reason"].as_str().expect("a reason")));
        let count = CountTokensRequest {
            input: Some(CountTokensInput {
                input: Some(count_tokens_input::Input::Text(prompt.to_owned())),
            }),
            ..CountTokensRequest::default()
        };
        let count = client.count_tokens(count).await.expect("a count").into_inner();
        assert_eq!(count.input_tokens, usage.input_tokens, "the prompt is read as it is");

        let request = InvokeModelWithResponseStreamRequest {
            body: asked.to_string().into_bytes(),
            accept: "*/*".to_owned(),
            ..InvokeModelWithResponseStreamRequest::default()
        };
        let mut stream = client
            .invoke_model_with_response_stream(request)
            .await
            .expect("a stream")
            .into_inner();
        let (mut text, mut last, mut is_over) = (String::new(), Value::Null, false);
        while let Some(event) = stream.message().await.expect("the stream goes on") {
            assert!(!is_over, "the metadata come last");
            match event.event.expect("no event is empty") {
                InvokeEvent::Chunk(part) => {
                    last = serde_json::from_slice(&part.bytes).expect("JSON");
                    text.push_str(last["generation"].as_str().expect("a text"));
                }
                InvokeEvent::Metadata(metadata) => {
                    is_over = true;
                    assert_eq!(metadata.usage.expect("usage").output_tokens, usage.output_tokens);
                }
            }
        }
        assert!(is_over && !text.is_empty());
        assert_eq!(whole["generation"], text.as_str());
        for name in ["prompt_token_count", "generation_token_count", "stop_reason"] {
            assert_eq!(last[name], whole[name], "{name}");
        }

        let asked = json!({ "inputText": "a red fox", "dimensions": 64, "normalize": true });
        let answer = client.invoke_model(body(&asked)).await.expect("a vector").into_inner();
        assert_eq!(answer.model_id, EMBEDDING_MODEL);
        let made: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(made["inputTextTokenCount"], 5);
        assert_eq!(made["embedding"].as_array().map(Vec::len), Some(64));
    });
}

#[test]
fn bodies_that_cannot_be_are_refused() {
    run(async {
        let (_home, server) = start();
        let mut client = server.models().await;
        for (asked, field, part) in [
            (json!([1]), "body", "no object of JSON"),
            (json!({}), "body", "`inputText`"),
            (
                json!({ "prompt": "Hi", "max_tokens": 5 }),
                "body.max_tokens",
                "max_gen_len",
            ),
            (
                json!({ "prompt": "Hi", "max_gen_len": 0 }),
                "body.max_gen_len",
                "1 to 4096, is 0",
            ),
            (json!({ "prompt": "Hi", "temperature": 3 }), "body.temperature", "is 3"),
            (json!({ "prompt": "Hi", "min_p": 2 }), "body.min_p", "is 2"),
            (
                json!({ "prompt": "Hi", "stop": [""] }),
                "body.stop[0]",
                "1 to 256 bytes",
            ),
            (json!({ "prompt": 7 }), "body.prompt", "must be a text, is 7"),
            (json!({ "prompt": "" }), "body.prompt", "nothing to read"),
            (
                json!({ "prompt": "tide ".repeat(9_000) }),
                "body.prompt",
                "context window",
            ),
            (json!({ "inputText": "Hi", "seed": 5 }), "body.seed", "inputText"),
            (
                json!({ "inputText": "Hi", "dimensions": 9_000 }),
                "body.dimensions",
                "is 9000",
            ),
            (json!({ "inputText": " " }), "body.inputText", "blank"),
            (
                json!({ "inputText": "tide ".repeat(600) }),
                "body.inputText",
                "shorten the text, or have Embed cut it",
            ),
        ] {
            let status = client.invoke_model(body(&asked)).await.expect_err(field);
            check(&status, field, part);
        }
        let typed = InvokeModelRequest {
            content_type: "text/plain".to_owned(),
            ..body(&json!({ "prompt": "Hi" }))
        };
        let status = client.invoke_model(typed).await.expect_err("no JSON");
        check(&status, "content_type", "text/plain");
        let elsewhere = InvokeModelRequest {
            model_id: EMBEDDING_MODEL.to_owned(),
            ..body(&json!({ "prompt": "Hi" }))
        };
        let status = client.invoke_model(elsewhere).await.expect_err("it embeds");
        check(&status, "model_id", "embedding model");
    });
}
