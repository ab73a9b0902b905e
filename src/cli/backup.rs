//! `groundwork backup`: a knowledge base to one file.

use std::path::{Path, PathBuf};

use clap::Args;

use super::archive_file::{NewFile, Piece, check_stdout, receive, tell};
use super::exit::Exit;
use super::progress::Work;
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
    check_stdout(is_stdout, &session.output)?;
    let mut request = pb::BackupKnowledgeBaseRequest {
        knowledge_base_id: arguments.knowledge_base,
        file_name: String::new(),
    };
    if arguments.on_server {
        request.file_name = arguments.file.to_string_lossy().into_owned();
    }
    let target = match is_stdout || arguments.on_server {
        true => None,
        false => Some(NewFile::create(&arguments.file, arguments.force)?),
    };
    let work = Work::begin("taking a backup");
    let mut client = session.connection.knowledge_bases();
    let messages = client.backup_knowledge_base(request).await?.into_inner();
    let manifest = receive(messages, target, work, &mut session.output).await?;
    tell(&manifest, &arguments.file, is_stdout, &mut session.output)?;
    Ok(Exit::Done)
}

impl From<pb::BackupKnowledgeBaseResponse> for Piece {
    fn from(message: pb::BackupKnowledgeBaseResponse) -> Self {
        match message.payload {
            Some(Payload::Progress(progress)) => Self::Progress(progress),
            Some(Payload::Manifest(manifest)) => Self::Manifest(manifest),
            Some(Payload::Part(part)) => Self::Part(part),
            None => Self::Unknown,
        }
    }
}
