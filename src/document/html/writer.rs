//! Text and blocks as they come together.

use super::super::{Block, BlockKind, ByteSpan};

/// An extracted page.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) text: String,
    pub(super) blocks: Vec<Block>,
}

/// Collects inline text into blocks. White space collapses as in a browser; a no-break space counts as a space.
#[derive(Debug, Default)]
pub(super) struct Writer {
    page: Page,
    /// The block that is being written.
    buffer: String,
    /// Indent and bullet of a list item, written before its first text.
    marker: Option<String>,
}

impl Writer {
    /// Adds running text.
    pub(super) fn inline(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_ascii_whitespace() || c == '\u{a0}' {
                if !self.buffer.is_empty() && !self.buffer.ends_with([' ', '\n']) {
                    self.buffer.push(' ');
                }
            } else {
                self.character(c);
            }
        }
    }

    /// Adds preformatted text.
    pub(super) fn verbatim(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\n' | '\t' | ' ' => self.buffer.push(c),
                '\u{a0}' => self.buffer.push(' '),
                _ => self.character(c),
            }
        }
    }

    fn character(&mut self, c: char) {
        // Soft hyphens and zero-width spaces would hide words from the keyword index.
        if matches!(c, '\u{ad}' | '\u{200b}' | '\u{feff}') {
            return;
        }
        if let Some(marker) = self.marker.take() {
            self.buffer.push_str(&marker);
        }
        self.buffer.push(if c == '\0' { '\u{fffd}' } else { c });
    }

    /// Ends the line; returns whether it was empty.
    pub(super) fn end_line(&mut self) -> bool {
        let length = self.buffer.trim_end_matches(' ').len();
        self.buffer.truncate(length);
        if self.buffer.is_empty() || self.buffer.ends_with('\n') {
            return true;
        }
        self.buffer.push('\n');
        false
    }

    /// Begins a line of a list with this indent and bullet.
    pub(super) fn begin_item(&mut self, marker: String) {
        self.marker = Some(marker);
    }

    /// Ends the block that is being written, if it holds anything.
    pub(super) fn end_block(&mut self, kind: BlockKind) {
        self.marker = None;
        let buffer = std::mem::take(&mut self.buffer);
        self.block(&buffer, kind);
    }

    /// Adds a whole block.
    pub(super) fn block(&mut self, text: &str, kind: BlockKind) {
        // The indent of the first line of code is part of it; blank lines before it are not.
        let body = text.trim_end();
        let blank = body.len() - body.trim_start().len();
        let body = match kind {
            BlockKind::Code => &body[body[..blank].rfind('\n').map_or(0, |newline| newline + 1)..],
            _ => &body[blank..],
        };
        if body.trim().is_empty() {
            return;
        }
        if let Some(last) = self.page.blocks.last() {
            let list_goes_on = last.kind == BlockKind::ListItem && kind == BlockKind::ListItem;
            self.page.text.push_str(if list_goes_on { "\n" } else { "\n\n" });
        }
        let start = self.page.text.len();
        let heading = match kind {
            BlockKind::Heading(_) => {
                // Permanent links of headings show a pilcrow.
                let heading = body.trim_end_matches(['\u{b6}', ' ', '\n']);
                heading.split_whitespace().collect::<Vec<_>>().join(" ")
            }
            _ => String::new(),
        };
        match kind {
            BlockKind::Heading(_) if heading.is_empty() => self.page.text.push_str(body),
            BlockKind::Heading(_) => self.page.text.push_str(&heading),
            _ => self.page.text.push_str(body),
        }
        self.page.blocks.push(Block {
            span: ByteSpan::new(start, self.page.text.len()),
            kind,
            heading,
            page: None,
        });
    }

    /// Gives up what was written.
    pub(super) fn finish(self) -> Page {
        self.page
    }
}
