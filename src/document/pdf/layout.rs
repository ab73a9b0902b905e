//! Glyphs to lines, lines to paragraphs.
//!
//! Comes in: glyphs in the order in which the page draws them, which is kept. Goes out: paragraphs, some of them headings.
//! Always holds: a glyph drawn twice at one place (imitated bold) counts once.
//! Not here: columns are not guessed; producers draw one after the other.

use std::collections::HashMap;

use super::text;

/// A paragraph of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paragraph {
    pub(super) text: String,
    /// Level, if it is a heading.
    pub(super) heading: Option<u8>,
}

/// The text of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) paragraphs: Vec<Paragraph>,
}

/// The text of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extraction {
    pub(super) title: Option<String>,
    pub(super) pages: Vec<Page>,
}

impl Extraction {
    /// Whether no page has text.
    pub(super) fn is_empty(&self) -> bool {
        self.pages.iter().all(|page| page.paragraphs.is_empty())
    }
}

/// A glyph: lengths in points, y grows upward.
pub(super) struct Glyph<'a> {
    pub(super) text: &'a str,
    pub(super) x: f64,
    pub(super) y: f64,
    /// Unit vector of the writing direction.
    pub(super) direction: (f64, f64),
    pub(super) size: f64,
    pub(super) advance: f64,
    /// Whether the page placed it anew; glyphs in between follow from their widths, which can be wrong.
    pub(super) begins_word: bool,
}

/// A gap of this share of the font size parts words: kerning stays under a tenth, spaces over a fifth.
const SPACE_GAP: f64 = 0.15;
/// A step across the line of this share of the font size begins a new line; superscripts stay under it.
const LINE_STEP: f64 = 0.6;
/// Glyphs that are at most this share of the font size apart are one glyph.
const SAME_PLACE: f64 = 0.15;
/// Lines that are further apart than this share of the font size are of two paragraphs.
const PARAGRAPH_STEP: f64 = 1.75;
/// A line that begins this share of the font size right of the one above begins a paragraph.
const INDENT: f64 = 0.8;
/// Headings are at least this much larger than the body.
const HEADING_SIZE: f64 = 1.15;
/// Longest heading in characters.
const MAX_HEADING_CHARS: usize = 160;

#[derive(Debug, Clone)]
struct Line {
    text: String,
    /// Where it starts, and where its last glyph starts and ends.
    start: (f64, f64),
    last: (f64, f64),
    end: (f64, f64),
    direction: (f64, f64),
    size: f64,
}

/// Position and character of a glyph.
type Place = (f64, f64, char);

/// A page while its glyphs come in.
#[derive(Default)]
pub(super) struct PageBuilder {
    lines: Vec<Line>,
    /// Where glyphs were drawn, by cells of the page.
    seen: HashMap<(i64, i64), Vec<Place>>,
}

