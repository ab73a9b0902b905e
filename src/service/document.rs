//! `DocumentService`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::{Code, Request, Response, Status, Streaming};

use super::assembly::Assembly;
use super::call::{AtShutdown, Flow, Outlet, Replies, Waited, shutting_down, stream, unary};
use super::convert::{delete_response, document, document_id, outcome, page, required, status_filter, summary};
use super::layer::message_too_large;
use super::pb::ingest_documents_request::Payload;
use super::{ServiceConfig, pb};
use crate::knowledge_base::{
    DocumentOutcome, Error, ErrorKind, Groundwork, IngestSummary, MAX_DELETE_DOCUMENTS, Next, ReadAt, Selection,
};
use crate::worker::{Cancel, Stopped};

const KNOWLEDGE_BASE: &str = "knowledge_base_id";
/// Outcomes that may wait for the client. Enough that a client which first sends some thousand documents and only then
/// begins to read is not stopped in between: an outcome takes about 100 bytes.
const WAITING_OUTCOMES: usize = 8_192;
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
            let take_in = |id: &str, next: &mut dyn FnMut(_) -> _, told: &mut dyn FnMut(_)| {
                groundwork.ingest(id, next, cancel, told)
            };
            ingest(messages, limit, cancel, outlet, Box::new(take_in))
        };
        Ok(stream(request, &self.groundwork, self.flow, work))
    }

    async fn get_document(
        &self,
        request: Request<pb::GetDocumentRequest>,
    ) -> Result<Response<pb::GetDocumentResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, cancel| {
            let knowledge_base = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
            let id = document_id("document_id", request.document_id)?;
            let (info, text, epoch) =
                groundwork.document(&knowledge_base, &id, request.include_text, ReadAt::default(), cancel)?;
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
        unary(request, &self.groundwork, |groundwork, request, cancel| {
            let knowledge_base = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
            let status = status_filter(request.status)?;
            let page = page(request.page_size, request.page_token)?;
            let (listed, epoch) = groundwork.documents(&knowledge_base, status, &page, ReadAt::default(), cancel)?;
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
            let count = request.document_ids.len();
            if !(1..=MAX_DELETE_DOCUMENTS).contains(&count) {
                let reason = format!("must name 1 to {MAX_DELETE_DOCUMENTS} documents, names {count}");
                return Err(Error::invalid("document_ids", reason));
            }
            let ids = request.document_ids.into_iter().enumerate();
            let ids = ids
                .map(|(at, id)| document_id(&format!("document_ids[{at}]"), id))
                .collect::<Result<Vec<_>, Error>>()?;
            let selection = Selection::Ids(ids);
            groundwork
                .delete_documents(&knowledge_base, &selection, request.dry_run)
                .map(delete_response)
        })
        .await
    }

    async fn list_revisions(
        &self,
        _: Request<pb::ListRevisionsRequest>,
    ) -> Result<Response<pb::ListRevisionsResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn get_document_content(
        &self,
        _: Request<pb::GetDocumentContentRequest>,
    ) -> Result<Response<Self::GetDocumentContentStream>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn erase_documents(
        &self,
        _: Request<pb::EraseDocumentsRequest>,
    ) -> Result<Response<Self::EraseDocumentsStream>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn verify_erasure(
        &self,
        _: Request<pb::VerifyErasureRequest>,
    ) -> Result<Response<Self::VerifyErasureStream>, Status> {
        Err(Status::unimplemented("not built yet"))
    }
}

/// Takes documents of a stream in: [`Groundwork::ingest`], or in tests something with its habits.
type Ingest<'a> = dyn FnOnce(&str, &mut dyn FnMut(Duration) -> Next, &mut dyn FnMut(DocumentOutcome)) -> Result<IngestSummary, Error>
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
    let knowledge_base = source.start()?;
    let ingested = take_in(&knowledge_base, &mut |wait| source.next(wait), &mut |decided| {
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

    /// Waits for the first message, and returns the knowledge base that it names.
    fn start(&mut self) -> Result<String, Error> {
        let until = self.outlet.deadline().unwrap_or_else(|| Instant::now() + LONGEST_WAIT);
        let payload = match self.outlet.wait_until_stopping(until, self.messages.message()) {
            Waited::Came(Ok(Some(message))) => message.payload,
            Waited::Came(Ok(None)) => None,
            Waited::Came(Err(status)) => return Err(broken(&status)),
            Waited::Halted => return Err(shutting_down()),
            Waited::TimedOut => return Err(Stopped::DeadlineExceeded.into()),
        };
        match payload {
            Some(Payload::Start(start)) => required("start.knowledge_base_id", start.knowledge_base_id),
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
fn broken(status: &Status) -> Error {
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
