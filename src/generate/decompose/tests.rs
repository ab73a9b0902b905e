//! Tests of the parts of questions.

use super::*;

#[track_caller]
fn check(question: &str, expected: &[&str]) {
    assert_eq!(parts(question), expected, "{question}");
}

#[test]
fn questions_are_cut_where_another_begins() {
    check(
        "How large are chunks and which port does the server use?",
        &["How large are chunks", "which port does the server use"],
    );
    check(
        "How deep can filters nest? How many attributes has a document?",
        &["How deep can filters nest", "How many attributes has a document"],
    );
    check(
        "When is the release, and who approves invoices?",
        &["When is the release", "who approves invoices"],
    );
    check(
        "What is a pin, how is it set, and in which order are weights tried?",
        &["What is a pin, how is it set", "in which order are weights tried"],
    );
    check(
        "Where do files lie, what is kept?",
        &["Where do files lie", "what is kept"],
    );
}

#[test]
fn things_that_are_compared_are_asked_for_one_by_one() {
    check(
        "What is the difference between a pin and a lease?",
        &["What is a pin", "What is a lease"],
    );
    check("Compare backups with bundles.", &["backups", "bundles"]);
    check("How do pins differ from leases?", &["How do pins", "leases"]);
    check("keyword search vs. dense search", &["keyword search", "dense search"]);
}

#[test]
fn one_question_stays_whole() {
    for one in [
        "",
        "?",
        "What is an epoch?",
        "How do I back up and restore a knowledge base?",
        "Which terms and vectors are kept?",
        "What is an epoch and how long is it kept?",
        "pins and leases",
        "What is a pin? What is a pin?",
    ] {
        check(one, &[]);
    }
    check(&"What is a pin and what is a lease? ".repeat(100), &[]);
}

#[test]
fn parts_are_few_and_in_the_questions_words() {
    let many = "What is ink? What is paper? What is glue? What is thread? What is cloth?";
    assert_eq!(parts(many).len(), MAX_PARTS);
}

proptest::proptest! {
    #[test]
    fn parts_hold_no_word_that_the_question_lacks(text in "[ a-zA-Z,.?é]{0,60}") {
        let text = format!("{text} and what is the difference between {text} and ink? who {text}");
        let whole = content_words(&text);
        for part in parts(&text) {
            proptest::prop_assert!(content_words(&part).is_subset(&whole));
        }
    }
}
