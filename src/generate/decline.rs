//! Answers that say that there is no answer.

/// What models say when the passages do not hold the answer. Lowercase, apostrophes straight.
const PHRASES: &[&str] = &[
    "not mentioned in the",
    "not mentioned by the",
    "not provided in the",
    "not specified in the",
    "not stated in the",
    "not given in the",
    "not found in the",
    "not included in the",
    "not contained in the",
    "passages do not",
    "passage does not",
    "passages don't",
    "passage doesn't",
    "text does not",
    "text doesn't",
    "context does not",
    "context doesn't",
    "do not contain the answer",
    "does not contain the answer",
    "i do not know",
    "i don't know",
    "i cannot answer",
    "i can't answer",
    "i'm unable to answer",
    "i am unable to answer",
    "no information about",
    "no information on",
];

/// Returns whether a sentence says that the passages do not hold the answer.
pub(super) fn declines(sentence: &str) -> bool {
    let sentence = sentence.to_lowercase().replace('’', "'");
    PHRASES.iter().any(|phrase| sentence.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::declines;

    #[test]
    fn declining_is_told_from_answering() {
        for sentence in [
            "The passages do not say who built it.",
            "I don’t know.",
            "The height is not mentioned in the text.",
            "There is no information about that.",
        ] {
            assert!(declines(sentence), "{sentence}");
        }
        for sentence in ["He did not know the king.", "Nobody mentioned it.", "The text is old."] {
            assert!(!declines(sentence), "{sentence}");
        }
    }
}
