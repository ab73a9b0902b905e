//! What the model writes to what the reader sees: marks checked, sentences cited.
//!
//! Comes in: the model's text in pieces of any size. Goes out: text pieces and citations.
//! Always holds: all pieces joined are the visible text; a citation's answer span is its sentence there, mark included;
//! a mark is only ever one that the server wrote.
//! Not here: which source supports a sentence (see [`super::attribution`]).

use super::AnswerStyle;
use super::attribution::{ATTRIBUTED_SUPPORT, MARKED_SUPPORT, Sources, Support};
use super::decline::declines;
use super::sentence::{ends_without_space, is_closer, is_over, is_terminal};
use super::{AnswerEvent, Citation, CitationOrigin};
use crate::document::ByteSpan;

/// Longest text in brackets that may still become a mark.
const MAX_MARK_BYTES: usize = 40;
/// Longest number in a mark; a longer one is a year or part of the text.
const MAX_MARK_DIGITS: usize = 3;
/// Sentences of fewer words may come twice.
const MIN_REPEATED_WORDS: usize = 3;

/// Follows the model's text and writes the visible text with its citations.
#[derive(Debug)]
pub(super) struct Annotator<'a> {
    sources: &'a Sources,
    /// Only words of the model's own can say that there is no answer.
    style: AnswerStyle,
    // Length of the visible text that was given out.
    visible_bytes: usize,
    // The sentence in the making without its marks, and how much of it was given out.
    sentence: String,
    given_bytes: usize,
    // Numbers of the marks that the model wrote in it.
    marks: Vec<u32>,
    // White space that may end up after a mark or after the end of the answer.
    space: String,
    // A `[` and what may become a mark.
    bracket: String,
    // The last character may end the sentence.
    is_ended: bool,
    // A mark followed the end of the sentence.
    is_marked: bool,
    finished: Vec<String>,
    has_repeated: bool,
    tally: Tally,
    text: String,
    events: Vec<AnswerEvent>,
}

/// What was seen in all sentences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Sentences that a source supports.
    pub(super) supported: usize,
    /// Sentences that say that there is no answer.
    pub(super) declined: usize,
}

impl<'a> Annotator<'a> {
    /// Begins an answer.
    pub(super) fn new(sources: &'a Sources, style: AnswerStyle) -> Self {
        Self {
            sources,
            style,
            visible_bytes: 0,
            sentence: String::new(),
            given_bytes: 0,
            marks: Vec::new(),
            space: String::new(),
            bracket: String::new(),
            is_ended: false,
            is_marked: false,
            finished: Vec::new(),
            has_repeated: false,
            tally: Tally::default(),
            text: String::new(),
            events: Vec::new(),
        }
    }

    /// Takes more of the model's text and returns what it makes visible.
    pub(super) fn push(&mut self, text: &str) -> Vec<AnswerEvent> {
        for c in text.chars() {
            self.take(c);
        }
        self.give_sentence();
        self.give_text();
        std::mem::take(&mut self.events)
    }

    /// Returns whether the model began to repeat itself. Nothing is visible from there on.
    pub(super) fn has_repeated(&self) -> bool {
        self.has_repeated
    }

    /// Ends the answer: the sentence in the making is its last.
    pub(super) fn finish(mut self) -> (Vec<AnswerEvent>, Tally) {
        self.release_bracket();
        self.close();
        self.give_text();
        (self.events, self.tally)
    }

    fn take(&mut self, c: char) {
        if self.has_repeated {
            return;
        }
        if !self.bracket.is_empty() {
            self.bracket.push(c);
            if let Some(numbers) = marks_of(&self.bracket) {
                self.take_marks(&numbers);
            } else if !may_become_mark(&self.bracket) {
                self.release_bracket();
            }
        } else if c == '[' {
            self.bracket.push(c);
        } else {
            self.take_plain(c);
        }
    }

    fn take_marks(&mut self, numbers: &[u32]) {
        self.bracket.clear();
        if !self.space.contains('\n') {
            self.space.clear();
        }
        self.is_marked |= self.is_ended;
        for number in numbers {
            if self.sources.has(*number) && !self.marks.contains(number) {
                self.marks.push(*number);
            }
        }
    }

    /// What was in brackets is no mark: it is text, which may hold another bracket.
    fn release_bracket(&mut self) {
        let held = std::mem::take(&mut self.bracket);
        let mut chars = held.chars();
        if let Some(first) = chars.next() {
            self.take_plain(first);
        }
        for c in chars {
            self.take(c);
        }
    }

    fn take_plain(&mut self, c: char) {
        if c.is_whitespace() {
            if c == '\n' {
                self.close();
            }
            self.space.push(c);
            return;
        }
        if self.is_ended {
            let is_apart = !self.space.is_empty() || self.is_marked;
            let last = self.sentence.chars().next_back().unwrap_or(' ');
            let is_over = if is_apart {
                is_over(&self.sentence, c)
            } else {
                ends_without_space(last) && !is_closer(c)
            };
            if is_over {
                if self.is_marked && self.space.is_empty() {
                    self.space.push(' ');
                }
                self.close();
            } else if is_apart {
                self.is_ended = false;
            }
        }
        if self.has_repeated {
            return;
        }
        let space = std::mem::take(&mut self.space);
        if self.sentence.is_empty() {
            // Space before the first word of the answer is dropped.
            if self.visible_bytes > 0 || !self.text.is_empty() {
                self.text.push_str(&space);
            }
        } else {
            self.sentence.push_str(&space);
        }
        self.sentence.push(c);
        self.is_ended = is_terminal(c) || (self.is_ended && is_closer(c));
        self.is_marked = false;
    }

