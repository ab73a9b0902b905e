//! Plain text: paragraphs between blank lines.

use super::{Block, BlockKind, ByteSpan, Document, Format};

/// Reads plain text; the extracted text is the source.
pub(super) fn read(text: String) -> Document {
    let blocks = paragraphs(&text, ByteSpan::new(0, text.len()))
        .map(|span| Block {
            span,
            kind: BlockKind::Paragraph,
            heading: String::new(),
            page: None,
        })
        .collect();
    Document {
        format: Format::PlainText,
        title: None,
        text,
        blocks,
    }
}

/// Ranges of `within` between blank lines (and form feeds), without white space at either end.
pub(super) fn paragraphs(text: &str, within: ByteSpan) -> impl Iterator<Item = ByteSpan> + '_ {
    let end = within.end;
    let mut at = within.start;
    std::iter::from_fn(move || {
        let rest = &text[at..end];
        let start = at + (rest.len() - rest.trim_start().len());
        if start == end {
            at = end;
            return None;
        }
        let stop = blank_line(&text[start..end]).map_or(end, |length| start + length);
        at = stop;
        Some(ByteSpan::new(start, start + text[start..stop].trim_end().len()))
    })
}

/// Where the first blank line or form feed of a text begins.
fn blank_line(text: &str) -> Option<usize> {
    let mut line_is_blank = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\x0C' => return Some(at),
            // A lone carriage return ends a line too; of a pair, the line feed counts.
            b'\r' if text.as_bytes().get(at + 1) == Some(&b'\n') => {}
            b'\n' | b'\r' if line_is_blank => return Some(at),
            b'\n' | b'\r' => line_is_blank = true,
            b' ' | b'\t' => {}
            _ => line_is_blank = false,
        }
    }
    None
}
