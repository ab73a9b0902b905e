//! `groundwork bundle`: one epoch of a knowledge base, sealed into a file that is served as it is.

use std::path::{Path, PathBuf};

use clap::Args;

use super::archive_file::{NewFile, Piece, check_stdout, receive, tell};
use super::exit::Exit;
use super::moment::parse_epoch;
use super::progress::Work;
use super::session::Session;
use crate::service::pb;
use crate::service::pb::bundle_knowledge_base_response::Payload;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// File to write; - writes to stdout
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Seal this earlier epoch, which must be retained [default: the published one]
    #[arg(long, value_name = "EPOCH", value_parser = parse_epoch)]
    as_of_epoch: Option<u64>,
    /// Replace a file that is there already
    #[arg(long)]
    force: bool,
}

const AFTER_HELP: &str = "\
A bundle holds one epoch with both indexes, and never changes: `groundwork serve --bundle FILE` serves it from the file \
itself. The same documents with the same vectors give the same file, byte for byte. It has one epoch, which is 1, and \
keeps no history and no times.

Examples:
  groundwork bundle handbook handbook.bundle
  groundwork bundle handbook handbook.bundle --as-of-epoch 12
  groundwork --json bundle handbook handbook.bundle | jq -r .root_hash";

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    let is_stdout = arguments.file == Path::new("-");
    check_stdout(is_stdout, &session.output)?;
    let request = pb::BundleKnowledgeBaseRequest {
        knowledge_base_id: arguments.knowledge_base,
        as_of_epoch: arguments.as_of_epoch.unwrap_or_default(),
    };
    let target = if is_stdout {
        None
    } else {
        Some(NewFile::create(&arguments.file, arguments.force)?)
    };
    let work = Work::begin("sealing a bundle");
    let mut client = session.connection.knowledge_bases();
    let messages = client.bundle_knowledge_base(request).await?.into_inner();
    let manifest = receive(messages, target, work, &mut session.output).await?;
    tell(&manifest, &arguments.file, is_stdout, &mut session.output)?;
    Ok(Exit::Done)
}

impl From<pb::BundleKnowledgeBaseResponse> for Piece {
    fn from(message: pb::BundleKnowledgeBaseResponse) -> Self {
        match message.payload {
            Some(Payload::Progress(progress)) => Self::Progress(progress),
            Some(Payload::Manifest(manifest)) => Self::Manifest(Box::new(manifest)),
            Some(Payload::Part(part)) => Self::Part(part),
            None => Self::Unknown,
        }
    }
}
