//! What ends an answer before the model does: a limit, a stop sequence, or that it goes round in circles.

use super::{Inference, LanguageModel, StopReason};

/// Longest cycle of tokens that is looked for.
const MAX_CYCLE: usize = 24;
/// A cycle counts once it came round this often.
const ROUNDS: usize = 3;
/// A cycle counts only over this many tokens, so that "ha ha ha ha" may be said.
const MIN_CYCLING_TOKENS: usize = 24;

/// How many tokens may be written after a prompt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    max_tokens: usize,
    /// Tokens that the window has room for after the prompt.
    room: usize,
}

impl Limits {
    /// Returns the limits of what follows a prompt of so many tokens.
    pub(super) fn new(model: &dyn LanguageModel, prompt_tokens: usize, inference: &Inference) -> Self {
        Self {
            max_tokens: inference.max_tokens,
            room: model.context_tokens().saturating_sub(prompt_tokens),
        }
    }

    /// Returns which limit is reached once so many tokens were written.
    pub(super) fn reached(self, written: usize) -> Option<StopReason> {
        if written >= self.max_tokens {
            return Some(StopReason::MaxTokens);
        }
        // The last token of a full window need not be read.
        (written > self.room).then_some(StopReason::ContextWindowExceeded)
    }
}

/// Finds stop sequences in text that comes in pieces, and holds back what may become one.
#[derive(Debug)]
pub(super) struct StopSequences {
    sequences: Vec<String>,
    held: String,
    found: Option<usize>,
}

impl StopSequences {
    /// Returns a finder of these sequences; empty ones are left out.
    pub(super) fn new(sequences: &[String]) -> Self {
        Self {
            sequences: sequences.iter().filter(|text| !text.is_empty()).cloned().collect(),
            held: String::new(),
            found: None,
        }
    }

    /// Takes more text. Returns what surely belongs to the answer, and whether a stop sequence followed it.
    pub(super) fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        let found = self
            .sequences
            .iter()
            .enumerate()
            .filter_map(|(which, sequence)| Some((self.held.find(sequence.as_str())?, which)))
            .min();
        if let Some((at, which)) = found {
            self.found = Some(which);
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let kept = self.held.len() - self.possible_start();
        let rest = self.held.split_off(kept);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// Returns the stop sequence that came, of several at one place the first that was named.
    pub(super) fn found(&self) -> Option<&str> {
        self.found.map(|which| self.sequences[which].as_str())
    }

    /// Ends the text and returns what was held back.
    pub(super) fn finish(mut self) -> String {
        self.take_held()
    }

    /// Returns what was held back, and holds it no more.
    pub(super) fn take_held(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Returns how many bytes are held back.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Returns the length of the longest end of the held text that begins a stop sequence.
    fn possible_start(&self) -> usize {
        let longest = |sequence: &String| {
            let most = self.held.len().min(sequence.len() - 1);
            (1..=most)
                .rev()
                .find(|length| sequence.as_bytes()[..*length] == self.held.as_bytes()[self.held.len() - length..])
        };
        self.sequences.iter().filter_map(longest).max().unwrap_or(0)
    }
}

/// Returns whether the last tokens are one cycle that came round again and again.
pub(super) fn goes_in_circles(tokens: &[u32]) -> bool {
    (1..=MAX_CYCLE).any(|cycle| {
        let length = (cycle * ROUNDS).max(MIN_CYCLING_TOKENS);
        tokens.len() >= length && {
            let tail = &tokens[tokens.len() - length..];
            tail[cycle..] == tail[..length - cycle]
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::generate::ScriptedModel;

    fn check(sequences: &[&str], pieces: &[&str], expected: &[&str], stopped: bool) {
        let sequences: Vec<String> = sequences.iter().map(ToString::to_string).collect();
        let mut stop = StopSequences::new(&sequences);
        let mut released = Vec::new();
        let mut has_stopped = false;
        for piece in pieces {
            let (text, found) = stop.push(piece);
            released.push(text);
            has_stopped |= found;
        }
        assert_eq!(
            (released, has_stopped),
            (expected.iter().map(ToString::to_string).collect(), stopped)
        );
        assert_eq!(stop.found().is_some(), stopped);
    }

    #[test]
    fn limits_are_reached_at_their_last_token() {
        let limits = |max_tokens: usize, window: usize| {
            let model = ScriptedModel::new([""]).with_context_tokens(window);
            let inference = Inference {
                max_tokens,
                ..Inference::default()
            };
            Limits::new(&model, 10, &inference)
        };
        for (max_tokens, window, written, reached) in [
            (3, 100, 2, None),
            (3, 100, 3, Some(StopReason::MaxTokens)),
            (100, 13, 3, None),
            (100, 13, 4, Some(StopReason::ContextWindowExceeded)),
            (4, 13, 4, Some(StopReason::MaxTokens)),
            (100, 9, 1, Some(StopReason::ContextWindowExceeded)),
        ] {
            assert_eq!(
                limits(max_tokens, window).reached(written),
                reached,
                "{written} of {max_tokens}, {window}"
            );
        }
    }

    #[test]
    fn the_sequence_that_came_first_is_named() {
        for (sequences, text, expected) in [
            (["b", "ab"], "xab", Some("ab")),
            (["ab", "a"], "xab", Some("ab")),
            (["a", "ab"], "xab", Some("a")),
            (["y", "z"], "xab", None),
        ] {
            let mut stop = StopSequences::new(&sequences.map(str::to_owned));
            stop.push(text);
            assert_eq!(stop.found(), expected, "{sequences:?}");
        }
    }

    #[test]
    fn stop_sequence_is_found_across_pieces() {
        check(&["END"], &["a E", "N", "D b"], &["a ", "", ""], true);
        check(&["END"], &["a E", "x"], &["a ", "Ex"], false);
        check(
            &["\n\n", "##"],
            &["a\n", "#", "b\n", "\nc"],
            &["a", "\n", "#b", ""],
            true,
        );
        check(&["b", "ab"], &["xab"], &["x"], true);
        check(&[], &["a"], &["a"], false);
        check(&["é"], &["caf", "é!"], &["caf", ""], true);
        check(&["aab"], &["aaa", "b"], &["a", ""], true);
    }

    #[test]
    fn circles_are_seen_only_after_rounds() {
        let cycle = |period: u32, length: u32| (0..length).map(|at| at % period).collect::<Vec<_>>();
        assert!(goes_in_circles(&cycle(1, 24)));
        assert!(!goes_in_circles(&cycle(1, 23)));
        assert!(goes_in_circles(&cycle(10, 35)));
        assert!(!goes_in_circles(&cycle(10, 29)));
        assert!(!goes_in_circles(&cycle(200, 190)));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_answer(text in "[ab]{0,30}", stop in "[ab]{1,4}", size in 1usize..5) {
            let mut finder = StopSequences::new(std::slice::from_ref(&stop));
            let mut answer = String::new();
            let mut stopped = false;
            for piece in text.as_bytes().chunks(size) {
                let (more, found) = finder.push(&String::from_utf8_lossy(piece));
                answer.push_str(&more);
                if found { stopped = true; break; }
            }
            if !stopped { answer.push_str(&finder.finish()); }
            let expected = text.find(&stop).map_or(text.as_str(), |at| &text[..at]);
            prop_assert_eq!(answer, expected);
            prop_assert_eq!(stopped, text.contains(&stop));
        }
    }
}
