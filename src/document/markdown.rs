//! Markdown: the source is the text, blocks are found by their places in it.
//!
//! Comes in: decoded source. Goes out: the same text with its blocks.
//! Always holds: whatever is not white space or front matter lies in a block, reference definitions too.
//! Not here: rendering.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::{Block, BlockKind, ByteSpan, Document, Format};

/// Reads Markdown; the extracted text is the source.
pub(super) fn read(text: String) -> Document {
    let matter = FrontMatter::of(&text);
    let (start, mut title) = match matter {
        Some(matter) => (matter.end, matter.title),
        None => (0, None),
    };
    let blocks = cover(&text, start, blocks(&text, start));
    if title.is_none() {
        title = blocks
            .iter()
            .find(|block| block.kind == BlockKind::Heading(1))
            .map(|block| block.heading.clone())
            .filter(|heading| !heading.is_empty());
    }
    Document {
        format: Format::Markdown,
        title,
        text,
        blocks,
    }
}

/// Attributes that stand before the text, between lines of `---` (YAML) or `+++` (TOML).
struct FrontMatter {
    end: usize,
    title: Option<String>,
}

impl FrontMatter {
    fn of(text: &str) -> Option<Self> {
        let mut lines = text.split_inclusive('\n');
        let first = lines.next()?;
        let fence = first.trim_end();
        if !matches!(fence, "---" | "+++") {
            return None;
        }
        let start = first.len();
        let mut end = start;
        for line in lines {
            let bare = line.trim_end();
            if bare == fence || (fence == "---" && bare == "...") {
                let inner = &text[start..end];
                let end = end + line.len();
                return match fence {
                    "---" => is_yaml(inner).then(|| Self {
                        end,
                        title: yaml_title(inner),
                    }),
                    _ => inner.parse::<toml::Table>().ok().map(|table| Self {
                        end,
                        title: table.get("title").and_then(|value| value.as_str()).and_then(cleaned),
                    }),
                };
            }
            end += line.len();
        }
        None
    }
}

/// Whether text between two lines of dashes is a mapping, and not prose between two rules.
fn is_yaml(inner: &str) -> bool {
    let first = inner
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let Some(line) = first else { return true };
    line.split_once(':').is_some_and(|(key, value)| {
        !key.is_empty()
            && !key.starts_with(char::is_whitespace)
            && key.chars().all(|c| c.is_alphanumeric() || "_-. \"'".contains(c))
            && (value.is_empty() || value.starts_with(char::is_whitespace))
    })
}

fn yaml_title(inner: &str) -> Option<String> {
    let mut lines = inner.lines();
    let value = lines.by_ref().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim_matches(['"', '\'']).eq_ignore_ascii_case("title")).then_some(value.trim())
    })?;
    if value.starts_with(['>', '|']) {
        let folded: Vec<&str> = lines
            .take_while(|line| line.starts_with([' ', '\t']))
            .map(str::trim)
            .collect();
        return cleaned(&folded.join(" "));
    }
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(inner) = quoted('"') {
        return cleaned(&inner.replace("\\\"", "\"").replace("\\\\", "\\"));
    }
    if let Some(inner) = quoted('\'') {
        return cleaned(&inner.replace("''", "'"));
    }
    let value = value.find(" #").map_or(value, |comment| &value[..comment]);
    cleaned(value)
}

fn cleaned(title: &str) -> Option<String> {
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    (!title.is_empty()).then_some(title)
}

/// Finds the blocks of `text` from `start` on; containers other than lists are looked into.
fn blocks(text: &str, start: usize) -> Vec<Block> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES;
    let mut blocks = Vec::new();
    // Nesting inside the block that is being read, and of quotes and lists around it.
    let (mut inside, mut quotes) = (0_usize, 0_usize);
    let mut heading: Option<String> = None;
    for (event, range) in Parser::new_ext(&text[start..], options).into_offset_iter() {
        let span = ByteSpan::new(start + range.start, start + range.end);
        match event {
            Event::Start(_) if inside > 0 => inside += 1,
            Event::Start(Tag::BlockQuote(_) | Tag::FootnoteDefinition(_)) => quotes += 1,
            Event::End(TagEnd::BlockQuote(_) | TagEnd::FootnoteDefinition) if inside == 0 => quotes -= 1,
            // A list is no block, its items are.
            Event::Start(Tag::List(_)) | Event::End(TagEnd::List(_)) if inside == 0 => {}
            Event::Start(tag) => {
                inside = 1;
                let kind = match tag {
                    Tag::Heading { level, .. } if quotes == 0 => {
                        heading = Some(String::new());
                        BlockKind::Heading(rank(level))
                    }
                    Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => BlockKind::Code,
                    Tag::Table(_) => BlockKind::Table,
                    Tag::Item => BlockKind::ListItem,
                    _ => BlockKind::Paragraph,
                };
                blocks.push(block(span, kind));
            }
            Event::End(_) => {
                inside -= 1;
                if inside == 0
                    && let (Some(text), Some(block)) = (heading.take(), blocks.last_mut())
                {
                    block.heading = text.split_whitespace().collect::<Vec<_>>().join(" ");
                }
            }
            Event::Text(piece) | Event::Code(piece) => {
                if let Some(text) = heading.as_mut() {
                    text.push_str(&piece);
                }
            }
            Event::SoftBreak | Event::HardBreak => {
                if let Some(text) = heading.as_mut() {
                    text.push(' ');
                }
            }
            _ => {}
        }
    }
    blocks
}

fn rank(level: HeadingLevel) -> u8 {
    level as u8
}

fn block(span: ByteSpan, kind: BlockKind) -> Block {
    Block {
        span,
        kind,
        heading: String::new(),
        page: None,
    }
}

/// Trims blocks, and puts what lies between them (definitions, rules, marks of quotes) into blocks too.
fn cover(text: &str, start: usize, blocks: Vec<Block>) -> Vec<Block> {
    let mut covered: Vec<Block> = Vec::with_capacity(blocks.len());
    let mut at = start;
    for mut block in blocks {
        let begin = block.span.start.max(at);
        let end = block.span.end.max(begin);
        // A mark on the same line, like that of a quote, belongs to the block.
        let line = text[at..begin].rfind('\n').map_or(at, |newline| at + newline + 1);
        fill(text, ByteSpan::new(at, line), &mut covered);
        if let Some(span) = trimmed(text, ByteSpan::new(line, end)) {
            block.span = span;
            covered.push(block);
        }
        at = end;
    }
    fill(text, ByteSpan::new(at, text.len()), &mut covered);
    covered
}

fn fill(text: &str, gap: ByteSpan, covered: &mut Vec<Block>) {
    covered.extend(super::plain::paragraphs(text, gap).map(|span| block(span, BlockKind::Paragraph)));
}

fn trimmed(text: &str, span: ByteSpan) -> Option<ByteSpan> {
    let inner = &text[span.start..span.end];
    let start = span.start + (inner.len() - inner.trim_start().len());
    let length = inner.trim().len();
    (length > 0).then(|| ByteSpan::new(start, start + length))
}
