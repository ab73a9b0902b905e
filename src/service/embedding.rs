//! Streams of texts to streams of vectors.
//!
//! Comes in: batches, pulled one after the other. Goes out: what became of each, in the same order, and the totals.
//! Always holds: one batch is in work at a time and the others wait in the HTTP/2 window, which slows the client.

use std::time::{Duration, Instant};

use tonic::Streaming;

use super::call::{Outlet, Waited, shutting_down};
use super::convert::{batch_result, embed_options, refused_batch};
use super::document::broken;
use super::pb;
use super::pb::embed_result::Result as Outcome;
use super::pb::embed_stream_request::Payload;
use super::pb::embed_stream_response::Event;
use crate::knowledge_base::{Error, ErrorKind, Groundwork, TextEmbedder};
use crate::worker::{Cancel, Stopped};

/// How often a stream without a deadline looks up from its wait for the client.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// Where the options stand in the first message.
const CONFIGURATION: &str = "configuration";

/// Embeds the batches of a stream; returns its last message.
pub(super) fn embed_stream(
    groundwork: &Groundwork,
    mut messages: Streaming<pb::EmbedStreamRequest>,
    cancel: &Cancel,
    outlet: &Outlet<pb::EmbedStreamResponse>,
) -> Result<pb::EmbedStreamResponse, Error> {
    let mut next = next(&mut messages, outlet)?;
    let mut configuration = None;
    if let Some(Payload::Configuration(first)) = next {
        configuration = Some(first);
        next = self::next(&mut messages, outlet)?;
    }
    let options = embed_options(CONFIGURATION, configuration)?;
    let embedder = groundwork.text_embedder(&options, CONFIGURATION, cancel)?;
    let mut summary = pb::EmbedStreamSummary {
        usage: Some(pb::TokenUsage::default()),
        model_id: embedder.model_id().to_owned(),
        dimensions: embedder.dimensions() as u32,
        ..pb::EmbedStreamSummary::default()
    };
    while let Some(payload) = next {
        let Payload::Batch(batch) = payload else {
            return Err(Error::invalid(CONFIGURATION, "must be the first message of the stream"));
        };
        let result = embed_batch(&embedder, summary.batch_count, &batch.texts, cancel)?;
        count(&mut summary, &result, batch.texts.len());
        outlet.send(message(Event::Batch(result)))?;
        next = self::next(&mut messages, outlet)?;
    }
    Ok(message(Event::Summary(summary)))
}

/// Embeds a batch. Fails only where the stream has to end.
fn embed_batch(
    embedder: &TextEmbedder,
    index: u64,
    texts: &[String],
    cancel: &Cancel,
) -> Result<pb::EmbedBatchResult, Error> {
    match embedder.embed_each(texts, cancel) {
        Ok(embedded) => Ok(batch_result(index, embedded)),
        Err(error) if error.kind == ErrorKind::InvalidRequest => Ok(refused_batch(index, &error)),
        Err(error) => Err(error),
    }
}

fn count(summary: &mut pb::EmbedStreamSummary, result: &pb::EmbedBatchResult, texts: usize) {
    let is_embedded = |result: &&pb::EmbedResult| matches!(result.result, Some(Outcome::Embedding(_)));
    let embedded = result.results.iter().filter(is_embedded).count();
    summary.batch_count += 1;
    summary.embedded_text_count += embedded as u64;
    summary.failed_text_count += (texts - embedded) as u64;
    let used = result.usage.unwrap_or_default();
    let total = summary.usage.get_or_insert_default();
    total.input_tokens += used.input_tokens;
    total.total_tokens += used.total_tokens;
}

/// Waits for the next message of the client; nothing at the end of its stream.
fn next(
    messages: &mut Streaming<pb::EmbedStreamRequest>,
    outlet: &Outlet<pb::EmbedStreamResponse>,
) -> Result<Option<Payload>, Error> {
    loop {
        let until = outlet.deadline().unwrap_or_else(|| Instant::now() + LONGEST_WAIT);
        match outlet.wait_until_stopping(until, messages.message()) {
            Waited::Came(Ok(Some(message))) => {
                let payload = message.payload;
                let payload =
                    payload.ok_or_else(|| Error::invalid("payload", "is required: `configuration` or `batch`"))?;
                return Ok(Some(payload));
            }
            Waited::Came(Ok(None)) => return Ok(None),
            Waited::Came(Err(status)) => return Err(broken(&status)),
            Waited::Halted => return Err(shutting_down()),
            Waited::TimedOut if outlet.deadline().is_some() => return Err(Stopped::DeadlineExceeded.into()),
            Waited::TimedOut => {}
        }
    }
}

fn message(event: Event) -> pb::EmbedStreamResponse {
    pb::EmbedStreamResponse { event: Some(event) }
}
