//! Tree to text, element by element.

use ego_tree::iter::Edge;
use ego_tree::{NodeId, NodeRef};
use scraper::Node;
use scraper::node::Element;

use super::super::BlockKind;
use super::writer::{Page, Writer};
use super::{Outline, element, table};

/// How much of a page is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The main element, with its own header.
    Main,
    /// The page without navigation, headers, footers and asides.
    Content,
    /// All of the page, what is marked as hidden too.
    Everything,
}

impl Scope {
    /// Whether an element is passed over with everything in it.
    pub(super) fn drops(self, element: &Element, within_article: bool) -> bool {
        element::is_invisible(element)
            || (self != Self::Everything
                && (element::is_hidden(element) || element::is_chrome(element, within_article)))
    }
}

/// Extracts the text under a node. Walks along the tree's own links, so depth costs no stack.
pub(super) fn extract(root: NodeRef<'_, Node>, scope: Scope, outline: &Outline) -> Page {
    let mut walk = Walk {
        writer: Writer::default(),
        articles: usize::from(scope == Scope::Main),
        heading: None,
        preformatted: 0,
        items: 0,
        lists: Vec::new(),
    };
    let mut passed_over: Option<NodeId> = None;
    for edge in root.traverse() {
        match edge {
            Edge::Open(node) if passed_over.is_none() => match node.value() {
                Node::Text(text) => walk.text(text),
                Node::Element(element) => {
                    let is_root = node.id() == root.id();
                    if !is_root && scope.drops(element, walk.articles > 0) {
                        passed_over = Some(node.id());
                    } else if element.name() == "table" && !outline.layout_tables.contains(&node.id()) {
                        walk.end_block();
                        walk.writer.block(&table::lines(node, scope), BlockKind::Table);
                        passed_over = Some(node.id());
                    } else {
                        walk.open(element);
                    }
                }
                _ => {}
            },
            Edge::Open(_) => {}
            Edge::Close(node) if passed_over == Some(node.id()) => passed_over = None,
            Edge::Close(_) if passed_over.is_some() => {}
            Edge::Close(node) => {
                if let Node::Element(element) = node.value() {
                    walk.close(element);
                }
            }
        }
    }
    walk.end_block();
    walk.writer.finish()
}

struct Walk {
    writer: Writer,
    /// How many articles and the like are open.
    articles: usize,
    /// Level of the heading that is open.
    heading: Option<u8>,
    /// How many preformatted elements are open.
    preformatted: usize,
    /// How many list items are open.
    items: usize,
    /// For each open list, the number of its next item if it counts.
    lists: Vec<Option<i64>>,
}

impl Walk {
    fn text(&mut self, text: &str) {
        if self.preformatted > 0 {
            self.writer.verbatim(text);
        } else {
            self.writer.inline(text);
        }
    }

    fn kind(&self) -> BlockKind {
        match self.heading {
            Some(level) => BlockKind::Heading(level),
            None if self.preformatted > 0 => BlockKind::Code,
            None if self.items > 0 => BlockKind::ListItem,
            None => BlockKind::Paragraph,
        }
    }

    fn end_block(&mut self) {
        self.writer.end_block(self.kind());
    }

    fn open(&mut self, element: &Element) {
        let name = element.name();
        if let Some(level) = element::heading_level(name) {
            self.end_block();
            self.heading = Some(level);
            return;
        }
        match name {
            "br" if self.preformatted > 0 => self.writer.verbatim("\n"),
            // A second break in a row is how old pages part paragraphs.
            "br" => self.line_break(),
            "pre" | "listing" | "xmp" | "plaintext" => {
                if self.preformatted == 0 {
                    self.end_block();
                }
                self.preformatted += 1;
            }
            "ul" | "menu" | "dir" => {
                self.edge();
                self.lists.push(None);
            }
            "ol" => {
                self.edge();
                let first = element.attr("start").and_then(|start| start.trim().parse().ok());
                self.lists.push(Some(first.unwrap_or(1)));
            }
            "li" => self.open_item(),
            "article" | "main" => {
                self.edge();
                self.articles += 1;
            }
            _ if element::is_block(name) => self.edge(),
            _ => {}
        }
    }

    fn close(&mut self, element: &Element) {
        let name = element.name();
        if element::heading_level(name).is_some() {
            self.end_block();
            self.heading = None;
            return;
        }
        match name {
            "pre" | "listing" | "xmp" | "plaintext" => {
                if self.preformatted == 1 {
                    self.end_block();
                }
                self.preformatted = self.preformatted.saturating_sub(1);
            }
            "ul" | "ol" | "menu" | "dir" => {
                self.edge();
                self.lists.pop();
            }
            "li" => {
                if self.items == 1 {
                    self.end_block();
                } else {
                    self.writer.end_line();
                }
                self.items = self.items.saturating_sub(1);
            }
            "article" | "main" => {
                self.edge();
                self.articles = self.articles.saturating_sub(1);
            }
            _ if element::is_block(name) => self.edge(),
            _ => {}
        }
    }

    /// The edge of a block-level element: a new line within headings, code and list items, a new block elsewhere.
    fn edge(&mut self) {
        if self.preformatted > 0 {
            self.writer.end_line();
        } else if self.heading.is_some() {
            self.writer.inline(" ");
        } else if self.items > 0 {
            self.writer.end_line();
        } else {
            self.end_block();
        }
    }

    fn line_break(&mut self) {
        if self.writer.end_line() && self.items == 0 && self.heading.is_none() {
            self.end_block();
        }
    }

    fn open_item(&mut self) {
        if self.items == 0 {
            self.end_block();
        } else {
            self.writer.end_line();
        }
        let depth = self.items.min(self.lists.len().saturating_sub(1)).min(MAX_INDENT);
        self.items += 1;
        let bullet = match self.lists.last_mut() {
            Some(Some(number)) => {
                let bullet = format!("{number}. ");
                *number = number.saturating_add(1);
                bullet
            }
            _ => "- ".to_owned(),
        };
        self.writer.begin_item(format!("{}{bullet}", "  ".repeat(depth)));
    }
}

/// Deepest indent of nested lists; deeper ones are lists in name only.
const MAX_INDENT: usize = 8;
