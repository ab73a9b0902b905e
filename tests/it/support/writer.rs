//! Writes of a client, each noted in a ledger before it is sent and when it is acknowledged.

use std::time::Duration;

use groundwork::service::pb::document_service_client::DocumentServiceClient;
use groundwork::service::pb::ingest_documents_request::Payload;
use groundwork::service::pb::inline_document::Content;
use groundwork::service::pb::knowledge_base_service_client::KnowledgeBaseServiceClient;
use groundwork::service::pb::{
    BackupKnowledgeBaseRequest, CheckFinding, CheckKnowledgeBaseRequest, CreateKnowledgeBaseRequest,
    DeleteDocumentsRequest, DocumentHeader, DocumentStatus, EraseDocumentsRequest, IngestDocumentsRequest, IngestStart,
    InlineDocument, RetentionConfiguration, VacuumKnowledgeBaseRequest, check_knowledge_base_response,
    erase_documents_response, ingest_documents_response,
};
use parking_lot::Mutex;
use tonic::Code;

use super::ledger::{ANSWER_TIMEOUT, Finding, Ledger, content};
use super::server::Server;

/// Creates the knowledge base of a ledger; one that an unanswered call made is as good.
pub(crate) async fn create(server: &Server, ledger: &Mutex<Ledger>) -> Result<(), Finding> {
    let request = CreateKnowledgeBaseRequest {
        name: ledger.lock().knowledge_base().to_owned(),
        // Few, so that a vacuum has something to do.
        retention_configuration: Some(RetentionConfiguration {
            epochs: Some(3),
            age: None,
        }),
        ..CreateKnowledgeBaseRequest::default()
    };
    let creating = async {
        let mut client = KnowledgeBaseServiceClient::new(server.connect().await?);
        Ok(client.create_knowledge_base(request).await)
    };
    match answered(creating).await? {
        Err(status) if status.code() != Code::AlreadyExists => Err(status.into()),
        _ => Ok(()),
    }
}

