//! `groundwork documents erase` and `verify-erasure`: removes every trace, and looks whether one is left.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Context as _;
use clap::Args;
use indicatif::{HumanBytes, HumanCount};

use super::selection::SelectionFlags;
use crate::cli::exit::{Exit, Usage};
use crate::cli::json;
use crate::cli::output::{Output, note};
use crate::cli::progress::Work;
use crate::cli::session::Session;
use crate::cli::text::{Side, Table, count, one_line};
use crate::service::pb;
use crate::service::pb::{erase_documents_response, verify_erasure_response};

/// What is typed to go on.
const GO_ON: &str = "erase";

#[derive(Debug, Args)]
pub(in crate::cli) struct Erase {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    #[command(flatten)]
    selection: SelectionFlags,
    /// Only say what would be erased
    #[arg(long)]
    dry_run: bool,
    /// Erase also what pinned epochs see; they then no longer see it
    #[arg(long)]
    include_pinned_epochs: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// Id of the document
    #[arg(value_name = "DOCUMENT", required_unless_present = "hash")]
    document: Option<String>,
    /// SHA-256 of the content
    #[arg(long, value_name = "SHA-256")]
    hash: Option<String>,
    /// Phrase of the content, of 8 bytes or more, to look for in all files; may be repeated
    #[arg(long = "phrase", value_name = "TEXT")]
    phrases: Vec<String>,
}

pub(super) const ERASE_HELP: &str = "\
All revisions go, from the store, both indexes and the kept contents, down to the bytes of the files, and no epoch \
sees them any more. This cannot be undone, and `groundwork documents verify-erasure` proves it.

Examples:
  groundwork documents erase handbook people/jane.md --dry-run
  groundwork documents erase handbook people/jane.md --yes
  groundwork documents erase handbook --filter customer=4711 --include-pinned-epochs";

pub(super) const VERIFY_HELP: &str = "\
Ends with code 0 when nothing is left, with 1 when something is.

Examples:
  groundwork documents verify-erasure handbook people/jane.md
  groundwork documents verify-erasure handbook people/jane.md --phrase \"Jane Doe\"
  groundwork --json documents verify-erasure handbook --hash SHA-256 > certificate.json";

pub(super) async fn erase(arguments: Erase, session: &mut Session) -> anyhow::Result<Exit> {
    let (document_ids, filter, source_name) = arguments.selection.parts();
    let asked = document_ids.len();
    let mut request = pb::EraseDocumentsRequest {
        knowledge_base_id: arguments.knowledge_base,
        document_ids,
        filter,
        source_name,
        dry_run: arguments.dry_run,
        include_pinned_epochs: arguments.include_pinned_epochs,
    };
    if !arguments.dry_run && !arguments.yes {
        if !std::io::stdin().is_terminal() {
            let message = "erasing cannot be undone: say --yes to do it unasked, or --dry-run to see what it would do";
            return Err(Usage(message.to_owned()).into());
        }
        request.dry_run = true;
        let would_be = call(request.clone(), session).await?;
        request.dry_run = false;
        if would_be.document_count > 0 && !confirmed(&would_be).await? {
            note("nothing was erased");
            return Ok(Exit::Failed);
        }
    }
    let summary = call(request, session).await?;
    write(&summary, arguments.dry_run, &mut session.output)?;
    let missing = summary.not_found_document_ids.len();
    Ok(match missing {
        0 => Exit::Done,
        _ if missing == asked => Exit::NotFound,
        _ => Exit::Partial,
    })
}

async fn call(request: pb::EraseDocumentsRequest, session: &Session) -> anyhow::Result<pb::ErasureSummary> {
    use erase_documents_response::Payload;
    let work = Work::begin("erasing");
    let mut client = session.connection.documents();
    let mut messages = client.erase_documents(request).await?.into_inner();
    let mut summary = None;
    while let Some(message) = messages.message().await? {
        match message.payload {
            Some(Payload::Progress(progress)) => work.show(&progress),
            Some(Payload::Summary(last)) => summary = Some(last),
            None => {}
        }
    }
    work.end();
    summary.context("the connection to the server was lost: the stream ended without a summary")
}

