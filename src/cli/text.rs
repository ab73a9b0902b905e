//! Text of others on our terminal: made harmless, wrapped, put into columns.

use std::borrow::Cow;

use console::{measure_text_width, truncate_str};

use super::output::Output;

/// Returns the text without characters that steer a terminal: documents and answers may hold any. Of line ends that
/// begin with a carriage return the line feed is kept.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        // A piece of text may end inside of a line end.
        let ends_line = c == '\r' && chars.peek().is_none_or(|next| *next == '\n');
        if !ends_line {
            kept.push(if steers(c) { '\u{fffd}' } else { c });
        }
    }
    Cow::Owned(kept)
}

fn steers(c: char) -> bool {
    // Beside control characters: marks that turn the direction of what follows.
    (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the text on one line, runs of white space as one blank.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    harmless(&words.join(" ")).into_owned()
}

/// Returns the text in lines of at most `width` columns, broken at blanks; a longer word has a line of its own.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in harmless(text).lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && measure_text_width(&line) + 1 + measure_text_width(word) > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        // One empty line between paragraphs is enough, and none at the beginning.
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// Returns a number with its noun, as in `1 chunk` and `2 chunks`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Between two columns.
const GAP: &str = "  ";
/// Columns of text are not made narrower than this, nor shortened within it.
const MIN_SHORTENED: usize = 12;
/// Where there is no terminal, cells are filled up to at most this width.
const MAX_BLANKS: usize = 80;

/// Returns the text in at most `width` columns: its beginning and its end, where it is longer.
fn shorten(text: &str, width: usize) -> Cow<'_, str> {
    if measure_text_width(text) <= width {
        return Cow::Borrowed(text);
    }
    let room = width.saturating_sub(1);
    let head = truncate_str(text, room.div_ceil(2), "");
    let mut tail_at = text.len();
    for (at, _) in text.char_indices().rev() {
        if measure_text_width(&text[at..]) > room / 2 {
            break;
        }
        tail_at = at;
    }
    Cow::Owned(format!("{head}…{}", &text[tail_at..]))
}

/// Which side of its column a cell stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Rows in columns.
pub(super) struct Table {
    columns: Vec<(String, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: &[(impl AsRef<str>, Side)]) -> Self {
        let columns = columns.iter().map(|(head, side)| (head.as_ref().to_owned(), *side));
        Self {
            columns: columns.collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: one cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| one_line(&cell)).collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// Writes the table. In a terminal its widest columns give way until it fits, and what is longer is shortened in the
    /// middle; elsewhere every cell is whole.
    pub(super) fn write(&self, output: &mut Output) -> std::io::Result<()> {
        let heads: Vec<String> = self.columns.iter().map(|(head, _)| head.clone()).collect();
        let mut widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let widest = cells.map(|cell| measure_text_width(cell)).max().unwrap_or(0);
                widest.max(measure_text_width(&heads[column]))
            })
            .collect();
        match output.width() {
            Some(limit) => self.fit(&mut widths, limit),
            // One long cell would push the others of all rows out of sight.
            None => widths.iter_mut().for_each(|width| *width = (*width).min(MAX_BLANKS)),
        }
        let head = self.aligned(&heads, &widths, output.width());
        output.line(output.dim(&head))?;
        for row in &self.rows {
            output.line(self.aligned(row, &widths, output.width()))?;
        }
        Ok(())
    }

    /// Takes from the widest columns of text what the table is wider than the terminal.
    fn fit(&self, widths: &mut [usize], limit: usize) {
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(limit);
        while excess > 0 {
            let texts = widths.iter_mut().zip(&self.columns);
            let shrinkable = texts.filter(|(width, (_, side))| *side == Side::Left && **width > MIN_SHORTENED);
            let Some((widest, _)) = shrinkable.max_by_key(|(width, _)| **width) else {
                return;
            };
            *widest -= 1;
            excess -= 1;
        }
    }

    fn aligned(&self, cells: &[String], widths: &[usize], limit: Option<usize>) -> String {
        let mut line = String::new();
        let last = cells.len().saturating_sub(1);
        for (at, ((cell, width), (_, side))) in cells.iter().zip(widths).zip(&self.columns).enumerate() {
            if !line.is_empty() {
                line.push_str(GAP);
            }
            // The last column is running text, which loses its end at the edge.
            let cell = if limit.is_some() && at < last {
                shorten(cell, *width)
            } else {
                Cow::Borrowed(cell.as_str())
            };
            let blanks = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
            match side {
                Side::Left => line.extend([&*cell, &blanks]),
                Side::Right => line.extend([&blanks, &*cell]),
            }
        }
        let line = line.trim_end();
        limit.map_or_else(|| line.to_owned(), |limit| truncate_str(line, limit, "…").into_owned())
    }
}
