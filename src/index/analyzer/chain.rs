//! The steps from text to terms in one language.

use tantivy::tokenizer::{AsciiFoldingFilter, RemoveLongFilter, Stemmer, StopWordFilter, TextAnalyzer};

use super::Language;
use super::words::{Words, WordsFor};

/// Longest term in bytes: hashes and URLs are found, encoded binaries are not indexed.
pub(super) const MAX_TERM_BYTES: usize = 128;

/// Words of English questions that say nothing about their subject, beside the stop words of the language.
const QUESTION_WORDS: [&str; 38] = [
    "about", "am", "any", "been", "can", "could", "did", "do", "does", "from", "had", "has", "have", "he", "her",
    "his", "how", "i", "its", "me", "my", "our", "she", "should", "so", "us", "we", "were", "what", "what's", "when",
    "where", "which", "who", "whom", "why", "would", "you",
];

/// The chains of one language.
pub(super) struct Chains {
    /// What the index runs over documents.
    pub(super) indexing: TextAnalyzer,
    /// The words of a query, all of them.
    pub(super) asking: TextAnalyzer,
    /// The words of a query without stop words.
    pub(super) telling: TextAnalyzer,
    pub(super) words: Words,
}

impl Chains {
    pub(super) fn new(language: Language) -> Self {
        Self {
            indexing: chain(language, WordsFor::Indexing, false),
            asking: chain(language, WordsFor::Asking, false),
            telling: chain(language, WordsFor::Asking, true),
            words: Words::new(language.code(), WordsFor::Indexing),
        }
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
