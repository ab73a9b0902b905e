//! Text to terms: words in lowercase, reduced to their stems.
//!
//! Comes in: text of documents, or the user's words. Goes out: terms that are equal where the words mean the same.
//! Always holds: what is indexed keeps every word, stop words too; only a query leaves them out, and only when it has
//! other words. So a query of nothing but stop words finds what it says.
//! Not here: which field a term is looked up in.

mod words;

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use tantivy::tokenizer::{AsciiFoldingFilter, RemoveLongFilter, Stemmer, StopWordFilter, TextAnalyzer, TokenStream};

use words::{Words, WordsFor};

/// Changes whenever the same text gives other terms than before, so that indexes made earlier are made again.
pub(super) const ANALYZER_VERSION: u32 = 1;
/// Distinct terms of a query that are looked up; later ones are left out.
pub const MAX_QUERY_TERMS: usize = 1_024;
/// Longest term in bytes: hashes and URLs are found, encoded binaries are not indexed.
const MAX_TERM_BYTES: usize = 128;

/// Words of English questions that say nothing about their subject, beside the stop words of the language.
const QUESTION_WORDS: [&str; 38] = [
    "about", "am", "any", "been", "can", "could", "did", "do", "does", "from", "had", "has", "have", "he", "her",
    "his", "how", "i", "its", "me", "my", "our", "she", "should", "so", "us", "we", "were", "what", "what's", "when",
    "where", "which", "who", "whom", "why", "would", "you",
];

/// Codes with the stemmer of each; the first is the default.
const LANGUAGES: [(&str, Option<tantivy::tokenizer::Language>); 19] = {
    use tantivy::tokenizer::Language as Stems;
    [
        ("en", Some(Stems::English)),
        ("ar", Some(Stems::Arabic)),
        ("da", Some(Stems::Danish)),
        ("de", Some(Stems::German)),
        ("el", Some(Stems::Greek)),
        ("es", Some(Stems::Spanish)),
        ("fi", Some(Stems::Finnish)),
        ("fr", Some(Stems::French)),
        ("hu", Some(Stems::Hungarian)),
        ("it", Some(Stems::Italian)),
        ("nl", Some(Stems::Dutch)),
        ("no", Some(Stems::Norwegian)),
        ("pt", Some(Stems::Portuguese)),
        ("ro", Some(Stems::Romanian)),
        ("ru", Some(Stems::Russian)),
        ("sv", Some(Stems::Swedish)),
        ("ta", Some(Stems::Tamil)),
        ("tr", Some(Stems::Turkish)),
        ("simple", None),
    ]
};

/// A language whose words are reduced to stems, or `simple`, which leaves words as they are. English is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Language(u8);

/// A language that there is no stemmer for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no language `{code}`: choose one of {}", LANGUAGES.map(|(code, _)| code).join(", "))]
pub struct UnknownLanguage {
    /// What was asked for.
    pub code: String,
}

impl Language {
    /// Finds a language by its ISO 639-1 code, or `simple`.
    pub fn parse(code: &str) -> Result<Self, UnknownLanguage> {
        LANGUAGES
            .iter()
            .position(|(known, _)| *known == code)
            .map(|at| Self(at as u8))
            .ok_or_else(|| UnknownLanguage { code: code.to_owned() })
    }

    /// Returns its code.
    pub fn code(self) -> &'static str {
        LANGUAGES[usize::from(self.0)].0
    }

    fn stems(self) -> Option<tantivy::tokenizer::Language> {
        LANGUAGES[usize::from(self.0)].1
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Makes the terms of one language.
pub(super) struct Analyzer {
    indexing: TextAnalyzer,
    asking: TextAnalyzer,
    asking_with_stop_words: TextAnalyzer,
    words: Words,
}

impl Analyzer {
    pub(super) fn new(language: Language) -> Self {
        Self {
            indexing: chain(language, WordsFor::Indexing, false),
            asking: chain(language, WordsFor::Asking, true),
            asking_with_stop_words: chain(language, WordsFor::Asking, false),
            words: Words::new(language.code(), WordsFor::Indexing),
        }
    }

    /// Returns the chain that the index runs over documents.
    pub(super) fn indexing(&self) -> TextAnalyzer {
        self.indexing.clone()
    }

    /// Returns the distinct terms of the user's words in the order of their first place, with how often each is there.
    pub(super) fn query_terms(&self, query: &str) -> Vec<(String, u32)> {
        let terms = distinct(&mut self.asking.clone(), query);
        if terms.is_empty() {
            return distinct(&mut self.asking_with_stop_words.clone(), query);
        }
        terms
    }

    /// Returns where words stand in a text whose terms are among these: byte ranges, in order, apart from each other.
    pub(super) fn places_of(&self, terms: &HashSet<String>, text: &str) -> Vec<Range<usize>> {
        // As words of a query, where a pair of characters is one term.
        let mut chain = self.asking_with_stop_words.clone();
        let mut places: Vec<Range<usize>> = Vec::new();
        // Word by word, because places that the chain tells by itself count in the text as it is normalised.
        for bounds in self.words.bounds(text) {
            let mut stream = chain.token_stream(&text[bounds.clone()]);
            let mut is_wanted = false;
            while !is_wanted && stream.advance() {
                is_wanted = terms.contains(&stream.token().text);
            }
            match places.last_mut() {
                // Pairs of characters overlap.
                Some(last) if is_wanted && bounds.start < last.end => {
                    last.end = last.end.max(bounds.end);
                }
                _ if is_wanted => places.push(bounds),
                _ => {}
            }
        }
        places
    }
}

fn chain(language: Language, words_for: WordsFor, without_stop_words: bool) -> TextAnalyzer {
    let mut chain = TextAnalyzer::builder(Words::new(language.code(), words_for))
        .filter(RemoveLongFilter::limit(MAX_TERM_BYTES + 1))
        .dynamic();
    if without_stop_words {
        if let Some(filter) = language.stems().and_then(StopWordFilter::new) {
            chain = chain.filter_dynamic(filter);
        }
        if language == Language::default() {
            chain = chain.filter_dynamic(StopWordFilter::remove(QUESTION_WORDS.map(str::to_owned)));
        }
    }
    if let Some(stems) = language.stems() {
        chain = chain.filter_dynamic(Stemmer::new(stems));
    }
    // Accents go last: stemmers need them to know their endings.
    chain.filter_dynamic(AsciiFoldingFilter).build()
}

fn distinct(analyzer: &mut TextAnalyzer, query: &str) -> Vec<(String, u32)> {
    let mut places = std::collections::HashMap::new();
    let mut terms: Vec<(String, u32)> = Vec::new();
    let mut stream = analyzer.token_stream(query);
    while stream.advance() {
        let term = &stream.token().text;
        if let Some(&place) = places.get(term) {
            let (_, count): &mut (String, u32) = &mut terms[place];
            *count += 1;
        } else if terms.len() < MAX_QUERY_TERMS {
            places.insert(term.clone(), terms.len());
            terms.push((term.clone(), 1));
        }
    }
    terms
}

#[cfg(test)]
mod tests;
