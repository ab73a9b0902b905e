//! Tokens of a text to what they say about the model's knowledge of its language.

use super::TokenCoverage;

/// Letters that a character counts as where a character is a syllable or a word.
const LETTERS_PER_SYLLABLE: f64 = 3.0;

/// Sums up the tokens of `text`, given as byte ranges with whether the model knows the token.
pub(super) fn of(text: &str, tokens: impl Iterator<Item = ((usize, usize), bool)>) -> TokenCoverage {
    let mut coverage = TokenCoverage::default();
    let mut counted = 0;
    for ((start, end), is_known) in tokens {
        let is_written = text.get(start..end).is_some_and(has_letters);
        if !is_written {
            continue;
        }
        // Several tokens may be parts of one character.
        let new = text.get(start.max(counted)..end).unwrap_or_default();
        counted = counted.max(end);
        let characters = new.chars().filter(|character| character.is_alphanumeric());
        if is_known {
            coverage.tokens += 1;
            coverage.letters += characters.map(letters).sum::<f64>();
        } else {
            coverage.tokens += characters.count().max(1);
        }
    }
    coverage
}

fn has_letters(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

fn letters(character: char) -> f64 {
    match u32::from(character) {
        // Thai, Lao, Myanmar, Khmer; kana, Han; Hangul.
        0x0e01..=0x0eff
        | 0x1000..=0x109f
        | 0x1780..=0x17ff
        | 0x3041..=0x30ff
        | 0x3400..=0x9fff
        | 0xac00..=0xd7ff
        | 0xf900..=0xfaff
        | 0x20000..=0x3fffd => LETTERS_PER_SYLLABLE,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_long_tokens_cover_a_text() {
        #[track_caller]
        fn check(text: &str, tokens: &[(usize, usize, bool)], letters: f64, count: usize) {
            let tokens = tokens.iter().map(|(start, end, known)| ((*start, *end), *known));
            let found = of(text, tokens);
            assert_eq!((found.letters, found.tokens), (letters, count), "{text}");
        }
        check("whale song!", &[(0, 5, true), (6, 10, true), (10, 11, true)], 9.0, 2);
        check("да", &[(0, 2, true), (2, 4, true)], 2.0, 2);
        check("猫语", &[(0, 3, true), (3, 6, false)], 3.0, 2);
        check("สวัสดี", &[(0, 18, false)], 0.0, 6);
        // Three bytes of one character, each a token.
        check("é", &[(0, 2, true), (0, 2, true)], 1.0, 2);
        check("", &[], 0.0, 0);
        check("ab", &[(0, 9, true)], 0.0, 0);
    }
}
