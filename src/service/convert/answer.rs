//! Questions off the wire; answers, event by event, onto it.

use std::time::Duration;

use super::hit::{hit, metrics, micros, span, usage};
use super::implicit::implicit_filter;
use super::inference::inference;
use super::serving::service_tier;
use super::{caller, query, read_at};
use crate::generate::{
    AnswerEvent, AnswerStyle, Citation, CitationOrigin, Inference, NoAnswerReason, Reference, StopReason,
};
use crate::knowledge_base::{AnswerSummary, Error, Question};
use crate::retrieve::{Hit, Query};
use crate::service::pb;
use crate::service::pb::retrieve_and_generate_stream_response::Event;

const INFERENCE_PATH: &str = "generation_configuration.inference_configuration";

/// Returns a checked question.
pub(in crate::service) fn question(request: pb::RetrieveAndGenerateStreamRequest) -> Result<Question, Error> {
    let generation = request.generation_configuration.unwrap_or_default();
    let style = answer_style(generation.answer_style)?;
    Ok(Question {
        service_tier: service_tier(request.service_tier)?,
        query: Query {
            caller: caller(request.user_context)?,
            ..query("input", request.input, request.retrieval_configuration)?
        },
        model_id: generation.model_id,
        inference: Inference {
            style,
            ..inference(INFERENCE_PATH, generation.inference_configuration)?
        },
        at: read_at(request.min_epoch, request.as_of_epoch, request.as_of_time)?,
    })
}

impl From<pb::RetrieveAndGenerateRequest> for pb::RetrieveAndGenerateStreamRequest {
    fn from(request: pb::RetrieveAndGenerateRequest) -> Self {
        Self {
            knowledge_base_id: request.knowledge_base_id,
            input: request.input,
            retrieval_configuration: request.retrieval_configuration,
            generation_configuration: request.generation_configuration,
            min_epoch: request.min_epoch,
            as_of_epoch: request.as_of_epoch,
            as_of_time: request.as_of_time,
            user_context: request.user_context,
            service_tier: request.service_tier,
        }
    }
}

fn answer_style(wire: i32) -> Result<Option<AnswerStyle>, Error> {
    match pb::AnswerStyle::try_from(wire) {
        Ok(pb::AnswerStyle::Unspecified) => Ok(None),
        Ok(pb::AnswerStyle::Quoted) => Ok(Some(AnswerStyle::Quoted)),
        Ok(pb::AnswerStyle::Free) => Ok(Some(AnswerStyle::Free)),
        Err(_) => Err(Error::invalid(
            "generation_configuration.answer_style",
            format!("has no value {wire}; QUOTED is 1, FREE is 2"),
        )),
    }
}

/// Turns the events of one answer into messages. It keeps what later events refer to: the references and the text.
#[derive(Debug, Default)]
pub(in crate::service) struct AnswerMessages {
    references: Vec<Reference>,
    text: String,
}

impl AnswerMessages {
    /// Returns the message of an event; nothing for a citation whose source was never offered, which is a bug of ours
    /// and is kept from the client.
    pub(in crate::service) fn event(&mut self, event: AnswerEvent) -> Option<pb::RetrieveAndGenerateStreamResponse> {
        let event = match event {
            AnswerEvent::References(references) => {
                self.references.clone_from(&references);
                Event::References(pb::RetrievedReferences {
                    references: references.into_iter().map(reference).collect(),
                })
            }
            AnswerEvent::Text(text) => {
                self.text.push_str(&text);
                Event::Output(pb::RetrieveAndGenerateOutput { text })
            }
            AnswerEvent::Citation(citation) => Event::Citation(self.citation(citation)?),
        };
        Some(pb::RetrieveAndGenerateStreamResponse { event: Some(event) })
    }

