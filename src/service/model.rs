//! `ModelService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::call::{AtShutdown, Flow, Outlet, Replies, run, stream, unary};
use super::convert::{
    ConverseMessages, Invocation, WholeMessage, chunk, conversation, counted, embed_options, embedded, invocation,
    invoked, last_chunks, may_list, modality_filter, model, of_body, page, required, service_tier, token_count, vector,
};
use super::embedding::embed_stream;
use super::{ServiceConfig, pb};
use crate::generate::ConverseEvent;
use crate::knowledge_base::{Completion, ConversationEvent, Error, Groundwork};
use crate::worker::{Cancel, Stopped};

/// Embedded batches that may wait for a slow client.
const WAITING_BATCHES: usize = 4;

/// The service over the facade.
#[derive(Debug)]
pub(super) struct Models {
    groundwork: Arc<Groundwork>,
    flow: Flow,
}

impl Models {
    /// Serves `groundwork`.
    pub(super) fn new(groundwork: Arc<Groundwork>, config: &ServiceConfig) -> Self {
        let flow = Flow::of_generation(config);
        Self { groundwork, flow }
    }
}

#[tonic::async_trait]
impl pb::model_service_server::ModelService for Models {
    type ConverseStreamStream = Replies<pb::ConverseStreamResponse>;
    type EmbedStreamStream = Replies<pb::EmbedStreamResponse>;
    type InvokeModelWithResponseStreamStream = Replies<pb::InvokeModelWithResponseStreamResponse>;

    async fn list_foundation_models(
        &self,
        request: Request<pb::ListFoundationModelsRequest>,
    ) -> Result<Response<pb::ListFoundationModelsResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let modality = modality_filter(request.by_output_modality)?;
            let page = page(request.page_size, request.page_token)?;
            if !may_list(request.by_customization_type, request.by_inference_type)? {
                return Ok(pb::ListFoundationModelsResponse::default());
            }
            let listed = groundwork.models(modality, &request.by_provider, &page)?;
            Ok(pb::ListFoundationModelsResponse {
                model_summaries: listed.items.into_iter().map(model).collect(),
                next_page_token: listed.next_token,
            })
        })
        .await
    }

    async fn get_foundation_model(
        &self,
        request: Request<pb::GetFoundationModelRequest>,
    ) -> Result<Response<pb::GetFoundationModelResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let found = groundwork.model(&required("model_id", request.model_id)?)?;
            Ok(pb::GetFoundationModelResponse {
                model_details: Some(model(found)),
            })
        })
        .await
    }

    async fn converse(&self, request: Request<pb::ConverseRequest>) -> Result<Response<pb::ConverseResponse>, Status> {
        let work = |groundwork: &Groundwork, request: pb::ConverseRequest, cancel: &Cancel| {
            let mut whole = WholeMessage::default();
            let last = converse(groundwork, request.into(), cancel, &mut |message| {
                whole.collect(message);
                Ok(())
            })?;
            whole.collect(last);
            Ok(whole.response)
        };
        run(request, &self.groundwork, AtShutdown::Cancel, work).await
    }

    async fn converse_stream(
        &self,
        request: Request<pb::ConverseStreamRequest>,
    ) -> Result<Response<Self::ConverseStreamStream>, Status> {
        let work = |groundwork: &Groundwork, request, cancel: &Cancel, outlet: &Outlet<_>| {
            converse(groundwork, request, cancel, &mut |message| outlet.send(message))
        };
        Ok(stream(request, &self.groundwork, self.flow, work))
    }

    async fn invoke_model(
        &self,
        request: Request<pb::InvokeModelRequest>,
    ) -> Result<Response<pb::InvokeModelResponse>, Status> {
        run(request, &self.groundwork, AtShutdown::Cancel, invoke).await
    }

    async fn invoke_model_with_response_stream(
        &self,
        request: Request<pb::InvokeModelWithResponseStreamRequest>,
    ) -> Result<Response<Self::InvokeModelWithResponseStreamStream>, Status> {
        Ok(stream(request, &self.groundwork, self.flow, invoke_stream))
    }

    async fn count_tokens(
        &self,
        request: Request<pb::CountTokensRequest>,
    ) -> Result<Response<pb::CountTokensResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, cancel| {
            let counted = counted(request.input)?;
            groundwork
                .count_tokens(&request.model_id, &counted, cancel)
                .map(token_count)
        })
        .await
    }

    async fn load_model(
        &self,
        request: Request<pb::LoadModelRequest>,
    ) -> Result<Response<pb::LoadModelResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, cancel| {
            let (loaded, already_loaded) =
                groundwork.load_model(&required("model_id", request.model_id)?, request.pinned, cancel)?;
            Ok(pb::LoadModelResponse {
                model_details: Some(model(loaded)),
                already_loaded,
            })
        })
        .await
    }

    async fn unload_model(
        &self,
        request: Request<pb::UnloadModelRequest>,
    ) -> Result<Response<pb::UnloadModelResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let unloaded = groundwork.unload_model(&required("model_id", request.model_id)?)?;
            Ok(pb::UnloadModelResponse {
                model_details: Some(model(unloaded.model)),
                was_loaded: unloaded.was_loaded,
                in_use: unloaded.is_in_use,
            })
        })
        .await
    }

    async fn embed(&self, request: Request<pb::EmbedRequest>) -> Result<Response<pb::EmbedResponse>, Status> {
        const CONFIGURATION: &str = "configuration";
        let embed = |groundwork: &Groundwork, request: pb::EmbedRequest, cancel: &Cancel| {
            let options = embed_options(CONFIGURATION, request.configuration)?;
            let embedder = groundwork.text_embedder(&options, CONFIGURATION, cancel)?;
            let texts = embedder.embed(&request.texts, cancel)?;
            Ok(embedded(&embedder, texts))
        };
        run(request, &self.groundwork, AtShutdown::Cancel, embed).await
    }

    async fn embed_stream(
        &self,
        request: Request<Streaming<pb::EmbedStreamRequest>>,
    ) -> Result<Response<Self::EmbedStreamStream>, Status> {
        let flow = Flow {
            capacity: WAITING_BATCHES,
            ..self.flow
        };
        Ok(stream(request, &self.groundwork, flow, embed_stream))
    }
}

