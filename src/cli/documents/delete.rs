//! `groundwork documents delete`: documents leave the published epoch in one commit.

use clap::Args;
use serde_json::json;

use super::selection::SelectionFlags;
use super::status_word;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, note};
use crate::cli::session::Session;
use crate::cli::text::{count, one_line};
use crate::service::pb;

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    #[command(flatten)]
    selection: SelectionFlags,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

pub(super) const AFTER_HELP: &str = "\
Retained epochs still see what was deleted, and `groundwork epochs rollback` brings it back. To remove every trace, \
see `groundwork documents erase --help`.

Examples:
  groundwork documents delete handbook concepts/epochs.md
  groundwork documents delete handbook --filter team=search --dry-run
  groundwork documents delete handbook --source notes/old.md";

pub(super) async fn run(arguments: Delete, session: &mut Session) -> anyhow::Result<Exit> {
    let (document_ids, filter, source_name) = arguments.selection.parts();
    let by_id = !document_ids.is_empty();
    let request = pb::DeleteDocumentsRequest {
        knowledge_base_id: arguments.knowledge_base,
        document_ids,
        filter,
        source_name,
        dry_run: arguments.dry_run,
    };
    let mut client = session.connection.documents();
    let response = client.delete_documents(request).await?.into_inner();
    write(&response, arguments.dry_run, &mut session.output)?;
    if !by_id {
        note(told(&response, arguments.dry_run));
        return Ok(Exit::Done);
    }
    let missing = |document: &&pb::DeletedDocument| document.status() == pb::DocumentStatus::NotFound;
    let missing = response.documents.iter().filter(missing).count();
    Ok(match missing {
        0 => Exit::Done,
        _ if missing == response.documents.len() => Exit::NotFound,
        _ => Exit::Partial,
    })
}

/// Writes what became of each document, or would.
pub(in crate::cli) fn write(
    response: &pb::DeleteDocumentsResponse,
    dry_run: bool,
    output: &mut Output,
) -> std::io::Result<()> {
    for document in &response.documents {
        if output.is_json() {
            output.object(&json!({
                "document_id": document.document_id,
                "status": document.status().as_str_name(),
                "epoch": response.epoch,
                "dry_run": dry_run,
            }))?;
            continue;
        }
        let word = match document.status() {
            pb::DocumentStatus::Deleted if dry_run => "would be deleted",
            status => status_word(status),
        };
        output.line(format!("{}: {word}", one_line(&document.document_id)))?;
    }
    Ok(())
}

/// Returns the totals, for a deletion that may name more documents than are listed.
fn told(response: &pb::DeleteDocumentsResponse, dry_run: bool) -> String {
    let documents = count(response.deleted_document_count, "document");
    let chunks = count(response.deleted_chunk_count, "chunk");
    match (response.deleted_document_count, dry_run) {
        (0, _) => "no document fits".to_owned(),
        (_, true) => format!("{documents} with {chunks} would be deleted"),
        (_, false) => format!("{documents} with {chunks} deleted, epoch {}", response.epoch),
    }
}
