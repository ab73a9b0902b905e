//! `groundwork search`: the passages that fit a query best, with the reasons of their scores.

use clap::Args;

use super::derived;
use super::exit::Exit;
use super::json;
use super::output::{Output, note};
use super::retrieval::{RetrievalFlags, heading, place};
use super::scoring::explained;
use super::session::Session;
use super::text::{count, one_line, wrap};
use crate::service::pb;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// The words to look for
    query: String,
    /// Show how each score came about
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    retrieval: RetrievalFlags,
    /// Tell how it was searched
    #[arg(long)]
    plan: bool,
}

const AFTER_HELP: &str = "\
Examples:
  groundwork search handbook \"what is an epoch\"
  groundwork search handbook min_epoch --type keyword --limit 3
  groundwork search handbook \"how to delete\" --filter team=search --filter 'draft!=yes' --filter year:=2024
  groundwork search handbook harbour --filter 'published>=2024-01-01' --filter 'topics~=rust'
  groundwork search handbook salaries --user ann --group staff
  groundwork search handbook \"release date\" --as-of-time 2026-03-01T12:00:00Z
  groundwork search handbook \"what is an epoch\" --explain
  groundwork search handbook \"how to delete\" --per-document 1 --fold-duplicates --neighbors 1
  groundwork --json search handbook epochs | jq -r '.retrieval_results[].document_id'";

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    let read = arguments.retrieval.read;
    let user_context = arguments.retrieval.caller.clone().user_context();
    let request = pb::RetrieveRequest {
        knowledge_base_id: arguments.knowledge_base,
        retrieval_query: Some(pb::RetrievalQuery { text: arguments.query }),
        retrieval_configuration: Some(arguments.retrieval.configuration()),
        min_epoch: read.min_epoch(),
        as_of_epoch: read.as_of_epoch(),
        as_of_time: read.as_of_time(),
        user_context,
        explain: arguments.explain,
    };
    let response = session.connection.retrieval().retrieve(request).await?.into_inner();
    let output = &mut session.output;
    if output.is_json() {
        output.object(&json::retrieval(&response))?;
        return Ok(Exit::Done);
    }
    response.implicit_filter.iter().flat_map(derived::lines).for_each(note);
    derived::parts(&response.transformed_queries).into_iter().for_each(note);
    for (position, result) in response.retrieval_results.iter().enumerate() {
        write_result(position + 1, result, output)?;
    }
    if let Some(plan) = response.plan.as_ref().filter(|_| arguments.plan) {
        plan_lines(plan).into_iter().try_for_each(|line| output.line(line))?;
        output.line("")?;
    }
    let millis = response
        .metrics
        .map_or(0.0, |metrics| metrics.total_micros as f64 / 1_000.0);
    let hits = match response.retrieval_results.len() {
        0 => "nothing fits".to_owned(),
        1 => "1 hit".to_owned(),
        hits => format!("{hits} hits"),
    };
    note(format!("{hits}, epoch {}, {millis:.1} ms", response.epoch));
    Ok(Exit::Done)
}

/// Returns how it was searched, in words.
fn plan_lines(plan: &pb::RetrievalPlan) -> Vec<String> {
    let (filter, vector, keyword) = (
        plan.filter.unwrap_or_default(),
        plan.vector.unwrap_or_default(),
        plan.keyword.unwrap_or_default(),
    );
    let cached = if filter.cached { ", known from before" } else { "" };
    let mut lines = vec![format!(
        "filter   {} of {} accepted{cached}",
        filter.accepted_chunk_count,
        count(filter.visible_chunk_count, "chunk")
    )];
    let mut add = |leg: &str, mode: &str, candidates: u64, visited: u64| {
        if !mode.is_empty() {
            lines.push(format!("{leg}  {mode}: {visited} looked at, {candidates} compared"));
        }
    };
    let mode = match vector.mode() {
        pb::VectorSearchMode::Unspecified => "",
        pb::VectorSearchMode::ExactScan => "scan of all that are accepted",
        pb::VectorSearchMode::GraphWalk => "walk over the graph",
        pb::VectorSearchMode::FilteredGraphWalk => "walk over the graph to those that are accepted",
    };
    add("vectors", mode, vector.candidate_count, vector.visited_count);
    let mode = match keyword.mode() {
        pb::KeywordSearchMode::Unspecified => "",
        pb::KeywordSearchMode::Postings => "walk over the postings",
        pb::KeywordSearchMode::AcceptedChunks => "lookup of all that are accepted",
    };
    add("keywords", mode, keyword.candidate_count, keyword.visited_count);
    lines
}

/// Writes a hit with its place, its scores and its text.
pub(super) fn write_result(number: usize, result: &pb::RetrievalResult, output: &mut Output) -> std::io::Result<()> {
    let number = output.mark(&format!("{number}."));
    let title = output.bold(&heading(result));
    output.line(format!("{number} {title}"))?;
    let span = result.location.as_ref().and_then(|location| location.span.as_ref());
    let place = format!("{}: {}", place(result, span), scores(result));
    output.line(format!("   {}", output.dim(&place)))?;
    for line in result.explanation.iter().flat_map(explained) {
        output.line(output.dim(&format!("   {line}")))?;
    }
    for folded in &result.folded_chunks {
        let same = format!(
            "   nearly the same: {} ({})",
            one_line(&folded.document_id),
            folded.chunk_id
        );
        output.line(output.dim(&same))?;
    }
    let own = result.content.as_ref().map(|content| content.text.as_str());
    let context = result.context.as_ref().map(|context| context.text.as_str());
    let text = context.or(own).unwrap_or_default();
    for line in wrap(text, output.text_width().saturating_sub(3)) {
        output.line(format!("   {line}").trim_end())?;
    }
    output.line("")
}

/// Returns the score, and each leg's part in it with its rank there.
fn scores(result: &pb::RetrievalResult) -> String {
    let part = |leg: &str, score: &pb::LegScore| match score.rank {
        0 => format!("{leg} {:.3}", score.raw),
        rank => format!("{leg} {:.3} (#{rank})", score.raw),
    };
    let parts = [
        Some(format!("score {:.3}", result.score)),
        result.cosine.as_ref().map(|score| part("cosine", score)),
        result.bm25.as_ref().map(|score| part("bm25", score)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
