//! `groundwork restore`: a knowledge base from a backup.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;

use super::exit::Exit;
use super::json;
use super::output::note;
use super::progress;
use super::session::Session;
use super::text::one_line;
use crate::service::client::PART_BYTES;
use crate::service::pb;
use crate::service::pb::restore_knowledge_base_request::Payload;

/// Parts that may wait for the server.
const WAITING_PARTS: usize = 2;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Backup to restore; - reads from stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Name of the new knowledge base [default: that of the one that was backed up]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Verify everything and say what would be made, but make nothing
    #[arg(long)]
    dry_run: bool,
    /// FILE is a name in the server's backup directory
    #[arg(long)]
    on_server: bool,
}

const AFTER_HELP: &str = "\
The backup is verified whole before anything is made; one that was cut short or altered is refused, and nothing is left \
of it. Nothing is embedded again.

Examples:
  groundwork restore handbook.tar
  groundwork restore handbook.tar --name handbook-of-march
  groundwork restore handbook.tar --dry-run
  zstd -dc handbook.tar.zst | groundwork restore -";

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    let mut start = pb::RestoreStart {
        name: arguments.name.unwrap_or_default(),
        dry_run: arguments.dry_run,
        file_name: String::new(),
    };
    let (sender, receiver) = mpsc::channel(WAITING_PARTS);
    let mut reading = None;
    if arguments.on_server {
        start.file_name = arguments.file.to_string_lossy().into_owned();
        sender.send(message(Payload::Start(start))).await?;
        drop(sender);
    } else {
        let (source, size) = open(&arguments.file)?;
        sender.send(message(Payload::Start(start))).await?;
        let bar = progress::bytes("restore", size);
        reading = Some(tokio::task::spawn_blocking(move || send(source, &sender, &bar)));
    }
    let mut client = session.connection.knowledge_bases();
    let answer = client.restore_knowledge_base(ReceiverStream::new(receiver)).await;
    if let Some(reading) = reading {
        // A file that cannot be read explains more than that its archive was cut short.
        let cannot = || format!("cannot read {}", arguments.file.display());
        reading
            .await
            .context("reading the backup failed")?
            .with_context(cannot)?;
    }
    let restored = answer?.into_inner();
    for warning in &restored.warnings {
        note(format!("warning: {}", one_line(warning)));
    }
    tell(&restored, arguments.dry_run, session)?;
    Ok(Exit::Done)
}

fn message(payload: Payload) -> pb::RestoreKnowledgeBaseRequest {
    pb::RestoreKnowledgeBaseRequest { payload: Some(payload) }
}

/// Opens the backup, and returns its size; 0 where that is not known.
fn open(path: &Path) -> anyhow::Result<(Box<dyn Read + Send>, u64)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), 0));
    }
    let cannot = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    let size = file.metadata().with_context(cannot)?.len();
    Ok((Box::new(file), size))
}

/// Sends a backup in parts. When the server wants no more, it says why itself.
fn send(
    mut source: Box<dyn Read + Send>,
    requests: &Sender<pb::RestoreKnowledgeBaseRequest>,
    bar: &ProgressBar,
) -> io::Result<()> {
    loop {
        let mut part = Vec::with_capacity(PART_BYTES);
        source.by_ref().take(PART_BYTES as u64).read_to_end(&mut part)?;
        let read = part.len() as u64;
        if read == 0 || requests.blocking_send(message(Payload::Part(part))).is_err() {
            return Ok(());
        }
        bar.inc(read);
    }
}

fn tell(restored: &pb::RestoreKnowledgeBaseResponse, dry_run: bool, session: &mut Session) -> anyhow::Result<()> {
    let base = restored.knowledge_base.clone().unwrap_or_default();
    let output = &mut session.output;
    if output.is_json() {
        return Ok(output.object(&json!({
            "knowledge_base": json::knowledge_base(&base),
            "manifest": restored.manifest.as_ref().map(json::manifest),
            "warnings": restored.warnings,
            "dry_run": dry_run,
        }))?);
    }
    let verb = if dry_run { "would restore" } else { "restored" };
    output.line(format!(
        "{verb} {} at epoch {}: {} documents, {} chunks",
        output.bold(&one_line(&base.name)),
        base.epoch,
        base.document_count,
        base.chunk_count
    ))?;
    Ok(())
}
