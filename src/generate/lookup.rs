//! Reading ahead: the tokens that followed the same words earlier in the text are read together with the next one, and
//! what comes of them is there at once where the model chooses them.
//!
//! Answers that quote their passages go several tokens a step this way. (Prompt lookup decoding, Saxena 2023; checked as in
//! speculative decoding, Leviathan, Kalman and Matias 2023, but with one model, whose choice alone counts.)
//! Always holds: what is returned is to the bit what [`Sequence::feed`] would have returned.

use std::collections::{HashMap, VecDeque};

use super::{Error, Sequence};
use crate::worker::Cancel;

/// Tokens that must stand earlier in the same order at least.
const LEAST_MATCH: usize = 2;
/// Longer matches are no surer.
const MOST_MATCH: usize = 8;
/// Tokens that are read ahead at first.
const FIRST_LENGTH: usize = 3;
/// Tokens that are read ahead at most.
const MOST_LENGTH: usize = 16;

/// A sequence whose prompt was read, that reads on token by token.
pub(super) struct ReadAhead {
    sequence: Box<dyn Sequence>,
    /// The prompt, and what was fed.
    text: Vec<u32>,
    places: Places,
    /// Tokens that were read ahead, each with the logits after it.
    ahead: VecDeque<(u32, Vec<f32>)>,
    /// Tokens to read ahead next time, if there is room.
    length: usize,
    /// Tokens that must stand earlier in the same order before any are read ahead.
    match_length: usize,
}

impl ReadAhead {
    /// Goes on with a sequence that has read `prompt`.
    pub(super) fn new(sequence: Box<dyn Sequence>, prompt: &[u32]) -> Self {
        Self {
            sequence,
            text: prompt.to_vec(),
            places: Places::default(),
            ahead: VecDeque::new(),
            length: FIRST_LENGTH,
            match_length: LEAST_MATCH,
        }
    }

    /// Reads the token that was chosen, and returns the logits after it.
    pub(super) fn feed(&mut self, token: u32, cancel: &Cancel) -> Result<Vec<f32>, Error> {
        self.text.push(token);
        if let Some((expected, logits)) = self.ahead.pop_front() {
            if expected == token {
                cancel.check()?;
                if self.ahead.is_empty() {
                    self.trust();
                }
                return Ok(logits);
            }
            self.sequence.rewind(1 + self.ahead.len());
            self.ahead.clear();
            self.doubt();
        }
        let draft = self.draft();
        if draft.is_empty() {
            return self.sequence.feed(&[token], cancel);
        }
        let tokens = [&[token], draft.as_slice()].concat();
        let mut logits = self.sequence.feed_each(&tokens, cancel)?.into_iter();
        let first = logits.next();
        self.ahead = draft.into_iter().zip(logits).collect();
        first.ok_or_else(|| Error::Inference("the model told nothing of the tokens it read".into()))
    }

    /// All that was read ahead was chosen.
    fn trust(&mut self) {
        self.length = (2 * self.length).min(MOST_LENGTH);
        self.match_length = LEAST_MATCH;
    }

    fn doubt(&mut self) {
        self.length = (self.length / 2).max(1);
        self.match_length = (self.match_length + 1).min(MOST_MATCH);
    }

