//! `DocumentService`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::{Code, Request, Response, Status, Streaming};

use super::assembly::Assembly;
use super::call::{AtShutdown, Flow, Outlet, Replies, Waited, run, shutting_down, stream, unary};
use super::convert::{
    acknowledgement, content_messages, content_request, delete_response, document, document_id, outcome, page, read_at,
    required, revision, selection, status_filter, summary,
};
use super::layer::message_too_large;
use super::pb::ingest_documents_request::Payload;
use super::{ServiceConfig, pb, upkeep};
use crate::knowledge_base::{Acknowledgement, DocumentOutcome, Error, ErrorKind, Groundwork, IngestSummary, Next};
use crate::worker::{Cancel, Stopped};

const KNOWLEDGE_BASE: &str = "knowledge_base_id";
/// Outcomes that may wait for the client. Enough that a client which first sends some thousand documents and only then
/// begins to read is not stopped in between: an outcome takes about 100 bytes.
const WAITING_OUTCOMES: usize = 8_192;
/// Messages of the other streams that may wait: parts of a content, progress.
const WAITING_MESSAGES: usize = 4;
/// Size of the parts of a content.
const CONTENT_PART_BYTES: usize = 256 << 10;
/// How long a stream without a deadline may take to name its knowledge base.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// The service over the facade.
#[derive(Debug)]
pub(super) struct Documents {
    groundwork: Arc<Groundwork>,
    flow: Flow,
    max_document_bytes: usize,
}

impl Documents {
    /// Serves `groundwork`.
    pub(super) fn new(groundwork: Arc<Groundwork>, config: &ServiceConfig) -> Self {
        let flow = Flow {
            capacity: WAITING_OUTCOMES,
            stall_timeout: config.stall_timeout,
            at_shutdown: AtShutdown::Finish,
        };
        Self {
            groundwork,
            flow,
            max_document_bytes: config.max_document_bytes,
        }
    }

    /// Returns the flow of a stream whose messages are large or few.
    fn long_flow(&self, at_shutdown: AtShutdown) -> Flow {
        Flow {
            capacity: WAITING_MESSAGES,
            at_shutdown,
            ..self.flow
        }
    }
}

#[tonic::async_trait]
impl pb::document_service_server::DocumentService for Documents {
    type IngestDocumentsStream = Replies<pb::IngestDocumentsResponse>;
    type GetDocumentContentStream = Replies<pb::GetDocumentContentResponse>;
    type EraseDocumentsStream = Replies<pb::EraseDocumentsResponse>;
    type VerifyErasureStream = Replies<pb::VerifyErasureResponse>;

    async fn ingest_documents(
        &self,
        request: Request<Streaming<pb::IngestDocumentsRequest>>,
    ) -> Result<Response<Self::IngestDocumentsStream>, Status> {
        let limit = self.max_document_bytes;
        let work = move |groundwork: &Groundwork, messages, cancel: &Cancel, outlet: &Outlet<_>| {
            let take_in = |start: &Start, next: &mut dyn FnMut(_) -> _, told: &mut dyn FnMut(_)| {
                groundwork.ingest(&start.knowledge_base, start.acknowledgement, next, cancel, told)
            };
            ingest(messages, limit, cancel, outlet, Box::new(take_in))
        };
        Ok(stream(request, &self.groundwork, self.flow, work))
    }

    async fn get_document(
        &self,
        request: Request<pb::GetDocumentRequest>,
    ) -> Result<Response<pb::GetDocumentResponse>, Status> {
        let at_shutdown = AtShutdown::of_read(request.get_ref().min_epoch);
        run(request, &self.groundwork, at_shutdown, |groundwork, request, cancel| {
            let knowledge_base = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
            let id = document_id("document_id", request.document_id)?;
            let at = read_at(request.min_epoch, request.as_of_epoch, request.as_of_time)?;
            let (info, text, epoch) = groundwork.document(&knowledge_base, &id, request.include_text, at, cancel)?;
            Ok(pb::GetDocumentResponse {
                document: Some(document(info)),
                text: text.unwrap_or_default(),
                epoch: epoch.0,
            })
        })
        .await
    }

