//! Source to tree, of bounded depth.
//!
//! Comes in: source. Goes out: a tree whose elements nest at most a few hundred deep, as in browsers.
//! Always holds: text is never dropped; only tags nested too deeply are, and those of blocks leave a mark that parts
//! their texts.

use std::borrow::Cow;

use scraper::Html;

/// Deepest nesting of elements; the parser looks through all open ones at each tag.
const MAX_DEPTH: usize = 256;
/// Deepest nesting of formatting, which the parser repeats in every block that follows while it is open.
const MAX_FORMATTING: usize = 16;

/// Stands for the tags of a block nested too deeply.
const BREAK: &str = "<hr>";

/// Parses a page.
pub(super) fn parse(source: &str) -> Html {
    Html::parse_document(&flattened(source))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    /// Never holds elements, or is closed by the next of its kind.
    Not,
    Formatting,
    Deep,
}

fn nesting(name: &str) -> Nesting {
    match name {
        "area" | "base" | "br" | "col" | "embed" | "hr" | "img" | "input" | "link" | "meta" | "source" | "track"
        | "wbr" | "param" | "html" | "head" | "body" | "p" | "li" | "dt" | "dd" | "tr" | "td" | "th" | "thead"
        | "tbody" | "tfoot" | "colgroup" | "caption" | "option" | "optgroup" | "rt" | "rp" | "rb" | "h1" | "h2"
        | "h3" | "h4" | "h5" | "h6" => Nesting::Not,
        "a" | "b" | "big" | "code" | "em" | "font" | "i" | "nobr" | "s" | "small" | "strike" | "strong" | "tt"
        | "u" => Nesting::Formatting,
        _ => Nesting::Deep,
    }
}

/// Leaves out tags that nest too deeply.
fn flattened(source: &str) -> Cow<'_, str> {
    let mut flat = String::new();
    // How much of the source is in `flat`.
    let mut kept = 0;
    let (mut depth, mut formatting) = (0_usize, 0_usize);
    let mut at = 0;
    while let Some(found) = source[at..].find('<') {
        let start = at + found;
        let Some(tag) = Tag::of(&source[start..]) else {
            at = start + 1;
            continue;
        };
        at = start + tag.length;
        let (level, limit) = match nesting(&tag.name) {
            Nesting::Not => continue,
            Nesting::Formatting => (&mut formatting, MAX_FORMATTING),
            Nesting::Deep => (&mut depth, MAX_DEPTH),
        };
        let is_over = if tag.closes {
            let is_over = *level > limit;
            *level = level.saturating_sub(1);
            is_over
        } else {
            *level += 1;
            *level > limit
        };
        if is_over {
            flat.push_str(&source[kept..start]);
            if limit == MAX_DEPTH && !matches!(tag.name.as_str(), "span" | "sup" | "sub") {
                flat.push_str(BREAK);
            }
            kept = at;
        }
    }
    if kept == 0 {
        return Cow::Borrowed(source);
    }
    flat.push_str(&source[kept..]);
    Cow::Owned(flat)
}

struct Tag {
    name: String,
    closes: bool,
    /// Bytes of the tag; for scripts and the like, with their content up to the closing tag.
    length: usize,
}

impl Tag {
    /// Reads the tag or comment that a text begins with.
    fn of(text: &str) -> Option<Self> {
        if text.starts_with("<!--") {
            return Some(Self {
                name: "hr".to_owned(),
                closes: false,
                length: text.find("-->").map_or(text.len(), |end| end + 3),
            });
        }
        let closes = text.starts_with("</");
        let rest = &text[1 + usize::from(closes)..];
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let end = rest
            .find(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/')
            .unwrap_or(rest.len());
        // No element has a longer name, but a damaged page may go on for megabytes.
        let name: String = rest[..end].chars().take(32).collect::<String>().to_ascii_lowercase();
        let mut length = tag_length(text);
        if !closes
            && matches!(
                name.as_str(),
                "script" | "style" | "textarea" | "title" | "xmp" | "iframe" | "noscript"
            )
        {
            length += raw_length(&text[length..], &name);
            return Some(Self {
                name: "hr".to_owned(),
                closes,
                length,
            });
        }
        Some(Self { name, closes, length })
    }
}

/// The length of a tag; a `>` in a quoted value does not end it.
fn tag_length(text: &str) -> usize {
    let mut quote = None;
    let mut before = b' ';
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at + 1,
            // A quote begins a value only after an equals sign.
            (None, b'"' | b'\'') if before == b'=' => quote = Some(byte),
            (Some(open), _) if byte == open => quote = None,
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            before = byte;
        }
    }
    text.len()
}

/// How much of a text stands before the closing tag of this name.
fn raw_length(text: &str, name: &str) -> usize {
    let mut at = 0;
    while let Some(found) = text[at..].find("</") {
        let start = at + found;
        let after = text.as_bytes().get(start + 2..start + 2 + name.len());
        if after.is_some_and(|after| after.eq_ignore_ascii_case(name.as_bytes())) {
            return start;
        }
        at = start + 2;
    }
    text.len()
}
