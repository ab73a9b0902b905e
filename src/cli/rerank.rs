//! `groundwork rerank`: texts by how relevant they are to a query.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::exit::{Exit, Usage};
use super::json;
use super::output::{Output, note};
use super::session::Session;
use super::text::{count, one_line, wrap};
use crate::service::pb;

/// Lines of a text that are shown.
const SHOWN_LINES: usize = 3;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// The words that the texts are compared with
    query: String,
    /// A file with one text, as UTF-8
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A text; may be repeated
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,
    /// Texts to show, best first [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Embedding model whose tokens are compared [default: the server's]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
}

const AFTER_HELP: &str = "\
Texts of --text come first, then those of the files; with --json `index` counts them from 0.

Examples:
  groundwork rerank \"how long is tea steeped\" --text \"Green tea: two minutes.\" --text \"Bees gather nectar.\"
  groundwork rerank \"notice period\" contracts/*.txt --limit 3
  groundwork --json rerank \"notice period\" a.txt b.txt | jq '.results[0].index'";

/// A text with the name that it is shown by.
struct Source {
    name: String,
    text: String,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    let sources = sources(&arguments)?;
    let document = |text: &str| pb::RerankTextDocument { text: text.to_owned() };
    let request = pb::RerankRequest {
        queries: vec![pb::RerankQuery {
            text_query: Some(document(&arguments.query)),
        }],
        sources: sources
            .iter()
            .map(|source| pb::RerankSource {
                text_document: Some(document(&source.text)),
            })
            .collect(),
        number_of_results: arguments.limit.unwrap_or_default(),
        model_id: arguments.model.unwrap_or_default(),
    };
    let response = session.connection.retrieval().rerank(request).await?.into_inner();
    let output = &mut session.output;
    if output.is_json() {
        output.object(&json::reranked(&response))?;
        return Ok(Exit::Done);
    }
    for (number, result) in (1..).zip(&response.results) {
        if let Some(source) = sources.get(result.index as usize) {
            write(number, result.relevance_score, source, output)?;
        }
    }
    let millis = response
        .metrics
        .map_or(0.0, |metrics| metrics.total_micros as f64 / 1_000.0);
    note(format!(
        "{} by {}, {millis:.1} ms",
        count(sources.len() as u64, "text"),
        response.model_id
    ));
    Ok(Exit::Done)
}

fn sources(arguments: &Arguments) -> anyhow::Result<Vec<Source>> {
    let texts = (1..).zip(&arguments.text).map(|(number, text)| {
        Ok(Source {
            name: format!("text {number}"),
            text: text.clone(),
        })
    });
    let files = arguments.files.iter().map(|path| {
        Ok(Source {
            name: path.display().to_string(),
            text: read(path)?,
        })
    });
    let sources: anyhow::Result<Vec<Source>> = texts.chain(files).collect();
    let sources = sources?;
    if sources.is_empty() {
        return Err(Usage("there is nothing to rerank: name files, or give texts with --text".to_owned()).into());
    }
    Ok(sources)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8(bytes);
    text.with_context(|| format!("{} is no UTF-8 text", path.display()))
}

fn write(number: usize, score: f64, source: &Source, output: &mut Output) -> std::io::Result<()> {
    let number = output.mark(&format!("{number}."));
    let name = output.bold(&one_line(&source.name));
    output.line(format!(
        "{number} {name} {}",
        output.dim(&format!("relevance {score:.3}"))
    ))?;
    let lines = wrap(&source.text, output.text_width().saturating_sub(3));
    for line in lines.iter().take(SHOWN_LINES) {
        output.line(format!("   {line}").trim_end())?;
    }
    if lines.len() > SHOWN_LINES {
        output.line(output.dim("   ..."))?;
    }
    output.line("")
}
