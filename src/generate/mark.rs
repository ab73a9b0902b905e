//! Marks that can be written: only passages that were offered have numbers.
//!
//! Always holds: text whose tokens were all allowed has no whole mark with another number.

use super::citation::{marks_of, may_become_mark, numbers_of};

/// Follows the text that a model writes, and says which tokens may come next.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    /// Passages that were offered, numbered from 1.
    offered: usize,
    /// A `[` and what may become a mark.
    bracket: String,
}

impl Marks {
    /// Begins a text that is offered so many passages.
    pub(super) fn new(offered: usize) -> Self {
        Self {
            offered,
            bracket: String::new(),
        }
    }

    /// Returns whether a token of these bytes may come next.
    pub(super) fn allows(&self, token: &[u8]) -> bool {
        if self.bracket.is_empty() && !token.contains(&b'[') {
            return true;
        }
        let mut after = self.clone();
        token.iter().all(|byte| after.take(*byte))
    }

    /// Takes the token that was chosen.
    pub(super) fn push(&mut self, token: &[u8]) {
        for byte in token {
            self.take(*byte);
        }
    }

    /// Takes a byte; returns whether it may stand here.
    fn take(&mut self, byte: u8) -> bool {
        if self.bracket.is_empty() {
            if byte == b'[' {
                self.bracket.push('[');
            }
            return true;
        }
        if !byte.is_ascii() {
            self.bracket.clear();
            return true;
        }
        self.bracket.push(char::from(byte));
        if let Some(numbers) = marks_of(&self.bracket) {
            self.bracket.clear();
            return numbers.iter().all(|number| self.has(*number));
        }
        if may_become_mark(&self.bracket) {
            return self.may_name_offered();
        }
        self.bracket.clear();
        if byte == b'[' {
            self.bracket.push('[');
        }
        true
    }

    fn has(&self, number: u32) -> bool {
        (1..=self.offered).contains(&(number as usize))
    }

    /// Returns whether all numbers in the bracket are offered, the last of which may lack digits.
    fn may_name_offered(&self) -> bool {
        let numbers = numbers_of(&self.bracket);
        let mut numbers: Vec<&str> = numbers
            .split([',', ';', ' '])
            .filter(|number| !number.is_empty())
            .collect();
        let is_open = self.bracket.ends_with(|c: char| c.is_ascii_digit());
        let begun = if is_open { numbers.pop() } else { None };
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        numbers
            .iter()
            .filter(|number| is_digits(number))
            .all(|number| number.parse().is_ok_and(|number| self.has(number)))
            && begun
                .filter(|begun| is_digits(begun))
                .is_none_or(|begun| (1..=self.offered).any(|number| number.to_string().starts_with(begun)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells how many bytes of a text can be written, each by itself, and as one token.
    fn check(offered: usize, text: &str, expected: Option<usize>) {
        let mut marks = Marks::new(offered);
        let refused = text.bytes().position(|byte| {
            let is_allowed = marks.allows(&[byte]);
            marks.push(&[byte]);
            !is_allowed
        });
        assert_eq!(refused, expected, "{text}");
        assert_eq!(
            Marks::new(offered).allows(text.as_bytes()),
            expected.is_none(),
            "{text}"
        );
    }

    #[test]
    fn only_offered_passages_can_be_marked() {
        for text in [
            "no mark",
            "One [1]. Two [2], three [3].",
            "Both [1, 2] and [3;1].",
            "As [Passage 2] and [source 1] say.",
            "[see 9] [x9] [a list] [] [[3]]",
            "9 and 10] 11",
            "é [é9] [1é 9]",
        ] {
            check(3, text, None);
        }
        for (text, at) in [
            ("[4]", 1),
            ("so [0]", 4),
            ("[12]", 2),
            ("[1, 4]", 4),
            ("[passage 7]", 9),
            ("[[5]]", 2),
            ("[a] [9]", 5),
        ] {
            check(3, text, Some(at));
        }
        check(12, "[12] [1] [10]", None);
        check(12, "[13]", Some(2));
        check(0, "[1]", Some(1));
    }
}
