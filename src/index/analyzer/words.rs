//! Text to words in lowercase.
//!
//! Scripts that put no spaces between words (Chinese, Japanese, Thai and their like, and Korean for its particles) have
//! no word bounds to find, so their characters become overlapping pairs. What is indexed has single characters too, so
//! that a query of one character finds it.

use std::borrow::Cow;
use std::ops::Range;

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// What the words are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WordsFor {
    /// Documents: every word that a query may ask for.
    Indexing,
    /// Queries: the most telling words only.
    Asking,
}

/// Cuts text into words.
#[derive(Debug, Clone)]
pub(super) struct Words {
    purpose: WordsFor,
    // In English `don't` is one word; in French `l'avion` is two.
    joins_at_apostrophe: bool,
    dotless_i: bool,
}

impl Words {
    pub(super) fn new(language: &str, purpose: WordsFor) -> Self {
        Self {
            purpose,
            joins_at_apostrophe: language == "en",
            dotless_i: language == "tr",
        }
    }

    /// Returns the ranges of the words of a text, as it stands.
    pub(super) fn bounds(&self, text: &str) -> Vec<Range<usize>> {
        let mut bounds = Vec::with_capacity(text.len() / 6);
        let mut rest = text.char_indices().peekable();
        while let Some((start, first)) = rest.next() {
            let kind = Kind::of(first);
            if kind == Kind::Gap || is_combining_mark(first) && kind == Kind::Word {
                continue;
            }
            let mut starts = vec![start];
            let mut end = start + first.len_utf8();
            while let Some(&(at, next)) = rest.peek() {
                if Kind::of(next) != kind && !(kind == Kind::Word && self.joins(text, at, next)) {
                    break;
                }
                if kind == Kind::Unspaced {
                    starts.push(at);
                }
                end = at + next.len_utf8();
                rest.next();
            }
            match kind {
                Kind::Unspaced => self.push_pairs(&starts, end, &mut bounds),
                _ => bounds.push(start..end),
            }
        }
        bounds
    }

    fn push_pairs(&self, starts: &[usize], end: usize, bounds: &mut Vec<Range<usize>>) {
        let end_of = |at: usize| starts.get(at).copied().unwrap_or(end);
        for (at, &start) in starts.iter().enumerate() {
            if self.purpose == WordsFor::Indexing || starts.len() == 1 {
                bounds.push(start..end_of(at + 1));
            }
            if at + 1 < starts.len() {
                bounds.push(start..end_of(at + 2));
            }
        }
    }

    fn joins(&self, text: &str, at: usize, apostrophe: char) -> bool {
        self.joins_at_apostrophe
            && matches!(apostrophe, '\'' | '\u{2019}')
            && text[..at].ends_with(char::is_alphabetic)
            && text[at + apostrophe.len_utf8()..].starts_with(|next| Kind::of(next) == Kind::Word)
    }

    fn lower(&self, word: &str, into: &mut String) {
        into.clear();
        if word.is_ascii() && !self.dotless_i {
            into.push_str(word);
            into.make_ascii_lowercase();
        } else if self.dotless_i {
            into.push_str(&word.replace('I', "ı").replace('İ', "i").to_lowercase());
        } else {
            into.push_str(&word.replace('\u{2019}', "'").to_lowercase());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Unspaced,
    Gap,
}

impl Kind {
    fn of(character: char) -> Self {
        if character.is_ascii() {
            return if character.is_ascii_alphanumeric() {
                Self::Word
            } else {
                Self::Gap
            };
        }
        match u32::from(character) {
            // Thai and Lao (not their digits), Myanmar, Khmer.
            0x0e01..=0x0e4e | 0x0e81..=0x0ecf | 0x1000..=0x103f | 0x1780..=0x17d3
            // Hangul.
            | 0x1100..=0x11ff | 0x3131..=0x318e | 0xac00..=0xd7ff
            // Radicals, iteration marks, kana (not the middle dot), Han.
            | 0x2e80..=0x2fdf | 0x3005..=0x3007 | 0x3021..=0x3029 | 0x3041..=0x309f | 0x30a1..=0x30fa | 0x30fc..=0x30ff
            | 0x31f0..=0x31ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3fffd => Self::Unspaced,
            _ if character.is_alphanumeric() || is_combining_mark(character) => Self::Word,
            _ => Self::Gap,
        }
    }
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        let text = if text.is_ascii() || is_nfkc_quick(text.chars()) == IsNormalized::Yes {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(text.nfkc().collect())
        };
        let bounds = self.bounds(&text).into_iter();
        WordStream {
            words: self,
            text,
            bounds,
            token: Token::default(),
        }
    }
}

/// The words of one text.
pub(super) struct WordStream<'a> {
    words: &'a Words,
    text: Cow<'a, str>,
    bounds: std::vec::IntoIter<Range<usize>>,
    token: Token,
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(bounds) = self.bounds.next() else {
            return false;
        };
        self.token.position = self.token.position.wrapping_add(1);
        self.token.offset_from = bounds.start;
        self.token.offset_to = bounds.end;
        self.words.lower(&self.text[bounds], &mut self.token.text);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}