    /// Ends the sentence in the making: ties it to its source and writes its mark.
    fn close(&mut self) {
        let sentence = std::mem::take(&mut self.sentence);
        let given = std::mem::take(&mut self.given_bytes);
        let marks = std::mem::take(&mut self.marks);
        (self.is_ended, self.is_marked) = (false, false);
        if sentence.is_empty() {
            return;
        }
        if self.finished.contains(&sentence) && sentence.split_whitespace().count() >= MIN_REPEATED_WORDS {
            self.has_repeated = true;
            // Nothing of it was given out, because it was held back; nor is the space before it of use.
            self.text.truncate(self.text.trim_end().len());
            return;
        }
        self.text.push_str(&sentence[given..]);
        let sentence_end = self.visible_bytes + self.text.len();
        let start = sentence_end - sentence.len();
        if self.style == AnswerStyle::Free && declines(&sentence) {
            self.tally.declined += 1;
        } else if let Some((support, origin)) = self.support(&sentence, &marks) {
            self.tally.supported += 1;
            let mark = format!(" [{}]", support.reference_number);
            self.text.push_str(&mark);
            let end = sentence_end + mark.len();
            self.give_text();
            self.events.push(AnswerEvent::Citation(Citation {
                reference_number: support.reference_number,
                answer_span: ByteSpan::new(start, end),
                answer_text: sentence.clone() + &mark,
                source_span: support.source_span,
                source_text: support.source_text,
                support: support.share,
                origin,
            }));
        }
        self.finished.push(sentence);
    }

    /// Returns the source of a sentence: one that the model marked if it supports it, else the best if it is good.
    fn support(&self, sentence: &str, marks: &[u32]) -> Option<(Support, CitationOrigin)> {
        let marked = marks
            .iter()
            .filter_map(|number| self.sources.best(sentence, Some(*number)))
            .filter(|support| support.share >= MARKED_SUPPORT)
            .max_by(|a, b| a.share.total_cmp(&b.share));
        if let Some(support) = marked {
            return Some((support, CitationOrigin::Model));
        }
        let best = self.sources.best(sentence, None)?;
        (best.share >= ATTRIBUTED_SUPPORT).then_some((best, CitationOrigin::Attributed))
    }

    /// Gives out what is known of the sentence, unless it may turn out to repeat an earlier one.
    fn give_sentence(&mut self) {
        let may_repeat = self
            .finished
            .iter()
            .any(|earlier| earlier.starts_with(self.sentence.as_str()));
        if self.has_repeated || may_repeat {
            return;
        }
        self.text.push_str(&self.sentence[self.given_bytes..]);
        self.given_bytes = self.sentence.len();
    }

    fn give_text(&mut self) {
        // Space before a sentence that is held back waits with it.
        let is_waiting = !self.sentence.is_empty() && self.given_bytes == 0;
        let ready = if is_waiting {
            self.text.trim_end().len()
        } else {
            self.text.len()
        };
        if ready == 0 {
            return;
        }
        let rest = self.text.split_off(ready);
        let piece = std::mem::replace(&mut self.text, rest);
        self.visible_bytes += piece.len();
        self.events.push(AnswerEvent::Text(piece));
    }
}

/// Returns the numbers of a whole mark such as `[1]`, `[1, 2]` or `[Passage 1]`.
pub(super) fn marks_of(bracket: &str) -> Option<Vec<u32>> {
    let inner = bracket.strip_prefix('[')?.strip_suffix(']')?;
    let numbers = without_label(inner)
        .split([',', ';'])
        .map(|part| part.trim().parse().ok())
        .collect::<Option<Vec<u32>>>()?;
    may_become_mark(&bracket[..bracket.len() - 1]).then_some(numbers)
}

/// Returns whether more text could make a mark of this.
pub(super) fn may_become_mark(bracket: &str) -> bool {
    let inner = bracket.strip_prefix('[').unwrap_or(bracket);
    let is_label_begun = LABELS.iter().any(|label| label.starts_with(&inner.to_lowercase()));
    let numbers = numbers_of(bracket);
    bracket.len() <= MAX_MARK_BYTES
        && (is_label_begun
            || (numbers
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, ',' | ';' | ' '))
                && numbers
                    .split([',', ';', ' '])
                    .all(|number| number.len() <= MAX_MARK_DIGITS)))
}

/// Returns what stands in a bracket that is still open after a label, if it has one.
pub(super) fn numbers_of(bracket: &str) -> &str {
    without_label(bracket.strip_prefix('[').unwrap_or(bracket))
}

/// Words that models put before the number in a mark.
const LABELS: [&str; 3] = ["passage ", "source ", "text "];

fn without_label(inner: &str) -> &str {
    LABELS
        .iter()
        .find_map(|label| {
            let (head, rest) = inner.split_at_checked(label.len())?;
            head.eq_ignore_ascii_case(label).then_some(rest)
        })
        .unwrap_or(inner)
}

#[cfg(test)]
mod tests;
