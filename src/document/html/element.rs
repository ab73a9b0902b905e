//! What the elements of HTML mean for reading.

use ego_tree::NodeRef;
use scraper::Node;
use scraper::node::Element;

/// The name of an element; nothing for texts and comments.
pub(super) fn name_of(node: NodeRef<'_, Node>) -> Option<&str> {
    node.value().as_element().map(Element::name)
}

/// Whether an element is never read: code, controls, embedded things, and what its author hides.
pub(super) fn is_invisible(element: &Element) -> bool {
    matches!(
        element.name(),
        "head"
            | "script"
            | "style"
            | "template"
            | "noscript"
            | "svg"
            | "iframe"
            | "object"
            | "embed"
            | "canvas"
            | "audio"
            | "video"
            | "select"
            | "datalist"
            | "button"
            | "textarea"
            | "dialog"
            | "annotation"
            | "annotation-xml"
    )
}

/// Whether an element is marked as hidden. Pages that a script uncovers hide everything, so this can be given up.
pub(super) fn is_hidden(element: &Element) -> bool {
    if element.attr("hidden").is_some() || element.attr("aria-hidden") == Some("true") {
        return true;
    }
    element.attr("style").is_some_and(|style| {
        let style: String = style.chars().filter(|c| !c.is_whitespace()).collect();
        let style = style.to_ascii_lowercase();
        style.contains("display:none") || style.contains("visibility:hidden")
    })
}

/// Whether an element frames the content of a page.
pub(super) fn is_chrome(element: &Element, within_article: bool) -> bool {
    match element.name() {
        "nav" | "footer" | "aside" => true,
        // The header of an article holds its heading, the header of a page holds menus.
        "header" => !within_article,
        _ => matches!(
            element.attr("role"),
            Some("navigation" | "banner" | "contentinfo" | "complementary" | "search" | "menu" | "menubar")
        ),
    }
}

/// The level of a heading.
pub(super) fn heading_level(name: &str) -> Option<u8> {
    match name.as_bytes() {
        [b'h', digit @ b'1'..=b'6'] => Some(digit - b'0'),
        _ => None,
    }
}

/// Whether an element begins and ends a line of its own.
pub(super) fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "caption"
            | "center"
            | "dd"
            | "details"
            | "dir"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "header"
            | "hgroup"
            | "hr"
            | "html"
            | "legend"
            | "main"
            | "menu"
            | "nav"
            | "ol"
            | "option"
            | "p"
            | "search"
            | "section"
            | "summary"
            | "table"
            | "tbody"
            | "td"
            | "tfoot"
            | "th"
            | "thead"
            | "tr"
            | "ul"
    )
}
