//! Tests of context.

use proptest::prelude::*;

use super::*;
use crate::generate::fixture::hit;
use crate::generate::rank::rank;
use crate::worker::Cancel;

#[expect(clippy::unnecessary_wraps, reason = "a model's tokenizer can fail")]
fn words(text: &str) -> Result<usize, Error> {
    Ok(text.split_whitespace().count())
}

fn ranked(question: &str, hits: &[Hit]) -> Vec<Ranked> {
    rank(question, hits, None, &Cancel::new()).expect("words alone cannot fail")
}

fn check(question: &str, texts: &[&str], budget: usize, expected: &[(u32, &str)]) {
    let hits: Vec<Hit> = texts.iter().map(|text| hit("d", 0, text)).collect();
    let chosen = choose(&ranked(question, &hits), &hits, budget, &words).expect("counting words cannot fail");
    let found: Vec<_> = chosen.iter().map(|e| (e.reference.number, e.text.as_str())).collect();
    assert_eq!(found, expected);
}

const TOWER: &str = "The tower is in Paris. It is tall. Eiffel built the tower. It rusts.";
const BREAD: &str = "Bread is baked. Eiffel ate bread.";

#[test]
fn everything_is_offered_where_it_fits() {
    check("Who?", &[TOWER, BREAD], 100, &[(1, TOWER), (2, BREAD)]);
}

#[test]
fn nearest_sentences_are_offered_in_order() {
    check(
        "Who built the tower?",
        &[BREAD, TOWER],
        18,
        &[(1, "The tower is in Paris. … Eiffel built the tower.")],
    );
    check(
        "Did Eiffel eat bread?",
        &[TOWER, BREAD],
        10,
        &[(1, "Eiffel ate bread.")],
    );
}

#[test]
fn unlike_words_leave_the_order_of_hits() {
    check(
        "Wie hoch?",
        &[TOWER, BREAD],
        15,
        &[(1, "The tower is in Paris. It is tall.")],
    );
}

#[test]
fn empty_budget_offers_nothing() {
    check("Who?", &[TOWER], 0, &[]);
    check("Who?", &[], 100, &[]);
}

proptest! {
    #[test]
    fn chosen_text_fits_the_budget(
        texts in prop::collection::vec("([A-C][a-c ]{0,12}\\. ){0,6}", 0..5), question in "[A-Ca-c ]{0,12}", budget in 0usize..60,
    ) {
        let hits: Vec<Hit> = texts.iter().map(|text| hit("d", 0, text)).collect();
        let chosen = choose(&ranked(&question, &hits), &hits, budget, &words).expect("counting words cannot fail");
        let used: usize = chosen.iter().map(|e| words(&e.text).unwrap_or(0)).sum();
        prop_assert!(used <= budget);
        for (number, excerpt) in (1..).zip(&chosen) {
            prop_assert_eq!(excerpt.reference.number, number);
            prop_assert!(excerpt.text.split(GAP).all(|part| excerpt.reference.hit.text.contains(part.split(". ").next().unwrap_or(""))));
        }
    }
}
