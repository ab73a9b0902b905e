//! Calls that a model makes once more: a small one goes on with the same call instead of ending.
//!
//! Always holds: a call is told as soon as it differs from all calls before it, and never if it does not.

use super::call_reader::Said;

/// Lets through what a model says, but for calls that it made already.
#[derive(Debug, Default)]
pub(super) struct FirstCalls {
    /// Name and input of each call that is complete.
    made: Vec<(String, String)>,
    name: String,
    input: String,
    /// The call in the making, while it is the beginning of one that was made.
    held: Option<Vec<(Said, usize)>>,
    has_repeated: bool,
}

impl FirstCalls {
    /// Returns whether a call came again. Nothing is let through from there on.
    pub(super) fn has_repeated(&self) -> bool {
        self.has_repeated
    }

    /// Takes what is said, each with where it ends; returns what is new of it.
    pub(super) fn push(&mut self, said: Vec<(Said, usize)>) -> Vec<(Said, usize)> {
        let mut new = Vec::new();
        for (said, end) in said {
            if self.has_repeated {
                break;
            }
            match &said {
                Said::Text(_) => {}
                Said::Call(name) => {
                    name.clone_into(&mut self.name);
                    self.input.clear();
                    self.held = Some(Vec::new());
                }
                Said::Input(text) => self.input.push_str(text),
                Said::CallEnd => {
                    let call = (std::mem::take(&mut self.name), std::mem::take(&mut self.input));
                    if self.held.is_some() && self.made.contains(&call) {
                        self.has_repeated = true;
                        break;
                    }
                    self.made.push(call);
                    new.extend(self.held.take().into_iter().flatten());
                }
            }
            if let Some(held) = &mut self.held {
                held.push((said, end));
                if !self.may_repeat() {
                    new.extend(self.held.take().into_iter().flatten());
                }
            } else {
                new.push((said, end));
            }
        }
        new
    }

    fn may_repeat(&self) -> bool {
        let begins = |(name, input): &(String, String)| *name == self.name && input.starts_with(&self.input);
        self.made.iter().any(begins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells calls such as `f(ab)f(ac)` piece by piece; returns what came through.
    fn check(pieces: &[&str], expected: &str, has_repeated: bool) {
        let mut calls = FirstCalls::default();
        let mut told = String::new();
        for (at, piece) in pieces.iter().enumerate() {
            let said = match piece.chars().next_back() {
                Some('(') => Said::Call(piece.trim_end_matches('(').to_owned()),
                Some(')') => Said::CallEnd,
                Some('.') => Said::Text((*piece).to_owned()),
                _ => Said::Input((*piece).to_owned()),
            };
            for (said, _) in calls.push(vec![(said, at)]) {
                match said {
                    Said::Call(name) => told.extend([name.as_str(), "("]),
                    Said::CallEnd => told.push(')'),
                    Said::Text(text) | Said::Input(text) => told.push_str(&text),
                }
            }
        }
        assert_eq!((told.as_str(), calls.has_repeated()), (expected, has_repeated));
    }

    #[test]
    fn calls_are_told_once() {
        check(&["No."], "No.", false);
        check(&["f(", "a", "b", ")", "g(", "a", "b", ")"], "f(ab)g(ab)", false);
        check(&["f(", "ab", ")", "f(", "a", "b", ")", "f(", "c", ")"], "f(ab)", true);
        check(&["f(", "ab", ")", "f(", "ac", ")", "f(", "ab", ")"], "f(ab)f(ac)", true);
        // One that ends earlier is another call.
        check(&["f(", "ab", ")", "f(", "a", ")"], "f(ab)f(a)", false);
    }

    #[test]
    fn calls_are_told_once_they_differ() {
        check(&["f(", "ab", ")", "f(", "a"], "f(ab)", false);
        check(&["f(", "ab", ")", "f(", "a", "c"], "f(ab)f(ac", false);
        check(&["f(", "ab", ")", "g("], "f(ab)g(", false);
        check(&["f(", "a"], "f(a", false);
    }
}
