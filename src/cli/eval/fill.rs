//! The corpus of a collection into a knowledge base, over one ingestion stream.

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::cli::output::note;
use crate::cli::progress;
use crate::cli::session::Session;
use crate::cli::text::one_line;
use crate::evaluate::{Collection, CorpusDocument, Error};
use crate::service::pb::ingest_documents_response::Payload;
use crate::service::{client, pb};

/// Messages that wait to be sent.
const QUEUED_MESSAGES: usize = 16;
/// Failures that are told one by one; of more, the rest are counted.
const MAX_TOLD_FAILURES: usize = 20;
/// The text of a collection is plain and decoded.
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// What became of the documents.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// New ones and replaced ones.
    pub(super) indexed: u64,
    /// Those that were there already.
    pub(super) unchanged: u64,
    /// Those that the server refused.
    pub(super) failed: u64,
}

/// Ingests all `total` documents that hold words.
pub(super) async fn fill(
    knowledge_base: &str,
    collection: Collection,
    total: u64,
    session: &Session,
) -> anyhow::Result<Filled> {
    let (requests, stream) = mpsc::channel(QUEUED_MESSAGES);
    let start = client::ingest_start(knowledge_base);
    // Reading files blocks. When nobody takes the messages any more, the thread ends.
    let sender = tokio::task::spawn_blocking(move || send(&collection, start, &requests));
    let received = receive(stream, total, session).await;
    let sent = sender.await?;
    let filled = received?;
    sent?;
    Ok(filled)
}

async fn receive(
    requests: mpsc::Receiver<pb::IngestDocumentsRequest>,
    total: u64,
    session: &Session,
) -> anyhow::Result<Filled> {
    let mut client = session.connection.documents();
    let mut responses = client
        .ingest_documents(ReceiverStream::new(requests))
        .await?
        .into_inner();
    let bar = progress::steps("documents", total);
    let mut filled = Filled::default();
    let mut is_complete = false;
    while let Some(message) = responses.message().await? {
        match message.payload {
            Some(Payload::Outcome(outcome)) => {
                count(&outcome, &mut filled);
                bar.inc(1);
            }
            Some(Payload::Summary(_)) => is_complete = true,
            None => {}
        }
    }
    is_complete
        .then_some(filled)
        .context("the connection to the server was lost: the stream ended without a summary")
}

fn count(outcome: &pb::DocumentOutcome, filled: &mut Filled) {
    match outcome.status() {
        pb::DocumentStatus::Indexed => filled.indexed += 1,
        pb::DocumentStatus::Ignored => filled.unchanged += 1,
        _ => {
            filled.failed += 1;
            if filled.failed <= MAX_TOLD_FAILURES as u64 {
                let (id, reason) = (one_line(&outcome.document_id), one_line(&outcome.status_reason));
                note(format!("failed: {id}: {reason}"));
            }
        }
    }
}

fn send(
    collection: &Collection,
    start: pb::IngestDocumentsRequest,
    requests: &mpsc::Sender<pb::IngestDocumentsRequest>,
) -> Result<(), Error> {
    // Whoever closed the stream tells the reason at the other end.
    if requests.blocking_send(start).is_err() {
        return Ok(());
    }
    for document in collection.documents()? {
        let document = document?;
        if document.is_blank() {
            continue;
        }
        for message in messages(document) {
            if requests.blocking_send(message).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Returns the messages of a document. One without a text has its title as its text, and is found by it.
pub(super) fn messages(document: CorpusDocument) -> impl Iterator<Item = pb::IngestDocumentsRequest> {
    let CorpusDocument { id, title, text } = document;
    let (title, text) = if text.trim().is_empty() {
        (String::new(), title)
    } else {
        (title, text)
    };
    let header = pb::DocumentHeader {
        document_id: id,
        mime_type: PLAIN_TEXT.to_owned(),
        title,
        ..pb::DocumentHeader::default()
    };
    client::ingest_messages(header, text.into_bytes())
}
