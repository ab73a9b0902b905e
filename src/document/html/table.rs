//! Tables as lines of cells.

use ego_tree::NodeRef;
use ego_tree::iter::Edge;
use scraper::Node;

use super::walk::Scope;

/// Between the cells of a line.
const BETWEEN_CELLS: &str = " | ";

/// Writes a table: its caption, then a line a row. Columns that are empty in every row are left out.
pub(super) fn lines(table: NodeRef<'_, Node>, scope: Scope) -> String {
    let mut rows = Rows::default();
    let mut passed_over = None;
    for edge in table.traverse() {
        match edge {
            Edge::Open(node) if passed_over.is_none() => match node.value() {
                Node::Text(text) => rows.text(text),
                Node::Element(element) if node.id() != table.id() && scope.drops(element, true) => {
                    passed_over = Some(node.id());
                }
                Node::Element(element) => match element.name() {
                    "tr" => rows.rows.push(Vec::new()),
                    "td" | "th" => rows.open_cell(),
                    "caption" => rows.rows.push(vec![String::new()]),
                    "br" => rows.text(" "),
                    name if super::element::is_block(name) || name == "li" => rows.text(" "),
                    _ => {}
                },
                _ => {}
            },
            Edge::Close(node) if passed_over == Some(node.id()) => passed_over = None,
            _ => {}
        }
    }
    rows.lines()
}

#[derive(Default)]
struct Rows {
    rows: Vec<Vec<String>>,
}

impl Rows {
    fn open_cell(&mut self) {
        match self.rows.last_mut() {
            Some(row) => row.push(String::new()),
            None => self.rows.push(vec![String::new()]),
        }
    }

    fn text(&mut self, text: &str) {
        let blank = text.chars().all(char::is_whitespace);
        if self.rows.last().is_none_or(Vec::is_empty) {
            // Parsers move stray text out of tables, so this is white space between cells.
            if blank {
                return;
            }
            self.open_cell();
        }
        let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) else {
            return;
        };
        for c in text.chars() {
            match c {
                '\u{ad}' | '\u{200b}' | '\u{feff}' => {}
                '\0' => cell.push('\u{fffd}'),
                c if c.is_whitespace() => {
                    if !cell.is_empty() && !cell.ends_with(' ') {
                        cell.push(' ');
                    }
                }
                c => cell.push(c),
            }
        }
    }

    fn lines(self) -> String {
        let width = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut used = vec![false; width];
        for row in &self.rows {
            for (used, cell) in used.iter_mut().zip(row) {
                *used |= !cell.trim().is_empty();
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            if row.iter().all(|cell| cell.trim().is_empty()) {
                continue;
            }
            let cells: Vec<&str> = row
                .iter()
                .zip(&used)
                .filter(|(_, used)| **used)
                .map(|(cell, _)| cell.trim())
                .collect();
            let filled = cells
                .iter()
                .rposition(|cell| !cell.is_empty())
                .map_or(0, |last| last + 1);
            text.push_str(cells[..filled].join(BETWEEN_CELLS).trim_end());
            text.push('\n');
        }
        text
    }
}
