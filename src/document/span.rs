//! Ranges in a text.

/// A half-open byte range `[start, end)` in a UTF-8 text, on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteSpan {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl ByteSpan {
    /// Returns the range from `start` to `end`; `start` must not exceed `end`.
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end, "a span ends after it starts");
        Self { start, end }
    }

    /// Returns its length in bytes.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Returns whether it holds nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Returns the text of the range, or nothing when it does not lie in `text` on character boundaries.
    pub fn of(self, text: &str) -> Option<&str> {
        text.get(self.start..self.end)
    }
}
