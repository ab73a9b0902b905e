//! `groundwork limits`: what requests may ask for, and what they get when they say nothing.

use clap::Args;
use serde_json::Value;

use super::exit::Exit;
use super::json;
use super::output::Output;
use super::session::Session;
use crate::service::pb;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Id or name of a knowledge base whose configuration is wanted too
    #[arg(value_name = "KB")]
    knowledge_base: Option<String>,
}

const AFTER_HELP: &str = "\
Examples:
  groundwork limits
  groundwork --json limits handbook | jq .knowledge_base.chunking_configuration
  groundwork --json limits | jq .retrieval.max_filter_conditions";

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    let request = pb::GetLimitsRequest {
        knowledge_base_id: arguments.knowledge_base.unwrap_or_default(),
    };
    let mut client = session.connection.knowledge_bases();
    let response = client.get_limits(request).await?.into_inner();
    write(&response, &mut session.output)?;
    Ok(Exit::Done)
}

/// Writes each group with its limits, and then the knowledge base as `groundwork kb get` does.
pub(super) fn write(response: &pb::GetLimitsResponse, output: &mut Output) -> std::io::Result<()> {
    let limits = json::limits(response);
    if output.is_json() {
        return output.object(&limits);
    }
    let model = format!(
        "{}  {}",
        output.dim("default_embedding_model_id"),
        response.default_embedding_model_id
    );
    for (group, title) in [
        ("retrieval", "Searches"),
        ("documents", "Documents"),
        ("knowledge_bases", "Knowledge bases"),
        ("generation", "Answers and conversations"),
        ("embedding", "Embedding"),
    ] {
        let Some(of_group) = limits.get(group).and_then(Value::as_object) else {
            continue;
        };
        output.line(output.bold(title))?;
        let width = of_group.keys().map(String::len).max().unwrap_or_default();
        for (name, value) in of_group {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            output.line(format!("{}  {value}", output.dim(&format!("{name:<width$}"))))?;
        }
        if group == "knowledge_bases" {
            output.line(&model)?;
        }
        output.line("")?;
    }
    let Some(knowledge_base) = &response.knowledge_base else {
        return Ok(());
    };
    output.line(output.bold(&format!("The knowledge base {}", knowledge_base.name)))?;
    super::knowledge_bases::show(knowledge_base, output)
}
