//! `groundwork models status`: how the language models of a server serve their callers.

use clap::Args;
use indicatif::HumanBytes;

use super::exit::Exit;
use super::json;
use super::output::{Output, note};
use super::session::Session;
use super::text::one_line;
use crate::service::pb;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  groundwork --server 127.0.0.1:50051 models status\n  \
    groundwork --server 127.0.0.1:50051 --json models status smollm2-135m-instruct | jq .serving.cancellation")]
pub(super) struct Arguments {
    /// Id of a model [default: all language models that are in memory or were used]
    #[arg(value_name = "MODEL")]
    model: Option<String>,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    let models = asked(arguments, session).await?;
    if models.is_empty() && !session.output.is_json() {
        note("no language model is in memory or was used");
    }
    for model in models {
        let output = &mut session.output;
        if output.is_json() {
            output.object(&json::serving_model(&model))?;
        } else {
            write(&model, output)?;
        }
    }
    Ok(Exit::Done)
}

async fn asked(arguments: Arguments, session: &Session) -> anyhow::Result<Vec<pb::FoundationModelDetails>> {
    let mut client = session.connection.models();
    if let Some(model_id) = arguments.model {
        let request = pb::GetFoundationModelRequest { model_id };
        let response = client.get_foundation_model(request).await?.into_inner();
        return Ok(response.model_details.into_iter().collect());
    }
    let request = pb::ListFoundationModelsRequest {
        by_output_modality: pb::ModelModality::Text.into(),
        page_size: 1_000,
        ..pb::ListFoundationModelsRequest::default()
    };
    let mut models = client
        .list_foundation_models(request)
        .await?
        .into_inner()
        .model_summaries;
    models.retain(|model| {
        let serving = model.serving.as_ref();
        let was_used = serving.is_some_and(|serving| serving.finished + serving.failed + serving.cancelled > 0);
        was_used || model.availability() == pb::ModelAvailability::Loaded
    });
    Ok(models)
}

fn write(model: &pb::FoundationModelDetails, output: &mut Output) -> std::io::Result<()> {
    let state = match model.availability() {
        pb::ModelAvailability::Loaded if model.pinned => "in memory, pinned",
        pb::ModelAvailability::Loaded => "in memory",
        _ => "not in memory",
    };
    output.line(output.bold(&one_line(&model.model_id)))?;
    let mut lines = vec![("memory", format!("{}, {state}", HumanBytes(model.memory_bytes)))];
    if let Some(serving) = &model.serving {
        lines.extend(of_serving(serving));
    }
    for (name, value) in lines {
        output.line(format!("  {}  {value}", output.dim(&format!("{name:<12}"))))?;
    }
    Ok(())
}

fn of_serving(serving: &pb::ModelServing) -> Vec<(&'static str, String)> {
    let seconds = |micros: u64| micros as f64 / 1e3;
    let mut lines = vec![
        (
            "now",
            format!(
                "{} running, {} waiting (priority {}, default {}, flex {})",
                serving.running,
                serving.waiting,
                serving.waiting_priority,
                serving.waiting_default,
                serving.waiting_flex
            ),
        ),
        (
            "so far",
            format!(
                "{} finished, {} cancelled, {} failed",
                serving.finished, serving.cancelled, serving.failed
            ),
        ),
        (
            "tokens",
            format!(
                "{} in ({} known), {} out",
                serving.input_tokens, serving.cache_read_input_tokens, serving.output_tokens
            ),
        ),
        (
            "speed",
            format!(
                "{:.0} tokens/s read, {:.0} written",
                serving.prefill_tokens_per_second, serving.decode_tokens_per_second
            ),
        ),
    ];
    let mut refused: Vec<(&String, &u64)> = serving.refused.iter().collect();
    refused.sort();
    let refused = refused
        .into_iter()
        .map(|(reason, count)| format!("{} {count}", one_line(reason)));
    let refused: Vec<String> = refused.collect();
    if !refused.is_empty() {
        lines.push(("refused", refused.join(", ")));
    }
    if let Some(times) = serving.cancellation.filter(|times| times.count > 0) {
        lines.push((
            "freed after",
            format!(
                "{:.1} ms in the mean, {:.1} ms at most; {} tokens at most",
                seconds(times.mean_micros),
                seconds(times.max_micros),
                times.max_tokens
            ),
        ));
    }
    lines
}