    async fn list_documents(
        &self,
        request: Request<pb::ListDocumentsRequest>,
    ) -> Result<Response<pb::ListDocumentsResponse>, Status> {
        let at_shutdown = AtShutdown::of_read(request.get_ref().min_epoch);
        run(request, &self.groundwork, at_shutdown, |groundwork, request, cancel| {
            let knowledge_base = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
            let status = status_filter(request.status)?;
            let page = page(request.page_size, request.page_token)?;
            let at = read_at(request.min_epoch, request.as_of_epoch, request.as_of_time)?;
            let (listed, epoch) = groundwork.documents(&knowledge_base, status, &page, at, cancel)?;
            Ok(pb::ListDocumentsResponse {
                documents: listed.items.into_iter().map(document).collect(),
                next_page_token: listed.next_token,
                epoch: epoch.0,
            })
        })
        .await
    }

    async fn delete_documents(
        &self,
        request: Request<pb::DeleteDocumentsRequest>,
    ) -> Result<Response<pb::DeleteDocumentsResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let knowledge_base = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
            let selection = selection(request.document_ids, request.filter, request.source_name)?;
            groundwork
                .delete_documents(&knowledge_base, &selection, request.dry_run)
                .map(delete_response)
        })
        .await
    }

    async fn list_revisions(
        &self,
        request: Request<pb::ListRevisionsRequest>,
    ) -> Result<Response<pb::ListRevisionsResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let knowledge_base = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
            let id = document_id("document_id", request.document_id)?;
            let page = page(request.page_size, request.page_token)?;
            let (listed, epoch) = groundwork.revisions(&knowledge_base, &id, &page)?;
            Ok(pb::ListRevisionsResponse {
                revisions: listed.items.into_iter().map(revision).collect(),
                next_page_token: listed.next_token,
                epoch: epoch.0,
            })
        })
        .await
    }

    async fn get_document_content(
        &self,
        request: Request<pb::GetDocumentContentRequest>,
    ) -> Result<Response<Self::GetDocumentContentStream>, Status> {
        let flow = self.long_flow(AtShutdown::of_read(request.get_ref().min_epoch));
        Ok(stream(request, &self.groundwork, flow, content))
    }

    async fn erase_documents(
        &self,
        request: Request<pb::EraseDocumentsRequest>,
    ) -> Result<Response<Self::EraseDocumentsStream>, Status> {
        let flow = self.long_flow(AtShutdown::Finish);
        Ok(stream(request, &self.groundwork, flow, upkeep::erase))
    }

    async fn verify_erasure(
        &self,
        request: Request<pb::VerifyErasureRequest>,
    ) -> Result<Response<Self::VerifyErasureStream>, Status> {
        let flow = self.long_flow(AtShutdown::Cancel);
        Ok(stream(request, &self.groundwork, flow, upkeep::verify_erasure))
    }
}

/// Sends the bytes of a document in parts; returns the last one.
fn content(
    groundwork: &Groundwork,
    mut request: pb::GetDocumentContentRequest,
    cancel: &Cancel,
    outlet: &Outlet<pb::GetDocumentContentResponse>,
) -> Result<pb::GetDocumentContentResponse, Error> {
    let knowledge_base = required(KNOWLEDGE_BASE, std::mem::take(&mut request.knowledge_base_id))?;
    let wanted = content_request(request)?;
    let (info, bytes, epoch) = groundwork.content(&knowledge_base, &wanted, cancel)?;
    let mut last = pb::GetDocumentContentResponse::default();
    for (at, message) in content_messages(info, epoch, &bytes, CONTENT_PART_BYTES).enumerate() {
        let before = std::mem::replace(&mut last, message);
        if at > 0 {
            outlet.send(before)?;
        }
    }
    Ok(last)
}

/// What opens an ingestion stream.
pub(super) struct Start {
    knowledge_base: String,
    acknowledgement: Acknowledgement,
}

/// Takes documents of a stream in: [`Groundwork::ingest`], or in tests something with its habits.
type Ingest<'a> = dyn FnOnce(&Start, &mut dyn FnMut(Duration) -> Next, &mut dyn FnMut(DocumentOutcome)) -> Result<IngestSummary, Error>
    + 'a;

