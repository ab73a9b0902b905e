//! `RetrievalService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::{AtShutdown, Flow, Replies, run, stream};
use super::convert::{
    AnswerMessages, batch, batch_query, caller, missing, missing_question, query, question, read_at, required,
    rerank_question, reranked, retrieval,
};
use super::pb::retrieve_and_generate_stream_response::Event;
use super::{ServiceConfig, pb};
use crate::knowledge_base::{Error, Groundwork};
use crate::retrieve::Query;
use crate::worker::{Cancel, Stopped};

const KNOWLEDGE_BASE: &str = "knowledge_base_id";

/// The service over the facade.
#[derive(Debug)]
pub(super) struct Retrievals {
    groundwork: Arc<Groundwork>,
    flow: Flow,
}

impl Retrievals {
    /// Serves `groundwork`.
    pub(super) fn new(groundwork: Arc<Groundwork>, config: &ServiceConfig) -> Self {
        let flow = Flow::of_generation(config);
        Self { groundwork, flow }
    }
}

#[tonic::async_trait]
impl pb::retrieval_service_server::RetrievalService for Retrievals {
    type RetrieveAndGenerateStreamStream = Replies<pb::RetrieveAndGenerateStreamResponse>;

    async fn retrieve(&self, request: Request<pb::RetrieveRequest>) -> Result<Response<pb::RetrieveResponse>, Status> {
        let at_shutdown = AtShutdown::of_read(request.get_ref().min_epoch);
        run(request, &self.groundwork, at_shutdown, |groundwork, request, cancel| {
            let id = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
            let mut query = query(
                "retrieval_query",
                request.retrieval_query,
                request.retrieval_configuration,
            )?;
            query.caller = caller(request.user_context)?;
            query.explain = request.explain;
            let at = read_at(request.min_epoch, request.as_of_epoch, request.as_of_time)?;
            groundwork.retrieve(&id, &query, at, cancel).map(retrieval)
        })
        .await
    }

    async fn batch_retrieve(
        &self,
        request: Request<pb::BatchRetrieveRequest>,
    ) -> Result<Response<pb::BatchRetrieveResponse>, Status> {
        let at_shutdown = AtShutdown::of_read(request.get_ref().min_epoch);
        run(request, &self.groundwork, at_shutdown, |groundwork, request, cancel| {
            let id = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
            let caller = caller(request.user_context)?;
            let as_caller = |wire| {
                let query = batch_query(wire)?;
                Ok(Query {
                    caller: caller.clone(),
                    ..query
                })
            };
            let queries = request.queries.into_iter().map(as_caller).collect();
            let at = read_at(request.min_epoch, request.as_of_epoch, request.as_of_time)?;
            groundwork.batch_retrieve(&id, queries, at, cancel).map(batch)
        })
        .await
    }

    async fn rerank(&self, request: Request<pb::RerankRequest>) -> Result<Response<pb::RerankResponse>, Status> {
        let rerank = |groundwork: &Groundwork, request: pb::RerankRequest, cancel: &Cancel| {
            groundwork.rerank(&rerank_question(request)?, cancel).map(reranked)
        };
        run(request, &self.groundwork, AtShutdown::Cancel, rerank).await
    }

    async fn explain_missing(
        &self,
        request: Request<pb::ExplainMissingRequest>,
    ) -> Result<Response<pb::ExplainMissingResponse>, Status> {
        let explain = |groundwork: &Groundwork, mut request: pb::ExplainMissingRequest, cancel: &Cancel| {
            let id = required(KNOWLEDGE_BASE, std::mem::take(&mut request.knowledge_base_id))?;
            let question = missing_question(request)?;
            groundwork.explain_missing(&id, &question, cancel).map(missing)
        };
        run(request, &self.groundwork, AtShutdown::Cancel, explain).await
    }

    async fn retrieve_and_generate(
        &self,
        request: Request<pb::RetrieveAndGenerateRequest>,
    ) -> Result<Response<pb::RetrieveAndGenerateResponse>, Status> {
        let answer = |groundwork: &Groundwork, request: pb::RetrieveAndGenerateRequest, cancel: &Cancel| {
            let mut response = pb::RetrieveAndGenerateResponse {
                output: Some(pb::RetrieveAndGenerateOutput::default()),
                ..pb::RetrieveAndGenerateResponse::default()
            };
            let last = answer(groundwork, request.into(), cancel, &mut |message| {
                collect(&mut response, message);
                Ok(())
            })?;
            collect(&mut response, last);
            Ok(response)
        };
        run(request, &self.groundwork, AtShutdown::Cancel, answer).await
    }

    async fn retrieve_and_generate_stream(
        &self,
        request: Request<pb::RetrieveAndGenerateStreamRequest>,
    ) -> Result<Response<Self::RetrieveAndGenerateStreamStream>, Status> {
        let work = |groundwork: &Groundwork, request, cancel: &Cancel, outlet: &super::call::Outlet<_>| {
            answer(groundwork, request, cancel, &mut |message| outlet.send(message))
        };
        Ok(stream(request, &self.groundwork, self.flow, work))
    }
}

/// Answers a question; returns the last message of the stream, after all others went to `send`.
fn answer(
    groundwork: &Groundwork,
    mut request: pb::RetrieveAndGenerateStreamRequest,
    cancel: &Cancel,
    send: &mut dyn FnMut(pb::RetrieveAndGenerateStreamResponse) -> Result<(), Stopped>,
) -> Result<pb::RetrieveAndGenerateStreamResponse, Error> {
    let id = required(KNOWLEDGE_BASE, std::mem::take(&mut request.knowledge_base_id))?;
    let question = question(request)?;
    let mut messages = AnswerMessages::default();
    let summary = groundwork.answer(&id, &question, cancel, &mut |event| {
        messages.event(event).map_or(Ok(()), &mut *send)
    })?;
    Ok(pb::RetrieveAndGenerateStreamResponse {
        event: Some(Event::Summary(summary.into())),
    })
}

/// Adds an event of the stream to the one response that has them all.
fn collect(response: &mut pb::RetrieveAndGenerateResponse, message: pb::RetrieveAndGenerateStreamResponse) {
    match message.event {
        Some(Event::References(references)) => response.retrieved_references = references.references,
        Some(Event::Output(output)) => response.output.get_or_insert_default().text.push_str(&output.text),
        Some(Event::Citation(citation)) => response.citations.push(citation),
        Some(Event::Summary(summary)) => response.summary = Some(summary),
        None => {}
    }
}
