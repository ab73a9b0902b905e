//! Tests of quote.

use super::*;

#[test]
fn marks_of_lists_and_headings_are_no_words() {
    let check = |sentence: &str, expected: &str| assert_eq!(quotable(sentence), expected, "{sentence}");
    check("  The limit is 64 MiB. ", "The limit is 64 MiB.");
    check("- The limit is 64 MiB.", "The limit is 64 MiB.");
    check("2. Start the server.", "Start the server.");
    check("2026 was a good year.", "2026 was a good year.");
    check("> Quoted words here.", "Quoted words here.");
    check(
        "A sentence that goes\nover two lines.",
        "A sentence that goes over two lines.",
    );
    check("## Limits of documents", "");
    check("|---|---|---|", "");
    check("Yes.", "");
}
