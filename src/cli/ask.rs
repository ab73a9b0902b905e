//! `groundwork ask`: an answer as it comes, then the sources that it rests on.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::derived;
use super::exit::Exit;
use super::json;
use super::output::{Output, note};
use super::progress;
use super::retrieval::{RetrievalFlags, heading, place};
use super::session::Session;
use super::text::{harmless, one_line, wrap};
use super::tier::Tier;
use crate::service::pb;
use crate::service::pb::retrieve_and_generate_stream_response::Event;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    /// The question
    question: String,
    #[command(flatten)]
    retrieval: RetrievalFlags,
    /// Language model, as in `groundwork models list` [default: the server's]
    #[arg(long, value_name = "MODEL", default_value = "", hide_default_value = true)]
    model: String,
    /// Largest number of tokens to produce [default: 256]
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// 0 takes the likeliest token, higher values vary more [default: 0]
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// How the answer is worded [default: the model's own style]
    #[arg(long, value_enum, value_name = "STYLE")]
    style: Option<Style>,
    /// Draw from the likeliest tokens that together reach this probability [default: 1]
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// Seed of the draws: the same question with the same seed gives the same answer [default: 0]
    #[arg(long)]
    seed: Option<u64>,
    /// How soon the answer is wanted [default: default]
    #[arg(long, value_enum, value_name = "TIER")]
    service_tier: Option<Tier>,
    /// Text that ends the answer; may be repeated
    #[arg(long = "stop", value_name = "TEXT")]
    stop_sequences: Vec<String>,
}

const AFTER_HELP: &str = "\
Where the documents hold no answer, the command says so and why, and ends with code 0: that is a result.

Examples:
  groundwork ask handbook \"What is an epoch?\"
  groundwork ask handbook \"How do I delete a document?\" --limit 8 --filter team=search
  groundwork ask handbook \"What is an epoch?\" --temperature 0.7 --seed 42
  groundwork ask handbook \"When is the release?\" --as-of-epoch 12
  groundwork --json ask handbook \"What is an epoch?\" | jq -r '.citations[].source_text'";

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    answer(request(arguments), session).await?;
    Ok(Exit::Done)
}

/// Returns a request with nothing but a question.
pub(super) fn plain_request(knowledge_base: &str, question: &str) -> pb::RetrieveAndGenerateStreamRequest {
    pb::RetrieveAndGenerateStreamRequest {
        knowledge_base_id: knowledge_base.to_owned(),
        input: Some(pb::RetrievalQuery {
            text: question.to_owned(),
        }),
        ..pb::RetrieveAndGenerateStreamRequest::default()
    }
}

/// How an answer is worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Style {
    /// Sentences of the passages, word for word
    Quoted,
    /// The model's own words
    Free,
}

fn request(arguments: Arguments) -> pb::RetrieveAndGenerateStreamRequest {
    let style = match arguments.style {
        None => pb::AnswerStyle::Unspecified,
        Some(Style::Quoted) => pb::AnswerStyle::Quoted,
        Some(Style::Free) => pb::AnswerStyle::Free,
    };
    let inference = pb::InferenceConfiguration {
        temperature: arguments.temperature,
        top_p: arguments.top_p,
        max_tokens: arguments.max_tokens,
        stop_sequences: arguments.stop_sequences,
        seed: arguments.seed,
    };
    let read = arguments.retrieval.read;
    pb::RetrieveAndGenerateStreamRequest {
        min_epoch: read.min_epoch(),
        as_of_epoch: read.as_of_epoch(),
        as_of_time: read.as_of_time(),
        user_context: arguments.retrieval.caller.clone().user_context(),
        retrieval_configuration: Some(arguments.retrieval.configuration()),
        generation_configuration: Some(pb::GenerationConfiguration {
            model_id: arguments.model,
            inference_configuration: Some(inference),
            answer_style: style.into(),
        }),
        service_tier: Tier::number(arguments.service_tier),
        ..plain_request(&arguments.knowledge_base, &arguments.question)
    }
}

/// What came of an answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) references: Vec<pb::RetrievedReference>,
    pub(super) citations: Vec<pb::Citation>,
    pub(super) summary: Option<pb::AnswerSummary>,
}

/// Asks, and writes the answer as it comes with its sources.
pub(super) async fn answer(request: pb::RetrieveAndGenerateStreamRequest, session: &mut Session) -> anyhow::Result<()> {
    let output = &mut session.output;
    let thinking = progress::spinner("reading the passages");
    let mut client = session.connection.retrieval();
    let mut events = client.retrieve_and_generate_stream(request).await?.into_inner();
    let mut answer = Answer::default();
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::References(references)) => answer.references = references.references,
            Some(Event::Output(piece)) => {
                thinking.finish_and_clear();
                if !output.is_json() {
                    output.piece(&harmless(&piece.text))?;
                }
                answer.text.push_str(&piece.text);
            }
            Some(Event::Citation(citation)) => answer.citations.push(citation),
            Some(Event::Summary(summary)) => answer.summary = Some(summary),
            None => {}
        }
    }
    thinking.finish_and_clear();
    if output.is_json() {
        output.object(&answer.json())?;
    } else {
        answer.write_rest(output)?;
    }
    Ok(())
}

