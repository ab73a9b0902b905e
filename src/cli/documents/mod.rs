//! `groundwork documents`: what is in a knowledge base, what was, and how it leaves.
//!
//! Comes in: ids, conditions, sources. Goes out: descriptions, texts, contents, what became of each document.
//! Always holds: what cannot be undone is asked for, or said to be wanted.
//! Not here: how documents come in; see `ingest`.

pub(super) mod delete;
pub(super) mod erase;
pub(super) mod history;
mod selection;

use std::fmt::Display;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::HumanBytes;
use serde_json::json;

use super::exit::Exit;
use super::json;
use super::moment::ReadFlags;
use super::output::Output;
use super::session::Session;
use super::text::{Side, Table, harmless, one_line};
use crate::service::pb;

/// Entries that one call asks for.
const PAGE_SIZE: u32 = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List documents, ordered by id
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  groundwork documents list handbook\n  \
        groundwork documents list handbook --status failed\n  \
        groundwork documents list handbook --as-of-time 2026-03-01T12:00:00Z\n  \
        groundwork --json documents list handbook | jq -r .document_id"
    )]
    List(List),
    /// Describe a document, or print its extracted text
    #[command(after_help = "Examples:\n  groundwork documents get handbook concepts/epochs.md\n  \
        groundwork documents get handbook concepts/epochs.md --text\n  \
        groundwork documents get handbook concepts/epochs.md --as-of-epoch 12")]
    Get(Get),
    /// Delete documents in one commit
    #[command(visible_alias = "rm", after_help = delete::AFTER_HELP)]
    Delete(delete::Delete),
    /// List what a document was, newest first
    #[command(after_help = history::REVISIONS_HELP)]
    Revisions(history::Revisions),
    /// Write a document's bytes as they were ingested
    #[command(after_help = history::CONTENT_HELP)]
    Content(history::Content),
    /// Remove every trace of documents, in all epochs
    #[command(after_help = erase::ERASE_HELP)]
    Erase(erase::Erase),
    /// Look for what is left of a document, and certify that nothing is
    #[command(after_help = erase::VERIFY_HELP)]
    VerifyErasure(erase::Verify),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// Only documents of this status
    #[arg(long)]
    status: Option<Status>,
    #[command(flatten)]
    read: ReadFlags,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Pending,
    InProgress,
    Indexed,
    Failed,
}

#[derive(Debug, Args)]
pub(super) struct Get {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// Id of the document
    #[arg(value_name = "DOCUMENT")]
    document: String,
    /// Print the extracted text that citations count bytes in
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    read: ReadFlags,
}

pub(super) async fn run(command: Command, session: &mut Session) -> anyhow::Result<Exit> {
    match command {
        Command::List(arguments) => list(arguments, session).await,
        Command::Get(arguments) => get(arguments, session).await,
        Command::Delete(arguments) => delete::run(arguments, session).await,
        Command::Revisions(arguments) => history::revisions(arguments, session).await,
        Command::Content(arguments) => history::content(arguments, session).await,
        Command::Erase(arguments) => erase::erase(arguments, session).await,
        Command::VerifyErasure(arguments) => erase::verify(arguments, session).await,
    }
}

async fn list(arguments: List, session: &mut Session) -> anyhow::Result<Exit> {
    let status = arguments
        .status
        .map_or(pb::DocumentStatus::Unspecified, |status| match status {
            Status::Pending => pb::DocumentStatus::Pending,
            Status::InProgress => pb::DocumentStatus::InProgress,
            Status::Indexed => pb::DocumentStatus::Indexed,
            Status::Failed => pb::DocumentStatus::Failed,
        });
    let read = arguments.read;
    let mut client = session.connection.documents();
    let mut page_token = String::new();
    loop {
        let request = pb::ListDocumentsRequest {
            knowledge_base_id: arguments.knowledge_base.clone(),
            status: status.into(),
            page_size: PAGE_SIZE,
            page_token,
            min_epoch: read.min_epoch(),
            as_of_epoch: read.as_of_epoch(),
            as_of_time: read.as_of_time(),
        };
        let page = client.list_documents(request).await?.into_inner();
        // Page by page, so that a long list begins at once and takes little memory.
        write_page(&page.documents, &mut session.output)?;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(Exit::Done);
        }
    }
}

