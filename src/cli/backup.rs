//! `groundwork backup`: a knowledge base to one file.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{HumanBytes, ProgressBar};

use super::archive_file::NewFile;
use super::exit::{Exit, Usage};
use super::json;
use super::output::{Output, note};
use super::progress::{self, Work};
use super::session::Session;
use crate::service::pb;
use crate::service::pb::backup_knowledge_base_response::Payload;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// File to write; - writes to stdout
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace a file that is there already
    #[arg(long)]
    force: bool,
    /// FILE is a name in the server's backup directory, and the server writes it
    #[arg(long, conflicts_with = "force")]
    on_server: bool,
}

const AFTER_HELP: &str = "\
A backup holds one epoch with the whole retained history, the pins and the kept contents; reads and writes go on while \
it is made. The file appears when it is whole. It is a tar archive with a manifest of hashes, and not compressed: send \
it through zstd if it is to be small.

Examples:
  groundwork backup handbook handbook.tar
  groundwork backup handbook - | zstd > handbook.tar.zst
  groundwork --json backup handbook handbook.tar | jq -r .root_hash
  groundwork --server db:50051 backup handbook handbook.tar --on-server";

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    let is_stdout = arguments.file == Path::new("-") && !arguments.on_server;
    if is_stdout && session.output.is_json() {
        let message = "--json describes the backup, whose bytes then need a file: name one in place of -";
        return Err(Usage(message.to_owned()).into());
    }
    if is_stdout && session.output.is_terminal() {
        return Err(Usage("a terminal cannot take a backup: name a file, or send it on".to_owned()).into());
    }
    let mut request = pb::BackupKnowledgeBaseRequest {
        knowledge_base_id: arguments.knowledge_base,
        file_name: String::new(),
    };
    if arguments.on_server {
        request.file_name = arguments.file.to_string_lossy().into_owned();
    }
    let to_file = !is_stdout && !arguments.on_server;
    let mut file = if to_file {
        Some(NewFile::create(&arguments.file, arguments.force)?)
    } else {
        None
    };
    let manifest = receive(request, file.as_mut(), session).await?;
    if let Some(file) = file {
        file.finish()?;
    }
    tell(&manifest, &arguments.file, &mut session.output, is_stdout)?;
    Ok(Exit::Done)
}

/// Writes the parts to the file, or to stdout where there is none; returns what the archive says about itself.
async fn receive(
    request: pb::BackupKnowledgeBaseRequest,
    mut file: Option<&mut NewFile>,
    session: &mut Session,
) -> anyhow::Result<pb::ArchiveManifest> {
    let work = Work::begin("taking a backup");
    let mut client = session.connection.knowledge_bases();
    let mut messages = client.backup_knowledge_base(request).await?.into_inner();
    let mut manifest = None;
    let mut bar: Option<ProgressBar> = None;
    while let Some(message) = messages.message().await? {
        match message.payload {
            Some(Payload::Progress(progress)) => work.show(&progress),
            Some(Payload::Manifest(came)) => {
                let size = came.files.iter().map(|file| file.byte_size).sum();
                bar = Some(progress::bytes("backup", size));
                manifest = Some(came);
            }
            Some(Payload::Part(part)) => {
                match &mut file {
                    Some(file) => file.write_all(&part).context("cannot write the backup")?,
                    None => session.output.bytes(&part)?,
                }
                if let Some(bar) = &bar {
                    bar.inc(part.len() as u64);
                }
            }
            None => {}
        }
    }
    work.end();
    session.output.flush()?;
    match manifest {
        Some(manifest) => Ok(manifest),
        None => bail!("the connection to the server was lost: the backup has no manifest"),
    }
}

/// Says what was written. Beside an archive on stdout it is a note.
fn tell(manifest: &pb::ArchiveManifest, file: &Path, output: &mut Output, is_stdout: bool) -> anyhow::Result<()> {
    if output.is_json() {
        return Ok(output.object(&json::manifest(manifest))?);
    }
    let base = manifest.knowledge_base.clone().unwrap_or_default();
    let bytes: u64 = manifest.files.iter().map(|file| file.byte_size).sum();
    let told = format!(
        "{}: {} at epoch {}, {} documents, {}",
        file.display(),
        base.name,
        base.epoch,
        base.document_count,
        HumanBytes(bytes)
    );
    let hash = format!("root hash {}", manifest.root_hash);
    if is_stdout {
        note(told);
        note(hash);
    } else {
        output.line(told)?;
        output.line(output.dim(&hash))?;
    }
    Ok(())
}
