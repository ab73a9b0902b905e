//! The language of a text, and how the chain that indexes it learns of it.

use std::ops::Range;

use tantivy::tokenizer::{BoxTokenStream, TextAnalyzer, Tokenizer};
use whatlang::{Lang, Script};

use super::{LANGUAGES, Language};

/// Languages that can be detected, as places in [`LANGUAGES`]: all but the one that stands for detecting.
pub(super) const MARKED_LANGUAGES: Range<u8> = 0..LANGUAGES.len() as u8 - 1;
/// Texts are judged by so many bytes of their beginning.
const JUDGED_BYTES: usize = 2_048;
/// How sure a guess must be among the languages of a script; else the text is taken to be in the most common one.
const LEAST_CONFIDENCE: f64 = 0.25;
/// Where the private characters begin that note a language, in a plane that no document needs.
const FIRST_MARK: u32 = 0xf_0000;

/// Returns the language of a text: `simple` for one that there is no stemmer for.
pub(super) fn language_of(text: &str) -> Language {
    let end = text.floor_char_boundary(JUDGED_BYTES);
    let Some(found) = whatlang::detect(&text[..end]) else {
        return Language::default();
    };
    let is_sure = found.confidence() >= LEAST_CONFIDENCE;
    let code = match found.lang() {
        _ if !is_sure && found.script() == Script::Latin => "en",
        _ if !is_sure && found.script() == Script::Cyrillic => "ru",
        _ if !is_sure && found.script() == Script::Arabic => "ar",
        Lang::Eng => "en",
        Lang::Ara => "ar",
        Lang::Dan => "da",
        Lang::Deu => "de",
        Lang::Ell => "el",
        Lang::Spa => "es",
        Lang::Fin => "fi",
        Lang::Fra => "fr",
        Lang::Hun => "hu",
        Lang::Ita => "it",
        Lang::Nld => "nl",
        Lang::Nob => "no",
        Lang::Por => "pt",
        Lang::Ron => "ro",
        Lang::Rus => "ru",
        Lang::Swe => "sv",
        Lang::Tam => "ta",
        Lang::Tur => "tr",
        _ => "simple",
    };
    Language::parse(code).unwrap_or_default()
}

/// Puts a mark of its language before a text.
pub(super) fn marked(language: Language, text: &str) -> String {
    let mark = char::from_u32(FIRST_MARK + u32::from(language.0)).unwrap_or(' ');
    let mut marked = String::with_capacity(text.len() + mark.len_utf8());
    marked.push(mark);
    marked.push_str(text);
    marked
}

/// Runs the chain of the language that a text is marked with.
#[derive(Clone)]
pub(super) struct ByLanguage {
    /// By place in [`LANGUAGES`].
    chains: Vec<TextAnalyzer>,
}

impl ByLanguage {
    pub(super) fn new(chains: Vec<TextAnalyzer>) -> Self {
        Self { chains }
    }
}

impl Tokenizer for ByLanguage {
    type TokenStream<'a> = BoxTokenStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> BoxTokenStream<'a> {
        let mut characters = text.chars();
        let mark = characters.next().map_or(0, u32::from);
        let at = mark.checked_sub(FIRST_MARK).map(|at| at as usize);
        match at.filter(|at| *at < self.chains.len()) {
            Some(at) => self.chains[at].token_stream(characters.as_str()),
            None => self.chains[0].token_stream(text),
        }
    }
}
