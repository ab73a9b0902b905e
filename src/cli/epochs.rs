//! `groundwork epochs`: lists, names, compares and brings back earlier states of a knowledge base.

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::Exit;
use super::json;
use super::moment::parse_epoch;
use super::output::{Output, note};
use super::session::Session;
use super::text::{Side, Table, count, one_line, wrap};
use crate::service::pb;
use crate::service::pb::diff_knowledge_base_response::Payload;

/// Entries that one call asks for.
const PAGE_SIZE: u32 = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the epochs that can still be read, newest first
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  groundwork epochs list handbook\n  groundwork epochs list handbook --pinned\n  \
        groundwork --json epochs list handbook | jq -r .epoch"
    )]
    List(List),
    /// Give an epoch a name, which keeps it
    #[command(after_help = "Examples:\n  groundwork epochs pin handbook spring-2026\n  \
        groundwork epochs pin handbook before-import --epoch 12")]
    Pin(Pin),
    /// Take the name of an epoch away; the retention decides about the epoch from then on
    #[command(after_help = "Examples:\n  groundwork epochs unpin handbook spring-2026")]
    Unpin(Unpin),
    /// Show which documents two epochs see differently
    #[command(after_help = "Examples:\n  groundwork epochs diff handbook 12\n  \
        groundwork epochs diff handbook 12 15 --chunks\n  \
        groundwork --json epochs diff handbook 0 | jq -r 'select(.difference).difference.document_id'\n\n\
        With --json each document is a line {\"difference\": ...}, and the last line is {\"summary\": ...}.")]
    Diff(Diff),
    /// Make a new epoch that sees what an earlier one saw
    #[command(
        after_help = "A rollback removes nothing: it can itself be rolled back while the epochs are retained.\n\n\
        Examples:\n  groundwork epochs rollback handbook 12\n  \
        groundwork epochs rollback handbook --to-pin spring-2026 --dry-run"
    )]
    Rollback(Rollback),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// Only epochs that have a name
    #[arg(long)]
    pinned: bool,
}

#[derive(Debug, Args)]
pub(super) struct Pin {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// Name: letters, digits, `-`, `_` and `.`
    name: String,
    /// The epoch [default: the published one]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    epoch: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct Unpin {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// The name
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// The epoch to start from; 0 is the empty knowledge base
    #[arg(value_name = "FROM")]
    from: u64,
    /// The epoch to arrive at [default: the published one]
    #[arg(value_name = "TO", value_parser = parse_epoch)]
    to: Option<u64>,
    /// Show the chunks that were added and removed
    #[arg(long)]
    chunks: bool,
}

#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// The epoch to go back to; 0 is the empty knowledge base
    #[arg(required_unless_present = "to_pin", conflicts_with = "to_pin")]
    epoch: Option<u64>,
    /// Go back to the epoch of this name
    #[arg(long, value_name = "NAME")]
    to_pin: Option<String>,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(command: Command, session: &mut Session) -> anyhow::Result<Exit> {
    match command {
        Command::List(arguments) => list(arguments, session).await,
        Command::Pin(arguments) => pin(arguments, session).await,
        Command::Unpin(arguments) => unpin(arguments, session).await,
        Command::Diff(arguments) => diff(arguments, session).await,
        Command::Rollback(arguments) => rollback(arguments, session).await,
    }
}

async fn list(arguments: List, session: &mut Session) -> anyhow::Result<Exit> {
    let mut client = session.connection.knowledge_bases();
    let mut page_token = String::new();
    loop {
        let request = pb::ListEpochsRequest {
            knowledge_base_id: arguments.knowledge_base.clone(),
            pinned_only: arguments.pinned,
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = client.list_epochs(request).await?.into_inner();
        write_page(&page.epochs, &mut session.output)?;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(Exit::Done);
        }
    }
}

fn write_page(epochs: &[pb::Epoch], output: &mut Output) -> std::io::Result<()> {
    if output.is_json() {
        return epochs.iter().try_for_each(|epoch| output.object(&json::epoch(epoch)));
    }
    if epochs.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        ("EPOCH", Side::Right),
        ("COMMITTED", Side::Left),
        ("DOCUMENTS", Side::Right),
        ("CHUNKS", Side::Right),
        ("CAUSE", Side::Left),
        ("NAMES", Side::Left),
    ]);
    for epoch in epochs {
        table.row([
            epoch.epoch.to_string(),
            epoch.committed_at.map_or_else(String::new, |time| time.to_string()),
            epoch.document_count.to_string(),
            epoch.chunk_count.to_string(),
            epoch.cause.clone(),
            epoch.pin_names.join(", "),
        ]);
    }
    table.write(output)
}

