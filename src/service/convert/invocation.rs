//! Bodies of JSON that models are asked with, and what they answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::conversation::metadata;
use super::hit::{metrics, micros, usage};
use super::inference::{MAX_TOKENS, detailed, inference};
use crate::generate::{self, Inference, StopReason};
use crate::knowledge_base::{
    ConversationEvent, ConverseSummary, EmbedOptions, Embedded, EmbeddedText, Error, TextEmbedder,
};
use crate::service::pb;
use crate::service::pb::invoke_model_with_response_stream_response::Event;

/// The one content type.
const JSON: &str = "application/json";
/// Fields of the body for a language model.
const TEXT_FIELDS: [&str; 11] = [
    "prompt",
    "max_gen_len",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
];
/// Fields of the body for an embedding model.
const EMBEDDING_FIELDS: [&str; 3] = ["inputText", "dimensions", "normalize"];

/// What a body asks for.
#[derive(Debug)]
pub(in crate::service) enum Invocation {
    /// Text that follows a prompt.
    Text {
        /// The prompt.
        prompt: String,
        /// How tokens are drawn.
        inference: Box<Inference>,
    },
    /// The vector of a text.
    Embedding {
        /// The text.
        text: String,
        /// How it is embedded.
        options: EmbedOptions,
    },
}

#[derive(Debug, Deserialize)]
struct TextBody {
    prompt: String,
    max_gen_len: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    seed: Option<u64>,
    #[serde(default)]
    stop: Vec<String>,
    top_k: Option<u32>,
    min_p: Option<f64>,
    repetition_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct EmbeddingBody {
    #[serde(rename = "inputText")]
    text: String,
    dimensions: Option<usize>,
    normalize: Option<bool>,
}

/// What a language model answers.
#[derive(Debug, Default, Serialize)]
struct Answer<'a> {
    generation: &'a str,
    prompt_token_count: Option<u64>,
    generation_token_count: Option<u64>,
    stop_reason: Option<&'static str>,
}

/// What an embedding model answers.
#[derive(Debug, Serialize)]
struct Vector {
    embedding: Vec<f32>,
    #[serde(rename = "inputTextTokenCount")]
    tokens: usize,
}

impl From<pb::InvokeModelWithResponseStreamRequest> for pb::InvokeModelRequest {
    fn from(request: pb::InvokeModelWithResponseStreamRequest) -> Self {
        Self {
            model_id: request.model_id,
            body: request.body,
            content_type: request.content_type,
            accept: request.accept,
            service_tier: request.service_tier,
        }
    }
}

/// Returns what a request asks for, and of which model.
pub(in crate::service) fn invocation(request: pb::InvokeModelRequest) -> Result<(String, Invocation), Error> {
    if !["", JSON].contains(&request.content_type.as_str()) {
        let reason = format!("must be {JSON}, is {}", request.content_type);
        return Err(Error::invalid("content_type", reason));
    }
    if !["", "*/*", JSON].contains(&request.accept.as_str()) {
        return Err(Error::invalid(
            "accept",
            format!("must be {JSON}, is {}", request.accept),
        ));
    }
    let body: Map<String, Value> = serde_json::from_slice(&request.body)
        .map_err(|error| Error::invalid("body", format!("is no object of JSON: {error}")))?;
    let model_id = request.model_id;
    if body.contains_key("inputText") {
        let body: EmbeddingBody = fields(body, &EMBEDDING_FIELDS)?;
        let options = EmbedOptions {
            model_id: model_id.clone(),
            normalize: body.normalize.unwrap_or(true),
            dimensions: body.dimensions,
            ..EmbedOptions::default()
        };
        let text = body.text;
        return Ok((model_id, Invocation::Embedding { text, options }));
    }
    if !body.contains_key("prompt") {
        let reason = "has neither `prompt`, for a language model, nor `inputText`, for an embedding model";
        return Err(Error::invalid("body", reason));
    }
    let body: TextBody = fields(body, &TEXT_FIELDS)?;
    let prompt = body.prompt.clone();
    let inference = Box::new(inference_of(body).map_err(in_body)?);
    Ok((model_id, Invocation::Text { prompt, inference }))
}

/// Reads a body that has no other fields than these.
fn fields<T: for<'a> Deserialize<'a>>(body: Map<String, Value>, known: &[&str]) -> Result<T, Error> {
    if let Some(unknown) = body.keys().find(|key| !known.contains(&key.as_str())) {
        let reason = format!("is not a field of such a body; there are {}", known.join(", "));
        return Err(Error::invalid(format!("body.{unknown}"), reason));
    }
    serde_json::from_value(Value::Object(body)).map_err(|error| Error::invalid("body", error.to_string()))
}

