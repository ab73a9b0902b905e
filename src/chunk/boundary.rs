//! Where a text may be cut: sentences, lines, words, characters.
//!
//! Comes in: text. Goes out: ends of its pieces, rising, the last one the end of the text.
//! Always holds: ends lie on character boundaries.
//! Not here: sizes (see [`super::budget`]).

use unicode_segmentation::UnicodeSegmentation;

/// Words that a full stop after them does not end a sentence, lowercase and without that stop.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "bzw", "ca", "cf", "corp", "d.h", "dept", "dr", "e.g", "eds", "est", "etc", "evtl", "figs", "ggf",
    "hr", "i.e", "inc", "jr", "ltd", "mr", "mrs", "ms", "mt", "prof", "refs", "sr", "st", "u.a", "usw", "vgl", "viz",
    "vs", "z.b",
];

/// Words that are abbreviations only when a number follows.
const BEFORE_NUMBERS: &[&str] = &[
    "art", "ch", "ed", "eq", "fig", "max", "min", "no", "nr", "op", "p", "pp", "ref", "rev", "sec", "tab", "vol",
];

/// Ends of sentences, white space after them included.
///
/// Begins with the sentences of Unicode (UAX 29) and joins what they part too eagerly: after abbreviations and
/// initials, inside addresses, and at line ends where no sentence ends.
pub(super) fn sentences(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut pieces = text.split_sentence_bound_indices().peekable();
    while let Some((start, piece)) = pieces.next() {
        let next = pieces.peek().map_or("", |(_, next)| *next);
        if next.is_empty() || ends_sentence(piece, next) {
            ends.push(start + piece.len());
        }
    }
    ends
}

fn ends_sentence(piece: &str, next: &str) -> bool {
    let bare = piece.trim_end();
    let space = &piece[bare.len()..];
    if bare.is_empty() {
        return false;
    }
    // The second line end of a blank line is a sentence of its own to Unicode.
    if space.matches('\n').count() > 1 || (space.contains('\n') && next.trim().is_empty()) {
        return true;
    }
    let inner = bare.trim_end_matches(['"', '\'', ')', ']', '}', '*', '_', '\u{201d}', '\u{2019}', '\u{bb}']);
    let terminator = inner.chars().next_back().unwrap_or(' ');
    if matches!(
        terminator,
        '\u{3002}' | '\u{ff01}' | '\u{ff1f}' | '\u{ff0e}' | '\u{ff61}'
    ) || bare.ends_with(['\u{300d}', '\u{300f}'])
    {
        return true;
    }
    if !matches!(
        terminator,
        '.' | '!' | '?' | '\u{2026}' | '\u{61f}' | '\u{6d4}' | '\u{964}'
    ) {
        // Unicode ends a sentence at each line end; wrapped text goes on, a list does not.
        return space.contains('\n') && (terminator == ':' || begins_item(next));
    }
    if space.is_empty() && next.starts_with(|c: char| c.is_ascii_graphic()) {
        return false;
    }
    terminator != '.' || !is_abbreviated(&inner[..inner.len() - 1], next)
}

fn is_abbreviated(before_stop: &str, next: &str) -> bool {
    let word = before_stop
        .rsplit(|c: char| c.is_whitespace() || "([{\"'".contains(c))
        .next()
        .unwrap_or_default();
    let mut chars = word.chars();
    let is_initial = chars.next().is_some_and(char::is_uppercase) && chars.next().is_none();
    if word.len() > 6 {
        return is_initial;
    }
    let word = word.to_lowercase();
    let before_number = next.starts_with(|c: char| c.is_ascii_digit()) && BEFORE_NUMBERS.contains(&word.as_str());
    is_initial || before_number || ABBREVIATIONS.contains(&word.as_str())
}

fn begins_item(line: &str) -> bool {
    let line = line.trim_start();
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &line[digits..];
    match digits {
        0 => ["- ", "* ", "+ ", "\u{2022}", "|", "#"]
            .iter()
            .any(|mark| rest.starts_with(mark)),
        1..=3 => rest.starts_with(". ") || rest.starts_with(") "),
        _ => false,
    }
}

/// Ends of lines, line ends included.
pub(super) fn lines(text: &str) -> Vec<usize> {
    let mut at = 0;
    text.split_inclusive('\n')
        .map(|line| {
            at += line.len();
            at
        })
        .collect()
}

/// Ends of words, white space after them included. Ideographs, which are written without spaces, are words each.
pub(super) fn words(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let end = at + c.len_utf8();
        match chars.peek() {
            None => ends.push(end),
            Some((_, next)) if next.is_whitespace() => {}
            Some((_, next)) => {
                let ideographs = is_ideograph(*next) && (is_ideograph(c) || c.is_alphanumeric());
                if c.is_whitespace() || ideographs {
                    ends.push(end);
                }
            }
        }
    }
    ends
}

fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c), 0x3040..=0x30FF | 0x3400..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

/// Ends of characters as people see them.
pub(super) fn graphemes(text: &str) -> Vec<usize> {
    text.grapheme_indices(true)
        .map(|(at, grapheme)| at + grapheme.len())
        .collect()
}

/// Ends of code points.
pub(super) fn chars(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, c)| at + c.len_utf8()).collect()
}
