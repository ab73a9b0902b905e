//! `groundwork converse`: a language model's answer to a prompt, without a knowledge base.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::exit::Exit;
use super::json::conversed;
use super::output::{Output, note};
use super::progress;
use super::session::Session;
use super::text::{harmless, one_line};
use super::tier::Tier;
use crate::service::pb;
use crate::service::pb::content_block::Content;
use crate::service::pb::content_block_delta::Delta;
use crate::service::pb::converse_stream_response::Event;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Language model, as in `groundwork models list`
    #[arg(value_name = "MODEL")]
    model: String,
    /// What the model is asked; - reads it from stdin
    prompt: String,
    /// Rules of the conversation; may be repeated
    #[arg(long, value_name = "TEXT")]
    system: Vec<String>,
    /// A text file that the model reads before the prompt; may be repeated
    #[arg(long = "document", value_name = "FILE")]
    documents: Vec<PathBuf>,
    /// Largest number of tokens to produce [default: 256]
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// 0 takes the likeliest token, higher values vary more [default: 0]
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Draw from the likeliest tokens that together reach this probability [default: 1]
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// Draw from so many of the likeliest tokens, 0 for all [default: 0]
    #[arg(long, value_name = "K")]
    top_k: Option<u32>,
    /// Above 1, tokens that came already are less likely to come again [default: 1]
    #[arg(long, value_name = "FACTOR")]
    repetition_penalty: Option<f64>,
    /// Seed of the draws: the same prompt with the same seed gives the same answer [default: 0]
    #[arg(long)]
    seed: Option<u64>,
    /// How soon the answer is wanted [default: default]
    #[arg(long, value_enum, value_name = "TIER")]
    service_tier: Option<Tier>,
    /// Text that ends the answer; may be repeated
    #[arg(long = "stop", value_name = "TEXT")]
    stop_sequences: Vec<String>,
    /// File with a JSON Schema that the answer must fit
    #[arg(long, value_name = "FILE", conflicts_with = "regex")]
    json_schema: Option<PathBuf>,
    /// Regular expression that the answer must fit from its beginning to its end
    #[arg(long, value_name = "PATTERN")]
    regex: Option<String>,
    /// File with a tool that the model may call, as JSON: `name`, `description`, `input_schema`; may be repeated
    #[arg(long = "tool", value_name = "FILE")]
    tools: Vec<PathBuf>,
    /// The model has to call a tool
    #[arg(long, requires = "tools", conflicts_with_all = ["json_schema", "regex"])]
    must_call: bool,
}

const AFTER_HELP: &str = "\
Examples:
  groundwork converse smollm2-135m-instruct \"Write one sentence about the sea.\"
  groundwork converse smollm2-135m-instruct \"What does it say of tea?\" --document notes/tea.txt --system \"Be brief.\"
  git log -5 | groundwork converse smollm2-135m-instruct - --system \"Say in one sentence what changed.\"
  groundwork converse smollm2-135m-instruct \"Name a colour.\" --temperature 0.8 --top-k 40 --seed 42
  groundwork converse smollm2-135m-instruct \"Is the sea salty?\" --regex \"Yes|No\"
  groundwork converse smollm2-135m-instruct \"What is the weather in Oslo?\" --tool weather.json --must-call
  groundwork --json converse smollm2-135m-instruct \"Name a colour.\" | jq .usage.output_tokens";

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    let request = request(arguments)?;
    let output = &mut session.output;
    let thinking = progress::spinner("reading the prompt");
    let mut client = session.connection.models();
    let mut events = client.converse_stream(request).await?.into_inner();
    let mut message = Message::default();
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::ContentBlockStart(start)) => message.begin(start),
            Some(Event::ContentBlockDelta(delta)) => {
                thinking.finish_and_clear();
                match delta.delta.and_then(|delta| delta.delta) {
                    Some(Delta::Text(piece)) => {
                        if !output.is_json() {
                            output.piece(&harmless(&piece))?;
                        }
                        message.text.push_str(&piece);
                    }
                    Some(Delta::ToolUse(more)) => message.input.push_str(&more.input),
                    None => {}
                }
            }
            Some(Event::ContentBlockStop(_)) => message.end_call(),
            Some(Event::MessageStop(stop)) => message.stop = stop,
            Some(Event::Metadata(metadata)) => message.metadata = metadata,
            _ => {}
        }
    }
    thinking.finish_and_clear();
    if output.is_json() {
        output.object(&conversed(&message.content(), &message.stop, &message.metadata))?;
    } else {
        message.write_rest(output)?;
    }
    Ok(Exit::Done)
}

fn request(arguments: Arguments) -> anyhow::Result<pb::ConverseStreamRequest> {
    let documents = arguments.documents.iter().map(|path| document(path));
    let mut content = documents.collect::<anyhow::Result<Vec<_>>>()?;
    content.push(pb::ContentBlock {
        content: Some(Content::Text(prompt(arguments.prompt)?)),
    });
    let system = arguments.system.into_iter().map(|text| pb::SystemContentBlock {
        content: Some(pb::system_content_block::Content::Text(text)),
    });
    let tools = arguments
        .tools
        .iter()
        .map(|path| tool(path))
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(pb::ConverseStreamRequest {
        output_config: output_config(arguments.json_schema.as_deref(), arguments.regex)?,
        tool_config: (!tools.is_empty()).then(|| tool_config(tools, arguments.must_call)),
        model_id: arguments.model,
        messages: vec![pb::ConversationMessage {
            role: pb::ConversationRole::User.into(),
            content,
        }],
        system: system.collect(),
        inference_config: Some(pb::InferenceConfiguration {
            temperature: arguments.temperature,
            top_p: arguments.top_p,
            max_tokens: arguments.max_tokens,
            stop_sequences: arguments.stop_sequences,
            seed: arguments.seed,
        }),
        additional_model_request_fields: Some(pb::AdditionalModelRequestFields {
            top_k: arguments.top_k,
            repetition_penalty: arguments.repetition_penalty,
            ..pb::AdditionalModelRequestFields::default()
        }),
        service_tier: Tier::number(arguments.service_tier),
    })
}

