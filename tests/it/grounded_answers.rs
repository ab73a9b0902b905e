//! Answers at the border: events in order, citations that resolve, honest silence, cancellation.

use groundwork::generate::{AnswerEvent, Inference, NoAnswerReason, StopReason};
use groundwork::knowledge_base::{AnswerSummary, Error, ErrorKind, Groundwork, Question, ReadAt, ServiceTier};
use groundwork::retrieve::Query;
use groundwork::worker::{Cancel, Stopped};

use crate::support::{ingest, text, with_base};

fn question(words: &str) -> Question {
    Question {
        service_tier: ServiceTier::Default,
        query: Query::new(words.to_owned()),
        model_id: String::new(),
        inference: Inference::default(),
        at: ReadAt::default(),
    }
}

fn ask(groundwork: &Groundwork, question: &Question) -> Result<(Vec<AnswerEvent>, AnswerSummary), Error> {
    let mut events = Vec::new();
    let summary = groundwork.answer("kb", question, &Cancel::new(), &mut |event| {
        events.push(event);
        Ok(())
    })?;
    Ok((events, summary))
}

fn joined(events: &[AnswerEvent]) -> String {
    let piece = |event: &AnswerEvent| match event {
        AnswerEvent::Text(text) => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(piece).collect()
}

const TIDE: &str =
    "The tide at Cuxhaven turns every six hours. The pilots wait for slack water. Buoys mark the channel.";

#[test]
fn citations_resolve_to_the_bytes_of_the_source() {
    let (_home, groundwork) = with_base(&["The tide at Cuxhaven turns every six hours [1]."]);
    ingest(&groundwork, vec![text("tides", TIDE)]);
    let (events, summary) =
        ask(&groundwork, &question("How often does the tide at Cuxhaven turn?")).expect("an answer");
    assert!(matches!(events[0], AnswerEvent::References(_)), "references come first");
    let answer = joined(&events);
    let citations: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            AnswerEvent::Citation(citation) => Some(citation),
            _ => None,
        })
        .collect();
    assert_eq!(citations.len(), 1, "{events:?}");
    let citation = citations[0];
    assert_eq!(citation.answer_span.of(&answer), Some(citation.answer_text.as_str()));
    assert!(citation.answer_text.contains("[1]"));
    assert_eq!(citation.source_span.of(TIDE), Some(citation.source_text.as_str()));
    assert_eq!(citation.source_text, "The tide at Cuxhaven turns every six hours.");
    assert_eq!(summary.generation.no_answer_reason, None);
    assert!(summary.generation.input_tokens > 0 && summary.generation.output_tokens > 0);
}

#[test]
fn an_empty_knowledge_base_is_said_to_be_empty() {
    let (_home, groundwork) = with_base(&["never said"]);
    let (events, summary) = ask(&groundwork, &question("Where is the key?")).expect("an answer");
    assert_eq!(summary.generation.stop_reason, StopReason::NoAnswer);
    assert_eq!(
        summary.generation.no_answer_reason,
        Some(NoAnswerReason::EmptyKnowledgeBase)
    );
    assert_eq!((summary.model, summary.generation.output_tokens), (None, 0));
    assert!(!joined(&events).is_empty(), "people are told too");
}

#[test]
fn nothing_above_the_threshold_calls_no_model() {
    let (_home, groundwork) = with_base(&["never said"]);
    ingest(&groundwork, vec![text("tides", TIDE)]);
    let mut strict = question("How often does the tide turn?");
    strict.query.score_threshold = Some(1e9);
    let (_, summary) = ask(&groundwork, &strict).expect("an answer");
    assert_eq!(summary.generation.no_answer_reason, Some(NoAnswerReason::NoResults));
    assert_eq!(summary.model, None);
}

#[test]
fn unsupported_answers_are_marked_so() {
    let (_home, groundwork) = with_base(&["Bananas ripen best beside apples."]);
    ingest(&groundwork, vec![text("tides", TIDE)]);
    let (events, summary) =
        ask(&groundwork, &question("How often does the tide at Cuxhaven turn?")).expect("an answer");
    assert_eq!(summary.generation.no_answer_reason, Some(NoAnswerReason::NotSupported));
    assert!(!events.iter().any(|event| matches!(event, AnswerEvent::Citation(_))));
}

#[test]
fn a_reader_who_leaves_stops_the_answer() {
    let long = "The tide at Cuxhaven turns every six hours. ".repeat(200);
    let (_home, groundwork) = with_base(&[&long]);
    ingest(&groundwork, vec![text("tides", TIDE)]);
    let mut pieces = 0;
    let ended = groundwork.answer(
        "kb",
        &question("How often does the tide turn?"),
        &Cancel::new(),
        &mut |event| {
            pieces += usize::from(matches!(event, AnswerEvent::Text(_)));
            if pieces == 3 { Err(Stopped::Cancelled) } else { Ok(()) }
        },
    );
    assert_eq!(ended.expect_err("it was stopped").kind, ErrorKind::Cancelled);
    assert_eq!(pieces, 3, "not one piece after the reader left");
}

#[test]
fn unknown_models_are_refused_by_field() {
    let (_home, groundwork) = with_base(&[]);
    ingest(&groundwork, vec![text("tides", TIDE)]);
    let mut other = question("How often does the tide turn?");
    other.model_id = "no-such-model".to_owned();
    let error = ask(&groundwork, &other).expect_err("there is no such model");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("no-such-model"), "{error}");
}