/// Sends the next version of each document, in one stream, with this pause between two. No document comes twice.
pub(crate) async fn put(
    server: &Server,
    ledger: &Mutex<Ledger>,
    ids: &[String],
    pause: Duration,
) -> Result<(), Finding> {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let start = IngestStart {
        knowledge_base_id: ledger.lock().knowledge_base().to_owned(),
        ..IngestStart::default()
    };
    let sending = async {
        let mut is_open = sender.send(request(Payload::Start(start))).await.is_ok();
        for id in ids {
            if !is_open {
                break;
            }
            let version = ledger.lock().put_sent(id);
            let document = InlineDocument {
                header: Some(DocumentHeader {
                    document_id: id.clone(),
                    mime_type: "text/plain".to_owned(),
                    ..DocumentHeader::default()
                }),
                content: Some(Content::Text(content(id, version))),
            };
            is_open = sender.send(request(Payload::Document(document))).await.is_ok();
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        drop(sender);
    };
    let receiving = receive(server, ledger, ids, receiver);
    let (received, ()) = answered(async { Ok(tokio::join!(receiving, sending)) }).await?;
    received
}

async fn receive(
    server: &Server,
    ledger: &Mutex<Ledger>,
    ids: &[String],
    receiver: tokio::sync::mpsc::Receiver<IngestDocumentsRequest>,
) -> Result<(), Finding> {
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut client = DocumentServiceClient::new(server.connect().await?);
    let mut outcomes = client.ingest_documents(stream).await?.into_inner();
    while let Some(message) = outcomes.message().await? {
        let Some(ingest_documents_response::Payload::Outcome(outcome)) = message.payload else {
            continue;
        };
        match outcome.status() {
            DocumentStatus::Indexed | DocumentStatus::Ignored => {
                let mut ledger = ledger.lock();
                let version = ledger.last_version(&outcome.document_id);
                ledger.acknowledged(&outcome.document_id, Some(version), outcome.epoch);
            }
            status => {
                let id = &outcome.document_id;
                let reason = &outcome.status_reason;
                return Err(Finding::Wrong(format!(
                    "{id} of {ids:?} came out as {status:?}: {reason}"
                )));
            }
        }
    }
    Ok(())
}

/// Deletes documents in one call.
pub(crate) async fn delete(server: &Server, ledger: &Mutex<Ledger>, ids: &[String]) -> Result<(), Finding> {
    let request = DeleteDocumentsRequest {
        knowledge_base_id: ledger.lock().knowledge_base().to_owned(),
        document_ids: ids.to_vec(),
        ..DeleteDocumentsRequest::default()
    };
    ledger.lock().delete_sent(ids);
    let deleting = async {
        let mut client = DocumentServiceClient::new(server.connect().await?);
        Ok(client.delete_documents(request).await?.into_inner())
    };
    let response = answered(deleting).await?;
    for id in ids {
        ledger.lock().acknowledged(id, None, response.epoch);
    }
    Ok(())
}

/// Erases documents in one call.
pub(crate) async fn erase(server: &Server, ledger: &Mutex<Ledger>, ids: &[String]) -> Result<(), Finding> {
    let request = EraseDocumentsRequest {
        knowledge_base_id: ledger.lock().knowledge_base().to_owned(),
        document_ids: ids.to_vec(),
        ..EraseDocumentsRequest::default()
    };
    ledger.lock().delete_sent(ids);
    let erasing = async {
        let mut client = DocumentServiceClient::new(server.connect().await?);
        let mut messages = client.erase_documents(request).await?.into_inner();
        while let Some(message) = messages.message().await? {
            if let Some(erase_documents_response::Payload::Summary(summary)) = message.payload {
                return Ok(summary);
            }
        }
        Err(Finding::Wrong("an erasure ends without a summary".to_owned()))
    };
    let summary = answered(erasing).await?;
    for id in ids {
        ledger.lock().acknowledged(id, None, summary.epoch);
    }
    Ok(())
}

/// Vacuums to the end.
pub(crate) async fn vacuum(server: &Server, ledger: &Mutex<Ledger>) -> Result<(), Finding> {
    let request = VacuumKnowledgeBaseRequest {
        knowledge_base_id: ledger.lock().knowledge_base().to_owned(),
    };
    let vacuuming = async {
        let mut client = KnowledgeBaseServiceClient::new(server.connect().await?);
        let mut messages = client.vacuum_knowledge_base(request).await?.into_inner();
        while messages.message().await?.is_some() {}
        Ok(())
    };
    answered(vacuuming).await
}

/// Checks to the end, and returns what was found.
pub(crate) async fn check(server: &Server, ledger: &Mutex<Ledger>) -> Result<Vec<CheckFinding>, Finding> {
    let request = CheckKnowledgeBaseRequest {
        knowledge_base_id: ledger.lock().knowledge_base().to_owned(),
        repair: false,
    };
    let checking = async {
        let mut client = KnowledgeBaseServiceClient::new(server.connect().await?);
        let mut messages = client.check_knowledge_base(request).await?.into_inner();
        let mut found = Vec::new();
        while let Some(message) = messages.message().await? {
            if let Some(check_knowledge_base_response::Payload::Finding(finding)) = message.payload {
                found.push(finding);
            }
        }
        Ok(found)
    };
    answered(checking).await
}

/// Takes a backup to its end, into a file of the backup directory, or thrown away if none is named.
pub(crate) async fn back_up(server: &Server, ledger: &Mutex<Ledger>, file_name: &str) -> Result<(), Finding> {
    let request = BackupKnowledgeBaseRequest {
        knowledge_base_id: ledger.lock().knowledge_base().to_owned(),
        file_name: file_name.to_owned(),
    };
    let backing_up = async {
        let mut client = KnowledgeBaseServiceClient::new(server.connect().await?);
        let mut messages = client.backup_knowledge_base(request).await?.into_inner();
        while messages.message().await?.is_some() {}
        Ok(())
    };
    answered(backing_up).await
}

fn request(payload: Payload) -> IngestDocumentsRequest {
    IngestDocumentsRequest { payload: Some(payload) }
}

/// Waits for an answer, but not for ever.
async fn answered<T>(call: impl Future<Output = Result<T, Finding>>) -> Result<T, Finding> {
    tokio::time::timeout(ANSWER_TIMEOUT, call)
        .await
        .unwrap_or_else(|_| Err(Finding::Wrong("the server hangs".to_owned())))
}
