//! `groundwork embed` and `groundwork count-tokens`: what models make of texts.

use clap::Args;
use serde_json::json;

use super::exit::Exit;
use super::json;
use super::output::note;
use super::session::Session;
use super::text::{count, one_line};
use crate::service::pb;

/// Components that are shown of a vector; with `--json` all of them.
const SHOWN_COMPONENTS: usize = 4;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  groundwork embed \"a red fox\"\n  \
    groundwork --json embed \"a red fox\" \"a dog\" --query | jq '.embeddings[0].values | length'")]
pub(super) struct EmbedArguments {
    /// The texts
    #[arg(value_name = "TEXT", required = true)]
    texts: Vec<String>,
    /// Embedding model [default: the server's]
    #[arg(long, value_name = "MODEL", default_value = "", hide_default_value = true)]
    model: String,
    /// The texts are queries [default: passages]
    #[arg(long)]
    query: bool,
    /// Leave out the end of a text that is too long, instead of refusing it
    #[arg(long)]
    truncate: bool,
    /// Keep the first so many components [default: all]
    #[arg(long, value_name = "N")]
    dimensions: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  groundwork count-tokens \"How long is this?\"\n  \
    groundwork count-tokens \"How long is this?\" --model all-minilm-l6-v2")]
pub(super) struct CountArguments {
    /// The text
    text: String,
    /// A language model or an embedding model [default: the server's language model]
    #[arg(long, value_name = "MODEL", default_value = "", hide_default_value = true)]
    model: String,
}

pub(super) async fn run(arguments: EmbedArguments, session: &mut Session) -> anyhow::Result<Exit> {
    let purpose = if arguments.query {
        pb::EmbeddingPurpose::Query
    } else {
        pb::EmbeddingPurpose::Passage
    };
    let truncation = if arguments.truncate {
        pb::EmbeddingTruncation::End
    } else {
        pb::EmbeddingTruncation::None
    };
    let request = pb::EmbedRequest {
        texts: arguments.texts,
        configuration: Some(pb::EmbeddingConfiguration {
            model_id: arguments.model,
            purpose: purpose.into(),
            truncation: truncation.into(),
            normalize: None,
            dimensions: arguments.dimensions,
        }),
    };
    let texts = request.texts.clone();
    let response = session.connection.models().embed(request).await?.into_inner();
    let output = &mut session.output;
    if output.is_json() {
        output.object(&json::embedded(&response))?;
        return Ok(Exit::Done);
    }
    for (text, embedding) in texts.iter().zip(&response.embeddings) {
        let shown = embedding.values.iter().take(SHOWN_COMPONENTS);
        let shown: Vec<String> = shown.map(|value| format!("{value:.4}")).collect();
        let tokens = count(embedding.input_tokens.into(), "token");
        let cut = if embedding.truncated { ", cut" } else { "" };
        output.line(format!(
            "{} [{}, ...] {}",
            output.bold(&one_line(text)),
            shown.join(", "),
            output.dim(&format!("{tokens}{cut}"))
        ))?;
    }
    note(format!(
        "{} of {} by {}",
        count(response.embeddings.len() as u64, "vector"),
        count(response.dimensions.into(), "dimension"),
        response.model_id
    ));
    Ok(Exit::Done)
}

pub(super) async fn count_tokens(arguments: CountArguments, session: &mut Session) -> anyhow::Result<Exit> {
    let request = pb::CountTokensRequest {
        model_id: arguments.model,
        input: Some(pb::CountTokensInput {
            input: Some(pb::count_tokens_input::Input::Text(arguments.text)),
        }),
    };
    let counted = session.connection.models().count_tokens(request).await?.into_inner();
    let output = &mut session.output;
    if output.is_json() {
        output.object(&json!({
            "input_tokens": counted.input_tokens,
            "model_id": counted.model_id,
            "max_input_tokens": counted.max_input_tokens,
        }))?;
        return Ok(Exit::Done);
    }
    output.line(counted.input_tokens.to_string())?;
    note(format!(
        "of {} that {} reads",
        counted.max_input_tokens, counted.model_id
    ));
    Ok(Exit::Done)
}
