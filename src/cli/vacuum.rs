//! `groundwork vacuum`: removes now what no retained epoch sees.

use clap::Args;
use indicatif::HumanBytes;

use super::exit::Exit;
use super::json;
use super::output::note;
use super::progress::Work;
use super::session::Session;
use super::text::count;
use crate::service::pb;
use crate::service::pb::vacuum_knowledge_base_response::Payload;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
}

const AFTER_HELP: &str = "\
The server does this by itself when it is worth it; reads and writes go on meanwhile. How long epochs are kept is set \
with `groundwork kb update KB --retain-epochs N --retain-age 7d`.

Examples:
  groundwork vacuum handbook
  groundwork --json vacuum handbook | jq .freed_bytes";

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    let request = pb::VacuumKnowledgeBaseRequest {
        knowledge_base_id: arguments.knowledge_base,
    };
    let work = Work::begin("vacuuming");
    let mut client = session.connection.knowledge_bases();
    let mut messages = client.vacuum_knowledge_base(request).await?.into_inner();
    let mut summary = pb::VacuumSummary::default();
    while let Some(message) = messages.message().await? {
        match message.payload {
            Some(Payload::Progress(progress)) => work.show(&progress),
            Some(Payload::Summary(last)) => summary = last,
            None => {}
        }
    }
    work.end();
    if session.output.is_json() {
        session.output.object(&json::vacuum(&summary))?;
        return Ok(Exit::Done);
    }
    session.output.line(format!(
        "removed {}, {} and {}; the files are {} smaller",
        count(summary.revision_count, "revision"),
        count(summary.chunk_count, "chunk"),
        count(summary.content_count, "content"),
        HumanBytes(summary.freed_bytes)
    ))?;
    note(format!("epochs from {} on can be read", summary.oldest_epoch));
    Ok(Exit::Done)
}
