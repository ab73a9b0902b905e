//! Services with the habits that the tests need, over the same calls as those of the facade.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::{Request, Response, Status, Streaming};

use super::super::Site;
use crate::index::Epoch;
use crate::knowledge_base::{DocumentOutcome, DocumentStatus, Error, IngestSummary, Next};
use crate::service::call::{AtShutdown, Flow, Outlet, Replies, stream, unary};
use crate::service::document::{Start, ingest};
use crate::service::pb::document_service_server::{DocumentService, DocumentServiceServer};
use crate::service::pb::model_service_server::{ModelService, ModelServiceServer};
use crate::service::pb::retrieval_service_server::{RetrievalService, RetrievalServiceServer};
use crate::service::pb::retrieve_and_generate_stream_response::Event;
use crate::service::{ServiceConfig, pb};
use crate::worker::Cancel;

const STEP: Duration = Duration::from_millis(2);

/// What the stand-ins saw, and the gate before those that are stuck.
#[derive(Debug, Clone, Default)]
pub(super) struct Probe(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    started: AtomicUsize,
    cancelled: AtomicUsize,
    sent: AtomicUsize,
    released: AtomicUsize,
    ended: AtomicUsize,
}

async fn reaches(counter: &AtomicUsize, count: usize) {
    while counter.load(Ordering::SeqCst) < count {
        tokio::time::sleep(STEP).await;
    }
}

impl Probe {
    /// Adds the stand-ins to a server.
    pub(super) fn add_to(&self, site: Site) -> Site {
        let stand_in = StandIn {
            seen: Arc::clone(&self.0),
            config: site.config.clone(),
        };
        let config = site.config.clone();
        site.with_service(limited!(ModelServiceServer::new(stand_in.clone()), config))
            .with_service(limited!(RetrievalServiceServer::new(stand_in.clone()), config))
            .with_service(limited!(DocumentServiceServer::new(stand_in), config))
    }

    /// Lets go of everything that is stuck.
    pub(super) fn release(&self) {
        self.0.released.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until this many calls began.
    pub(super) async fn started(&self, count: usize) {
        reaches(&self.0.started, count).await;
    }

    /// Waits until this many calls were told to stop.
    pub(super) async fn saw_cancel(&self, count: usize) {
        reaches(&self.0.cancelled, count).await;
    }

    /// Waits until this many ingestions are over.
    pub(super) async fn ended(&self, count: usize) {
        reaches(&self.0.ended, count).await;
    }

    /// Returns how many messages went out.
    pub(super) fn sent(&self) -> usize {
        self.0.sent.load(Ordering::SeqCst)
    }
}

#[derive(Debug, Clone)]
struct StandIn {
    seen: Arc<Seen>,
    config: ServiceConfig,
}

impl StandIn {
    fn flow(&self, capacity: usize, at_shutdown: AtShutdown) -> Flow {
        Flow {
            capacity,
            stall_timeout: self.config.stall_timeout,
            at_shutdown,
        }
    }
}

impl Seen {
    /// Behaves as the text says, and ends well or because it was told to stop.
    fn behave(&self, habit: &str, cancel: &Cancel) -> Result<(), Error> {
        self.started.fetch_add(1, Ordering::SeqCst);
        match habit {
            "ok" => Ok(()),
            "panic in work" | "panic" => panic!("as the test asked"),
            "stuck" => {
                while self.released.load(Ordering::SeqCst) == 0 {
                    std::thread::sleep(STEP);
                }
                Ok(())
            }
            "until cancelled" => loop {
                std::thread::sleep(STEP);
                self.check(cancel)?;
            },
            other => Err(Error::not_found("model", other)),
        }
    }

    fn check(&self, cancel: &Cancel) -> Result<(), Error> {
        cancel.check().map_err(|stopped| {
            self.cancelled.fetch_add(1, Ordering::SeqCst);
            stopped.into()
        })
    }