impl Answer {
    /// Returns the whole as one object.
    pub(super) fn json(&self) -> serde_json::Value {
        json!({
            "output": { "text": self.text },
            "citations": self.citations.iter().map(json::citation).collect::<Vec<_>>(),
            "retrieved_references": self.references.iter().map(json::reference).collect::<Vec<_>>(),
            "summary": self.summary.as_ref().map(json::summary),
        })
    }

    /// Writes what follows the text: why there is none, or the sources; how it was made goes to stderr.
    pub(super) fn write_rest(&self, output: &mut Output) -> std::io::Result<()> {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            output.line("")?;
        }
        let summary = self.summary.clone().unwrap_or_default();
        let is_answered = summary.no_answer_reason() == pb::NoAnswerReason::Unspecified;
        // Where no model was called the text itself says so.
        if !is_answered && (self.text.is_empty() || !summary.model_id.is_empty()) {
            let reason = no_answer(summary.no_answer_reason());
            // Text was written as it came, before it was known what it is worth.
            let of_text = if self.text.trim().is_empty() {
                ""
            } else {
                "do not rely on the text above: "
            };
            output.line(format!("{} {of_text}{reason}.", output.bold("No answer:")))?;
        }
        self.write_sources(output)?;
        if let Some(warning) = outdated(&summary) {
            note(warning);
        }
        summary.implicit_filter.iter().flat_map(derived::lines).for_each(note);
        derived::parts(&summary.transformed_queries).into_iter().for_each(note);
        note(made_of(&summary));
        Ok(())
    }

    fn write_sources(&self, output: &mut Output) -> std::io::Result<()> {
        let mut citations: Vec<&pb::Citation> = self.citations.iter().collect();
        let key = |citation: &pb::Citation| (citation.reference_number, citation.source_span);
        citations.sort_by_key(|citation| (citation.reference_number, citation.source_span.map(|span| span.start)));
        citations.dedup_by_key(|citation| key(citation));
        if citations.is_empty() {
            return Ok(());
        }
        output.line("")?;
        output.line(output.bold("Sources"))?;
        for citation in citations {
            self.write_source(citation, output)?;
        }
        Ok(())
    }

    fn write_source(&self, citation: &pb::Citation, output: &mut Output) -> std::io::Result<()> {
        let number = citation.reference_number;
        let reference = self.references.iter().find(|it| it.reference_number == number);
        // A citation names its document itself; only title and page come from the reference.
        let result = reference
            .and_then(|it| it.result.clone())
            .unwrap_or_else(|| pb::RetrievalResult {
                document_id: citation.document_id.clone(),
                ..pb::RetrievalResult::default()
            });
        let place = place(&result, citation.source_span.as_ref());
        let line = format!(
            "{} {} ({place}):",
            output.mark(&format!("[{number}]")),
            heading(&result)
        );
        output.line(line)?;
        let quoted = format!("\"{}\"", one_line(&citation.source_text));
        for line in wrap(&quoted, output.text_width().saturating_sub(4)) {
            output.line(output.dim(&format!("    {line}")))?;
        }
        Ok(())
    }
}

fn no_answer(reason: pb::NoAnswerReason) -> &'static str {
    match reason {
        pb::NoAnswerReason::Unspecified => "for a reason that this program does not know",
        pb::NoAnswerReason::EmptyKnowledgeBase => "the knowledge base holds no documents",
        pb::NoAnswerReason::NoResults => "nothing in the knowledge base passes the filter and the threshold",
        pb::NoAnswerReason::NotRelevant => "nothing in the knowledge base is relevant enough to answer from",
        pb::NoAnswerReason::ModelDeclined => "the language model says that the passages do not hold it",
        pb::NoAnswerReason::NotSupported => "no passage supports what the language model wrote",
    }
}

/// Returns what to tell when sources changed while the answer was made.
pub(super) fn outdated(summary: &pb::AnswerSummary) -> Option<String> {
    let numbers = &summary.outdated_reference_numbers;
    let named: Vec<String> = numbers.iter().map(|number| format!("[{number}]")).collect();
    (!named.is_empty()).then(|| {
        format!(
            "warning: replaced or deleted while the answer was made: {} (epoch {} is published now); ask again for \
             an answer from what holds now",
            named.join(", "),
            summary.current_epoch
        )
    })
}

fn made_of(summary: &pb::AnswerSummary) -> String {
    let metrics = summary.metrics.unwrap_or_default();
    let seconds = |micros: u64| micros as f64 / 1e6;
    let mut parts = vec![format!("epoch {}", summary.epoch)];
    if !summary.model_id.is_empty() {
        let usage = summary.usage.unwrap_or_default();
        parts.push(one_line(&summary.model_id));
        parts.push(format!("{} tokens in, {} out", usage.input_tokens, usage.output_tokens));
        parts.push(format!(
            "first token after {:.2} s",
            seconds(metrics.time_to_first_token_micros)
        ));
    }
    parts.push(format!("{:.2} s in all", seconds(metrics.total_micros)));
    match summary.stop_reason() {
        pb::StopReason::MaxTokens => parts.push("cut at the limit of tokens (see --max-tokens)".to_owned()),
        pb::StopReason::ModelContextWindowExceeded => parts.push("cut where the context window was full".to_owned()),
        _ => {}
    }
    parts.join(", ")
}