fn inference_of(body: TextBody) -> Result<Inference, Error> {
    let max_tokens = body.max_gen_len;
    if max_tokens.is_some_and(|tokens| !(1..=MAX_TOKENS).contains(&tokens)) {
        let reason = format!("must be 1 to {MAX_TOKENS}, is {}", max_tokens.unwrap_or_default());
        return Err(Error::invalid("body.max_gen_len", reason));
    }
    let inference = inference(
        "body",
        Some(pb::InferenceConfiguration {
            temperature: body.temperature,
            top_p: body.top_p,
            max_tokens,
            stop_sequences: body.stop,
            seed: body.seed,
        }),
    )?;
    detailed(
        inference,
        pb::AdditionalModelRequestFields {
            top_k: body.top_k,
            min_p: body.min_p,
            repetition_penalty: body.repetition_penalty,
            presence_penalty: body.presence_penalty,
            frequency_penalty: body.frequency_penalty,
            ..pb::AdditionalModelRequestFields::default()
        },
    )
}

/// Gives fields the names that they have in a body.
fn in_body(error: Error) -> Error {
    let renamed = |text: &str| {
        text.replace("additional_model_request_fields.", "body.")
            .replace("body.stop_sequences", "body.stop")
    };
    match error.violations.first() {
        Some(violation) => Error::invalid(renamed(&violation.field), violation.description.clone()),
        None => error,
    }
}

/// Returns an error about the fields of a conversation as one about the body.
pub(in crate::service) fn of_body(mut error: Error) -> Error {
    for violation in &mut error.violations {
        let field = match violation.field.as_str() {
            "messages" => "body.prompt",
            "texts[0]" | "texts" => "body.inputText",
            "body.model_id" => "model_id",
            _ => continue,
        };
        field.clone_into(&mut violation.field);
        error.message = format!("{field}: {}", violation.description);
    }
    error
}

/// Returns the chunk of an event; nothing where there is no more text.
pub(in crate::service) fn chunk(event: ConversationEvent) -> Option<pb::InvokeModelWithResponseStreamResponse> {
    match event {
        ConversationEvent::Model(generate::ConverseEvent::Piece { text, .. }) => Some(part(&Answer {
            generation: &text,
            ..Answer::default()
        })),
        ConversationEvent::Interrupted(usage) => Some(told(metadata(usage))),
        ConversationEvent::Model(_) => None,
    }
}

/// Returns the last chunk, and what all took.
pub(in crate::service) fn last_chunks(summary: ConverseSummary) -> [pb::InvokeModelWithResponseStreamResponse; 2] {
    let last = part(&generation("", &summary));
    [last, told(metadata(summary.usage))]
}

/// Returns all text in one.
pub(in crate::service) fn invoked(text: &str, summary: ConverseSummary) -> pb::InvokeModelResponse {
    let body = json(&generation(text, &summary));
    let metadata = metadata(summary.usage);
    pb::InvokeModelResponse {
        body,
        content_type: JSON.to_owned(),
        usage: metadata.usage,
        metrics: metadata.metrics,
        model_id: metadata.model_id,
    }
}

/// Returns the vector of a text.
pub(in crate::service) fn vector(embedder: &TextEmbedder, embedded: Embedded<EmbeddedText>) -> pb::InvokeModelResponse {
    let tokens = embedded.results.iter().map(|text| text.input_tokens).sum();
    let components = embedded.results.into_iter().flat_map(|text| text.values);
    let body = json(&Vector {
        embedding: components.collect(),
        tokens,
    });
    pb::InvokeModelResponse {
        body,
        content_type: JSON.to_owned(),
        usage: Some(usage(tokens as u64, 0)),
        metrics: Some(pb::ConverseMetrics {
            latency_ms: micros(embedded.times.total) / 1_000,
            time_to_first_token_ms: 0,
            stages: Some(metrics(embedded.times)),
        }),
        model_id: embedder.model_id().to_owned(),
    }
}

fn generation<'a>(text: &'a str, summary: &ConverseSummary) -> Answer<'a> {
    let spent = summary.usage.spent;
    Answer {
        generation: text,
        prompt_token_count: Some(spent.input_tokens),
        generation_token_count: Some(spent.output_tokens),
        stop_reason: Some(match summary.stop_reason {
            StopReason::MaxTokens | StopReason::ContextWindowExceeded => "length",
            StopReason::EndTurn | StopReason::StopSequence | StopReason::NoAnswer | StopReason::ToolUse => "stop",
        }),
    }
}

fn part(generation: &Answer<'_>) -> pb::InvokeModelWithResponseStreamResponse {
    let bytes = json(generation);
    pb::InvokeModelWithResponseStreamResponse {
        event: Some(Event::Chunk(pb::PayloadPart { bytes })),
    }
}

fn told(metadata: pb::ConverseStreamMetadataEvent) -> pb::InvokeModelWithResponseStreamResponse {
    pb::InvokeModelWithResponseStreamResponse {
        event: Some(Event::Metadata(metadata)),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("text and numbers have a form in JSON")
}
