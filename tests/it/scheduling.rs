//! Many callers and few slots, several models and little memory: over the wire, with the real program and its models.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use groundwork::service::pb::content_block::Content;
use groundwork::service::pb::converse_stream_response::Event;
use groundwork::service::pb::model_service_client::ModelServiceClient;
use groundwork::service::pb::{
    AdditionalModelRequestFields, ContentBlock, ConversationMessage, ConversationRole, ConverseRequest,
    ConverseStreamRequest, ConverseStreamResponse, FoundationModelDetails, GetFoundationModelRequest, GetLimitsRequest,
    InferenceConfiguration, InferenceType, ListFoundationModelsRequest, LoadModelRequest, ModelAvailability,
    ModelCustomizationType, ModelServing, ServiceTier, UnloadModelRequest,
};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::support::models;
use crate::support::server::{Server, run};

const LANGUAGE_MODEL: &str = "smollm2-135m-instruct";
const SLOTS: usize = 8;

fn asking(text: &str, max_tokens: u32) -> ConverseStreamRequest {
    ConverseStreamRequest {
        messages: vec![ConversationMessage {
            role: ConversationRole::User.into(),
            content: vec![ContentBlock {
                content: Some(Content::Text(text.to_owned())),
            }],
        }],
        inference_config: Some(InferenceConfiguration {
            max_tokens: Some(max_tokens),
            ..InferenceConfiguration::default()
        }),
        ..ConverseStreamRequest::default()
    }
}

fn whole(request: ConverseStreamRequest) -> ConverseRequest {
    ConverseRequest {
        messages: request.messages,
        inference_config: request.inference_config,
        ..ConverseRequest::default()
    }
}

fn of_tenant<M>(tenant: &'static str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    let tenant = tenant.parse().expect("it is ASCII");
    request.metadata_mut().insert("x-groundwork-tenant", tenant);
    request
}

async fn described(server: &Server, id: &str) -> FoundationModelDetails {
    let request = GetFoundationModelRequest {
        model_id: id.to_owned(),
    };
    let response = server.models().await.get_foundation_model(request).await;
    let details = response.expect("it is in the catalog").into_inner().model_details;
    details.expect("a description")
}

async fn serving(server: &Server) -> ModelServing {
    described(server, LANGUAGE_MODEL).await.serving.expect("it makes text")
}

