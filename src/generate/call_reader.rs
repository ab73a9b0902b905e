//! The text of a model to what it says and the tools that it calls.
//!
//! Always holds: text is told as soon as it cannot become the mark of a call, and what was told is not taken back; blanks
//! before a call belong to it.

use super::tool::{CALL_END, CALL_MARK};

/// Stands between the mark of a call and the name of its tool.
const BEFORE_NAME: &str = "\n{\"name\": \"";
/// Stands between the name of a tool and what it is given.
const AFTER_NAME: &str = "\", \"arguments\": ";

/// What a model says, piece by piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// More text.
    Text(String),
    /// A call of the tool of this name begins.
    Call(String),
    /// More of what the tool is given, as JSON.
    Input(String),
    /// The call is complete.
    CallEnd,
}

/// Reads the text of a model that may call tools.
#[derive(Debug, Default)]
pub(super) struct CallReader {
    place: Place,
    held: String,
    /// Bytes that were told or passed over.
    read: usize,
    /// Whether a message is text or calls, and never both.
    is_either: bool,
    /// Whether there was a call: what follows is another one, or nothing.
    has_called: bool,
}

/// Where in the text the reader is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    /// In text without marks.
    TextOnly,
    /// Behind the mark of a call.
    Head,
    /// In what the tool is given.
    Input(Nesting),
    /// Behind it.
    Tail,
}

/// How deep in a JSON value.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Nesting {
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
}

impl CallReader {
    /// Returns a reader of messages that are calls from the first byte on, or text to the last, in which marks mean nothing.
    pub(super) fn of_either() -> Self {
        Self {
            is_either: true,
            ..Self::default()
        }
    }

    /// Takes more text. Returns what it says, each with how many bytes of all text were read by then.
    pub(super) fn push(&mut self, text: &str) -> Vec<(Said, usize)> {
        self.held.push_str(text);
        let mut said = Vec::new();
        while self.step(&mut said) {}
        said
    }

    /// Ends the text: what was held back as the beginning of a mark is text; a call that was cut short ends.
    pub(super) fn finish(&mut self) -> Vec<(Said, usize)> {
        let rest = std::mem::take(&mut self.held);
        self.read += rest.len();
        let said = match std::mem::take(&mut self.place) {
            Place::Text | Place::TextOnly if !rest.is_empty() && !self.has_called => Some(Said::Text(rest)),
            // Nobody heard of a call without a name.
            Place::Text | Place::TextOnly | Place::Head => None,
            Place::Input(_) | Place::Tail => Some(Said::CallEnd),
        };
        said.map(|said| (said, self.read)).into_iter().collect()
    }

    /// Reads on where the held text allows it.
    fn step(&mut self, said: &mut Vec<(Said, usize)>) -> bool {
        match self.place {
            Place::Text => self.step_text(said),
            Place::TextOnly => {
                let text = std::mem::take(&mut self.held);
                self.read += text.len();
                if !text.is_empty() {
                    said.push((Said::Text(text), self.read));
                }
                false
            }
            Place::Head => {
                let Some(at) = self.held.find(AFTER_NAME) else {
                    return false;
                };
                let head = self.take(at + AFTER_NAME.len());
                let name = head[..at].trim_start_matches(BEFORE_NAME);
                said.push((Said::Call(name.to_owned()), self.read));
                self.place = Place::Input(Nesting::default());
                true
            }
            Place::Input(nesting) => {
                let (nesting, end) = nesting.after(&self.held);
                self.place = end.map_or(Place::Input(nesting), |_| Place::Tail);
                let input = self.take(end.unwrap_or(self.held.len()));
                if !input.is_empty() {
                    said.push((Said::Input(input), self.read));
                }
                end.is_some()
            }
            Place::Tail => {
                let Some(at) = self.held.find(CALL_END) else {
                    return false;
                };
                self.take(at + CALL_END.len());
                said.push((Said::CallEnd, self.read));
                self.place = Place::Text;
                true
            }
        }
    }

    fn step_text(&mut self, said: &mut Vec<(Said, usize)>) -> bool {
        let is_mark = self.held.starts_with(CALL_MARK) || CALL_MARK.starts_with(&self.held);
        if self.is_either && self.read == 0 && !is_mark {
            self.place = Place::TextOnly;
            return true;
        }
        let mark = self.held.find(CALL_MARK);
        let text = &self.held[..mark.unwrap_or_else(|| self.held.len() - beginning_of_mark(&self.held))];
        let text = text.trim_end().len();
        let text = self.take(text);
        if !text.is_empty() {
            said.push((Said::Text(text), self.read));
        }
        if mark.is_some() {
            let blanks = self.held.len() - self.held.trim_start().len();
            self.take(blanks + CALL_MARK.len());
            self.place = Place::Head;
            self.has_called = true;
        }
        mark.is_some()
    }

    /// Takes the first bytes of what is held.
    fn take(&mut self, bytes: usize) -> String {
        let rest = self.held.split_off(bytes);
        self.read += bytes;
        std::mem::replace(&mut self.held, rest)
    }
}

/// Returns the length of the longest end of a text that begins the mark of a call.
fn beginning_of_mark(text: &str) -> usize {
    let longest = (0..CALL_MARK.len())
        .rev()
        .find(|length| text.ends_with(&CALL_MARK[..*length]));
    longest.unwrap_or(0)
}

impl Nesting {
    /// Returns how deep it is after more JSON, and where the object or array ended, if it did.
    fn after(mut self, json: &str) -> (Self, Option<usize>) {
        for (at, byte) in json.bytes().enumerate() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_in_string => self.is_escaped = true,
                b'"' => self.is_in_string = !self.is_in_string,
                b'{' | b'[' if !self.is_in_string => self.depth += 1,
                b'}' | b']' if !self.is_in_string => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return (self, Some(at + 1));
                    }
                }
                _ => {}
            }
        }
        (self, None)
    }
}

#[cfg(test)]
mod tests;