impl PageBuilder {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.text.trim().is_empty())
    }

    /// Takes the next glyph.
    pub(super) fn glyph(&mut self, glyph: &Glyph<'_>) {
        let text = text::normalized(glyph.text);
        let numbers = [glyph.x, glyph.y, glyph.size, glyph.advance];
        if text.is_empty() || numbers.iter().any(|number| !number.is_finite()) || self.is_repeated(&text, glyph) {
            return;
        }
        let end = (
            glyph.x + glyph.direction.0 * glyph.advance,
            glyph.y + glyph.direction.1 * glyph.advance,
        );
        let Some(line) = self.lines.last_mut().filter(|line| line.goes_on(glyph)) else {
            self.lines.push(Line {
                text: text.trim_start().to_owned(),
                start: (glyph.x, glyph.y),
                last: (glyph.x, glyph.y),
                end,
                direction: glyph.direction,
                size: glyph.size,
            });
            return;
        };
        if line.is_parted_from(glyph) && !line.text.ends_with(' ') && !text.starts_with(' ') {
            line.text.push(' ');
        }
        line.text.push_str(&text);
        line.last = (glyph.x, glyph.y);
        line.end = end;
        line.size = line.size.max(glyph.size);
    }

    fn is_repeated(&mut self, text: &str, glyph: &Glyph<'_>) -> bool {
        let Some(first) = text.chars().next().filter(|c| !c.is_whitespace()) else {
            return false;
        };
        let reach = glyph.size * SAME_PLACE;
        // Cells of four points: no font that people read reaches over more than one cell.
        let cell = |value: f64| (value / 4.0).floor() as i64;
        let (column, row) = (cell(glyph.x), cell(glyph.y));
        for (i, k) in [
            (-1, -1),
            (-1, 0),
            (-1, 1),
            (0, -1),
            (0, 0),
            (0, 1),
            (1, -1),
            (1, 0),
            (1, 1),
        ] {
            let near = self.seen.get(&(column.saturating_add(i), row.saturating_add(k)));
            let repeated = near
                .into_iter()
                .flatten()
                .any(|(x, y, c)| *c == first && (x - glyph.x).abs() <= reach && (y - glyph.y).abs() <= reach);
            if repeated {
                return true;
            }
        }
        let places = self.seen.entry((column, row)).or_default();
        // A page that draws thousands of glyphs in one place is no text; don't compare them all.
        if places.len() < 64 {
            places.push((glyph.x, glyph.y, first));
        }
        false
    }
}

impl Line {
    /// Steps from the end of the line to the glyph: along the line, across it.
    fn step(&self, from: (f64, f64), x: f64, y: f64) -> (f64, f64) {
        let (dx, dy) = self.direction;
        let (x, y) = (x - from.0, y - from.1);
        (x * dx + y * dy, y * dx - x * dy)
    }

    fn goes_on(&self, glyph: &Glyph<'_>) -> bool {
        let (dx, dy) = self.direction;
        let turned = dx * glyph.direction.0 + dy * glyph.direction.1 < 0.95;
        let (along, across) = self.step(self.end, glyph.x, glyph.y);
        let size = self.size.max(glyph.size);
        if turned || across.abs() > size * LINE_STEP {
            return false;
        }
        let right_to_left =
            glyph.text.chars().any(is_right_to_left) || self.text.chars().next_back().is_some_and(is_right_to_left);
        // Accents are drawn after stepping back over their letter.
        right_to_left || along > -1.5 * size
    }

    fn is_parted_from(&self, glyph: &Glyph<'_>) -> bool {
        if !glyph.begins_word {
            return false;
        }
        let (along, _) = self.step(self.end, glyph.x, glyph.y);
        let (back, _) = self.step(self.last, glyph.x, glyph.y);
        if back < 0.0 && glyph.text.chars().any(is_right_to_left) {
            return -back - glyph.advance > glyph.size * SPACE_GAP;
        }
        along > glyph.size * SPACE_GAP
    }

    /// Where it begins, from the edge that lines of its direction begin at.
    fn indent(&self) -> f64 {
        self.start.0 * self.direction.0 + self.start.1 * self.direction.1
    }

    fn width(&self) -> f64 {
        self.step(self.start, self.end.0, self.end.1).0
    }
}

fn is_right_to_left(c: char) -> bool {
    matches!(u32::from(c), 0x0590..=0x08FF | 0xFB1D..=0xFDFF | 0xFE70..=0xFEFF)
}

/// Joins the lines of each page to paragraphs, and finds headings by their size.
pub(super) fn assemble(title: Option<String>, pages: Vec<PageBuilder>) -> Extraction {
    let sizes = Sizes::of(&pages);
    let pages = pages
        .into_iter()
        .map(|page| Page {
            paragraphs: paragraphs(&page.lines, &sizes),
        })
        .collect();
    Extraction { title, pages }
}