    /// Acknowledges each document at once.
    fn take_in(
        &self,
        next: &mut dyn FnMut(Duration) -> Next,
        cancel: &Cancel,
        told: &mut dyn FnMut(DocumentOutcome),
    ) -> Result<IngestSummary, Error> {
        self.started.fetch_add(1, Ordering::SeqCst);
        let mut summary = IngestSummary::default();
        loop {
            self.check(cancel)?;
            let (sequence, document_id, status) = match next(STEP) {
                Next::Document { sequence, document } => (sequence, document.id.to_string(), DocumentStatus::Indexed),
                Next::Refused {
                    sequence, document_id, ..
                } => (sequence, document_id, DocumentStatus::Failed),
                Next::Idle => continue,
                Next::End => return Ok(summary),
            };
            summary.scanned += 1;
            self.sent.fetch_add(1, Ordering::SeqCst);
            told(DocumentOutcome {
                sequence,
                document_id,
                status,
                reason: String::new(),
                epoch: Epoch(1),
                chunk_count: 1,
            });
        }
    }
}

#[tonic::async_trait]
impl ModelService for StandIn {
    type ConverseStreamStream = tokio_stream::Empty<Result<pb::ConverseStreamResponse, Status>>;
    type EmbedStreamStream = tokio_stream::Empty<Result<pb::EmbedStreamResponse, Status>>;
    type InvokeModelWithResponseStreamStream =
        tokio_stream::Empty<Result<pb::InvokeModelWithResponseStreamResponse, Status>>;

    async fn list_foundation_models(
        &self,
        _: Request<pb::ListFoundationModelsRequest>,
    ) -> Result<Response<pb::ListFoundationModelsResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn get_foundation_model(
        &self,
        request: Request<pb::GetFoundationModelRequest>,
    ) -> Result<Response<pb::GetFoundationModelResponse>, Status> {
        assert_ne!(request.get_ref().model_id, "panic in handler", "as the test asked");
        unary(request, &self.seen, |seen, request, cancel| {
            seen.behave(&request.model_id, cancel)?;
            Ok(pb::GetFoundationModelResponse::default())
        })
        .await
    }

    async fn converse(&self, _: Request<pb::ConverseRequest>) -> Result<Response<pb::ConverseResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn converse_stream(
        &self,
        _: Request<pb::ConverseStreamRequest>,
    ) -> Result<Response<Self::ConverseStreamStream>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn invoke_model(
        &self,
        _: Request<pb::InvokeModelRequest>,
    ) -> Result<Response<pb::InvokeModelResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn invoke_model_with_response_stream(
        &self,
        _: Request<pb::InvokeModelWithResponseStreamRequest>,
    ) -> Result<Response<Self::InvokeModelWithResponseStreamStream>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn count_tokens(
        &self,
        _: Request<pb::CountTokensRequest>,
    ) -> Result<Response<pb::CountTokensResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn load_model(&self, _: Request<pb::LoadModelRequest>) -> Result<Response<pb::LoadModelResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn unload_model(
        &self,
        _: Request<pb::UnloadModelRequest>,
    ) -> Result<Response<pb::UnloadModelResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn embed(&self, _: Request<pb::EmbedRequest>) -> Result<Response<pb::EmbedResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn embed_stream(
        &self,
        _: Request<Streaming<pb::EmbedStreamRequest>>,
    ) -> Result<Response<Self::EmbedStreamStream>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }
}

#[tonic::async_trait]
impl RetrievalService for StandIn {
    type RetrieveAndGenerateStreamStream = Replies<pb::RetrieveAndGenerateStreamResponse>;

