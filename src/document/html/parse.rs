//! Source to tree.

use scraper::Html;

/// Parses a page.
pub(super) fn parse(source: &str) -> Html {
    Html::parse_document(source)
}
