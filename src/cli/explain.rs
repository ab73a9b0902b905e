//! `groundwork explain`: why a document is not among the hits of a query, and what would bring it in.

use clap::Args;

use super::derived;
use super::exit::Exit;
use super::json;
use super::output::{Output, note};
use super::retrieval::RetrievalFlags;
use super::scoring::reranked;
use super::session::Session;
use crate::service::pb;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// The words to look for
    query: String,
    /// Id of the document that is missed
    document: String,
    /// Explain this chunk of the document [default: the one that came farthest]
    #[arg(long, value_name = "CHUNK")]
    chunk: Option<String>,
    #[command(flatten)]
    retrieval: RetrievalFlags,
}

const AFTER_HELP: &str = "\
The other flags are those of `groundwork search`: give the ones under which the document is missed.

Examples:
  groundwork explain handbook \"what is an epoch\" concepts/epochs.md
  groundwork explain handbook \"how to delete\" tasks/delete.md --filter team=search --limit 3
  groundwork --json explain handbook epochs concepts/epochs.md | jq -r '.suggestions[].text'";

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    let read = arguments.retrieval.read;
    let user_context = arguments.retrieval.caller.clone().user_context();
    let request = pb::ExplainMissingRequest {
        knowledge_base_id: arguments.knowledge_base,
        retrieval_query: Some(pb::RetrievalQuery { text: arguments.query }),
        retrieval_configuration: Some(arguments.retrieval.configuration()),
        document_id: arguments.document,
        chunk_id: arguments.chunk.unwrap_or_default(),
        user_context,
        min_epoch: read.min_epoch(),
        as_of_epoch: read.as_of_epoch(),
        as_of_time: read.as_of_time(),
    };
    let mut client = session.connection.retrieval();
    let response = client.explain_missing(request).await?.into_inner();
    let output = &mut session.output;
    if output.is_json() {
        output.object(&json::missing(&response))?;
        return Ok(Exit::Done);
    }
    write(&response, output)?;
    response.implicit_filter.iter().flat_map(derived::lines).for_each(note);
    note(format!("epoch {}", response.epoch));
    Ok(Exit::Done)
}

/// Writes the reason, the ranks and what would help.
pub(super) fn write(response: &pb::ExplainMissingResponse, output: &mut Output) -> std::io::Result<()> {
    let name = response.stage().as_str_name();
    let stage = name.strip_prefix("MISSING_STAGE_").unwrap_or(name).to_lowercase();
    output.line(output.bold(&stage.replace('_', " ")))?;
    output.line(format!("  {}", response.reason))?;
    if !response.chunk_id.is_empty() {
        output.line(output.dim(&format!("  its best chunk is {}", response.chunk_id)))?;
    }
    for leg in &response.legs {
        let name = match leg.leg() {
            pb::SearchLeg::Keyword => "bm25",
            _ => "cosine",
        };
        let rank = match leg.rank {
            0 => "no rank: no term matches".to_owned(),
            rank => format!("rank {rank}, {:.4}", leg.raw),
        };
        let listed = if leg.listed { "listed" } else { "not listed" };
        output.line(format!("  {name}: {rank}; {listed} among {}", leg.candidates))?;
    }
    if response.fused_rank > 0 {
        output.line(format!(
            "  fused: place {}, score {:.4}",
            response.fused_rank, response.score
        ))?;
    }
    if let Some(effect) = &response.rerank {
        output.line(format!("  {}", reranked(effect)))?;
    }
    for outcome in response.filter.iter().filter(|outcome| !outcome.accepted) {
        output.line(format!("  does not pass {}", outcome.path))?;
    }
    for (at, suggestion) in response.suggestions.iter().enumerate() {
        let begin = if at == 0 { "To bring it in:" } else { "and" };
        output.line(format!("{begin} {}", suggestion.text))?;
    }
    Ok(())
}