async fn confirmed(would_be: &pb::ErasureSummary) -> anyhow::Result<bool> {
    note(format!(
        "erasing {} with all revisions cannot be undone. Type `{GO_ON}` to go on:",
        count(would_be.document_count, "document")
    ));
    // On a thread of its own, so that Ctrl-C is heard while nobody types.
    let typed = tokio::task::spawn_blocking(|| {
        let mut typed = String::new();
        std::io::stdin().lock().read_line(&mut typed).map(|_| typed)
    });
    Ok(typed.await??.trim() == GO_ON)
}

/// Writes what was removed from each place, or would be.
pub(in crate::cli) fn write(summary: &pb::ErasureSummary, dry_run: bool, output: &mut Output) -> std::io::Result<()> {
    if output.is_json() {
        return output.object(&json::erasure(summary, dry_run));
    }
    for id in &summary.not_found_document_ids {
        output.line(format!("{}: not found", one_line(id)))?;
    }
    let documents = count(summary.document_count, "document");
    let line = if dry_run {
        format!("{documents} would be erased")
    } else {
        format!("{documents} erased, epoch {}", summary.epoch)
    };
    output.line(line)?;
    if summary.places.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[("PLACE", Side::Left), ("ENTRIES", Side::Right)]);
    for place in &summary.places {
        table.row([place.place.clone(), place.count.to_string()]);
    }
    table.write(output)
}

pub(super) async fn verify(arguments: Verify, session: &mut Session) -> anyhow::Result<Exit> {
    use verify_erasure_response::Payload;
    let request = pb::VerifyErasureRequest {
        knowledge_base_id: arguments.knowledge_base,
        document_id: arguments.document.unwrap_or_default(),
        content_hash: arguments.hash.unwrap_or_default(),
        phrases: arguments.phrases,
    };
    let work = Work::begin("searching");
    let mut client = session.connection.documents();
    let mut messages = client.verify_erasure(request).await?.into_inner();
    let mut certificate = None;
    while let Some(message) = messages.message().await? {
        match message.payload {
            Some(Payload::Progress(progress)) => work.show(&progress),
            Some(Payload::Certificate(last)) => certificate = Some(last),
            None => {}
        }
    }
    work.end();
    let certificate =
        certificate.context("the connection to the server was lost: the stream ended without a certificate")?;
    write_certificate(&certificate, &mut session.output)?;
    Ok(if certificate.erased { Exit::Done } else { Exit::Failed })
}

/// Writes what was searched and what is left.
pub(in crate::cli) fn write_certificate(
    certificate: &pb::ErasureCertificate,
    output: &mut Output,
) -> std::io::Result<()> {
    if output.is_json() {
        return output.object(&json::certificate(certificate));
    }
    for left in &certificate.remainders {
        output.line(remainder(left))?;
    }
    let issued = certificate.issued_at.map_or_else(String::new, |time| time.to_string());
    let verdict = if certificate.erased {
        "erased: nothing is left"
    } else {
        "not erased: something is left"
    };
    output.line(format!(
        "{}, at epoch {}, {issued}",
        output.bold(verdict),
        certificate.epoch
    ))?;
    let mut table = Table::new(&[
        ("SEARCHED", Side::Left),
        ("ENTRIES", Side::Right),
        ("BYTES", Side::Right),
    ]);
    for place in &certificate.searched {
        table.row([
            place.place.clone(),
            HumanCount(place.entry_count).to_string(),
            HumanBytes(place.byte_count).to_string(),
        ]);
    }
    table.write(output)?;
    note(match certificate.fingerprint_count {
        0 => "no record of an erasure: files were searched for phrases only".to_owned(),
        number => format!("{} of the erased text looked for", count(number, "fingerprint")),
    });
    Ok(())
}

fn remainder(left: &pb::ErasureRemainder) -> String {
    let place = match left.path.as_str() {
        "" => format!("{} entry {}", one_line(&left.place), left.offset),
        path => format!("{} at byte {}", one_line(path), left.offset),
    };
    let explained = match left.also_in_document_id.as_str() {
        "" => String::new(),
        id => format!(" (also in {})", one_line(id)),
    };
    format!("{place}: {}{explained}", one_line(&left.description))
}
