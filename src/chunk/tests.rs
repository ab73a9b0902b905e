//! Splitting: coverage, sizes, headings, overlap.

use proptest::prelude::*;

use super::{Chunk, ChunkConfig, boundary, embedded_text, split};
use crate::document::{self, Document, Hints, PdfReader};
use crate::worker::Cancel;

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn read(media_type: &str, source: &str) -> Document {
    let hints = Hints {
        media_type: Some(media_type.to_owned()),
        source_name: String::new(),
    };
    document::read(source.as_bytes(), &hints, &PdfReader::default(), &Cancel::new()).expect("the source is readable")
}

fn sized(max_tokens: usize, overlap_tokens: usize) -> ChunkConfig {
    ChunkConfig::FixedSize {
        max_tokens,
        overlap_tokens,
    }
}

fn texts(document: &Document, chunks: &[Chunk]) -> Vec<String> {
    let text = |chunk: &Chunk| {
        chunk
            .span
            .of(&document.text)
            .expect("the span lies in the text")
            .to_owned()
    };
    chunks.iter().map(text).collect()
}

/// Splits Markdown and compares heading path and text of each chunk.
fn check(source: &str, config: ChunkConfig, expected: &[(&[&str], &str)]) {
    let document = read("text/markdown", source);
    let chunks = split(&document, &config, &words);
    let found: Vec<(Vec<&str>, String)> = chunks
        .iter()
        .map(|chunk| chunk.heading_path.iter().map(String::as_str).collect())
        .zip(texts(&document, &chunks))
        .collect();
    let expected: Vec<(Vec<&str>, String)> = expected
        .iter()
        .map(|(path, text)| (path.to_vec(), (*text).to_owned()))
        .collect();
    assert_eq!(found, expected, "{source:?}");
}

/// Whether chunks cover the blocks, fit, are trimmed and numbered.
fn check_invariants(document: &Document, chunks: &[Chunk], max_tokens: usize, count: fn(&str) -> usize) {
    let mut covered = vec![false; document.text.len()];
    for (position, chunk) in chunks.iter().enumerate() {
        let text = chunk.span.of(&document.text).expect("the span lies in the text");
        assert_eq!(chunk.ordinal as usize, position);
        assert!(!text.is_empty() && text == text.trim(), "not trimmed: {text:?}");
        assert!(count(text) <= max_tokens, "{} tokens in {text:?}", count(text));
        assert_eq!(chunk.token_count as usize, count(text));
        covered[chunk.span.start..chunk.span.end].fill(true);
    }
    for block in &document.blocks {
        for (at, c) in document.text[block.span.start..block.span.end].char_indices() {
            let at = block.span.start + at;
            assert!(c.is_whitespace() || covered[at], "{c:?} at {at} is in no chunk");
        }
    }
    let starts: Vec<usize> = chunks.iter().map(|chunk| chunk.span.start).collect();
    assert!(starts.is_sorted(), "chunks are not in order");
}

#[test]
fn headings_open_sections() {
    check(
        "intro\n\n# A\n\none\n\n## B\n\ntwo\n\n## C\n\nthree\n\n# D\n\nfour\n",
        sized(20, 0),
        &[
            (&[], "intro"),
            (&["A"], "# A\n\none"),
            (&["A", "B"], "## B\n\ntwo"),
            (&["A", "C"], "## C\n\nthree"),
            (&["D"], "# D\n\nfour"),
        ],
    );
}

#[test]
fn bare_headings_join_their_first_subsection() {
    check(
        "# A\n\n## B\n\ntext\n",
        sized(20, 0),
        &[(&["A", "B"], "# A\n\n## B\n\ntext")],
    );
    check(
        "# A\n\n# B\n\ntext\n",
        sized(20, 0),
        &[(&["A"], "# A"), (&["B"], "# B\n\ntext")],
    );
    check("text\n\n# End\n", sized(20, 0), &[(&[], "text"), (&["End"], "# End")]);
    check(
        "# A\n\n### B\n\nx\n\n## C\n\ny\n",
        sized(20, 0),
        &[(&["A", "B"], "# A\n\n### B\n\nx"), (&["A", "C"], "## C\n\ny")],
    );
}

