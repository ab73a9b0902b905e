//! Sizes in tokens.
//!
//! Comes in: text and a counter. Goes out: whether it fits, and how much of it does.
//! Always holds: a text is counted a bounded number of times, and never a text far larger than the budget.

use super::boundary;

/// A token stands for at most this many bytes. Some tokenizers make one token of a word of any length; without a
/// bound, a chunk could hold megabytes that the embedder never sees.
const MAX_BYTES_PER_TOKEN: usize = 32;

/// A first guess of the bytes of a token.
const USUAL_BYTES_PER_TOKEN: usize = 4;

/// How often a prefix is counted while its end is searched.
const MAX_TRIES: usize = 12;

/// Measures texts.
#[derive(Clone, Copy)]
pub(super) struct Budget<'a> {
    pub(super) max_tokens: usize,
    pub(super) overlap_tokens: usize,
    pub(super) count: &'a dyn Fn(&str) -> usize,
}

impl Budget<'_> {
    /// The size of a text, never less than its bytes allow.
    pub(super) fn size(&self, text: &str) -> usize {
        (self.count)(text).max(text.len().div_ceil(MAX_BYTES_PER_TOKEN))
    }

    /// The size of a text if it is at most `tokens`.
    pub(super) fn within(&self, text: &str, tokens: usize) -> Option<usize> {
        if text.len() > window_bytes(tokens) {
            return None;
        }
        let size = self.size(text);
        (size <= tokens).then_some(size)
    }

    /// Returns how much of the start of a text fits into `tokens`: whole words, failing that characters, and at least
    /// one character. The end and the size of that part, without white space at its end, are returned.
    pub(super) fn prefix(&self, text: &str, tokens: usize) -> (usize, usize) {
        let window = floor(text, window_bytes(tokens));
        let is_cut = window.len() < text.len();
        for ends in [boundary::words, boundary::graphemes, boundary::chars] {
            let mut ends = ends(window);
            // The end of the window is no end of a word.
            if is_cut && ends.len() > 1 {
                ends.pop();
            } else if is_cut && window.len() > 1 && ends.len() == 1 && !window.ends_with(char::is_whitespace) {
                continue;
            }
            if let Some(found) = self.longest(window, &ends, tokens) {
                return found;
            }
        }
        let end = text.chars().next().map_or(0, char::len_utf8);
        (end, self.size(&text[..end]))
    }

    /// The longest part up to one of `ends` that fits, found by guessing from bytes and bisecting.
    fn longest(&self, text: &str, ends: &[usize], tokens: usize) -> Option<(usize, usize)> {
        let mut best = None;
        // Ends before `low` fit, ends from `high` on do not.
        let (mut low, mut high) = (0, ends.len());
        let mut bytes = tokens.saturating_mul(USUAL_BYTES_PER_TOKEN);
        for attempt in 0..MAX_TRIES + ends.len().ilog2() as usize {
            if low >= high {
                break;
            }
            let guess = match attempt {
                0..4 => ends.partition_point(|end| *end <= bytes).saturating_sub(1),
                _ => usize::midpoint(low, high),
            };
            let guess = guess.clamp(low, high - 1);
            let part = text[..ends[guess]].trim_end();
            let size = self.size(part);
            if size <= tokens {
                best = Some((ends[guess], size));
                low = guess + 1;
                // Close enough: another word is not worth another count.
                if size * 20 >= tokens * 19 {
                    break;
                }
            } else {
                high = guess;
            }
            bytes = part.len().saturating_mul(tokens) / size.max(1);
        }
        best
    }

    /// Returns where the repeated end of `text` begins: whole pieces, failing that whole words, of at most `tokens`;
    /// never the whole text.
    pub(super) fn suffix(&self, text: &str, tokens: usize, pieces: fn(&str) -> Vec<usize>) -> Option<usize> {
        if tokens == 0 {
            return None;
        }
        let window = ceil(text, text.len().saturating_sub(window_bytes(tokens)));
        let tail = &text[window..];
        // What stands first may be cut by the window, or be the whole text.
        let mut found = None;
        let mut size = 0;
        for start in pieces(tail).into_iter().rev().skip(1) {
            let piece = tail[start..].trim();
            let whole = found.map_or(piece, |after: usize| tail[start..after].trim());
            size += self.size(whole);
            if size > tokens {
                break;
            }
            found = Some(start);
        }
        let start = found.or_else(|| {
            let starts = boundary::words(tail);
            let starts = &starts[..starts.len().saturating_sub(1)];
            let at = starts.partition_point(|start| self.size(tail[*start..].trim()) > tokens);
            starts.get(at).copied()
        })?;
        let blank = tail[start..].len() - tail[start..].trim_start().len();
        let start = window + start + blank;
        (start < text.len()).then_some(start)
    }
}

/// Most bytes of a text of so many tokens.
fn window_bytes(tokens: usize) -> usize {
    tokens.saturating_mul(MAX_BYTES_PER_TOKEN)
}

/// The longest start of a text of at most `bytes`.
fn floor(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn ceil(text: &str, at: usize) -> usize {
    text.ceil_char_boundary(at)
}
