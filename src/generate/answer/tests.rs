//! Tests of answer.

use super::*;
use crate::generate::fixture::hit;
use crate::generate::scripted::ScriptedModel;
use crate::generate::{Citation, CitationOrigin, Reference};

const TOWER: &str = "The Eiffel Tower was built in 1889 by Gustave Eiffel. It stands in Paris.";
const QUESTION: &str = "Who built the Eiffel Tower?";

#[derive(Default)]
struct Heard {
    references: Vec<Reference>,
    text: String,
    citations: Vec<Citation>,
    kinds: Vec<char>,
}

impl Heard {
    fn take(&mut self, event: AnswerEvent) {
        match event {
            AnswerEvent::References(references) => {
                self.kinds.push('r');
                self.references = references;
            }
            AnswerEvent::Text(text) => {
                self.kinds.push('t');
                self.text.push_str(&text);
            }
            AnswerEvent::Citation(citation) => {
                self.kinds.push('c');
                self.citations.push(citation);
            }
        }
    }
}

fn ask(reply: &str, hits: Vec<Hit>, inference: &Inference) -> (Heard, GenerationSummary) {
    let mut heard = Heard::default();
    let summary = answer(
        &ScriptedModel::new([reply]),
        Asked {
            question: QUESTION,
            hits,
            inference,
            prompt_time: PromptTime::default(),
            embedder: None,
        },
        &Cancel::new(),
        &mut |event| {
            heard.take(event);
            Ok(())
        },
    )
    .expect("the question is answered");
    (heard, summary)
}

fn tower() -> Vec<Hit> {
    vec![hit("towers", 40, TOWER), hit("bread", 0, "Bread is baked.")]
}

fn check(reply: &str, inference: &Inference, text: &str, stop_reason: StopReason, reason: Option<NoAnswerReason>) {
    let (heard, summary) = ask(reply, tower(), inference);
    assert_eq!(heard.text, text);
    assert_eq!(
        (summary.stop_reason, summary.no_answer_reason),
        (stop_reason, reason),
        "{reply}"
    );
    assert_eq!(heard.kinds.iter().filter(|kind| **kind == 'r').count(), 1);
    assert_eq!(heard.kinds.first(), Some(&'r'));
}

#[test]
fn supported_answer_is_cited() {
    let (heard, summary) = ask("Gustave Eiffel built it [1].", tower(), &Inference::default());
    assert_eq!(heard.text, "Gustave Eiffel built it. [1]");
    let [citation] = &heard.citations[..] else {
        panic!("{:?}", heard.citations);
    };
    assert_eq!(citation.origin, CitationOrigin::Model);
    assert_eq!(
        citation.answer_span.of(&heard.text),
        Some("Gustave Eiffel built it. [1]")
    );
    assert_eq!(
        citation.source_text,
        "The Eiffel Tower was built in 1889 by Gustave Eiffel."
    );
    assert_eq!(citation.source_span.start, 40);
    assert_eq!(heard.references.len(), 2);
    assert!(summary.output_tokens > 0 && summary.input_tokens > 0 && summary.time_to_first_token.is_some());
}

#[test]
fn endings_are_told_apart() {
    let plain = Inference::default();
    let stopping = Inference {
        stop_sequences: vec!["Paris".into()],
        ..Inference::default()
    };
    let short = Inference {
        max_tokens: 3,
        ..Inference::default()
    };
    let built = "Gustave Eiffel built it.";
    check(built, &plain, "Gustave Eiffel built it. [1]", StopReason::EndTurn, None);
    check(
        "Gustave Eiffel built it. It stands in Paris.",
        &stopping,
        "Gustave Eiffel built it. [1] It stands in [1]",
        StopReason::StopSequence,
        None,
    );
    check(built, &short, "Gustave Eiffel [1]", StopReason::MaxTokens, None);
    check(
        "Gustave Eiffel built it. Gustave Eiffel built it. Gustave",
        &plain,
        "Gustave Eiffel built it. [1]",
        StopReason::EndTurn,
        None,
    );
}

#[test]
fn cut_characters_are_left_out() {
    let reply = "Gustave Eiffel built 語語語語語語";
    for (max_tokens, characters) in [(4, 0), (5, 2), (6, 4), (7, 6)] {
        let short = Inference {
            max_tokens,
            ..Inference::default()
        };
        let (heard, summary) = ask(reply, tower(), &short);
        let text = format!("Gustave Eiffel built {}", "語".repeat(characters));
        assert!(heard.text.starts_with(text.trim_end()), "{}", heard.text);
        assert!(!heard.text.contains('\u{fffd}'), "{}", heard.text);
        assert_eq!(
            summary.output_tokens, max_tokens as u64,
            "the token that was cut counts"
        );
    }
}

#[test]
fn unsupported_text_is_no_answer() {
    let plain = Inference::default();
    let invented = "Leonardo drew machines quietly.";
    check(
        invented,
        &plain,
        invented,
        StopReason::NoAnswer,
        Some(NoAnswerReason::NotSupported),
    );
    let declining = "The text does not say who built it.";
    check(
        declining,
        &plain,
        declining,
        StopReason::NoAnswer,
        Some(NoAnswerReason::ModelDeclined),
    );
    check("", &plain, "", StopReason::NoAnswer, Some(NoAnswerReason::NotSupported));
}