async fn pin(arguments: Pin, session: &mut Session) -> anyhow::Result<Exit> {
    let request = pb::PinEpochRequest {
        knowledge_base_id: arguments.knowledge_base,
        pin_name: arguments.name.clone(),
        epoch: arguments.epoch.unwrap_or_default(),
    };
    let response = session.connection.knowledge_bases().pin_epoch(request).await?;
    let epoch = response.into_inner().epoch.unwrap_or_default();
    if session.output.is_json() {
        session.output.object(&json::epoch(&epoch))?;
    } else {
        let name = one_line(&arguments.name);
        session.output.line(format!("{name} is epoch {}", epoch.epoch))?;
    }
    Ok(Exit::Done)
}

async fn unpin(arguments: Unpin, session: &mut Session) -> anyhow::Result<Exit> {
    let request = pb::UnpinEpochRequest {
        knowledge_base_id: arguments.knowledge_base,
        pin_name: arguments.name.clone(),
    };
    let response = session.connection.knowledge_bases().unpin_epoch(request).await?;
    let epoch = response.into_inner().epoch;
    if session.output.is_json() {
        session
            .output
            .object(&json!({ "pin_name": arguments.name, "epoch": epoch }))?;
    } else {
        let name = one_line(&arguments.name);
        session.output.line(format!("{name} no longer names epoch {epoch}"))?;
    }
    Ok(Exit::Done)
}

async fn diff(arguments: Diff, session: &mut Session) -> anyhow::Result<Exit> {
    let request = pb::DiffKnowledgeBaseRequest {
        knowledge_base_id: arguments.knowledge_base,
        from_epoch: arguments.from,
        to_epoch: arguments.to.unwrap_or_default(),
        include_chunks: arguments.chunks,
        ..pb::DiffKnowledgeBaseRequest::default()
    };
    let mut client = session.connection.knowledge_bases();
    let mut messages = client.diff_knowledge_base(request).await?.into_inner();
    let output = &mut session.output;
    let mut goes_on = false;
    while let Some(message) = messages.message().await? {
        match message.payload {
            Some(Payload::Difference(difference)) => {
                write_difference(&difference, goes_on, output)?;
                goes_on = difference.continued;
            }
            Some(Payload::Summary(summary)) if output.is_json() => {
                output.object(&json!({ "summary": json::difference_summary(&summary) }))?;
            }
            Some(Payload::Summary(summary)) => note(format!(
                "from epoch {} to {}: {} added, {} changed, {} removed",
                summary.from_epoch,
                summary.to_epoch,
                summary.added_document_count,
                summary.changed_document_count,
                summary.removed_document_count
            )),
            None => {}
        }
    }
    Ok(Exit::Done)
}

/// Writes a document that differs; `goes_on` when it only brings more chunks of the one before.
pub(super) fn write_difference(
    difference: &pb::DocumentDifference,
    goes_on: bool,
    output: &mut Output,
) -> std::io::Result<()> {
    if output.is_json() {
        return output.object(&json!({ "difference": json::difference(difference) }));
    }
    if !goes_on {
        let word = match difference.kind() {
            pb::DifferenceKind::Added => "added",
            pb::DifferenceKind::Changed => "changed",
            pb::DifferenceKind::Removed => "removed",
            pb::DifferenceKind::Unspecified => "unknown",
        };
        let counts = format!(
            "+{} -{} ={} chunks",
            difference.added_chunk_count, difference.removed_chunk_count, difference.unchanged_chunk_count
        );
        let document = one_line(&difference.document_id);
        output.line(format!("{word:<8} {document}  {}", output.dim(&counts)))?;
    }
    for chunk in &difference.chunks {
        let sign = match chunk.kind() {
            pb::DifferenceKind::Removed => '-',
            _ => '+',
        };
        output.line(format!("  {sign} {}", output.dim(&one_line(&chunk.chunk_id))))?;
        for line in wrap(&chunk.text, output.text_width().saturating_sub(6)) {
            output.line(format!("  {sign}   {line}").trim_end())?;
        }
    }
    Ok(())
}

async fn rollback(arguments: Rollback, session: &mut Session) -> anyhow::Result<Exit> {
    let request = pb::RollbackKnowledgeBaseRequest {
        knowledge_base_id: arguments.knowledge_base,
        to_epoch: arguments.epoch,
        to_pin_name: arguments.to_pin.unwrap_or_default(),
        dry_run: arguments.dry_run,
    };
    let mut client = session.connection.knowledge_bases();
    let done = client.rollback_knowledge_base(request).await?.into_inner();
    if session.output.is_json() {
        session.output.object(&json!({
            "epoch": done.epoch,
            "to_epoch": done.to_epoch,
            "restored_document_count": done.restored_document_count,
            "removed_document_count": done.removed_document_count,
            "dry_run": arguments.dry_run,
        }))?;
        return Ok(Exit::Done);
    }
    let restored = count(done.restored_document_count, "document");
    let removed = done.removed_document_count;
    let line = if arguments.dry_run {
        format!(
            "going back to epoch {} would bring back {restored} and take away {removed}",
            done.to_epoch
        )
    } else {
        format!(
            "epoch {} sees what epoch {} saw: {restored} back, {removed} gone",
            done.epoch, done.to_epoch
        )
    };
    session.output.line(line)?;
    Ok(Exit::Done)
}
