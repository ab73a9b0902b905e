//! Answers over gRPC: time to the first token, and tokens per second after it.

use std::time::{Duration, Instant};

use groundwork::service::client;
use groundwork::service::pb::retrieve_and_generate_stream_response::Event;
use groundwork::service::pb::{
    AnswerStyle, GenerationConfiguration, InferenceConfiguration, RetrievalQuery, RetrieveAndGenerateStreamRequest,
};

use crate::retrieve::with_server;
use crate::{handbook, median, quantile_ms, report};

const QUESTIONS: usize = 9;
const CLIENTS: usize = 8;

pub(crate) fn run() {
    println!("\ngenerate: {QUESTIONS} golden questions over gRPC, one after the other");
    with_server(async |address| {
        let mut client = client::retrieval(client::connect(address).await.expect("the server is there"));
        let questions: Vec<_> = handbook::questions()
            .into_iter()
            .filter(|question| question.answerable)
            .collect();
        let (mut first_text, mut prefill_rates, mut decode_rates) = (Vec::new(), Vec::new(), Vec::new());
        for question in questions.iter().step_by(questions.len() / QUESTIONS).take(QUESTIONS) {
            let request = asking(&question.text, AnswerStyle::Unspecified);
            let begun = Instant::now();
            let mut stream = client
                .retrieve_and_generate_stream(request)
                .await
                .expect("it starts")
                .into_inner();
            let mut first: Option<Duration> = None;
            while let Some(response) = stream.message().await.expect("no error") {
                match response.event {
                    Some(Event::Output(_)) => {
                        first.get_or_insert_with(|| begun.elapsed());
                    }
                    Some(Event::Summary(summary)) => {
                        let (usage, metrics) = (summary.usage.expect("usage"), summary.metrics.expect("metrics"));
                        if usage.output_tokens > 8 {
                            let rate = |tokens: u64, micros: u64| tokens as f64 / (micros as f64 / 1e6);
                            prefill_rates.push(rate(usage.input_tokens, metrics.prefill_micros));
                            decode_rates.push(rate(usage.output_tokens - 1, metrics.decode_micros));
                        }
                    }
                    _ => {}
                }
            }
            first_text.extend(first);
        }
        report(
            "generate, time to first text, p50",
            quantile_ms(&mut first_text, 0.5),
            "ms",
        );
        report("generate, prefill, median", median(&mut prefill_rates), "tokens/s");
        report("generate, decode, median", median(&mut decode_rates), "tokens/s");
        at_once(address, &questions[..CLIENTS]).await;
    });
}

/// Lets clients ask at the same time, for answers in free words; tells when each had its first text.
async fn at_once(address: &str, questions: &[handbook::Golden]) {
    let begun = Instant::now();
    let mut answers = tokio::task::JoinSet::new();
    for question in questions {
        let (address, request) = (address.to_owned(), asking(&question.text, AnswerStyle::Free));
        answers.spawn(async move {
            let channel = client::connect(&address).await.expect("the server is there");
            let stream = client::retrieval(channel).retrieve_and_generate_stream(request).await;
            let mut stream = stream.expect("it starts").into_inner();
            let (mut first, mut tokens) = (None, 0);
            while let Some(response) = stream.message().await.expect("no error") {
                match response.event {
                    Some(Event::Output(_)) => {
                        first.get_or_insert_with(|| begun.elapsed());
                    }
                    Some(Event::Summary(summary)) => tokens = summary.usage.expect("usage").output_tokens,
                    _ => {}
                }
            }
            (first, tokens)
        });
    }
    let answers = answers.join_all().await;
    let took = begun.elapsed().as_secs_f64();
    let mut first: Vec<Duration> = answers.iter().filter_map(|(first, _)| *first).collect();
    let tokens: u64 = answers.iter().map(|(_, tokens)| tokens).sum();
    for share in [0.0, 0.5, 1.0] {
        let what = format!(
            "generate, {CLIENTS} clients at once, time to first text, p{:.0}",
            share * 100.0
        );
        report(&what, quantile_ms(&mut first, share), "ms");
    }
    report(
        &format!("generate, {CLIENTS} clients at once, in all"),
        tokens as f64 / took,
        "tokens/s",
    );
}

fn asking(text: &str, style: AnswerStyle) -> RetrieveAndGenerateStreamRequest {
    RetrieveAndGenerateStreamRequest {
        knowledge_base_id: "handbook".to_owned(),
        input: Some(RetrievalQuery { text: text.to_owned() }),
        generation_configuration: Some(GenerationConfiguration {
            inference_configuration: Some(InferenceConfiguration {
                max_tokens: Some(96),
                ..InferenceConfiguration::default()
            }),
            answer_style: style.into(),
            ..GenerationConfiguration::default()
        }),
        ..RetrieveAndGenerateStreamRequest::default()
    }
}
