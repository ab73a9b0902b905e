//! Bodies of JSON that models are asked with, and what they answer.

mod body;

use serde::Serialize;

use super::conversation::metadata;
use super::hit::{metrics, micros, usage};
use super::inference::{MAX_TOKENS, detailed, inference};
use crate::generate::{self, Inference, StopReason};
use crate::knowledge_base::{
    ConversationEvent, ConverseSummary, EmbedOptions, Embedded, EmbeddedText, Error, TRUNCATION_HINT, TextEmbedder,
};
use crate::service::pb;
use crate::service::pb::invoke_model_with_response_stream_response::Event;
use body::{Body, NUMBER, WHOLE};

/// The one content type.
const JSON: &str = "application/json";
/// What an answer of it is acceptable for.
const JSON_RANGES: [&str; 3] = [JSON, "application/*", "*/*"];
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
    if !request.content_type.is_empty() && !is_json(&request.content_type, &[JSON]) {
        let reason = format!("must be {JSON} in UTF-8, is {}", request.content_type);
        return Err(Error::invalid("content_type", reason));
    }
    let mut wanted = request.accept.split(',');
    if !request.accept.is_empty() && !wanted.any(|range| is_json(range, &JSON_RANGES)) {
        let reason = format!(
            "must be {JSON} in UTF-8, or a range that holds it, is {}",
            request.accept
        );
        return Err(Error::invalid("accept", reason));
    }
    let body = Body::parse(&request.body)?;
    let model_id = request.model_id;
    if let Some(text) = body.text("inputText")? {
        body.check_known(&EMBEDDING_FIELDS)?;
        let options = EmbedOptions {
            model_id: model_id.clone(),
            normalize: body.field("normalize", "true or false")?.unwrap_or(true),
            dimensions: body
                .field::<u32>("dimensions", WHOLE)?
                .map(|dimensions| dimensions as usize),
            ..EmbedOptions::default()
        };
        return Ok((model_id, Invocation::Embedding { text, options }));
    }
    let Some(prompt) = body.text("prompt")? else {
        let reason = "has neither `prompt`, for a language model, nor `inputText`, for an embedding model";
        return Err(Error::invalid("body", reason));
    };
    body.check_known(&TEXT_FIELDS)?;
    let inference = Box::new(inference_of(&body).map_err(in_body)?);
    Ok((model_id, Invocation::Text { prompt, inference }))
}

/// Returns whether a media type is one of these; its parameters may say whatever leaves it wanted, and in UTF-8.
fn is_json(media_type: &str, types: &[&str]) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is_fitting = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "charset" => value.eq_ignore_ascii_case("utf-8"),
            // Of a range: how much it is wanted.
            "q" => value.parse() != Ok(0.0),
            _ => true,
        }
    };
    types.iter().any(|known| known.eq_ignore_ascii_case(essence)) && parts.all(is_fitting)
}

fn inference_of(body: &Body) -> Result<Inference, Error> {
    let max_tokens = body.field("max_gen_len", WHOLE)?;
    if let Some(tokens) = max_tokens.filter(|tokens| !(1..=MAX_TOKENS).contains(tokens)) {
        let reason = format!("must be 1 to {MAX_TOKENS}, is {tokens}");
        return Err(Error::invalid("body.max_gen_len", reason));
    }
    let inference = inference(
        "body",
        Some(pb::InferenceConfiguration {
            temperature: body.field("temperature", NUMBER)?,
            top_p: body.field("top_p", NUMBER)?,
            max_tokens,
            stop_sequences: body.texts("stop")?,
            seed: body.field("seed", "a whole number from 0 to 18446744073709551615")?,
        }),
    )?;
    detailed(
        inference,
        pb::AdditionalModelRequestFields {
            top_k: body.field("top_k", WHOLE)?,
            min_p: body.field("min_p", NUMBER)?,
            repetition_penalty: body.field("repetition_penalty", NUMBER)?,
            presence_penalty: body.field("presence_penalty", NUMBER)?,
            frequency_penalty: body.field("frequency_penalty", NUMBER)?,
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
        violation.description = violation.description.replace(TRUNCATION_HINT, ", or have Embed cut it");
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

#[cfg(test)]
mod tests;
