//! Text to terms: words in lowercase, reduced to their stems.
//!
//! Comes in: text of documents, or the user's words. Goes out: terms that are equal where the words mean the same.
//! Always holds: what is indexed keeps every word, stop words too; only a query leaves them out, and only when it has
//! other words. So a query of nothing but stop words finds what it says. Where languages are detected, a word of a query
//! takes the form that it has in each language of the index, and its forms are one term.
//! Not here: which field a term is looked up in.

mod chain;
mod detect;
mod words;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use tantivy::tokenizer::TextAnalyzer;

use chain::Chains;
use detect::{ByLanguage, MARKED_LANGUAGES};

/// Changes whenever the same text gives other terms than before, so that indexes made earlier are made again.
pub(super) const ANALYZER_VERSION: u32 = 1;
/// Distinct terms of a query that are looked up; later ones are left out.
pub const MAX_QUERY_TERMS: usize = 1_024;
/// Code of the language that is found out.
const DETECTED: &str = "auto";

/// Codes with the stemmer of each; the first is the default.
const LANGUAGES: [(&str, Option<tantivy::tokenizer::Language>); 20] = {
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
        (DETECTED, None),
    ]
};

/// A language whose words are reduced to stems; `simple`, which leaves words as they are; or `auto`, which finds out the
/// language of every chunk. English is the default.
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
    /// Finds a language by its ISO 639-1 code, `simple` or `auto`.
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

    /// Returns the languages that can be found out.
    pub(super) fn detectable() -> impl Iterator<Item = Self> {
        MARKED_LANGUAGES.map(Self)
    }

    /// Returns the language that is found out chunk by chunk.
    pub fn detected() -> Self {
        Self(LANGUAGES.len() as u8 - 1)
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

/// A word of a query, as documents may have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueryTerm {
    /// The term that the word becomes in each of the languages, no two the same.
    pub(super) forms: Vec<String>,
    /// How often the query says it.
    pub(super) count: u32,
}

/// Makes the terms of one language, or of all languages.
pub(super) struct Analyzer {
    language: Language,
    /// One for each language that chunks can be in.
    chains: Vec<Chains>,
}

impl Analyzer {
    pub(super) fn new(language: Language) -> Self {
        let chains = if language == Language::detected() {
            Language::detectable().map(Chains::new).collect()
        } else {
            vec![Chains::new(language)]
        };
        Self { language, chains }
    }

    /// Returns whether the language of every chunk is found out.
    pub(super) fn detects(&self) -> bool {
        self.language == Language::detected()
    }

    /// Returns the chain that the index runs over documents, which [`Analyzer::marked`] has prepared where languages are
    /// detected.
    pub(super) fn indexing(&self) -> TextAnalyzer {
        match &self.chains[..] {
            [only] => only.indexing.clone(),
            all => TextAnalyzer::from(ByLanguage::new(
                all.iter().map(|chains| chains.indexing.clone()).collect(),
            )),
        }
    }

    /// Finds out the language of a text; the only one there is where none is detected.
    pub(super) fn language_of(&self, text: &str) -> Language {
        if self.detects() {
            return detect::language_of(text);
        }
        self.language
    }

    /// Returns a text with a note of its language for the chain that indexes it.
    pub(super) fn marked(&self, language: Language, text: &str) -> String {
        if self.detects() {
            return detect::marked(language, text);
        }
        text.to_owned()
    }

    fn chains_of(&self, languages: &[Language]) -> Vec<&Chains> {
        if !self.detects() {
            return self.chains.iter().collect();
        }
        let chains = languages
            .iter()
            .filter_map(|language| self.chains.get(usize::from(language.0)));
        let chains: Vec<_> = chains.collect();
        if chains.is_empty() {
            return self.chains.iter().take(1).collect();
        }
        chains
    }

    /// Returns the distinct terms of the user's words in the order of their first place, with how often each is there.
    /// Documents are in these languages, most of them in the first.
    pub(super) fn query_terms(&self, query: &str, languages: &[Language]) -> Vec<QueryTerm> {
        let chains = self.chains_of(languages);
        let telling: Vec<Words> = chains.iter().map(|chains| words(&chains.telling, query)).collect();
        if let [only] = &telling[..]
            && !only.is_empty()
        {
            return distinct(&telling, |_| true);
        }
        let all: Vec<Words> = chains.iter().map(|chains| words(&chains.asking, query)).collect();
        let stop_words = all.iter().zip(&telling).map(|(all, telling)| all.len() - telling.len());
        // The language with most stop words is the one that the query is in.
        let most = stop_words.enumerate();
        let most = most.reduce(|most, next| if next.1 > most.1 { next } else { most });
        let spoken = most.map_or(&[][..], |(at, _)| &telling[at]);
        let is_telling = |place| spoken.binary_search_by_key(&place, |(place, _)| *place).is_ok();
        let terms = distinct(&all, is_telling);
        if terms.is_empty() {
            return distinct(&all, |_| true);
        }
        terms
    }

    /// Returns where words stand in a text whose terms are among these: byte ranges, in order, apart from each other.
    pub(super) fn places_of(&self, terms: &HashSet<String>, text: &str, languages: &[Language]) -> Vec<Range<usize>> {
        let mut wanted: Vec<Range<usize>> = Vec::new();
        for chains in self.chains_of(languages) {
            // As words of a query, where a pair of characters is one term.
            let mut chain = chains.asking.clone();
            // Word by word, because places that the chain tells by itself count in the text as it is normalised.
            for bounds in chains.words.bounds(text) {
                let mut stream = chain.token_stream(&text[bounds.clone()]);
                let mut is_wanted = false;
                while !is_wanted && stream.advance() {
                    is_wanted = terms.contains(&stream.token().text);
                }
                if is_wanted {
                    wanted.push(bounds);
                }
            }
        }
        wanted.sort_unstable_by_key(|bounds| (bounds.start, bounds.end));
        let mut places: Vec<Range<usize>> = Vec::new();
        for bounds in wanted {
            match places.last_mut() {
                // Pairs of characters overlap, and languages find the same words.
                Some(last) if bounds.start < last.end => last.end = last.end.max(bounds.end),
                _ => places.push(bounds),
            }
        }
        places
    }
}

/// Terms of a text in one language, each with where its word begins, in order.
type Words = Vec<(usize, String)>;

fn words(chain: &TextAnalyzer, text: &str) -> Words {
    let mut chain = chain.clone();
    let mut stream = chain.token_stream(text);
    let mut words = Vec::new();
    while stream.advance() {
        let token = stream.token();
        words.push((token.offset_from, token.text.clone()));
    }
    words
}

/// Returns the distinct words that count, of those that a query has in each language.
fn distinct(languages: &[Words], counts: impl Fn(usize) -> bool) -> Vec<QueryTerm> {
    let mut forms_by_place: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (place, form) in languages.iter().flatten() {
        if counts(*place) {
            let forms = forms_by_place.entry(*place).or_default();
            if !forms.contains(form) {
                forms.push(form.clone());
            }
        }
    }
    let mut places = HashMap::new();
    let mut terms: Vec<QueryTerm> = Vec::new();
    for forms in forms_by_place.into_values() {
        if let Some(&place) = places.get(&forms) {
            let term: &mut QueryTerm = &mut terms[place];
            term.count += 1;
        } else if terms.len() < MAX_QUERY_TERMS {
            places.insert(forms.clone(), terms.len());
            terms.push(QueryTerm { forms, count: 1 });
        }
    }
    terms
}

#[cfg(test)]
mod tests;