/// Runs one ingestion stream; returns its last message.
pub(super) fn ingest(
    messages: Streaming<pb::IngestDocumentsRequest>,
    max_document_bytes: usize,
    cancel: &Cancel,
    outlet: &Outlet<pb::IngestDocumentsResponse>,
    take_in: Box<Ingest<'_>>,
) -> Result<pb::IngestDocumentsResponse, Error> {
    let mut source = Source::new(messages, outlet, max_document_bytes);
    let start = source.start()?;
    let ingested = take_in(&start, &mut |wait| source.next(wait), &mut |decided| {
        // An acknowledgement that nobody reads ends the ingestion, but not what was committed.
        if outlet.send(outcome(decided)).is_err() {
            cancel.cancel();
        }
    });
    // What broke the stream explains more than that it ended.
    if let Some(failure) = source.failure {
        return Err(failure);
    }
    ingested.map(summary)
}

/// The documents of a stream, pulled by the facade. What it has not asked for yet waits in the HTTP/2 window, which
/// bounds it in bytes and slows the client.
struct Source<'a> {
    messages: Streaming<pb::IngestDocumentsRequest>,
    outlet: &'a Outlet<pb::IngestDocumentsResponse>,
    assembly: Assembly,
    ready: VecDeque<Next>,
    failure: Option<Error>,
    is_ended: bool,
}

impl<'a> Source<'a> {
    fn new(
        messages: Streaming<pb::IngestDocumentsRequest>,
        outlet: &'a Outlet<pb::IngestDocumentsResponse>,
        max_document_bytes: usize,
    ) -> Self {
        Self {
            messages,
            outlet,
            assembly: Assembly::new(max_document_bytes),
            ready: VecDeque::new(),
            failure: None,
            is_ended: false,
        }
    }

    /// Waits for the first message, and returns what it says.
    fn start(&mut self) -> Result<Start, Error> {
        let until = self.outlet.deadline().unwrap_or_else(|| Instant::now() + LONGEST_WAIT);
        let payload = match self.outlet.wait_until_stopping(until, self.messages.message()) {
            Waited::Came(Ok(Some(message))) => message.payload,
            Waited::Came(Ok(None)) => None,
            Waited::Came(Err(status)) => return Err(broken(&status)),
            Waited::Halted => return Err(shutting_down()),
            Waited::TimedOut => return Err(Stopped::DeadlineExceeded.into()),
        };
        match payload {
            Some(Payload::Start(start)) => Ok(Start {
                acknowledgement: acknowledgement(start.acknowledgement)?,
                knowledge_base: required("start.knowledge_base_id", start.knowledge_base_id)?,
            }),
            _ => Err(Error::invalid("start", "must be the first message of the stream")),
        }
    }

    /// Returns the next document, or that none came within the time, or that there are no more.
    fn next(&mut self, wait: Duration) -> Next {
        let until = Instant::now() + wait;
        loop {
            if let Some(next) = self.ready.pop_front() {
                return next;
            }
            if self.is_ended {
                return Next::End;
            }
            match self.outlet.wait_until_stopping(until, self.messages.message()) {
                Waited::Came(Ok(Some(message))) => match self.assembly.take(message.payload) {
                    Ok(decided) => self.ready.extend(decided),
                    Err(error) => self.end(Some(error)),
                },
                Waited::Came(Ok(None)) => {
                    self.ready.extend(self.assembly.finish());
                    self.end(None);
                }
                Waited::Came(Err(status)) => self.end(Some(broken(&status))),
                Waited::Halted => self.end(Some(shutting_down())),
                Waited::TimedOut => return Next::Idle,
            }
        }
    }

    fn end(&mut self, failure: Option<Error>) {
        self.is_ended = true;
        self.failure = failure;
    }
}

/// Returns why a stream of messages broke.
pub(super) fn broken(status: &Status) -> Error {
    match status.code() {
        Code::OutOfRange => message_too_large(status.message()),
        Code::Internal | Code::InvalidArgument | Code::Unimplemented => Error::new(
            ErrorKind::InvalidRequest,
            "UNREADABLE_MESSAGE",
            format!("a message of the stream cannot be read: {}", status.message()),
        ),
        _ => Stopped::Cancelled.into(),
    }
}
