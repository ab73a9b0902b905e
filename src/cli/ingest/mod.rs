//! `groundwork ingest`: files and directories to documents.
//!
//! Comes in: paths. Goes out: a stream of documents, their outcomes as they come, failures and totals at the end.
//! Always holds: one bad file never costs the others; a document that was acknowledged stays, however the command ends;
//! the user's wish to end stops reading and sending at once, and nothing more is waited for.
//! Not here: what a document's text is; files travel as they are.

mod send;
mod tally;
#[cfg(test)]
mod tests;
mod walk;
mod window;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::send::{Said, Sending};
use self::tally::Tally;
use self::walk::{File, Found};
use self::window::Window;
use super::attribute::{self, Attribute};
use super::exit::{self, Exit, Usage};
use super::json;
use super::output::note;
use super::session::Session;
use super::text::count;
use crate::service::pb;
use crate::service::pb::ingest_documents_response::Payload;

/// Messages that wait to be sent: enough to keep the server busy, few enough to stop soon.
const QUEUED_MESSAGES: usize = 4;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    pub(super) knowledge_base: String,
    /// Files and directories
    #[arg(value_name = "PATH", required = true)]
    pub(super) paths: Vec<PathBuf>,
    /// Attribute of every document, key=text, key:=json or key@=date; may be repeated
    #[arg(long = "metadata", short = 'm', value_name = "KEY=VALUE", value_parser = attribute::parse)]
    pub(super) metadata: Vec<Attribute>,
    /// Put before every document id
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(super) prefix: String,
    #[command(flatten)]
    pub(super) access: AccessFlags,
}

/// Who may find the documents.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct AccessFlags {
    /// Only this user may find them; may be repeated
    #[arg(long = "allow-user", value_name = "USER")]
    allow_users: Vec<String>,
    /// Only members of this group may find them; may be repeated
    #[arg(long = "allow-group", value_name = "GROUP")]
    allow_groups: Vec<String>,
    /// This user may not find them, whatever is allowed; may be repeated
    #[arg(long = "deny-user", value_name = "USER")]
    deny_users: Vec<String>,
    /// Members of this group may not find them, whatever is allowed; may be repeated
    #[arg(long = "deny-group", value_name = "GROUP")]
    deny_groups: Vec<String>,
}

impl From<AccessFlags> for pb::AccessList {
    fn from(flags: AccessFlags) -> Self {
        Self {
            allow_users: flags.allow_users,
            allow_groups: flags.allow_groups,
            deny_users: flags.deny_users,
            deny_groups: flags.deny_groups,
        }
    }
}

const AFTER_HELP: &str = "\
A document's id is its path below the directory that is given, with `/`. Directories are read with everything below \
them, but without hidden files, and only files that end in .txt, .md, .markdown, .html, .htm or .pdf; a file that is \
named itself is always taken. Unchanged documents are skipped, so the same command goes on where it was interrupted.

Attributes: key=text, key:=json for a number, a truth value or a list of texts or numbers, key@=2024-05-01 for a date.

Examples:
  groundwork ingest handbook docs/
  groundwork ingest handbook docs/ --metadata team=search --metadata year:=2024
  groundwork ingest handbook salaries/ --allow-group payroll --deny-user trainee
  groundwork ingest handbook notes.txt report.pdf --prefix inbox/
  groundwork --json ingest handbook docs/ | jq -c 'select(.outcome.status == \"DOCUMENT_STATUS_FAILED\")'

With --json each document is a line {\"outcome\": ...}, and the last line is {\"summary\": ...}.";

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    let (paths, prefix) = (arguments.paths.clone(), arguments.prefix);
    let walking = tokio::task::spawn_blocking(move || walk::walk(&paths, &prefix));
    let found = tokio::select! {
        found = walking => found?,
        () = session.interrupt.wished() => return Ok(Exit::Interrupted),
    };
    let found = found.map_err(|same_id| Usage(same_id.to_string()))?;
    if found.files.is_empty() && found.unreadable.is_empty() {
        let paths: Vec<String> = arguments.paths.iter().map(|path| path.display().to_string()).collect();
        let known = walk::EXTENSIONS.join(", .");
        let message = format!(
            "no documents in {}: of a directory, files that end in .{known} are taken",
            paths.join(", ")
        );
        return Err(Usage(message).into());
    }
    // Documents go on into the knowledge base also when nobody reads what became of them.
    session.output.outlive_reader(true);
    let said = Said {
        metadata: arguments.metadata.into_iter().map(|it| (it.key, it.value)).collect(),
        access: arguments.access.into(),
    };
    let exit = ingest(&arguments.knowledge_base, found, said, session).await;
    session.output.outlive_reader(false);
    exit
}

/// How the stream ended.
enum End {
    Summary(pb::IngestSummary),
    Interrupted,
}

