//! The algorithm: sections, pieces that fit, chunks packed from them.
//!
//! Comes in: blocks. Goes out: chunks in order.
//! Always holds: a chunk holds text of one section only; its size never exceeds the budget, short of a single character
//! that does.

use super::budget::Budget;
use super::{Chunk, ChunkConfig, boundary};
use crate::document::{Block, BlockKind, ByteSpan, Document};

/// Splits a document.
///
/// A heading opens a section and stands in the section's first chunk; a heading that another one of lower rank follows
/// at once stands in that one's first chunk. Sections are not mixed. Within a section blocks are packed until
/// `max_tokens`; a block over that is cut at sentences (code and tables at lines), a sentence at words, a word at
/// characters. `count_tokens` is called on pieces, a bounded number of times for each.
pub fn split(document: &Document, config: &ChunkConfig, count_tokens: &dyn Fn(&str) -> usize) -> Vec<Chunk> {
    let mut chunks = match *config {
        ChunkConfig::None => whole(document, count_tokens).into_iter().collect(),
        ChunkConfig::FixedSize {
            max_tokens,
            overlap_tokens,
        } => {
            let max_tokens = max_tokens.max(1);
            let budget = Budget {
                max_tokens,
                overlap_tokens: overlap_tokens.min(max_tokens / 2),
                count: count_tokens,
            };
            let mut chunks = Vec::new();
            for section in sections(&document.blocks) {
                pack(&document.text, &section, &budget, &mut chunks);
            }
            chunks
        }
    };
    for (chunk, ordinal) in chunks.iter_mut().zip(0_u32..) {
        chunk.ordinal = ordinal;
        let after = document
            .blocks
            .partition_point(|block| block.span.end <= chunk.span.start);
        chunk.page = document.blocks.get(after).and_then(|block| block.page);
    }
    chunks
}

fn whole(document: &Document, count_tokens: &dyn Fn(&str) -> usize) -> Option<Chunk> {
    let (first, last) = (document.blocks.first()?, document.blocks.last()?);
    let span = trimmed(&document.text, ByteSpan::new(first.span.start, last.span.end))?;
    Some(chunk(span, &[], count_tokens(&document.text[span.start..span.end])))
}

fn chunk(span: ByteSpan, heading_path: &[String], tokens: usize) -> Chunk {
    Chunk {
        ordinal: 0,
        span,
        heading_path: heading_path.to_vec(),
        page: None,
        token_count: u32::try_from(tokens).unwrap_or(u32::MAX),
    }
}

/// Blocks under one heading, the heading itself first.
struct Section<'a> {
    heading_path: Vec<String>,
    blocks: &'a [Block],
    /// How many of the blocks are headings; they stand first.
    headings: usize,
}

fn sections(blocks: &[Block]) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut path: Vec<(u8, &str)> = Vec::new();
    let mut start = 0;
    let mut headings = 0;
    let titles = |path: &[(u8, &str)]| -> Vec<String> {
        let titles = path.iter().map(|(_, title)| (*title).to_owned());
        titles.filter(|title| !title.is_empty()).collect()
    };
    for (at, block) in blocks.iter().enumerate() {
        let BlockKind::Heading(level) = block.kind else {
            continue;
        };
        let only_headings = headings > 0 && at - start == headings;
        let goes_deeper = path.last().is_some_and(|(last, _)| *last < level);
        if at > start && !(only_headings && goes_deeper) {
            sections.push(Section {
                heading_path: titles(&path),
                blocks: &blocks[start..at],
                headings,
            });
            start = at;
            headings = 0;
        }
        headings += 1;
        path.truncate(path.iter().position(|(last, _)| *last >= level).unwrap_or(path.len()));
        path.push((level, &block.heading));
    }
    if start < blocks.len() {
        sections.push(Section {
            heading_path: titles(&path),
            blocks: &blocks[start..],
            headings,
        });
    }
    sections
}

/// A piece that fits into a chunk.
struct Piece {
    span: ByteSpan,
    size: usize,
    /// Cuts the piece's kind of text where a chunk may repeat it.
    repeat: fn(&str) -> Vec<usize>,
}

/// The pieces of a section, in order.
fn pieces(text: &str, section: &Section<'_>, budget: &Budget<'_>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (headings, body) = section.blocks.split_at(section.headings);
    for heading in headings {
        cut(text, heading, budget.max_tokens, budget, &mut pieces);
    }
    // What follows a heading is cut smaller if that lets it stand in one chunk with it.
    let taken: usize = pieces.iter().map(|piece| piece.size).sum();
    let mut room = budget.max_tokens.saturating_sub(taken);
    for block in body {
        cut(text, block, room, budget, &mut pieces);
        room = budget.max_tokens;
    }
    pieces
}