fn paragraphs(lines: &[Line], sizes: &Sizes) -> Vec<Paragraph> {
    let mut paragraphs: Vec<Paragraph> = Vec::new();
    let mut group: Vec<&Line> = Vec::new();
    for line in lines.iter().filter(|line| !line.text.trim().is_empty()) {
        if group.last().is_some_and(|above| !belongs(&group, above, line)) {
            paragraphs.push(paragraph(&group, sizes));
            group.clear();
        }
        group.push(line);
    }
    if !group.is_empty() {
        paragraphs.push(paragraph(&group, sizes));
    }
    paragraphs
}

/// Whether a line goes on with the paragraph above it.
fn belongs(group: &[&Line], above: &Line, line: &Line) -> bool {
    let size = above.size.max(line.size);
    let turned = above.direction.0 * line.direction.0 + above.direction.1 * line.direction.1 < 0.95;
    if turned || (above.size - line.size).abs() > 0.1 * size || text::begins_item(&line.text) {
        return false;
    }
    let (_, across) = above.step(above.start, line.start.0, line.start.1);
    let ended = text::ends_sentence(&above.text);
    if across > 0.0 {
        // Upwards: the next column. A sentence that was cut goes on there.
        return !ended && text::begins_lowercase(&line.text);
    }
    if -across > size * PARAGRAPH_STEP {
        return false;
    }
    let margin = group.iter().map(|line| line.indent()).fold(f64::INFINITY, f64::min);
    let indented = line.indent() > margin + size * INDENT && group.len() > 1;
    let first_line_indent = line.indent() > above.indent() + size * INDENT && group.len() == 1;
    let widest = group.iter().map(|line| line.width()).fold(0.0, f64::max);
    let short = above.width() < widest.max(line.width()) * 0.8;
    // A short line that ends a sentence ends its paragraph; one that does not may be a line of an address or a poem.
    !(ended && (short || indented || first_line_indent))
}

fn paragraph(group: &[&Line], sizes: &Sizes) -> Paragraph {
    let mut joined = String::new();
    for line in group {
        text::join(&mut joined, line.text.trim());
    }
    let size = group.iter().map(|line| line.size).fold(0.0, f64::max);
    let heading = sizes.level(size).filter(|_| {
        joined.chars().count() <= MAX_HEADING_CHARS
            && group.len() <= 3
            && joined.chars().filter(|c| c.is_alphabetic()).count() >= 2
            && !joined.ends_with([',', ';'])
    });
    Paragraph { text: joined, heading }
}

/// Font sizes of a document.
struct Sizes {
    /// Those of headings, largest first, in tenths of a point.
    headings: Vec<i64>,
}

impl Sizes {
    fn of(pages: &[PageBuilder]) -> Self {
        let mut chars: HashMap<i64, usize> = HashMap::new();
        for line in pages.iter().flat_map(|page| &page.lines) {
            *chars.entry(tenths(line.size)).or_default() += line.text.chars().count();
        }
        let total: usize = chars.values().sum();
        let body = chars
            .iter()
            .max_by_key(|(size, count)| (**count, **size))
            .map_or(0, |(size, _)| *size);
        let mut headings: Vec<i64> = chars
            .keys()
            .copied()
            .filter(|size| *size as f64 >= body as f64 * HEADING_SIZE)
            .collect();
        headings.sort_unstable_by(|a, b| b.cmp(a));
        // Sizes say something only where little text is large: a slide deck or a poster has no body.
        let large: usize = headings.iter().filter_map(|size| chars.get(size)).sum();
        if large * 5 > total {
            headings.clear();
        }
        // Sizes that differ by less than half a point are one level.
        headings.dedup_by(|smaller, larger| *larger - *smaller < 5);
        Self { headings }
    }

    fn level(&self, size: f64) -> Option<u8> {
        let smallest = *self.headings.last()?;
        let size = tenths(size);
        if size + 5 <= smallest {
            return None;
        }
        let rank = self.headings.iter().position(|heading| size + 5 > *heading)?;
        Some(u8::try_from(rank + 1).unwrap_or(6).min(6))
    }
}

fn tenths(size: f64) -> i64 {
    (size * 10.0).round() as i64
}