fn output_config(json_schema: Option<&Path>, regex: Option<String>) -> anyhow::Result<Option<pb::OutputConfig>> {
    use pb::output_format_structure::Structure;
    let structure = match (json_schema, regex) {
        (Some(path), _) => {
            let schema = read(path)?;
            Structure::JsonSchema(pb::JsonSchemaDefinition {
                schema,
                ..pb::JsonSchemaDefinition::default()
            })
        }
        (None, Some(pattern)) => Structure::Regex(pb::RegexDefinition { pattern }),
        (None, None) => return Ok(None),
    };
    Ok(Some(pb::OutputConfig {
        text_format: Some(pb::OutputFormat {
            structure: Some(pb::OutputFormatStructure {
                structure: Some(structure),
            }),
            ..pb::OutputFormat::default()
        }),
    }))
}

fn tool_config(tools: Vec<pb::Tool>, must_call: bool) -> pb::ToolConfiguration {
    let any = pb::ToolChoice {
        choice: Some(pb::tool_choice::Choice::Any(pb::AnyToolChoice {})),
    };
    pb::ToolConfiguration {
        tools,
        tool_choice: must_call.then_some(any),
    }
}

/// A tool as its file tells it.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolFile {
    name: String,
    #[serde(default)]
    description: String,
    input_schema: Value,
}

fn tool(path: &Path) -> anyhow::Result<pb::Tool> {
    let file: ToolFile =
        serde_json::from_str(&read(path)?).with_context(|| format!("{} does not tell a tool", path.display()))?;
    let schema = pb::tool_input_schema::Schema::Text(file.input_schema.to_string());
    Ok(pb::Tool {
        tool: Some(pb::tool::Tool::ToolSpec(pb::ToolSpecification {
            name: file.name,
            description: file.description,
            input_schema: Some(pb::ToolInputSchema { schema: Some(schema) }),
        })),
    })
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {} as UTF-8", path.display()))
}

fn prompt(argument: String) -> anyhow::Result<String> {
    if argument == "-" {
        return std::io::read_to_string(std::io::stdin()).context("cannot read the prompt from stdin as UTF-8");
    }
    Ok(argument)
}

fn document(path: &Path) -> anyhow::Result<pb::ContentBlock> {
    let text = read(path)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    Ok(pb::ContentBlock {
        content: Some(Content::Document(pb::DocumentBlock {
            name: one_line(&name),
            source: Some(pb::DocumentSource {
                source: Some(pb::document_source::Source::Text(text)),
            }),
        })),
    })
}

/// What came of a prompt.
#[derive(Debug, Default)]
struct Message {
    text: String,
    /// Calls of tools that are complete.
    calls: Vec<Value>,
    /// The call that is open, with what its tool is given so far.
    call: Option<pb::ToolUseBlockStart>,
    input: String,
    stop: pb::MessageStopEvent,
    metadata: pb::ConverseStreamMetadataEvent,
}

impl Message {
    fn begin(&mut self, start: pb::ContentBlockStartEvent) {
        if let Some(pb::content_block_start::Start::ToolUse(call)) = start.start.and_then(|start| start.start) {
            self.call = Some(call);
        }
    }

    /// Ends the call that is open, if one is; one that was cut short is left out.
    fn end_call(&mut self) {
        let input = serde_json::from_str::<Value>(&std::mem::take(&mut self.input));
        if let (Some(call), Ok(input)) = (self.call.take(), input) {
            let call = json!({ "tool_use_id": call.tool_use_id, "name": call.name, "input": input });
            self.calls.push(json!({ "tool_use": call }));
        }
    }

    /// Returns the blocks.
    fn content(&self) -> Vec<Value> {
        let has_text = !self.text.is_empty() || self.calls.is_empty();
        let text = has_text.then(|| json!({ "text": self.text }));
        text.into_iter().chain(self.calls.iter().cloned()).collect()
    }

    /// Writes what follows the text; how it was made goes to stderr.
    fn write_rest(&self, output: &mut Output) -> std::io::Result<()> {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            output.line("")?;
        }
        for call in &self.calls {
            output.line(harmless(&call.to_string()))?;
        }
        let usage = self.metadata.usage.unwrap_or_default();
        let metrics = self.metadata.metrics.unwrap_or_default();
        let seconds = |millis: u64| millis as f64 / 1e3;
        let mut parts = vec![
            one_line(&self.metadata.model_id),
            format!("{} tokens in, {} out", usage.input_tokens, usage.output_tokens),
            format!("first token after {:.2} s", seconds(metrics.time_to_first_token_ms)),
            format!("{:.2} s in all", seconds(metrics.latency_ms)),
        ];
        match self.stop.stop_reason() {
            pb::StopReason::MaxTokens => parts.push("cut at the limit of tokens (see --max-tokens)".to_owned()),
            pb::StopReason::ModelContextWindowExceeded => {
                parts.push("cut where the context window was full".to_owned());
            }
            _ => {}
        }
        note(parts.join(", "));
        Ok(())
    }
}
