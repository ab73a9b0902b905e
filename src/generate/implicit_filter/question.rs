//! A question as words with their places, as values of attributes are looked for in it.

use std::ops::Range;

/// Words of a question that are looked at; what follows restricts nothing.
pub(super) const MAX_WORDS: usize = 96;
/// Words that say too little to name a value by themselves.
const SLIGHT: &[&str] = &[
    "a", "about", "all", "an", "and", "any", "are", "as", "at", "be", "by", "can", "did", "do", "does", "false", "for",
    "from", "had", "has", "have", "he", "her", "his", "how", "i", "in", "is", "it", "its", "me", "more", "most",
    "much", "my", "new", "no", "none", "not", "of", "on", "one", "or", "other", "our", "out", "she", "so", "some",
    "that", "the", "their", "them", "there", "these", "they", "this", "those", "to", "true", "up", "us", "was", "we",
    "were", "what", "when", "where", "which", "who", "why", "will", "with", "yes", "you", "your",
];

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// In lowercase.
    pub(super) folded: String,
    /// Bytes of the text.
    pub(super) place: Range<usize>,
}

impl Word {
    /// Returns whether it is this word or a form of it: a plural.
    pub(super) fn is(&self, word: &str) -> bool {
        let rest = self.folded.strip_prefix(word);
        rest.is_some_and(|rest| rest.is_empty() || (word.len() > 2 && (rest == "s" || rest == "es")))
    }

    /// Returns its number, if it is one.
    pub(super) fn number(&self) -> Option<f64> {
        let is_plain = self.folded.starts_with(|c: char| c.is_ascii_digit())
            && self.folded.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',');
        let plain: String = self.folded.chars().filter(|c| *c != ',').collect();
        is_plain
            .then(|| plain.parse().ok())
            .flatten()
            .filter(|it: &f64| it.is_finite())
    }
}

/// Splits a text into words: runs of letters and digits, numbers with their points.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut start = None;
    let mut characters = text.char_indices().peekable();
    let mut before = ' ';
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map_or(' ', |(_, next)| *next);
        let is_point = matches!(character, '.' | ',') && before.is_ascii_digit() && next.is_ascii_digit();
        match (character.is_alphanumeric() || is_point, start) {
            (true, None) => start = Some(at),
            (false, Some(first)) => {
                push(&mut words, text, first..at);
                start = None;
            }
            _ => {}
        }
        before = character;
    }
    if let Some(first) = start {
        push(&mut words, text, first..text.len());
    }
    words
}

fn push(words: &mut Vec<Word>, text: &str, place: Range<usize>) {
    let folded = text[place.clone()].to_lowercase();
    // What an apostrophe leaves behind is no word.
    let is_ending = folded == "s" && text[..place.start].ends_with(['\'', '’']);
    if !is_ending {
        words.push(Word { folded, place });
    }
}

/// A question, taken apart.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) text: &'a str,
    pub(super) words: Vec<Word>,
    /// First letters of its words, to rule values out at once.
    initials: Vec<char>,
}

impl<'a> Question<'a> {
    /// Reads the first [`MAX_WORDS`] words of a question.
    pub(super) fn read(question: &'a str) -> Self {
        let mut words = words(question);
        words.truncate(MAX_WORDS);
        let end = words.last().map_or(0, |word| word.place.end);
        // The mark at its end is a part of it.
        let rest = question[end..].chars().take_while(char::is_ascii_punctuation);
        let end = end + rest.map(char::len_utf8).sum::<usize>();
        let mut initials: Vec<char> = words.iter().filter_map(|word| word.folded.chars().next()).collect();
        initials.sort_unstable();
        initials.dedup();
        Self {
            text: &question[..end],
            words,
            initials,
        }
    }

    /// Returns the words from one to another as they are written.
    pub(super) fn written(&self, words: &Range<usize>) -> &'a str {
        let (Some(first), Some(last)) = (self.words.get(words.start), self.words.get(words.end.saturating_sub(1)))
        else {
            return "";
        };
        self.text.get(first.place.start..last.place.end).unwrap_or("")
    }

    /// Returns all places where a value is named, whatever its case and punctuation.
    pub(super) fn places_of(&self, value: &str) -> Vec<Range<usize>> {
        let first = value.chars().find(|c| c.is_alphanumeric());
        let can_be_named = value.len() <= 2 * self.text.len()
            && first
                .and_then(|first| first.to_lowercase().next())
                .is_some_and(|first| self.initials.binary_search(&first).is_ok());
        if !can_be_named {
            return Vec::new();
        }
        let wanted: Vec<String> = words(value).into_iter().map(|word| word.folded).collect();
        self.places_of_words(&wanted)
    }

    /// Returns all places where these words stand one after the other.
    pub(super) fn places_of_words(&self, wanted: &[String]) -> Vec<Range<usize>> {
        if wanted.is_empty() || wanted.len() > self.words.len() {
            return Vec::new();
        }
        let windows = self.words.windows(wanted.len()).enumerate();
        let found = windows.filter(|(_, window)| window.iter().zip(wanted).all(|(word, wanted)| word.is(wanted)));
        found.map(|(at, _)| at..at + wanted.len()).collect()
    }

    /// Returns whether these words alone may name a value.
    pub(super) fn is_telling(&self, words: &Range<usize>) -> bool {
        let words = &self.words[words.clone()];
        let is_slight = |word: &Word| word.folded.len() < 3 || SLIGHT.binary_search(&word.folded.as_str()).is_ok();
        !words.iter().all(is_slight)
    }

    /// Returns whether the words before a place end with this phrase.
    pub(super) fn ends_with(&self, before: usize, phrase: &str) -> bool {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        let Some(start) = before.checked_sub(phrase.len()) else {
            return false;
        };
        let words = self.words[start..before].iter();
        words.zip(phrase).all(|(word, wanted)| word.folded == wanted)
    }

    /// Returns whether the words from a place on begin with this phrase.
    pub(super) fn begins_with(&self, at: usize, phrase: &str) -> bool {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        let Some(words) = self.words.get(at..at + phrase.len()) else {
            return false;
        };
        words.iter().zip(phrase).all(|(word, wanted)| word.folded == wanted)
    }

    /// Returns what stands between two words.
    pub(super) fn between(&self, left: usize, right: usize) -> &str {
        let places = self.words.get(left).zip(self.words.get(right));
        places
            .and_then(|(left, right)| self.text.get(left.place.end..right.place.start))
            .unwrap_or("")
    }

    /// Returns whether a word is too slight to name anything.
    pub(super) fn is_slight(word: &str) -> bool {
        SLIGHT.binary_search(&word).is_ok()
    }
}