async fn ingest(knowledge_base: &str, found: Found, said: Said, session: &mut Session) -> anyhow::Result<Exit> {
    let mut tally = Tally::new(&found);
    for unreadable in &found.unreadable {
        write_unread(&unreadable.id, &unreadable.reason, session)?;
    }
    let files: Arc<[File]> = found.files.into();
    let (requests, stream) = mpsc::channel(QUEUED_MESSAGES);
    let (unread, unread_files) = mpsc::channel(QUEUED_MESSAGES);
    let window = Arc::new(Window::default());
    let sending = Sending {
        knowledge_base: knowledge_base.to_owned(),
        files: Arc::clone(&files),
        said,
        max_document_bytes: session.max_document_bytes,
        requests,
        unread,
        window: Arc::clone(&window),
    };
    let sender = tokio::task::spawn_blocking(move || sending.run());
    let ended = receive(stream, unread_files, &files, &window, &mut tally, session).await;
    // Whichever way it ended: with this and the queues closed the thread ends. After an interruption the queue is closed
    // with the connection, because a request waits for a server that is busy.
    window.close();
    if !matches!(ended, Ok(End::Interrupted)) {
        sender.await?;
    }
    tally.end_bar();
    let end = match ended {
        Ok(end) => end,
        Err(error) => {
            let goes_on = exit::may_go_on(&error);
            if goes_on || tally.present() > 0 {
                tally.tell(&mut session.output, None)?;
            }
            if goes_on {
                note("what was acknowledged is in; the same command goes on from there");
            }
            return Err(error);
        }
    };
    finish(&end, &tally, session)
}

async fn receive(
    requests: mpsc::Receiver<pb::IngestDocumentsRequest>,
    mut unread: mpsc::Receiver<(usize, String)>,
    files: &[File],
    window: &Window,
    tally: &mut Tally,
    session: &mut Session,
) -> anyhow::Result<End> {
    let mut client = session.connection.documents();
    let interrupt = session.interrupt.clone();
    let mut responses = tokio::select! {
        opened = client.ingest_documents(ReceiverStream::new(requests)) => opened?.into_inner(),
        () = interrupt.wished() => return Ok(End::Interrupted),
    };
    let mut summary = None;
    loop {
        tokio::select! {
            message = responses.message() => match message?.and_then(|message| message.payload) {
                Some(Payload::Outcome(outcome)) => {
                    window.leave(&outcome.document_id);
                    tally.outcome(&outcome);
                    if session.output.is_json() {
                        session.output.object(&json!({ "outcome": json::outcome(&outcome) }))?;
                    }
                }
                Some(Payload::Summary(totals)) => summary = Some(totals),
                None => break,
            },
            Some((position, reason)) = unread.recv() => {
                if let Some(file) = files.get(position) {
                    write_unread(&file.id, &reason, session)?;
                    tally.unread(&file.id, reason);
                }
            }
            () = interrupt.wished(), if summary.is_none() => return Ok(End::Interrupted),
        }
    }
    // The server is done, but the last failures of this side may still wait.
    unread.close();
    while let Some((position, reason)) = unread.recv().await {
        if let Some(file) = files.get(position) {
            write_unread(&file.id, &reason, session)?;
            tally.unread(&file.id, reason);
        }
    }
    summary
        .map(End::Summary)
        .ok_or_else(|| anyhow::anyhow!("the connection to the server was lost: the stream ended without a summary"))
}

fn write_unread(id: &str, reason: &str, session: &mut Session) -> std::io::Result<()> {
    if !session.output.is_json() {
        return Ok(());
    }
    session.output.object(&json!({ "outcome": {
        "document_id": id,
        "status": pb::DocumentStatus::Failed.as_str_name(),
        "status_reason": reason,
        "epoch": 0,
        "chunk_count": 0,
        "sequence": null,
    }}))
}

fn finish(end: &End, tally: &Tally, session: &mut Session) -> anyhow::Result<Exit> {
    let output = &mut session.output;
    let summary = match end {
        End::Summary(summary) => summary,
        End::Interrupted => {
            tally.tell(output, None)?;
            note(format!(
                "interrupted: {} acknowledged and in; send the rest again with the same command, which skips what is \
                 unchanged",
                count(tally.present(), "document")
            ));
            return Ok(Exit::Interrupted);
        }
    };
    tally.tell(output, Some(summary.epoch))?;
    if output.is_json() {
        // Of files that could not be read only this side knows.
        let unread = tally.failed().saturating_sub(summary.number_of_documents_failed);
        output.object(&json!({ "summary": {
            "number_of_documents_scanned": summary.number_of_documents_scanned + unread,
            "number_of_new_documents_indexed": summary.number_of_new_documents_indexed,
            "number_of_modified_documents_indexed": summary.number_of_modified_documents_indexed,
            "number_of_documents_failed": summary.number_of_documents_failed + unread,
            "number_of_documents_skipped": summary.number_of_documents_skipped,
            "epoch": summary.epoch,
        }}))?;
    }
    Ok(match (tally.failed(), tally.present()) {
        (0, _) => Exit::Done,
        (_, 0) => Exit::Failed,
        _ => Exit::Partial,
    })
}