/// Asks for the next message of a conversation; returns the last message of the stream, after all others went to `send`.
fn converse(
    groundwork: &Groundwork,
    request: pb::ConverseStreamRequest,
    cancel: &Cancel,
    send: &mut dyn FnMut(pb::ConverseStreamResponse) -> Result<(), Stopped>,
) -> Result<pb::ConverseStreamResponse, Error> {
    let conversation = conversation(request)?;
    let mut messages = ConverseMessages::default();
    let summary = groundwork.converse(&conversation, cancel, &mut |event| {
        messages.event(event).into_iter().try_for_each(&mut *send)
    })?;
    let (rest, last) = messages.end(summary);
    rest.into_iter().try_for_each(send)?;
    Ok(last)
}

/// Asks a model with a body of its own kind.
fn invoke(
    groundwork: &Groundwork,
    request: pb::InvokeModelRequest,
    cancel: &Cancel,
) -> Result<pb::InvokeModelResponse, Error> {
    let service_tier = service_tier(request.service_tier)?;
    match invocation(request)? {
        (model_id, Invocation::Text { prompt, inference }) => {
            let completion = Completion {
                model_id,
                prompt,
                service_tier,
                inference: *inference,
            };
            let mut text = String::new();
            let summary = groundwork.complete(&completion, cancel, &mut |event| {
                if let ConversationEvent::Model(ConverseEvent::Piece { text: piece, .. }) = event {
                    text.push_str(&piece);
                }
                Ok(())
            });
            Ok(invoked(&text, summary.map_err(of_body)?))
        }
        (_, Invocation::Embedding { text, options }) => {
            let embedder = groundwork.text_embedder(&options, "body", cancel).map_err(of_body)?;
            let embedded = embedder.embed(&[text], cancel).map_err(of_body)?;
            Ok(vector(&embedder, embedded))
        }
    }
}

/// Asks a language model with a prompt; returns the last message of the stream, after all others went out.
fn invoke_stream(
    groundwork: &Groundwork,
    request: pb::InvokeModelWithResponseStreamRequest,
    cancel: &Cancel,
    outlet: &Outlet<pb::InvokeModelWithResponseStreamResponse>,
) -> Result<pb::InvokeModelWithResponseStreamResponse, Error> {
    let service_tier = service_tier(request.service_tier)?;
    let (model_id, Invocation::Text { prompt, inference }) = invocation(request.into())? else {
        let reason = "vectors do not come in pieces: ask for them with InvokeModel";
        return Err(Error::invalid("body.inputText", reason));
    };
    let completion = Completion {
        model_id,
        prompt,
        service_tier,
        inference: *inference,
    };
    let summary = groundwork.complete(&completion, cancel, &mut |event| {
        chunk(event).map_or(Ok(()), |chunk| outlet.send(chunk))
    });
    let [last_chunk, metadata] = last_chunks(summary.map_err(of_body)?);
    outlet.send(last_chunk)?;
    Ok(metadata)
}
