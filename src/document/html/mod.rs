//! HTML: what a reader of the page would read.
//!
//! Comes in: decoded source. Goes out: text and blocks, headings included.
//! Always holds: dropping navigation and the like never leaves nothing; no input overflows the stack.
//! Not here: scripts are not run, nothing is fetched.

mod element;
mod parse;
mod table;
mod walk;
mod writer;

use std::collections::HashSet;

use ego_tree::iter::Edge;
use ego_tree::{NodeId, NodeRef};
use scraper::{Html, Node};

use super::{BlockKind, Document, Format};
use element::name_of;
use walk::{Scope, extract};
use writer::Page;

/// A `main` of at least this many bytes is the content of the page whatever else there is.
const SUBSTANTIAL_BYTES: usize = 2_000;
/// A smaller one must hold at least one part in this many of the page's text.
const SUBSTANTIAL_SHARE: usize = 4;

/// Reads HTML.
pub(super) fn read(source: &str) -> Document {
    let html = parse::parse(source);
    let outline = Outline::of(&html);
    let page = content(&html, &outline);
    let title = outline.title.or_else(|| {
        let heading = page.blocks.iter().find(|block| block.kind == BlockKind::Heading(1));
        heading.map(|block| block.heading.clone())
    });
    Document {
        format: Format::Html,
        title,
        text: page.text,
        blocks: page.blocks,
    }
}

/// Extracts the main part if the page marks one, else the page without navigation, else all of it.
fn content(html: &Html, outline: &Outline) -> Page {
    let root = html.tree.root();
    let page = extract(root, Scope::Content, outline);
    let main = outline.main.and_then(|id| html.tree.get(id));
    if let Some(main) = main.map(|node| extract(node, Scope::Main, outline)) {
        let length = main.text.len();
        if length >= SUBSTANTIAL_BYTES || (length > 0 && length * SUBSTANTIAL_SHARE >= page.text.len()) {
            return main;
        }
    }
    if page.blocks.is_empty() {
        return extract(root, Scope::Everything, outline);
    }
    page
}

/// What one walk over the page finds out before the text is extracted.
struct Outline {
    title: Option<String>,
    /// The element that holds the content.
    main: Option<NodeId>,
    /// Tables that place things on the page instead of holding data: they hold tables or headings themselves.
    layout_tables: HashSet<NodeId>,
}

impl Outline {
    fn of(html: &Html) -> Self {
        let mut layout_tables = HashSet::new();
        let mut open_tables: Vec<NodeId> = Vec::new();
        let (mut title, mut social_title) = (None, None);
        let (mut main, mut articles) = (None, Vec::new());
        for edge in html.tree.root().traverse() {
            match edge {
                Edge::Open(node) => {
                    let Node::Element(element) = node.value() else { continue };
                    match element.name() {
                        name @ ("table" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6") => {
                            layout_tables.extend(open_tables.last());
                            if name == "table" {
                                open_tables.push(node.id());
                                if matches!(element.attr("role"), Some("presentation" | "none")) {
                                    layout_tables.insert(node.id());
                                }
                            }
                        }
                        "main" if main.is_none() => main = Some(node.id()),
                        _ if main.is_none() && element.attr("role") == Some("main") => main = Some(node.id()),
                        "article" => articles.push(node.id()),
                        "title" if title.is_none() && is_in_head(node) => title = text_of(node),
                        "meta" if element.attr("property") == Some("og:title") => {
                            social_title = element.attr("content").and_then(collapsed);
                        }
                        _ => {}
                    }
                }
                Edge::Close(node) => {
                    if open_tables.last() == Some(&node.id()) {
                        open_tables.pop();
                    }
                }
            }
        }
        // Several articles are a list of them; one is the content.
        let article = (articles.len() == 1).then(|| articles[0]);
        Self {
            title: title.or(social_title),
            main: main.or(article),
            layout_tables,
        }
    }
}

/// Pictures (SVG) have titles too; only the one of the head names the page.
fn is_in_head(node: NodeRef<'_, Node>) -> bool {
    let parent = node.parent().and_then(name_of);
    matches!(parent, Some("head" | "html" | "body"))
}

fn text_of(node: NodeRef<'_, Node>) -> Option<String> {
    let mut text = String::new();
    for inner in node.descendants() {
        if let Node::Text(piece) = inner.value() {
            text.push_str(piece);
        }
    }
    collapsed(&text)
}

fn collapsed(text: &str) -> Option<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
