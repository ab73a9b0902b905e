//! Tests of what is left of questions.

use super::*;
use crate::generate::ScriptedModel;

#[track_caller]
fn check(question: &str, expected: &str) {
    assert_eq!(courtesy::without(question).join(" "), expected, "{question}");
}

#[test]
fn what_leads_to_a_question_is_left_out() {
    check(
        "Hi there, I was wondering if somebody could tell me how long, roughly, an access token stays valid? Thanks!",
        "how long roughly an access token stays valid",
    );
    check(
        "Our lawyer, who is careful, wants to know under which licence the two models are. Could you help me with this?",
        "under which licence the two models are",
    );
    check(
        "My bike was stolen. Would somebody please tell me: how do I get a new key? Many thanks in advance for your help!",
        "how do I get a new key",
    );
}

#[test]
fn clauses_that_ask_say_enough() {
    check(
        "Hello, a customer wants all data gone. Which call is it?",
        "a customer wants all data gone Which call is it",
    );
    check(
        "Hi all, the lamp in the hall is broken.",
        "the lamp in the hall is broken",
    );
    check("Do you know? Thanks!", "");
}

#[test]
fn short_and_long_questions_are_left_alone() {
    for question in [
        "",
        "Hi, how long does a token live?",
        "Hello there everyone, thank you so much for all of this!",
        &"why ".repeat(MAX_QUESTION_WORDS + 1),
        &"understanding of whales ".repeat(42),
    ] {
        assert_eq!(Draft::of(question), None, "{question}");
    }
}

#[test]
fn questions_without_a_word_to_drop_stay() {
    let question = "how long does an access token of the second kind stay valid";
    let draft = Draft::of(question).expect("it is long");
    assert_eq!(draft.into_text(), None);
}

proptest::proptest! {
    #[test]
    fn models_choose_words_in_their_order(question in "[ a-z,.?!:é<|>]{0,120}", seed in 0..3_usize) {
        let question = format!("hello, {question} can you tell me how the {question} whale swims under old bridges?");
        if let Some(draft) = Draft::of(&question) {
            let model = ScriptedModel::new(["yes", "no", "maybe"].into_iter().skip(seed));
            let chosen = draft
                .choose(&model, &PrefixCache::default(), &Cancel::new())
                .expect("the model answers");
            let mut words = question.split_whitespace().map(courtesy::trimmed);
            for word in &chosen.words {
                proptest::prop_assert!(words.any(|other| other == *word), "{:?} in {}", chosen, question);
            }
            proptest::prop_assert!(chosen.into_text().is_none_or(|text| text.split(' ').count() <= MAX_WORDS));
        }
    }
}
