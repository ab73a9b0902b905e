//! Where sentences end. Used alike for passages and for text that is still being written.

use crate::document::ByteSpan;

/// Words before a full stop that do not end a sentence.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "apr", "aug", "capt", "cf", "col", "dec", "dr", "e.g", "eds", "etc", "feb", "fig", "gen", "gov",
    "i.e", "inc", "jan", "jr", "ltd", "mr", "mrs", "ms", "no", "nov", "oct", "prof", "rep", "sen", "sept", "sr", "st",
    "vs",
];

/// Returns whether a character can end a sentence.
pub(super) fn is_terminal(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…') || ends_without_space(c)
}

/// Returns whether a character ends a sentence with no space after it.
pub(super) fn ends_without_space(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '｡')
}

/// Returns whether a character may stand between the end of a sentence and the space after it.
pub(super) fn is_closer(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | ')' | ']' | '}' | '»' | '”' | '’' | '」' | '』' | '*' | '_'
    )
}

/// Returns whether `sentence`, which ends with a terminal and perhaps closers, is over when `next` follows after space.
pub(super) fn is_over(sentence: &str, next: char) -> bool {
    if !sentence.chars().any(char::is_alphabetic) {
        // "1." before an item.
        return false;
    }
    if next.is_lowercase() {
        return false;
    }
    let body = sentence.trim_end_matches(is_closer);
    let Some(before) = body.strip_suffix('.') else {
        return true;
    };
    let word = before
        .rsplit(|c: char| c.is_whitespace() || "([\"“'".contains(c))
        .next()
        .unwrap_or("");
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    // Only "no. 5" is short for number; "No. Five" is an answer.
    let is_short = match word.to_lowercase().as_str() {
        "no" => next.is_numeric(),
        word => ABBREVIATIONS.binary_search(&word).is_ok(),
    };
    !is_initial && !is_short
}

/// Splits a text into sentences, without the space around them. Blank lines and items of lists and tables end one too.
pub(super) fn sentences(text: &str) -> Vec<ByteSpan> {
    let mut spans = Vec::new();
    let mut start = 0;
    // End of what may be a whole sentence, once a terminal was seen.
    let mut end: Option<usize> = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let after = at + c.len_utf8();
        if c == '\n' && ends_at_line(&text[after..]) {
            push(&mut spans, text, start, at);
            (start, end) = (after, None);
        } else if c.is_whitespace() {
            if let (Some(stop), Some((_, next))) = (end, chars.peek())
                && !next.is_whitespace()
            {
                if is_over(text[start..stop].trim_start(), *next) {
                    push(&mut spans, text, start, stop);
                    start = after;
                }
                end = None;
            }
        } else if ends_without_space(c) && !chars.peek().is_some_and(|(_, next)| is_closer(*next)) {
            push(&mut spans, text, start, after);
            (start, end) = (after, None);
        } else if is_terminal(c) || (end == Some(at) && is_closer(c)) {
            end = Some(after);
        } else {
            end = None;
        }
    }
    push(&mut spans, text, start, text.len());
    spans
}

/// Returns whether a line break before `rest` ends a sentence.
fn ends_at_line(rest: &str) -> bool {
    let line = rest.split('\n').next().unwrap_or("").trim();
    line.is_empty() || line.starts_with(['-', '*', '•', '|', '#', '>', '+']) || is_numbered(line)
}

fn is_numbered(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < line.len() && (rest.starts_with(". ") || rest.starts_with(") "))
}

fn push(spans: &mut Vec<ByteSpan>, text: &str, start: usize, end: usize) {
    let part = &text[start..end];
    let start = start + (part.len() - part.trim_start().len());
    let end = start + part.trim().len();
    if start < end {
        spans.push(ByteSpan::new(start, end));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = sentences(text).iter().filter_map(|span| span.of(text)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn abbreviations_are_in_order() {
        assert!(ABBREVIATIONS.is_sorted());
    }

    #[test]
    fn sentences_end_at_their_bounds() {
        check("One. Two! Three?  Four", &["One.", "Two!", "Three?", "Four"]);
        check(
            "Dr. Smith met J. K. Rowling. They spoke.",
            &["Dr. Smith met J. K. Rowling.", "They spoke."],
        );
        check(
            "It is no. 5 of 3.5 million. No. Five.",
            &["It is no. 5 of 3.5 million.", "No.", "Five."],
        );
        check(
            "He said \"go.\" She went (home.) Then",
            &["He said \"go.\"", "She went (home.)", "Then"],
        );
        check("A line\nthat goes on.\n\nNext", &["A line\nthat goes on.", "Next"]);
        check(
            "Items:\n- one\n- two\n1. three",
            &["Items:", "- one", "- two", "1. three"],
        );
        check("東京は首都。人口は多い。", &["東京は首都。", "人口は多い。"]);
        check("e.g. this one etc. and more", &["e.g. this one etc. and more"]);
        check(" \n ", &[]);
        check("1. First thing. 2. Second", &["1. First thing.", "2. Second"]);
    }

    proptest! {
        #[test]
        fn spans_are_ordered_and_lose_no_word(text in "[a-zA-Z.!? \\n\"。é-]{0,60}") {
            let spans = sentences(&text);
            let mut covered = String::new();
            let mut last = 0;
            for span in spans {
                prop_assert!(span.start >= last && !span.is_empty());
                covered.push_str(span.of(&text).expect("spans are on character boundaries"));
                last = span.end;
            }
            let strip = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(strip(&covered), strip(&text));
        }
    }
}