#[test]
fn paragraphs_are_packed_to_the_budget() {
    check(
        "a b c\n\nd e f\n\ng h i\n",
        sized(6, 0),
        &[(&[], "a b c\n\nd e f"), (&[], "g h i")],
    );
}

#[test]
fn long_paragraphs_are_cut_at_sentences() {
    check(
        "One two three. Four five six. Seven eight nine.\n",
        sized(6, 0),
        &[(&[], "One two three. Four five six."), (&[], "Seven eight nine.")],
    );
}

#[test]
fn long_sentences_are_cut_at_words() {
    check(
        "a b c d e f g\n",
        sized(3, 0),
        &[(&[], "a b c"), (&[], "d e f"), (&[], "g")],
    );
}

#[test]
fn headings_stand_with_their_text() {
    check(
        "# Long heading\n\nOne two. Three four. Five six.\n",
        sized(7, 0),
        &[
            (&["Long heading"], "# Long heading\n\nOne two. Three four."),
            (&["Long heading"], "Five six."),
        ],
    );
}

#[test]
fn code_is_cut_at_lines() {
    check(
        "```\na b. C\nd e. F\ng h. I\n```\n",
        sized(7, 0),
        &[(&[], "```\na b. C\nd e. F"), (&[], "g h. I\n```")],
    );
}

#[test]
fn overlap_repeats_whole_sentences() {
    check(
        "One two three. Four five. Six seven eight. Nine ten.\n",
        sized(6, 2),
        &[
            (&[], "One two three. Four five."),
            (&[], "Four five. Six seven eight."),
            (&[], "seven eight. Nine ten."),
        ],
    );
}

#[test]
fn overlap_falls_back_to_words() {
    check(
        "a b c d e f g h\n",
        sized(6, 2),
        &[(&[], "a b c d"), (&[], "c d e f g h")],
    );
}

#[test]
fn overlap_stays_in_its_section() {
    check(
        "# A\n\none two\n\n# B\n\nthree\n",
        sized(8, 4),
        &[(&["A"], "# A\n\none two"), (&["B"], "# B\n\nthree")],
    );
}

#[test]
fn one_chunk_without_strategy() {
    check(
        "---\ntitle: T\n---\n# A\n\none\n\n# B\n\ntwo\n",
        ChunkConfig::None,
        &[(&[], "# A\n\none\n\n# B\n\ntwo")],
    );
}

#[test]
fn words_of_any_length_are_cut() {
    let word = "x".repeat(10_000);
    let document = read("text/plain", &word);
    let chunks = split(&document, &sized(16, 0), &words);
    check_invariants(&document, &chunks, 16, words);
    assert!(chunks.len() > 10, "{} chunks", chunks.len());
}

#[test]
fn pages_come_from_the_first_block() {
    let mut document = read("text/plain", "one\n\ntwo\n\nthree");
    for (block, page) in document.blocks.iter_mut().zip(1..) {
        block.page = Some(page);
    }
    let pages: Vec<_> = split(&document, &sized(2, 0), &words)
        .iter()
        .map(|chunk| chunk.page)
        .collect();
    assert_eq!(pages, [Some(1), Some(3)]);
}

fn check_sentences(text: &str, expected: &[&str]) {
    let mut start = 0;
    let ends = boundary::sentences(text);
    let found: Vec<&str> = ends
        .into_iter()
        .map(|end| {
            let sentence = &text[start..end];
            start = end;
            sentence.trim()
        })
        .collect();
    assert_eq!(found, expected, "{text:?}");
}

#[test]
fn sentences_end_where_readers_say() {
    check_sentences("One. Two! Three? Four", &["One.", "Two!", "Three?", "Four"]);
    check_sentences(
        "Dr. Smith met Mr. J. Doe. They left.",
        &["Dr. Smith met Mr. J. Doe.", "They left."],
    );
    check_sentences(
        "It costs 3.14 dollars. Use v1.2.3 now.",
        &["It costs 3.14 dollars.", "Use v1.2.3 now."],
    );
    check_sentences(
        "See http://x.org/a?b=C now. Yes.",
        &["See http://x.org/a?b=C now.", "Yes."],
    );
    check_sentences("Some, e.g. Apples. More.", &["Some, e.g. Apples.", "More."]);
    check_sentences(
        "See No. 5 and Fig. 2. I said no. Then",
        &["See No. 5 and Fig. 2.", "I said no.", "Then"],
    );
    check_sentences("这是一。这是二！这是三？", &["这是一。", "这是二！", "这是三？"]);
    check_sentences(
        "A wrapped\nline goes on.\nNext one.",
        &["A wrapped\nline goes on.", "Next one."],
    );
    check_sentences("Items:\n- one\n- two", &["Items:", "- one", "- two"]);
    check_sentences("He said \"no.\" She left.", &["He said \"no.\"", "She left."]);
    check_sentences("A heading\n\nA text", &["A heading", "A text"]);
}