    async fn retrieve(&self, _: Request<pb::RetrieveRequest>) -> Result<Response<pb::RetrieveResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn batch_retrieve(
        &self,
        _: Request<pb::BatchRetrieveRequest>,
    ) -> Result<Response<pb::BatchRetrieveResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn rerank(&self, _: Request<pb::RerankRequest>) -> Result<Response<pb::RerankResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn explain_missing(
        &self,
        _: Request<pb::ExplainMissingRequest>,
    ) -> Result<Response<pb::ExplainMissingResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn retrieve_and_generate(
        &self,
        _: Request<pb::RetrieveAndGenerateRequest>,
    ) -> Result<Response<pb::RetrieveAndGenerateResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn retrieve_and_generate_stream(
        &self,
        request: Request<pb::RetrieveAndGenerateStreamRequest>,
    ) -> Result<Response<Self::RetrieveAndGenerateStreamStream>, Status> {
        let text = || pb::RetrieveAndGenerateStreamResponse {
            event: Some(Event::Output(pb::RetrieveAndGenerateOutput {
                text: "x".repeat(1_000),
            })),
        };
        let work =
            move |seen: &Seen, request: pb::RetrieveAndGenerateStreamRequest, cancel: &Cancel, outlet: &Outlet<_>| {
                let habit = request.input.unwrap_or_default().text;
                if habit == "endless" {
                    loop {
                        outlet.send(text()).inspect_err(|_| {
                            seen.cancelled.fetch_add(1, Ordering::SeqCst);
                        })?;
                        seen.sent.fetch_add(1, Ordering::SeqCst);
                    }
                }
                seen.behave(&habit, cancel).map(|()| text())
            };
        Ok(stream(request, &self.seen, self.flow(4, AtShutdown::Cancel), work))
    }
}

#[tonic::async_trait]
impl DocumentService for StandIn {
    type IngestDocumentsStream = Replies<pb::IngestDocumentsResponse>;
    type GetDocumentContentStream = tokio_stream::Empty<Result<pb::GetDocumentContentResponse, Status>>;
    type EraseDocumentsStream = tokio_stream::Empty<Result<pb::EraseDocumentsResponse, Status>>;
    type VerifyErasureStream = tokio_stream::Empty<Result<pb::VerifyErasureResponse, Status>>;

    async fn list_revisions(
        &self,
        _: Request<pb::ListRevisionsRequest>,
    ) -> Result<Response<pb::ListRevisionsResponse>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn get_document_content(
        &self,
        _: Request<pb::GetDocumentContentRequest>,
    ) -> Result<Response<Self::GetDocumentContentStream>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn erase_documents(
        &self,
        _: Request<pb::EraseDocumentsRequest>,
    ) -> Result<Response<Self::EraseDocumentsStream>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn verify_erasure(
        &self,
        _: Request<pb::VerifyErasureRequest>,
    ) -> Result<Response<Self::VerifyErasureStream>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn ingest_documents(
        &self,
        request: Request<Streaming<pb::IngestDocumentsRequest>>,
    ) -> Result<Response<Self::IngestDocumentsStream>, Status> {
        let limit = self.config.max_document_bytes;
        let work = move |seen: &Seen, messages, cancel: &Cancel, outlet: &Outlet<_>| {
            let take_in = |_: &Start, next: &mut dyn FnMut(_) -> _, told: &mut dyn FnMut(_)| {
                let taken_in = seen.take_in(next, cancel, told);
                seen.ended.fetch_add(1, Ordering::SeqCst);
                taken_in
            };
            ingest(messages, limit, cancel, outlet, Box::new(take_in))
        };
        Ok(stream(request, &self.seen, self.flow(8_192, AtShutdown::Finish), work))
    }

    async fn get_document(
        &self,
        _: Request<pb::GetDocumentRequest>,
    ) -> Result<Response<pb::GetDocumentResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn list_documents(
        &self,
        _: Request<pb::ListDocumentsRequest>,
    ) -> Result<Response<pb::ListDocumentsResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn delete_documents(
        &self,
        _: Request<pb::DeleteDocumentsRequest>,
    ) -> Result<Response<pb::DeleteDocumentsResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }
}
