//! `groundwork check`: verifies a knowledge base against itself.

use clap::Args;
use serde_json::json;

use super::exit::Exit;
use super::json;
use super::output::{Output, note};
use super::progress::Work;
use super::session::Session;
use super::text::{count, one_line};
use crate::service::pb;
use crate::service::pb::check_knowledge_base_response::Payload;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// Make anew what is damaged and can be made from the store
    #[arg(long)]
    repair: bool,
}

const AFTER_HELP: &str = "\
Every record, index entry and kept content is compared with the others; reads and writes go on meanwhile. The command \
ends with code 0 when nothing is wrong or all of it was repaired, else with 1.

Examples:
  groundwork check handbook
  groundwork check handbook --repair
  groundwork --json check handbook | jq -c 'select(.finding).finding'

With --json each finding is a line {\"finding\": ...}, and the last line is {\"summary\": ...}.";

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    let request = pb::CheckKnowledgeBaseRequest {
        knowledge_base_id: arguments.knowledge_base,
        repair: arguments.repair,
    };
    let work = Work::begin("checking");
    let mut client = session.connection.knowledge_bases();
    let mut messages = client.check_knowledge_base(request).await?.into_inner();
    let output = &mut session.output;
    let mut summary = pb::CheckSummary::default();
    while let Some(message) = messages.message().await? {
        match message.payload {
            Some(Payload::Progress(progress)) => work.show(&progress),
            Some(Payload::Finding(finding)) => {
                super::progress::above(|| write_finding(&finding, output))?;
            }
            Some(Payload::Summary(last)) => summary = last,
            None => {}
        }
    }
    work.end();
    finish(&summary, arguments.repair, output)
}

/// Writes something wrong, where it is, and what to do about it.
pub(super) fn write_finding(finding: &pb::CheckFinding, output: &mut Output) -> std::io::Result<()> {
    if output.is_json() {
        return output.object(&json!({ "finding": json::check_finding(finding) }));
    }
    let place = match finding.path.as_str() {
        "" => one_line(&finding.place),
        path => format!("{} ({})", one_line(&finding.place), one_line(path)),
    };
    output.line(format!("{}: {}", output.bold(&place), one_line(&finding.description)))?;
    let remedy = if finding.repaired {
        "repaired".to_owned()
    } else {
        one_line(&finding.remedy)
    };
    output.line(output.dim(&format!("    {remedy}")))
}

/// Writes what was looked at; returns how the command ends.
pub(super) fn finish(summary: &pb::CheckSummary, repair: bool, output: &mut Output) -> anyhow::Result<Exit> {
    let left = summary.finding_count.saturating_sub(summary.repaired_count);
    if output.is_json() {
        output.object(&json!({ "summary": json::check_summary(summary) }))?;
    } else {
        let found = match (summary.finding_count, summary.repaired_count) {
            (0, _) => "nothing is wrong".to_owned(),
            (found, 0) => count(found, "finding"),
            (found, repaired) => format!("{}, {repaired} of them repaired", count(found, "finding")),
        };
        output.line(format!(
            "{found}: {}, {}, {} and {} checked at epoch {}",
            count(summary.document_count, "document"),
            count(summary.revision_count, "revision"),
            count(summary.chunk_count, "chunk"),
            count(summary.content_count, "content"),
            summary.epoch
        ))?;
    }
    if left > 0 && !repair {
        note("--repair makes anew what can be made from the store");
    }
    Ok(if left == 0 { Exit::Done } else { Exit::Failed })
}
