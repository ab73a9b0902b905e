//! Content words of a text, in the form in which two texts are compared.

use std::collections::BTreeSet;

use unicode_segmentation::UnicodeSegmentation;

/// English words that say nothing about a text's subject.
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "before", "being", "between", "both", "but", "by", "can", "could", "did", "do", "does", "during", "each", "for",
    "from", "had", "has", "have", "he", "her", "here", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its",
    "itself", "just", "many", "may", "me", "might", "more", "most", "much", "must", "my", "no", "nor", "not", "of",
    "on", "one", "only", "or", "other", "our", "out", "over", "own", "s", "same", "she", "should", "so", "some",
    "such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "through", "to",
    "too", "under", "up", "us", "very", "was", "we", "were", "what", "when", "where", "which", "while", "who", "whom",
    "whose", "why", "will", "with", "would", "you",
];

/// Returns the stems of the content words of a text, each once.
pub(super) fn content_words(text: &str) -> BTreeSet<String> {
    text.unicode_words()
        .map(str::to_lowercase)
        .filter(|word| STOP_WORDS.binary_search(&word.as_str()).is_err())
        .map(|word| stem(&word))
        .collect()
}

/// Returns whether a word is a number, which a source must hold literally.
pub(super) fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// Takes common English endings off a lowercase word, so that its forms meet.
fn stem(word: &str) -> String {
    let word = word
        .strip_suffix("'s")
        .or_else(|| word.strip_suffix("’s"))
        .unwrap_or(word);
    if is_number(word) {
        return word.chars().filter(|c| *c != ',').collect();
    }
    if !word.is_ascii() || word.len() <= 3 {
        return word.to_owned();
    }
    let base = if let Some(base) = word.strip_suffix("ies").filter(|base| base.len() > 1) {
        return format!("{base}y");
    } else if let Some(base) = word.strip_suffix("sses") {
        return format!("{base}ss");
    } else if let Some(base) = word.strip_suffix('s').filter(|base| !base.ends_with(['s', 'u', 'i'])) {
        base
    } else {
        word
    };
    let base = ["ing", "ed", "ly"]
        .iter()
        .find_map(|ending| base.strip_suffix(ending).filter(|base| base.len() > 2))
        .map_or(base, undouble);
    let base = base.strip_suffix('e').filter(|base| base.len() > 2).unwrap_or(base);
    base.to_owned()
}

/// "runn" to "run".
fn undouble(base: &str) -> &str {
    let bytes = base.as_bytes();
    match bytes {
        [.., a, b] if a == b && !matches!(b, b'l' | b's' | b'z' | b'a' | b'e' | b'i' | b'o') => &base[..base.len() - 1],
        _ => base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let words: Vec<String> = content_words(text).into_iter().collect();
        assert_eq!(words, expected, "{text}");
    }

    #[test]
    fn stop_words_are_in_order() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn forms_of_a_word_meet() {
        check("located locates locating locate", &["locat"]);
        check("run runs running", &["run"]);
        check("the countries' country's", &["country"]);
        check("defeats defeated", &["defeat"]);
        check("glasses glass", &["glass"]);
        check("bus analysis", &["analysis", "bus"]);
    }

    #[test]
    fn numbers_and_other_scripts_stay() {
        check("It cost 1,250 in 1990, or 3.5%", &["1250", "1990", "3.5", "cost"]);
        check("Größe Москва", &["größe", "москва"]);
        check("東京", &["京", "東"]);
        check("... the of", &[]);
    }
}