/// Cuts a block into pieces: itself if it fits into `room`, else its sentences or lines.
fn cut(text: &str, block: &Block, room: usize, budget: &Budget<'_>, pieces: &mut Vec<Piece>) {
    let Some(span) = trimmed(text, block.span) else { return };
    let by_lines = matches!(block.kind, BlockKind::Code | BlockKind::Table);
    let repeat = if by_lines { boundary::lines } else { boundary::sentences };
    if let Some(size) = budget.within(&text[span.start..span.end], room) {
        pieces.push(Piece { span, size, repeat });
        return;
    }
    let mut out = Cutter {
        text,
        budget,
        repeat,
        pieces,
    };
    for unit in parts(text, span, repeat) {
        if out.whole(unit) {
            continue;
        }
        let unit_text = &text[unit.start..unit.end];
        if by_lines || !unit_text.contains('\n') {
            out.words(unit);
            continue;
        }
        for line in parts(text, unit, boundary::lines) {
            if !out.whole(line) {
                out.words(line);
            }
        }
    }
}

struct Cutter<'a, 'b> {
    text: &'a str,
    budget: &'a Budget<'b>,
    repeat: fn(&str) -> Vec<usize>,
    pieces: &'a mut Vec<Piece>,
}

impl Cutter<'_, '_> {
    /// Takes a part whole, if it fits into a chunk.
    fn whole(&mut self, span: ByteSpan) -> bool {
        let part = &self.text[span.start..span.end];
        let Some(size) = self.budget.within(part, self.budget.max_tokens) else {
            return false;
        };
        self.push(span, size);
        true
    }

    fn push(&mut self, span: ByteSpan, size: usize) {
        let repeat = self.repeat;
        self.pieces.push(Piece { span, size, repeat });
    }

    /// Cuts a part at words, leaving room for the overlap.
    fn words(&mut self, span: ByteSpan) {
        let room = self.budget.max_tokens - self.budget.overlap_tokens;
        let mut at = span.start;
        while let Some(rest) = trimmed(self.text, ByteSpan::new(at, span.end)) {
            let (length, size) = self.budget.prefix(&self.text[rest.start..rest.end], room);
            let end = rest.start + length;
            if let Some(part) = trimmed(self.text, ByteSpan::new(rest.start, end)) {
                self.push(part, size);
            }
            at = end;
        }
    }
}

fn parts(text: &str, span: ByteSpan, ends: fn(&str) -> Vec<usize>) -> impl Iterator<Item = ByteSpan> + '_ {
    let mut at = span.start;
    ends(&text[span.start..span.end]).into_iter().filter_map(move |end| {
        let part = ByteSpan::new(at, span.start + end);
        at = part.end;
        trimmed(text, part)
    })
}

fn trimmed(text: &str, span: ByteSpan) -> Option<ByteSpan> {
    let inner = &text[span.start..span.end];
    let start = span.start + (inner.len() - inner.trim_start().len());
    let length = inner.trim().len();
    (length > 0).then(|| ByteSpan::new(start, start + length))
}

/// Packs the pieces of a section into chunks.
fn pack(text: &str, section: &Section<'_>, budget: &Budget<'_>, chunks: &mut Vec<Chunk>) {
    let pieces = pieces(text, section, budget);
    let max_tokens = budget.max_tokens;
    let mut at = 0;
    // Where the text of the chunk before begins, its own overlap left out.
    let mut before: Option<usize> = None;
    while let Some(first) = pieces.get(at) {
        let mut size = first.size;
        let mut taken = 1;
        while let Some(next) = pieces.get(at + taken).filter(|next| size + next.size <= max_tokens) {
            size += next.size;
            taken += 1;
        }
        let mut start = first.span.start;
        if let Some(previous) = before.zip(at.checked_sub(1).and_then(|last| pieces.get(last))) {
            let (begin, last) = previous;
            let room = budget.overlap_tokens.min(max_tokens.saturating_sub(first.size));
            if let Some(repeated) = budget.suffix(&text[begin..last.span.end], room, last.repeat) {
                start = begin + repeated;
                let extra = budget.size(text[start..last.span.end].trim_end());
                while taken > 1 && size + extra > max_tokens {
                    taken -= 1;
                    size -= pieces[at + taken].size;
                }
            }
        }
        let (start, taken, tokens) = settle(text, &pieces[at..], start, taken, budget);
        let span = ByteSpan::new(start, pieces[at + taken - 1].span.end);
        chunks.push(chunk(span, &section.heading_path, tokens));
        before = Some(first.span.start);
        at += taken;
    }
}

/// Counts the chunk as a whole, and takes from it while that is over the budget: counters need not be additive.
fn settle(text: &str, pieces: &[Piece], start: usize, taken: usize, budget: &Budget<'_>) -> (usize, usize, usize) {
    let (mut start, mut taken) = (start, taken);
    loop {
        let tokens = (budget.count)(&text[start..pieces[taken - 1].span.end]);
        if tokens <= budget.max_tokens {
            return (start, taken, tokens);
        }
        if start < pieces[0].span.start {
            start = pieces[0].span.start;
        } else if taken > 1 {
            let fitting = taken * budget.max_tokens / tokens.max(1);
            taken = fitting.clamp(1, taken - 1);
        } else {
            return (start, taken, tokens);
        }
    }
}