#[test]
fn context_lines_name_title_and_headings() {
    let check = |title: Option<&str>, path: &[&str], expected: &str| {
        let path: Vec<String> = path.iter().map(|heading| (*heading).to_owned()).collect();
        assert_eq!(embedded_text(title, &path, "text"), expected);
    };
    check(None, &[], "text");
    check(Some("T"), &[], "T\ntext");
    check(Some("T"), &["A", "B"], "T > A > B\ntext");
    check(Some("A"), &["A", "B"], "A > B\ntext");
    check(Some(" "), &["", "B"], "B\ntext");
}

/// Counts how often and how much is counted, so that work is bounded without a clock.
fn work(text: &str) -> (usize, usize) {
    let document = read("text/plain", text);
    let counted = std::cell::Cell::new(0);
    let count = |part: &str| {
        counted.set(counted.get() + part.len());
        words(part)
    };
    let chunks = split(&document, &ChunkConfig::default(), &count);
    check_invariants(&document, &chunks, super::DEFAULT_MAX_TOKENS, words);
    (counted.get(), document.text.len())
}

#[test]
fn large_texts_are_counted_a_few_times() {
    for (what, line) in [
        ("one line", "word and another one ".repeat(100_000)),
        ("one word", "x".repeat(2_000_000)),
        ("many lines", "a line of text without an end\n".repeat(70_000)),
        ("many paragraphs", "Short text. Two.\n\n".repeat(100_000)),
        ("many sentences", "Short text. Two more. ".repeat(100_000)),
    ] {
        let (counted, bytes) = work(&line);
        assert!(counted < 8 * bytes, "{what}: {counted} bytes counted for {bytes}");
    }
}

fn characters(text: &str) -> usize {
    text.chars().count()
}

fn fours(text: &str) -> usize {
    text.len().div_ceil(4)
}

fn any_source() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z]{1,9} ",
        1 => Just("\n".to_owned()),
        1 => Just("\n\n".to_owned()),
        1 => Just(". ".to_owned()),
        1 => "#{1,4} [a-z]{1,8}\n\n",
        1 => Just("\n\n```\ncode here\n  more\n```\n\n".to_owned()),
        1 => Just("\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n".to_owned()),
        1 => Just("\n- item\n  - inner\n".to_owned()),
        1 => Just("\n> quote\n".to_owned()),
        1 => Just("\n\n---\n\n".to_owned()),
        1 => Just("\n\n[ref]: http://example.org/x\n".to_owned()),
        1 => "[\\PC]{1,12}",
        1 => "[一-十。]{1,12}",
        1 => "[a-z]{60,90}",
        1 => Just("<div>\n<b>html</b>\n</div>\n".to_owned()),
    ];
    prop::collection::vec(piece, 1..60).prop_map(|pieces| format!("x{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_character_is_in_a_chunk(
        source in any_source(),
        markdown in any::<bool>(),
        max_tokens in 4_usize..80,
        overlap_tokens in 0_usize..20,
        counter in 0_usize..3,
    ) {
        let count = [words, characters, fours][counter];
        let media_type = if markdown { "text/markdown" } else { "text/plain" };
        let document = read(media_type, &source);
        for (at, c) in document.text.char_indices() {
            let inside = document.blocks.iter().any(|block| block.span.start <= at && at < block.span.end);
            prop_assert!(c.is_whitespace() || inside, "{c:?} at {at} is in no block");
        }
        let chunks = split(&document, &sized(max_tokens, overlap_tokens), &count);
        check_invariants(&document, &chunks, max_tokens, count);
    }
}