    fn citation(&self, citation: Citation) -> Option<pb::Citation> {
        let number = citation.reference_number;
        let source = self.references.iter().find(|reference| reference.number == number);
        let Some((hit, source_start)) = source.and_then(|reference| {
            let start = code_points_before(&reference.hit, citation.source_span.start)?;
            Some((&reference.hit, start))
        }) else {
            tracing::error!(number, "left out a citation of a passage that was not offered");
            return None;
        };
        let before = self.text.floor_char_boundary(citation.answer_span.start);
        let answer_start = self.text[..before].chars().count();
        Some(pb::Citation {
            reference_number: number,
            answer_span: Some(span(citation.answer_span, answer_start, &citation.answer_text)),
            answer_text: citation.answer_text,
            chunk_id: hit.chunk_id.to_string(),
            document_id: hit.document_id.to_string(),
            source_span: Some(span(citation.source_span, source_start, &citation.source_text)),
            source_text: citation.source_text,
            support: citation.support,
            origin: origin(citation.origin).into(),
        })
    }
}

/// Counts the code points of the document before a byte that lies in the hit; nothing when it does not.
fn code_points_before(hit: &Hit, byte: usize) -> Option<usize> {
    let passage = hit.passage();
    let offset = byte.checked_sub(passage.span.start)?;
    Some(passage.code_point_start + passage.text.get(..offset)?.chars().count())
}

fn reference(reference: Reference) -> pb::RetrievedReference {
    pb::RetrievedReference {
        reference_number: reference.number,
        result: Some(hit(reference.hit)),
    }
}

impl From<AnswerSummary> for pb::AnswerSummary {
    fn from(summary: AnswerSummary) -> Self {
        let generation = summary.generation;
        let first_token = generation.time_to_first_token.map(|time| {
            summary.times.queue
                + summary.times.embed
                + summary.times.search
                + summary.times.rerank
                + summary.times.transform
                + time
        });
        let (model_id, model_hash) = summary.model.unwrap_or_default();
        Self {
            stop_reason: stop_reason(generation.stop_reason).into(),
            no_answer_reason: generation
                .no_answer_reason
                .map_or(pb::NoAnswerReason::Unspecified, no_answer_reason)
                .into(),
            usage: Some(pb::TokenUsage {
                cache_read_input_tokens: generation.cached_tokens,
                ..usage(generation.input_tokens, generation.output_tokens)
            }),
            metrics: Some(pb::StageMetrics {
                prefill_micros: micros(generation.prefill),
                decode_micros: micros(generation.decode),
                time_to_first_token_micros: micros(first_token.unwrap_or(Duration::ZERO)),
                ..metrics(summary.times)
            }),
            epoch: summary.epoch.0,
            model_id,
            model_hash,
            seed: summary.seed,
            current_epoch: summary.current_epoch.0,
            outdated_reference_numbers: summary.outdated_references,
            implicit_filter: summary.implicit_filter.map(implicit_filter),
            transformed_queries: summary.transformed_queries,
        }
    }
}

fn origin(origin: CitationOrigin) -> pb::CitationOrigin {
    match origin {
        CitationOrigin::Model => pb::CitationOrigin::Model,
        CitationOrigin::Attributed => pb::CitationOrigin::Attributed,
    }
}

/// Returns how an answer or a message ended.
pub(super) fn stop_reason(reason: StopReason) -> pb::StopReason {
    match reason {
        StopReason::EndTurn => pb::StopReason::EndTurn,
        StopReason::MaxTokens => pb::StopReason::MaxTokens,
        StopReason::StopSequence => pb::StopReason::StopSequence,
        StopReason::NoAnswer => pb::StopReason::NoAnswer,
        StopReason::ContextWindowExceeded => pb::StopReason::ModelContextWindowExceeded,
        StopReason::ToolUse => pb::StopReason::ToolUse,
    }
}

fn no_answer_reason(reason: NoAnswerReason) -> pb::NoAnswerReason {
    match reason {
        NoAnswerReason::EmptyKnowledgeBase => pb::NoAnswerReason::EmptyKnowledgeBase,
        NoAnswerReason::NoResults => pb::NoAnswerReason::NoResults,
        NoAnswerReason::NotRelevant => pb::NoAnswerReason::NotRelevant,
        NoAnswerReason::ModelDeclined => pb::NoAnswerReason::ModelDeclined,
        NoAnswerReason::NotSupported => pb::NoAnswerReason::NotSupported,
    }
}
