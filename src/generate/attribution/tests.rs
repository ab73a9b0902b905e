//! Tests of attribution.

use super::*;
use crate::generate::fixture::references;

const TOWER: &str = "The Eiffel Tower stands in Paris. It was built in 1889 by Gustave Eiffel. It is 330 metres tall.";
const BREAD: &str = "Bread is baked from flour.\n\nRye bread is popular in Germany.";

fn check(sentence: &str, within: Option<u32>, expected: Option<(u32, &str)>, at_least: f64, at_most: f64) {
    let sources = Sources::new("When was the Eiffel Tower built?", &references(&[BREAD, TOWER]));
    let found = sources.best(sentence, within);
    let best = found
        .as_ref()
        .map(|support| (support.reference_number, support.source_text.as_str()));
    assert_eq!(best, expected, "{sentence}");
    if let Some(support) = found {
        assert!(
            (at_least..=at_most).contains(&support.share),
            "{sentence}: {}",
            support.share
        );
        let text = if support.reference_number == 1 { BREAD } else { TOWER };
        let span = ByteSpan::new(support.source_span.start - 100, support.source_span.end - 100);
        assert_eq!(span.of(text), Some(support.source_text.as_str()));
    }
}

#[test]
fn best_sentence_is_the_source() {
    let built = "It was built in 1889 by Gustave Eiffel.";
    check("Gustave Eiffel built it in 1889.", None, Some((2, built)), 1.0, 1.0);
    check(
        "It is 330 metres tall",
        None,
        Some((2, "It is 330 metres tall.")),
        1.0,
        1.0,
    );
    check(
        "Rye is popular in Germany.",
        None,
        Some((1, "Rye bread is popular in Germany.")),
        1.0,
        1.0,
    );
    check("2. Built in 1889.", None, Some((2, built)), 1.0, 1.0);
}

#[test]
fn neighbours_support_together() {
    let both = "The Eiffel Tower stands in Paris. It was built in 1889 by Gustave Eiffel.";
    check("The tower in Paris was built in 1889.", None, Some((2, both)), 1.0, 1.0);
}

#[test]
fn invented_words_lower_support() {
    let built = "It was built in 1889 by Gustave Eiffel.";
    check(
        "It was built in 1889 by the emperor Napoleon.",
        None,
        Some((2, built)),
        0.2,
        ATTRIBUTED_SUPPORT - 0.01,
    );
    check("The moon orbits quietly.", None, None, 0.0, 0.0);
    check("It is the of.", None, None, 0.0, 0.0);
}

#[test]
fn missing_number_is_no_support() {
    check("It was built in 1899 by Gustave Eiffel.", None, None, 0.0, 0.0);
}

#[test]
fn search_can_stay_in_one_passage() {
    check("Gustave Eiffel built it in 1889.", Some(1), None, 0.0, 0.0);
}

#[test]
fn passage_unlike_its_span_is_not_cited() {
    let mut damaged = references(&[TOWER]);
    damaged[0].hit.span.end += 1;
    let sources = Sources::new("When?", &damaged);
    assert!(!sources.has(1));
    assert_eq!(sources.best("It was built in 1889.", None), None);
}
