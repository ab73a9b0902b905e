//! What is embedded and indexed for a chunk: its text under a line that says where it stands.

/// Between the parts of the context line.
const BETWEEN_PARTS: &str = " > ";

/// Returns the text of a chunk under its context line: title and headings, outermost first. The title is not repeated
/// when it is the first heading; without either there is no line.
pub fn embedded_text(title: Option<&str>, heading_path: &[String], text: &str) -> String {
    let title = title.map(str::trim).filter(|title| !title.is_empty());
    let repeats = |title: &&str| heading_path.first().is_some_and(|first| first.trim() == *title);
    let title = title.filter(|title| !repeats(title));
    let headings = heading_path
        .iter()
        .map(|heading| heading.trim())
        .filter(|heading| !heading.is_empty());
    let parts: Vec<&str> = title.into_iter().chain(headings).collect();
    if parts.is_empty() {
        return text.to_owned();
    }
    format!("{}\n{text}", parts.join(BETWEEN_PARTS))
}