    /// Returns what followed the last tokens earlier, where they stand there as they stand here.
    fn draft(&mut self) -> Vec<u32> {
        let room = self.sequence.room_ahead();
        if room == 0 {
            return Vec::new();
        }
        match self.places.longest_match(&self.text) {
            Some((common, end)) if common >= self.match_length => {
                self.text[end..].iter().copied().take(self.length.min(room)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Where each two tokens stand in a text that grows.
#[derive(Debug, Default)]
struct Places {
    /// Where the last of those that are the same two end.
    last: HashMap<[u32; 2], usize>,
    /// For each place, where the same two tokens end that stand before it last; 0 where they do not.
    before: Vec<usize>,
}

impl Places {
    /// Returns how many of the last tokens, [`LEAST_MATCH`] to [`MOST_MATCH`], stand earlier in the same order, and where
    /// they end there: where most do, and of several such places the last.
    fn longest_match(&mut self, text: &[u32]) -> Option<(usize, usize)> {
        for end in self.before.len()..text.len() {
            let pair = text[..end].last_chunk().copied();
            let before = pair.and_then(|pair| self.last.insert(pair, end));
            self.before.push(before.unwrap_or(0));
        }
        let common = |end: usize| {
            let (earlier, last) = (text[..end].iter().rev(), text.iter().rev());
            earlier.zip(last).take(MOST_MATCH).take_while(|(a, b)| a == b).count()
        };
        let mut best: Option<(usize, usize)> = None;
        let mut next = self.last.get(text.last_chunk()?).copied();
        while let Some(end) = next.filter(|end| *end > 0) {
            let common = common(end);
            if best.is_none_or(|(most, _)| common > most) {
                best = Some((common, end));
            }
            if common == MOST_MATCH {
                break;
            }
            next = self.before.get(end).copied();
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    const VOCABULARY: u32 = 5;

    /// Tells what it has read; counts its steps.
    struct Teller {
        read: Vec<u32>,
        room: usize,
        steps: Arc<AtomicUsize>,
    }

    impl Teller {
        fn told(&self) -> Vec<f32> {
            self.read.iter().map(|token| *token as f32).collect()
        }
    }

    impl Sequence for Teller {
        fn feed(&mut self, tokens: &[u32], _cancel: &Cancel) -> Result<Vec<f32>, Error> {
            self.steps.fetch_add(1, Ordering::Relaxed);
            self.read.extend(tokens);
            Ok(self.told())
        }

        fn feed_each(&mut self, tokens: &[u32], _cancel: &Cancel) -> Result<Vec<Vec<f32>>, Error> {
            self.steps.fetch_add(1, Ordering::Relaxed);
            let told = tokens.iter().map(|token| {
                self.read.push(*token);
                self.told()
            });
            Ok(told.collect())
        }

        fn room_ahead(&self) -> usize {
            self.room
        }

        fn rewind(&mut self, tokens: usize) {
            self.read.truncate(self.read.len() - tokens);
        }
    }

    /// Feeds tokens one by one, checks what is told after each, and returns the steps that it took.
    fn fed(prompt: &[u32], chosen: &[u32], room: usize) -> usize {
        let steps = Arc::new(AtomicUsize::new(0));
        let teller = Teller {
            read: prompt.to_vec(),
            room,
            steps: Arc::clone(&steps),
        };
        let mut sequence = ReadAhead::new(Box::new(teller), prompt);
        let mut all: Vec<f32> = prompt.iter().map(|token| *token as f32).collect();
        for token in chosen {
            all.push(*token as f32);
            assert_eq!(sequence.feed(*token, &Cancel::new()).expect("it is read"), all);
        }
        steps.load(Ordering::Relaxed)
    }

    #[test]
    fn copied_text_takes_few_steps() {
        let prompt: Vec<u32> = (0..40).collect();
        assert_eq!(fed(&prompt, &prompt, 0), 40);
        // Two tokens until the place is found, then 1 + 3, 1 + 6 and 1 + 7 a step.
        assert_eq!(fed(&prompt, &prompt, 7), 2 + 1 + 4);
        assert_eq!(fed(&prompt, &(50..90).collect::<Vec<u32>>(), 7), 40);
    }

    #[test]
    fn text_may_repeat_itself_for_long() {
        let prompt: Vec<u32> = (0..20).collect();
        assert!(fed(&prompt, &prompt.repeat(100), 7) < 300);
    }

    #[test]
    fn who_wants_no_more_is_heard_ahead_too() {
        let teller = Teller {
            read: vec![1, 2, 3, 1],
            room: 7,
            steps: Arc::default(),
        };
        let mut sequence = ReadAhead::new(Box::new(teller), &[1, 2, 3, 1]);
        let cancel = Cancel::new();
        sequence.feed(2, &cancel).expect("it is read");
        cancel.cancel();
        assert!(matches!(sequence.feed(3, &cancel), Err(Error::Stopped(_))));
    }

    proptest! {
        #[test]
        fn matches_are_those_of_a_walk_through_all_text(text in prop::collection::vec(0..VOCABULARY, 0..80), step in 1_usize..5) {
            let mut places = Places::default();
            for end in (0..=text.len()).step_by(step) {
                let text = &text[..end];
                let common = |end: usize| {
                    let (earlier, last) = (text[..end].iter().rev(), text.iter().rev());
                    earlier.zip(last).take(MOST_MATCH).take_while(|(a, b)| a == b).count()
                };
                let walked = (1..text.len()).map(|end| (common(end), end)).max();
                let walked = walked.filter(|(common, _)| *common >= LEAST_MATCH);
                prop_assert_eq!(places.longest_match(text), walked);
            }
        }

        #[test]
        fn what_is_told_is_what_was_fed(
            prompt in prop::collection::vec(0..VOCABULARY, 1..60),
            chosen in prop::collection::vec(0..VOCABULARY, 1..80),
            room in 0_usize..8,
        ) {
            fed(&prompt, &chosen, room);
        }
    }
}