#[test]
fn full_window_ends_the_answer() {
    let mut text = String::new();
    // One sentence that is supported makes it an answer, if one that is cut off.
    let items: String = (0..400)
        .flat_map(|number| ["Item".to_owned(), number.to_string(), " ".to_owned()])
        .collect();
    let reply = format!("Gustave Eiffel built it. {items}");
    let summary = answer(
        &ScriptedModel::new([reply]).with_context_tokens(200),
        Asked {
            question: QUESTION,
            hits: tower(),
            inference: &Inference {
                max_tokens: 4_096,
                ..Inference::default()
            },
            prompt_time: PromptTime::default(),
            embedder: None,
        },
        &Cancel::new(),
        &mut |event| {
            if let AnswerEvent::Text(piece) = event {
                text.push_str(&piece);
            }
            Ok(())
        },
    )
    .expect("a full window is no error");
    assert_eq!(summary.stop_reason, StopReason::ContextWindowExceeded);
    assert!(text.starts_with("Gustave Eiffel built it. [1] Item0 Item1 "), "{text}");
}

#[test]
fn irrelevant_hits_call_no_model() {
    let (heard, summary) = ask(
        "Never said.",
        vec![hit("bread", 0, "Bread is baked.")],
        &Inference::default(),
    );
    assert_eq!(heard.text, no_answer_text(NoAnswerReason::NotRelevant));
    assert_eq!(heard.references, []);
    assert_eq!((summary.stop_reason, summary.output_tokens), (StopReason::NoAnswer, 0));
    let (heard, summary) = ask("Never said.", Vec::new(), &Inference::default());
    assert_eq!(heard.text, no_answer_text(NoAnswerReason::NoResults));
    assert_eq!(summary.no_answer_reason, Some(NoAnswerReason::NoResults));
}

#[test]
fn cancelled_answer_stops_within_a_token() {
    let cancel = Cancel::new();
    let mut texts = 0;
    let stopped = answer(
        &ScriptedModel::new(["Gustave Eiffel built it and then much more was said."]),
        Asked {
            question: QUESTION,
            hits: tower(),
            inference: &Inference::default(),
            prompt_time: PromptTime::default(),
            embedder: None,
        },
        &cancel,
        &mut |event| {
            if matches!(event, AnswerEvent::Text(_)) {
                texts += 1;
                cancel.cancel();
            }
            Ok(())
        },
    );
    assert!(
        matches!(stopped, Err(Error::Stopped(Stopped::Cancelled))),
        "{stopped:?}"
    );
    assert_eq!(texts, 1);
}

#[test]
fn lost_reader_ends_the_generation() {
    let mut events = 0;
    let stopped = answer(
        &ScriptedModel::new(["Gustave Eiffel built it."]),
        Asked {
            question: QUESTION,
            hits: tower(),
            inference: &Inference::default(),
            prompt_time: PromptTime::default(),
            embedder: None,
        },
        &Cancel::new(),
        &mut |_| {
            events += 1;
            if events == 3 { Err(Stopped::Cancelled) } else { Ok(()) }
        },
    );
    assert!(
        matches!(stopped, Err(Error::Stopped(Stopped::Cancelled))),
        "{stopped:?}"
    );
    assert_eq!(events, 3);
}

#[test]
fn passed_deadline_stops_before_the_model() {
    let cancel = Cancel::with_deadline(Some(std::time::Instant::now()));
    let model = ScriptedModel::new(["x"]);
    let stopped = answer(
        &model,
        Asked {
            question: QUESTION,
            hits: tower(),
            inference: &Inference::default(),
            prompt_time: PromptTime::default(),
            embedder: None,
        },
        &cancel,
        &mut |_| Ok(()),
    );
    assert!(
        matches!(stopped, Err(Error::Stopped(Stopped::DeadlineExceeded))),
        "{stopped:?}"
    );
}

#[test]
fn quoted_answers_are_sentences_of_the_passages() {
    let quoting = Inference {
        style: Some(AnswerStyle::Quoted),
        ..Inference::default()
    };
    let (heard, summary) = ask("never said", tower(), &quoting);
    assert_eq!(heard.text, "The Eiffel Tower was built in 1889 by Gustave Eiffel. [1]");
    assert_eq!(heard.kinds.first(), Some(&'r'));
    assert_eq!(heard.citations.len(), 1);
    assert_eq!(
        heard.citations[0].source_text,
        "The Eiffel Tower was built in 1889 by Gustave Eiffel."
    );
    assert!((heard.citations[0].support - 1.0).abs() < 1e-9);
    assert_eq!(
        (summary.stop_reason, summary.no_answer_reason),
        (StopReason::EndTurn, None)
    );
    let short = Inference {
        max_tokens: 3,
        ..quoting
    };
    let (heard, summary) = ask("never said", tower(), &short);
    assert_eq!((summary.stop_reason, summary.output_tokens), (StopReason::MaxTokens, 3));
    assert_eq!(heard.text, "The Eiffel Tower [1]");
}
