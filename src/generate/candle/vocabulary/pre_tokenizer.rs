//! How texts are cut before bytes are joined to tokens, by the name that GGUF files give it.

use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Endings of English words that are cut off, in any case.
const ENDINGS: &str = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
/// A word after at most one other sign.
const WORD: &str = r"[^\r\n\p{L}\p{N}]?\p{L}+";
/// A word that begins in capitals, or is of them, after at most one other sign; in scripts without cases any word.
const CASED_WORD: [&str; 2] = [
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
];
/// Signs, with the ends of lines after them.
const SIGNS: &str = r" ?[^\s\p{L}\p{N}]+[\r\n]*";
/// Signs, with the ends of lines and slashes after them.
const SIGNS_AND_SLASHES: &str = r" ?[^\s\p{L}\p{N}]+[\r\n/]*";
/// White space.
const SPACES: &str = r"\s*[\r\n]+|\s+(?!\S)|\s+";

/// Makes a tokenizer of bytes cut texts as the model was trained; refuses what is not known.
pub(super) fn correct(tokenizer: &mut Tokenizer, name: &str) -> Result<(), Error> {
    let pattern = match name {
        "smollm" | "refact" | "command-r" => {
            let steps = vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()];
            tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
            return Ok(());
        }
        "default" | "gpt-2" | "gpt2" | "phi-2" => {
            tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
            return Ok(());
        }
        "qwen2" | "deepseek-r1-qwen" => {
            tokenizer.with_normalizer(Some(NFC))?;
            [ENDINGS, WORD, r"\p{N}", SIGNS, SPACES].join("|")
        }
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "pixtral" | "lfm2" | "smaug-bpe" | "dbrx" => {
            [ENDINGS, WORD, r"\p{N}{1,3}", SIGNS, SPACES].join("|")
        }
        "tekken" => [CASED_WORD[0], CASED_WORD[1], r"\p{N}", SIGNS_AND_SLASHES, SPACES].join("|"),
        "gpt-4o" => {
            let words = CASED_WORD.map(|word| format!("{word}{ENDINGS}?"));
            [&words[0], &words[1], r"\p{N}{1,3}", SIGNS_AND_SLASHES, SPACES].join("|")
        }
        other => return Err(format!("texts that are cut as `{other}` does are not supported").into()),
    };
    let split = Split::new(SplitPattern::Regex(pattern), SplitDelimiterBehavior::Isolated, false)?;
    let steps = vec![split.into(), ByteLevel::new(false, true, false).into()];
    tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
    // Words that are tokens are not put together from others.
    if matches!(
        name,
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "pixtral" | "lfm2" | "tekken"
    ) {
        let mut model = tokenizer.get_model().clone();
        if let ModelWrapper::BPE(model) = &mut model {
            model.ignore_merges = true;
        }
        tokenizer.with_model(model);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokenizers::models::bpe::BPE;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    use super::*;

    #[test]
    fn texts_are_cut_as_the_model_was_trained() {
        let check = |name: &str, expected: &[&str]| {
            let mut tokenizer = Tokenizer::new(BPE::default());
            correct(&mut tokenizer, name).expect("it is known");
            let mut text = PreTokenizedString::from("McDonald's 1234\n/x");
            let pre_tokenizer = tokenizer.get_pre_tokenizer().expect("there is one");
            pre_tokenizer.pre_tokenize(&mut text).expect("it can be cut");
            let parts = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
            let parts: Vec<String> = parts
                .into_iter()
                .map(|(part, ..)| part.replace('\u{120}', " "))
                .collect();
            assert_eq!(parts, expected, "{name}");
        };
        check("llama-bpe", &["McDonald", "'s", " ", "123", "4", "\u{10a}", "/x"]);
        check("qwen2", &["McDonald", "'s", " ", "1", "2", "3", "4", "\u{10a}", "/x"]);
        check(
            "tekken",
            &["Mc", "Donald", "'s", " ", "1", "2", "3", "4", "\u{10a}", "/x"],
        );
        check("gpt-4o", &["Mc", "Donald's", " ", "123", "4", "\u{10a}", "/x"]);
        check("gpt-2", &["McDonald", "'s", " 1234", "\u{10a}", "/", "x"]);
        let refused = correct(&mut Tokenizer::new(BPE::default()), "none of them");
        assert!(refused.is_err_and(|error| error.to_string().contains("`none of them`")));
    }
}