pub(super) fn write_page(documents: &[pb::Document], output: &mut Output) -> std::io::Result<()> {
    if output.is_json() {
        return documents
            .iter()
            .try_for_each(|document| output.object(&json::document(document)));
    }
    if documents.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        ("DOCUMENT", Side::Left),
        ("STATUS", Side::Left),
        ("SIZE", Side::Right),
        ("CHUNKS", Side::Right),
        ("EPOCH", Side::Right),
        ("TITLE", Side::Left),
    ]);
    for document in documents {
        let title = if document.status() == pb::DocumentStatus::Failed {
            &document.status_reason
        } else {
            &document.title
        };
        table.row([
            document.document_id.clone(),
            status_word(document.status()).to_owned(),
            known(document, HumanBytes(document.byte_size)),
            known(document, document.chunk_count),
            known(document, document.epoch),
            title.clone(),
        ]);
    }
    table.write(output)
}

/// Returns the word for a status.
pub(super) fn status_word(status: pb::DocumentStatus) -> &'static str {
    match status {
        pb::DocumentStatus::Unspecified => "unknown",
        pb::DocumentStatus::Pending => "pending",
        pb::DocumentStatus::InProgress => "in progress",
        pb::DocumentStatus::Indexed => "indexed",
        pb::DocumentStatus::Failed => "failed",
        pb::DocumentStatus::Ignored => "unchanged",
        pb::DocumentStatus::Deleting => "deleting",
        pb::DocumentStatus::Deleted => "deleted",
        pb::DocumentStatus::NotFound => "not found",
    }
}

async fn get(arguments: Get, session: &mut Session) -> anyhow::Result<Exit> {
    let request = pb::GetDocumentRequest {
        knowledge_base_id: arguments.knowledge_base,
        document_id: arguments.document,
        include_text: arguments.text,
        min_epoch: arguments.read.min_epoch(),
        as_of_epoch: arguments.read.as_of_epoch(),
        as_of_time: arguments.read.as_of_time(),
    };
    let response = session.connection.documents().get_document(request).await?.into_inner();
    let document = response.document.unwrap_or_default();
    let output = &mut session.output;
    if output.is_json() {
        let mut object = json!({ "document": json::document(&document), "epoch": response.epoch });
        if arguments.text {
            object["text"] = json!(response.text);
        }
        output.object(&object)?;
    } else if arguments.text {
        output.piece(&harmless(&response.text))?;
    } else {
        show(&document, output)?;
    }
    Ok(Exit::Done)
}

/// Returns a figure of a document's content; nothing when none was ever indexed.
fn known(document: &pb::Document, figure: impl Display) -> String {
    if document.content_hash.is_empty() {
        String::new()
    } else {
        figure.to_string()
    }
}

pub(super) fn show(document: &pb::Document, output: &mut Output) -> std::io::Result<()> {
    let content = format!(
        "{}, {}, {} of text",
        document.mime_type,
        HumanBytes(document.byte_size),
        HumanBytes(document.text_bytes)
    );
    let metadata = match json::metadata(&document.metadata) {
        serde_json::Value::Object(object) if object.is_empty() => String::new(),
        metadata => metadata.to_string(),
    };
    let lines = [
        ("id", document.document_id.clone()),
        ("title", document.title.clone()),
        ("status", status_word(document.status()).to_owned()),
        ("reason", document.status_reason.clone()),
        ("content", known(document, content)),
        ("sha-256", document.content_hash.clone()),
        ("source", document.source_name.clone()),
        ("metadata", metadata),
        (
            "access",
            document
                .access
                .as_ref()
                .map_or_else(String::new, |access| json::access(access).to_string()),
        ),
        ("chunks", known(document, document.chunk_count)),
        ("epoch", known(document, document.epoch)),
        (
            "first seen",
            document.created_at.map_or_else(String::new, |time| time.to_string()),
        ),
        (
            "changed",
            document.updated_at.map_or_else(String::new, |time| time.to_string()),
        ),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        output.line(format!("{}  {}", output.dim(&format!("{name:<10}")), one_line(value)))?;
    }
    Ok(())
}