/// Waits until the model serves like this.
async fn until(server: &Server, is_so: impl Fn(&ModelServing) -> bool) -> ModelServing {
    let give_up_at = Instant::now() + Duration::from_mins(1);
    loop {
        let serving = serving(server).await;
        if is_so(&serving) {
            return serving;
        }
        assert!(Instant::now() < give_up_at, "it never came to this: {serving:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn stream(server: &Server, tenant: &'static str) -> Result<Streaming<ConverseStreamResponse>, Status> {
    let request = of_tenant(tenant, asking("Tell a very long story of the sea.", 4_000));
    let response = server.models().await.converse_stream(request).await;
    response.map(tonic::Response::into_inner)
}

async fn first_words(stream: &mut Streaming<ConverseStreamResponse>) {
    while let Some(message) = stream.message().await.expect("the stream goes on") {
        if matches!(message.event, Some(Event::ContentBlockDelta(_))) {
            return;
        }
    }
    panic!("the stream ended without a word");
}

#[test]
fn cancelled_stream_frees_its_slot_within_one_token() {
    run(async {
        let home = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start(home.path());
        for count in 1..=3_u64 {
            let mut story = stream(&server, "reader").await.expect("a stream");
            first_words(&mut story).await;
            let now = serving(&server).await;
            assert_eq!((now.running, now.waiting), (1, 0));
            assert!(now.running_tokens > 4_000, "{now:?}");
            drop(story);
            let freed = until(&server, |serving| serving.running == 0).await;
            assert_eq!((freed.cancelled, freed.finished, freed.failed), (count, 0, 0));
            let times = freed.cancellation.expect("times");
            assert_eq!(times.count, count);
            assert!(
                times.last_micros > 0 && times.max_micros >= times.mean_micros,
                "{times:?}"
            );
            assert!(times.max_tokens <= 1, "{times:?}");
            assert_eq!(freed.running_tokens, 0);
        }
        let freed = serving(&server).await;
        assert!(freed.input_tokens > freed.cache_read_input_tokens, "{freed:?}");
        assert!(
            freed.output_tokens > 0 && freed.prefill_tokens_per_second > 0.0,
            "{freed:?}"
        );
        assert!(freed.decode_tokens_per_second > 0.0);
        let request = whole(asking("Name a colour.", 4));
        server.models().await.converse(request).await.expect("a message");
        let after = serving(&server).await;
        assert_eq!((after.finished, after.cancelled), (1, 3));
        assert!(after.output_share > 0.0 && after.output_share <= 1.0);
        let told = Command::new(env!("CARGO_BIN_EXE_groundwork"))
            .args(["--server", server.address(), "--json", "models", "status"])
            .output()
            .expect("the program starts");
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("one object");
        assert_eq!(told["model_id"], LANGUAGE_MODEL);
        assert_eq!(told["serving"]["cancellation"]["count"], 3);
    });
}

#[test]
fn stream_that_nobody_reads_holds_no_slot() {
    const TOKENS: u32 = 200;
    run(async {
        let home = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start(home.path());
        // What fits into such a window is soon less than what the model wrote.
        let endpoint = Channel::from_shared(format!("http://{}", server.address())).expect("an address");
        let narrow = endpoint.initial_stream_window_size(1_024).connect_lazy();
        let mut client = ModelServiceClient::new(narrow);
        let mut unread = Vec::new();
        for _ in 0..3 {
            let request = asking("Tell a very long story of the sea.", TOKENS);
            let response = client.converse_stream(request).await.expect("a stream");
            unread.push(response.into_inner());
        }
        until(&server, |serving| serving.finished == 3 && serving.running == 0).await;
        for mut story in unread {
            let mut usage = None;
            while let Some(message) = story.message().await.expect("all of it is kept") {
                if let Some(Event::Metadata(metadata)) = message.event {
                    usage = metadata.usage;
                }
            }
            assert_eq!(usage.expect("the last message").output_tokens, u64::from(TOKENS));
        }
    });
}

#[test]
fn tenants_do_not_take_each_others_places() {
    run(async {
        let home = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start_with(home.path(), &["--set", "max_queued_answers=2"]);
        let mut many = Vec::new();
        for _ in 0..SLOTS {
            let mut story = stream(&server, "many").await.expect("a stream");
            first_words(&mut story).await;
            many.push(story);
        }
        for _ in 0..2 {
            many.push(stream(&server, "many").await.expect("a stream"));
        }
        until(&server, |serving| serving.waiting == 2).await;
        let mut refused = stream(&server, "many").await.expect("a stream");
        let status = refused.message().await.expect_err("the queue of the tenant is full");
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert_eq!(details.error_info().expect("a reason").reason, "ANSWER_QUEUE_FULL");
        assert_eq!(details.error_info().expect("a reason").metadata["tenant"], "many");
        let delay = details.retry_info().expect("a time").retry_delay;
        assert!(
            delay.is_some_and(|delay| delay >= Duration::from_millis(100)),
            "{delay:?}"
        );
        assert!(details.quota_failure().is_some());
        let mut one = stream(&server, "one").await.expect("a stream");
        let flex = of_tenant(
            "one",
            ConverseStreamRequest {
                service_tier: ServiceTier::Flex.into(),
                ..asking("Name a colour.", 2)
            },
        );
        let _flex = server.models().await.converse_stream(flex).await.expect("a stream");
        let now = until(&server, |serving| serving.waiting == 4).await;
        assert_eq!((now.waiting_default, now.waiting_flex, now.running), (3, 1, 8));
        // The first slot that is free is for the tenant that has none.
        drop(many.swap_remove(0));
        first_words(&mut one).await;
        let now = serving(&server).await;
        assert!(
            now.waiting_default == 2 && now.refused["ANSWER_QUEUE_FULL"] == 1,
            "{now:?}"
        );
        for name in ["", "two words", "x".repeat(129).leak()] {
            let status = stream(&server, name).await.expect_err("it names no tenant");
            assert_eq!(status.code(), Code::InvalidArgument);
            let violations = status.get_error_details();
            let violations = violations.bad_request().expect("a field").field_violations.clone();
            assert_eq!(violations[0].field, "x-groundwork-tenant");
        }
        let wrong = ConverseStreamRequest {
            service_tier: 99,
            ..asking("Hello", 1)
        };
        let mut wrong = server
            .models()
            .await
            .converse_stream(wrong)
            .await
            .expect("a stream")
            .into_inner();
        assert_eq!(
            wrong.message().await.expect_err("no such tier").code(),
            Code::InvalidArgument
        );
    });
}

#[test]
fn deadlines_that_cannot_be_met_are_told_at_once() {
    run(async {
        let home = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start(home.path());
        let long = |deadline: Duration| {
            let mut request = whole(asking("Write a long poem about every month of the year.", 256));
            // Nothing ends it but its limit.
            request.additional_model_request_fields = Some(AdditionalModelRequestFields {
                logit_bias: [(0, -100.0), (2, -100.0)].into(),
                ..AdditionalModelRequestFields::default()
            });
            let mut request = Request::new(request);
            request.set_timeout(deadline);
            request
        };
        for _ in 0..4 {
            let made = server.models().await.converse(long(Duration::from_mins(1))).await;
            made.expect("there is time");
        }
        let status = server.models().await.converse(long(Duration::from_millis(60))).await;
        let status = status.expect_err("nobody writes as fast");
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let ended = |serving: &ModelServing| serving.refused.values().sum::<u64>() + serving.cancelled;
        let now = until(&server, |serving| ended(serving) == 1).await;
        let info = status.get_error_details().error_info().cloned().expect("a reason");
        // A machine that is busy may let the deadline pass before it is looked at.
        if info.reason == "DEADLINE_UNREACHABLE" {
            assert_eq!(now.refused["DEADLINE_UNREACHABLE"], 1);
            let number = |name: &str| info.metadata[name].parse::<u64>().expect("a number");
            assert!(number("predicted_ms") > number("left_ms"), "{info:?}");
            assert!(number("queued_ms") < 60, "{info:?}");
        } else {
            assert_eq!(info.reason, "DEADLINE_EXCEEDED");
        }
        let limits = server
            .knowledge_bases()
            .await
            .get_limits(GetLimitsRequest::default())
            .await;
        let limits = limits.expect("limits").into_inner().generation.expect("of answers");
        assert_eq!((limits.max_queued_answers, limits.max_queued_answers_in_all), (8, 64));
        assert_eq!(
            (limits.flex_ages_after_ms, limits.default_ages_after_ms),
            (10_000, 30_000)
        );
        assert!(
            limits.max_model_memory_bytes > 1 << 28 && limits.max_running_tokens == 65_536,
            "{limits:?}"
        );
    });
}

/// A catalog with the default language model under more ids.
fn catalog(home: &Path, ids: &[&str]) -> std::path::PathBuf {
    let model = models::directory().join(LANGUAGE_MODEL);
    let entry = |id: &&str| {
        let directory = home.join("models").join(id);
        std::fs::create_dir_all(&directory).expect("a directory");
        let name = "SmolLM2-135M-Instruct.Q4_1.gguf";
        let copy = directory.join(name);
        std::fs::hard_link(model.join(name), &copy)
            .or_else(|_| std::fs::copy(model.join(name), &copy).map(drop))
            .expect("a file");
        directory
    };
    let directories: Vec<_> = ids.iter().map(entry).collect();
    directories[0].parent().expect("it has one").to_owned()
}

#[test]
fn models_share_a_budget_of_memory() {
    run(async {
        let home = tempfile::tempdir().expect("a temporary directory");
        let directory = catalog(home.path(), &["first", "second", "third"]);
        let flags = ["first", "second", "third"].map(|id| directory.join(id).display().to_string());
        let mut arguments = vec!["--set", "max_model_memory_mb=250"];
        for flag in &flags {
            arguments.extend(["--model-dir", flag]);
        }
        let server = Server::start_with(home.path(), &arguments);
        let mut client = server.models().await;
        let ids = ["first", "second", "third"].map(str::to_owned);
        // Those of the start make room.
        for id in [LANGUAGE_MODEL, "all-minilm-l6-v2"] {
            let model_id = id.to_owned();
            client
                .unload_model(UnloadModelRequest { model_id })
                .await
                .expect("it can go");
        }
        let load = |id: &str, pinned: bool| LoadModelRequest {
            model_id: id.to_owned(),
            pinned,
        };
        for id in [&ids[0], &ids[1], &ids[0]] {
            client.load_model(load(id, false)).await.expect("two fit");
        }
        let request = ConverseRequest {
            model_id: ids[2].clone(),
            ..whole(asking("Name a colour.", 3))
        };
        client.converse(request).await.expect("the third is served, too");
        let states = async |server: &Server| {
            let mut states = Vec::new();
            for id in &ids {
                let details = described(server, id).await;
                let is_loaded = details.availability() == ModelAvailability::Loaded;
                assert_eq!(details.memory_bytes > 0, is_loaded);
                assert_eq!(
                    details.max_input_tokens > 0,
                    is_loaded,
                    "the file tells it once it is read"
                );
                states.push(is_loaded);
            }
            states
        };
        assert_eq!(
            states(&server).await,
            [true, false, true],
            "the least recently used left"
        );
        let pinned = client
            .load_model(load(&ids[0], true))
            .await
            .expect("it is there")
            .into_inner();
        assert!(pinned.model_details.is_some_and(|details| details.pinned));
        client.load_model(load(&ids[2], true)).await.expect("it is there");
        let status = client.load_model(load(&ids[1], false)).await.expect_err("both stay");
        assert_eq!(status.code(), Code::ResourceExhausted);
        let info = status.get_error_details().error_info().expect("a reason").clone();
        assert_eq!(info.reason, "MODEL_MEMORY_EXHAUSTED");
        assert_eq!(info.metadata["budget_bytes"], (250_u64 << 20).to_string());
        for part in ["`first`", "`third`", "pinned", "max_model_memory_mb"] {
            assert!(status.message().contains(part), "{status:?}");
        }
        let model_id = ids[0].clone();
        client
            .unload_model(UnloadModelRequest { model_id })
            .await
            .expect("it can go");
        client.load_model(load(&ids[1], false)).await.expect("there is room");
        assert_eq!(states(&server).await, [false, true, true]);
    });
}

#[test]
fn models_are_listed_by_how_they_are_used() {
    run(async {
        let home = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start(home.path());
        let list = async |by_customization_type: i32, by_inference_type: i32| {
            let request = ListFoundationModelsRequest {
                by_customization_type,
                by_inference_type,
                ..ListFoundationModelsRequest::default()
            };
            let listed = server.models().await.list_foundation_models(request).await?;
            Ok::<_, Status>(listed.into_inner().model_summaries)
        };
        let all = list(0, 0).await.expect("models");
        let on_demand = InferenceType::OnDemand.into();
        assert!(!all.is_empty());
        for model in &all {
            assert_eq!(model.inference_types_supported, [on_demand]);
            assert!(model.customizations_supported.is_empty());
        }
        assert_eq!(list(0, on_demand).await.expect("models").len(), all.len());
        assert!(
            list(0, InferenceType::Provisioned.into())
                .await
                .expect("none")
                .is_empty()
        );
        let tuned = ModelCustomizationType::FineTuning.into();
        assert!(list(tuned, on_demand).await.expect("none").is_empty());
        for (customization, inference) in [(99, 0), (0, 99)] {
            let status = list(customization, inference).await.expect_err("no such type");
            assert_eq!(status.code(), Code::InvalidArgument);
        }
    });
}
