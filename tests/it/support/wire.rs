//! Messages that wire tests share, and a server to send them to.

use groundwork::service::pb::ingest_documents_request::Payload;
use groundwork::service::pb::inline_document::Content;
use groundwork::service::pb::{
    CreateKnowledgeBaseRequest, DocumentHeader, DocumentOutcome, IngestDocumentsRequest, IngestStart, IngestSummary,
    InlineDocument, ingest_documents_response,
};
use tonic::Status;

use super::server::Server;

/// Returns a message of an ingestion stream.
pub(crate) fn message(payload: Payload) -> IngestDocumentsRequest {
    IngestDocumentsRequest { payload: Some(payload) }
}

/// Returns the first message of a stream into `kb`.
pub(crate) fn start() -> IngestDocumentsRequest {
    message(Payload::Start(IngestStart {
        knowledge_base_id: "kb".to_owned(),
        ..IngestStart::default()
    }))
}

/// Returns the header of a plain-text document.
pub(crate) fn header(id: &str) -> DocumentHeader {
    DocumentHeader {
        document_id: id.to_owned(),
        mime_type: "text/plain".to_owned(),
        ..DocumentHeader::default()
    }
}

/// Returns a document of one message.
pub(crate) fn inline(id: &str, text: &str) -> IngestDocumentsRequest {
    message(Payload::Document(InlineDocument {
        header: Some(header(id)),
        content: Some(Content::Text(text.to_owned())),
    }))
}

/// Ingests, and returns the outcomes in the order of the documents and the totals.
pub(crate) async fn ingest(
    server: &Server,
    messages: Vec<IngestDocumentsRequest>,
) -> Result<(Vec<DocumentOutcome>, Option<IngestSummary>), Status> {
    let mut client = server.documents().await;
    let mut stream = client
        .ingest_documents(tokio_stream::iter(messages))
        .await?
        .into_inner();
    let (mut outcomes, mut summary) = (Vec::new(), None);
    while let Some(response) = stream.message().await? {
        match response.payload {
            Some(ingest_documents_response::Payload::Outcome(outcome)) => outcomes.push(outcome),
            Some(ingest_documents_response::Payload::Summary(totals)) => summary = Some(totals),
            None => panic!("an empty message"),
        }
    }
    outcomes.sort_by_key(|outcome| outcome.sequence);
    Ok((outcomes, summary))
}

/// A server with an empty knowledge base `kb`.
pub(crate) async fn server() -> (tempfile::TempDir, Server) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(home.path());
    let request = CreateKnowledgeBaseRequest {
        name: "kb".to_owned(),
        ..CreateKnowledgeBaseRequest::default()
    };
    server
        .knowledge_bases()
        .await
        .create_knowledge_base(request)
        .await
        .expect("it is new");
    (home, server)
}
