//! Characters and line ends of extracted text.

use unicode_normalization::UnicodeNormalization;

/// Takes ligatures apart, and drops NULs and other characters that nobody sees.
pub(super) fn normalized(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Latin, Armenian, Hebrew and Arabic ligatures and letter forms: searched as the letters that they show.
            '\u{fb00}'..='\u{fb4f}' | '\u{fb50}'..='\u{fdfb}' | '\u{fe70}'..='\u{fefc}' => out.extend(c.nfkc()),
            '\u{a0}' | '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => out.push(' '),
            '\u{feff}' | '\u{200b}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Adds a line to a paragraph: a word cut by a hyphen is joined, lines of Chinese and Japanese meet without a space.
pub(super) fn join(paragraph: &mut String, line: &str) {
    let line: String = line
        .chars()
        .enumerate()
        .filter_map(|(at, c)| keep_inside(at, c, line))
        .collect();
    if paragraph.is_empty() {
        paragraph.push_str(&line);
        return;
    }
    let mut before = paragraph.chars().rev();
    let (last, second_last) = (before.next(), before.next());
    let next = line.chars().next();
    let is_hyphenated = matches!(last, Some('-' | '\u{2010}'))
        && second_last.is_some_and(char::is_lowercase)
        && next.is_some_and(char::is_lowercase);
    if last == Some('\u{ad}') || is_hyphenated {
        paragraph.pop();
    } else if !(last.is_some_and(is_ideographic) && next.is_some_and(is_ideographic)) {
        paragraph.push(' ');
    }
    paragraph.push_str(&line);
}

/// Soft hyphens inside a line are invisible; one at its end says that the word goes on.
fn keep_inside(at: usize, c: char, line: &str) -> Option<char> {
    let is_last = || line.chars().nth(at + 1).is_none();
    (c != '\u{ad}' || is_last()).then_some(c)
}

fn is_ideographic(c: char) -> bool {
    matches!(u32::from(c), 0x3000..=0x30FF | 0x3400..=0x9FFF | 0xF900..=0xFAFF | 0xFF00..=0xFFEF | 0x20000..=0x3FFFF)
}

/// Whether a line ends like a sentence.
pub(super) fn ends_sentence(line: &str) -> bool {
    let bare = line
        .trim_end()
        .trim_end_matches(['"', '\'', ')', ']', '\u{201d}', '\u{2019}', '\u{bb}']);
    bare.ends_with(['.', '!', '?', ':', '\u{2026}', '\u{3002}', '\u{ff01}', '\u{ff1f}'])
}

/// Whether a line begins with a lowercase letter.
pub(super) fn begins_lowercase(line: &str) -> bool {
    line.trim_start().chars().next().is_some_and(char::is_lowercase)
}

/// Whether a line begins with a bullet or the number of a list.
pub(super) fn begins_item(line: &str) -> bool {
    let line = line.trim_start();
    if line.starts_with(['\u{2022}', '\u{25cf}', '\u{25aa}', '\u{25e6}', '\u{2023}', '\u{f0b7}']) {
        return true;
    }
    if line.starts_with("- ") || line.starts_with("\u{2013} ") {
        return true;
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    (1..=2).contains(&digits) && (line[digits..].starts_with(". ") || line[digits..].starts_with(") "))
}
