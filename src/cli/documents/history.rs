//! `groundwork documents revisions` and `content`: what a document was, and its bytes as they came.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::HumanBytes;
use sha2::{Digest as _, Sha256};
use tonic::Streaming;

use crate::cli::archive_file;
use crate::cli::exit::{Exit, Usage};
use crate::cli::json;
use crate::cli::moment::ReadFlags;
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::cli::text::{Side, Table, harmless, one_line};
use crate::document::hex;
use crate::service::pb;

/// Digits of a hash that a table shows.
const SHORT_HASH: usize = 12;

#[derive(Debug, Args)]
pub(in crate::cli) struct Revisions {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// Id of the document
    #[arg(value_name = "DOCUMENT")]
    document: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Content {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// Id of the document
    #[arg(value_name = "DOCUMENT", required_unless_present = "hash", conflicts_with = "hash")]
    document: Option<String>,
    /// SHA-256 of the content, as hits name it, in place of a document
    #[arg(long, value_name = "SHA-256", conflicts_with_all = ["as_of_epoch", "as_of_time", "min_epoch"])]
    hash: Option<String>,
    #[command(flatten)]
    read: ReadFlags,
    /// Write to this file [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) const REVISIONS_HELP: &str = "\
Examples:
  groundwork documents revisions handbook concepts/epochs.md
  groundwork --json documents revisions handbook concepts/epochs.md | jq -r .content_hash";

pub(super) const CONTENT_HELP: &str = "\
The bytes come as they were ingested, and are checked against their SHA-256. Knowledge bases that were created with \
`--original-content discard` keep none.

Examples:
  groundwork documents content handbook concepts/scoring-by-hand.pdf --output scoring.pdf
  groundwork documents content handbook concepts/epochs.md --as-of-epoch 12
  groundwork documents content handbook --hash SHA-256 > original";

pub(super) async fn revisions(arguments: Revisions, session: &mut Session) -> anyhow::Result<Exit> {
    let mut client = session.connection.documents();
    let mut page_token = String::new();
    loop {
        let request = pb::ListRevisionsRequest {
            knowledge_base_id: arguments.knowledge_base.clone(),
            document_id: arguments.document.clone(),
            page_size: super::PAGE_SIZE,
            page_token,
        };
        let page = client.list_revisions(request).await?.into_inner();
        write_page(&page.revisions, &mut session.output)?;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(Exit::Done);
        }
    }
}

/// Writes a page of revisions.
pub(in crate::cli) fn write_page(revisions: &[pb::Revision], output: &mut Output) -> std::io::Result<()> {
    if output.is_json() {
        let mut revisions = revisions.iter();
        return revisions.try_for_each(|revision| output.object(&json::revision(revision)));
    }
    if revisions.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        ("REVISION", Side::Right),
        ("SEEN BY EPOCHS", Side::Left),
        ("INDEXED", Side::Left),
        ("SIZE", Side::Right),
        ("CHUNKS", Side::Right),
        ("CONTENT", Side::Left),
        ("SHA-256", Side::Left),
    ]);
    for revision in revisions {
        table.row([
            revision.revision_id.to_string(),
            seen_by(revision),
            revision.created_at.map_or_else(String::new, |time| time.to_string()),
            HumanBytes(revision.byte_size).to_string(),
            revision.chunk_count.to_string(),
            if revision.has_content { "kept" } else { "not kept" }.to_owned(),
            revision.content_hash.chars().take(SHORT_HASH).collect(),
        ]);
    }
    table.write(output)
}

fn seen_by(revision: &pb::Revision) -> String {
    match revision.retired_epoch {
        0 => format!("{} on", revision.added_epoch),
        retired if retired == revision.added_epoch + 1 => revision.added_epoch.to_string(),
        retired => format!("{} to {}", revision.added_epoch, retired.saturating_sub(1)),
    }
}

pub(super) async fn content(arguments: Content, session: &mut Session) -> anyhow::Result<Exit> {
    let output = &mut session.output;
    if output.is_json() && arguments.output.is_none() {
        let message = "--json describes the content, whose bytes then need a file: say --output FILE";
        return Err(Usage(message.to_owned()).into());
    }
    let request = pb::GetDocumentContentRequest {
        knowledge_base_id: arguments.knowledge_base,
        document_id: arguments.document.unwrap_or_default(),
        content_hash: arguments.hash.unwrap_or_default(),
        min_epoch: arguments.read.min_epoch(),
        as_of_epoch: arguments.read.as_of_epoch(),
        as_of_time: arguments.read.as_of_time(),
    };
    let mut client = session.connection.documents();
    let mut parts = client.get_document_content(request).await?.into_inner();
    let first = parts
        .message()
        .await?
        .context("the connection to the server was lost: the content has no beginning")?;
    let revision = first.revision.unwrap_or_default();
    match &arguments.output {
        Some(path) => save(&revision, &first.part, &mut parts, path).await?,
        None => print(&revision, &first.part, &mut parts, output).await?,
    }
    if output.is_json() {
        output.object(&json::revision(&revision))?;
    }
    Ok(Exit::Done)
}

/// Writes the bytes into a file, which appears when all of them are there and right.
async fn save(
    revision: &pb::Revision,
    first: &[u8],
    parts: &mut Streaming<pb::GetDocumentContentResponse>,
    path: &Path,
) -> anyhow::Result<()> {
    let path = &archive_file::replaceable(path)?;
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let cannot = || format!("cannot write {}", path.display());
    // Such as any new file of this user.
    let mode = std::fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new()
        .permissions(mode)
        .tempfile_in(directory)
        .with_context(cannot)?;
    receive(revision, first, parts, &mut |part| {
        file.write_all(part).with_context(cannot)
    })
    .await?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}

/// Writes the bytes to stdout; a terminal is given texts only, without what would steer it.
async fn print(
    revision: &pb::Revision,
    first: &[u8],
    parts: &mut Streaming<pb::GetDocumentContentResponse>,
    output: &mut Output,
) -> anyhow::Result<()> {
    if !output.is_terminal() {
        receive(revision, first, parts, &mut |part| Ok(output.bytes(part)?)).await?;
        return Ok(output.flush()?);
    }
    if !revision.mime_type.starts_with("text/") {
        let message = format!(
            "this is {}, which a terminal cannot show: say --output FILE",
            one_line(&revision.mime_type)
        );
        return Err(Usage(message).into());
    }
    let mut bytes = Vec::new();
    receive(revision, first, parts, &mut |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })
    .await?;
    Ok(output.piece(&harmless(&String::from_utf8_lossy(&bytes)))?)
}

/// Gives all parts to `take`, then checks that they are what the revision says.
async fn receive(
    revision: &pb::Revision,
    first: &[u8],
    parts: &mut Streaming<pb::GetDocumentContentResponse>,
    take: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut hash = Sha256::new();
    hash.update(first);
    take(first)?;
    while let Some(message) = parts.message().await? {
        hash.update(&message.part);
        take(&message.part)?;
    }
    let found = hex(&hash.finalize());
    if found != revision.content_hash {
        let expected = one_line(&revision.content_hash);
        bail!("what came is not what was kept: its SHA-256 is {found}, should be {expected}");
    }
    Ok(())
}
