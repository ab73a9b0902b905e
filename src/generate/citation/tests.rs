//! Tests of citation.

use proptest::prelude::*;

use super::*;
use crate::generate::fixture::references;

const TOWER: &str = "The Eiffel Tower stands in Paris. It was built in 1889 by Gustave Eiffel.";
const BREAD: &str = "Bread is baked from flour.";

struct Written {
    text: String,
    citations: Vec<Citation>,
    tally: Tally,
    has_repeated: bool,
}

fn write<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Written {
    let sources = Sources::new("What?", &references(&[TOWER, BREAD]));
    let mut annotator = Annotator::new(&sources, AnswerStyle::Free);
    let mut events: Vec<AnswerEvent> = pieces.into_iter().flat_map(|piece| annotator.push(piece)).collect();
    let has_repeated = annotator.has_repeated();
    let (last, tally) = annotator.finish();
    events.extend(last);
    let mut written = Written {
        text: String::new(),
        citations: Vec::new(),
        tally,
        has_repeated,
    };
    for event in events {
        match event {
            AnswerEvent::Text(piece) => {
                assert!(!piece.is_empty(), "an empty piece was given out");
                written.text.push_str(&piece);
            }
            AnswerEvent::Citation(citation) => {
                // What a citation points to was given out before it.
                assert_eq!(
                    citation.answer_span.of(&written.text),
                    Some(citation.answer_text.as_str())
                );
                written.citations.push(citation);
            }
            AnswerEvent::References(_) => panic!("an annotator has no references to give"),
        }
    }
    written
}

fn check(model_text: &str, visible: &str, origins: &[(u32, CitationOrigin)]) {
    for size in [1, 2, 5, 1_000] {
        let chars: Vec<char> = model_text.chars().collect();
        let pieces: Vec<String> = chars.chunks(size).map(|piece| piece.iter().collect()).collect();
        let written = write(pieces.iter().map(String::as_str));
        assert_eq!(written.text, visible, "in pieces of {size}");
        let found: Vec<_> = written
            .citations
            .iter()
            .map(|c| (c.reference_number, c.origin))
            .collect();
        assert_eq!(found, origins, "{model_text}");
    }
}

use CitationOrigin::{Attributed, Model};

#[test]
fn supported_sentences_get_marks() {
    check(
        "It was built in 1889. Bread is baked.\n",
        "It was built in 1889. [1] Bread is baked. [2]",
        &[(1, Attributed), (2, Attributed)],
    );
    check("Unheard of things happened.", "Unheard of things happened.", &[]);
    check(
        "- Built in 1889\n- Baked bread\n",
        "- Built in 1889 [1]\n- Baked bread [2]",
        &[(1, Attributed), (2, Attributed)],
    );
    check("1. Gustave Eiffel", "1. Gustave Eiffel [1]", &[(1, Attributed)]);
}

#[test]
fn the_models_marks_are_checked() {
    check("It was built in 1889 [1].", "It was built in 1889. [1]", &[(1, Model)]);
    check(
        "It was built in 1889. [1] Then",
        "It was built in 1889. [1] Then",
        &[(1, Model)],
    );
    check(
        "It was built in 1889.[1][2]",
        "It was built in 1889. [1]",
        &[(1, Model)],
    );
    check("Bread [1, 2] is baked.", "Bread is baked. [2]", &[(2, Model)]);
    check(
        "It was built in 1889 [2].",
        "It was built in 1889. [1]",
        &[(1, Attributed)],
    );
    check(
        "It was built in 1889 [7].",
        "It was built in 1889. [1]",
        &[(1, Attributed)],
    );
    check("Unheard of things happened [1].", "Unheard of things happened.", &[]);
    check("Bread is baked [Passage 2].", "Bread is baked. [2]", &[(2, Model)]);
    check("Unheard [9] of", "Unheard of", &[]);
}

#[test]
fn brackets_that_are_no_marks_stay() {
    check("See [the] map [1889] or a[[2]", "See [the] map [1889] or a[", &[]);
    check("An open [", "An open [", &[]);
    check("An open [1", "An open [1", &[]);
}

#[test]
fn repetition_ends_the_answer_unseen() {
    let written = write(["Bread is baked. Bread is", " baked. More"]);
    assert_eq!(written.text, "Bread is baked. [2]");
    assert!(written.has_repeated);
    check(
        "Bread is baked. Bread is eaten",
        "Bread is baked. [2] Bread is eaten",
        &[(2, Attributed)],
    );
    check("No. No. No.", "No. No. No.", &[]);
}

#[test]
fn declining_sentences_are_not_cited() {
    let written = write(["The text does not say who built the Eiffel Tower."]);
    assert_eq!(written.citations, []);
    assert_eq!(
        written.tally,
        Tally {
            supported: 0,
            declined: 1
        }
    );
}

#[test]
fn text_flows_before_the_sentence_ends() {
    let sources = Sources::new("What?", &references(&[TOWER]));
    let mut annotator = Annotator::new(&sources, AnswerStyle::Free);
    assert_eq!(annotator.push("It was"), [AnswerEvent::Text("It was".into())]);
    assert_eq!(annotator.push(" built"), [AnswerEvent::Text(" built".into())]);
    assert_eq!(annotator.push(" ["), []);
    assert_eq!(annotator.push("x"), [AnswerEvent::Text(" [x".into())]);
}

proptest! {
    #[test]
    fn any_split_gives_the_same_answer(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "It was built in 1889", "bread", ".", ". ", "! ", "\n", " ", "[1]", "[", "]", " [2, 1]", "[9]", "1. ", "- ",
                "Bread is baked.", "。", "\"", "é", "The", "Gustave Eiffel", "Dr. ", "[12345]",
            ]),
            0..25,
        ),
        cuts in prop::collection::vec(1usize..6, 1..40),
    ) {
        let text = words.concat();
        let whole = write([text.as_str()]);
        let chars: Vec<char> = text.chars().collect();
        let mut pieces = Vec::new();
        let (mut at, mut turn) = (0, 0);
        while at < chars.len() {
            let end = (at + cuts[turn % cuts.len()]).min(chars.len());
            pieces.push(chars[at..end].iter().collect::<String>());
            (at, turn) = (end, turn + 1);
        }
        let split = write(pieces.iter().map(String::as_str));
        prop_assert_eq!(&split.text, &whole.text);
        prop_assert_eq!(&split.citations, &whole.citations);
        let mut last = 0;
        for citation in &whole.citations {
            prop_assert!(citation.answer_span.start >= last);
            last = citation.answer_span.end;
            prop_assert_eq!(citation.answer_span.of(&whole.text), Some(citation.answer_text.as_str()));
            let source = if citation.reference_number == 1 { TOWER } else { BREAD };
            let span = citation.source_span;
            prop_assert_eq!(source.get(span.start - 100..span.end - 100), Some(citation.source_text.as_str()));
            prop_assert!(citation.support >= MARKED_SUPPORT && citation.support <= 1.0);
        }
    }
}
