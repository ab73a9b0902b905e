//! The tokenizer inside a GGUF file, and the bytes of each token.

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::tokenizer::TokenizerFromGguf;
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;

use super::{number_of, text_of};

/// Tokens that end an answer in the chat formats we know, besides those that the metadata names.
const END_TOKENS: [&str; 5] = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end|>", "</s>"];
/// Metadata that names tokens which end an answer.
const END_KEYS: [&str; 2] = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"];
/// `tokenizer.ggml.token_type` of a token of plain text.
const TYPE_NORMAL: i64 = 1;
/// `tokenizer.ggml.token_type` of a user's own token, which is plain text too.
const TYPE_USER_DEFINED: i64 = 4;

/// Text to tokens, tokens to bytes.
pub(super) struct Vocabulary {
    tokenizer: Tokenizer,
    tokens: Vec<String>,
    // Bytes of all tokens one after another; token t has bytes[offsets[t]..offsets[t + 1]].
    bytes: Vec<u8>,
    offsets: Vec<usize>,
    ends: Vec<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
}

impl Vocabulary {
    /// Reads the vocabulary from the metadata.
    pub(super) fn read(content: &Content) -> candle_core::Result<Self> {
        let mut tokenizer = Tokenizer::from_gguf(content)?;
        let pre_tokenizer = text_of(content, "tokenizer.ggml.pre").unwrap_or("default");
        correct_pre_tokenizer(&mut tokenizer, pre_tokenizer);
        let tokens = strings(content, "tokenizer.ggml.tokens")?;
        let types = integers(content, "tokenizer.ggml.token_type");
        let mut bytes = Vec::with_capacity(tokens.len() * 6);
        let mut offsets = Vec::with_capacity(tokens.len() + 1);
        offsets.push(0);
        for (id, token) in tokens.iter().enumerate() {
            let is_text = types
                .get(id)
                .is_none_or(|kind| matches!(*kind, TYPE_NORMAL | TYPE_USER_DEFINED));
            if is_text {
                bytes.extend(token.chars().flat_map(bytes_of_char));
            }
            offsets.push(bytes.len());
        }
        let id_of = |key: &str| number_of(content, key).and_then(|id| u32::try_from(id).ok());
        let mut ends: Vec<u32> = END_KEYS.iter().filter_map(|key| id_of(key)).collect();
        ends.extend(END_TOKENS.iter().filter_map(|token| tokenizer.token_to_id(token)));
        Ok(Self {
            tokenizer,
            tokens,
            bytes,
            offsets,
            ends,
            bos: id_of("tokenizer.ggml.bos_token_id"),
            eos: id_of(END_KEYS[0]),
        })
    }

    /// Turns text into tokens. The chat template writes the special tokens, so none are added.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.tokenizer.encode_fast(text, false)?.get_ids().to_vec())
    }

    /// Returns the bytes of a token; none for special and unknown ones.
    pub(super) fn bytes_of(&self, token: u32) -> &[u8] {
        let at = token as usize;
        match (self.offsets.get(at), self.offsets.get(at + 1)) {
            (Some(start), Some(end)) => &self.bytes[*start..*end],
            _ => &[],
        }
    }

    /// Returns whether the token ends an answer.
    pub(super) fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// Returns the token that begins a sequence.
    pub(super) fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Returns the token that ends a sequence.
    pub(super) fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Returns how the vocabulary spells a token; nothing for an unknown one.
    pub(super) fn text_of(&self, token: Option<u32>) -> &str {
        token
            .and_then(|id| self.tokens.get(id as usize))
            .map_or("", String::as_str)
    }
}

/// Corrects what candle takes for models that it does not know by name: it would put a space before each text, and
/// `SmolLM` reads digit by digit.
fn correct_pre_tokenizer(tokenizer: &mut Tokenizer, name: &str) {
    let byte_level = ByteLevel::new(false, true, true);
    match name {
        "smollm" | "refact" | "command-r" => {
            let steps = vec![Digits::new(true).into(), byte_level.into()];
            tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
        }
        "default" | "gpt-2" | "gpt2" => {
            tokenizer.with_pre_tokenizer(Some(byte_level));
        }
        _ => {}
    }
}

/// Undoes the byte-level alphabet, in which each byte is one printable character. Other characters stand for themselves.
fn bytes_of_char(c: char) -> Vec<u8> {
    let code = c as u32;
    let byte = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(code),
        // Bytes without a printable character of their own were numbered on from 0x100.
        0x100..=0x120 => Some(code - 0x100),
        0x121..=0x142 => Some(code - 0x121 + 0x7f),
        0x143 => Some(0xad),
        _ => None,
    };
    match byte.and_then(|byte| u8::try_from(byte).ok()) {
        Some(byte) => vec![byte],
        None => c.to_string().into_bytes(),
    }
}

fn strings(content: &Content, key: &str) -> candle_core::Result<Vec<String>> {
    let Some(value) = content.metadata.get(key) else {
        candle_core::bail!("{key} is missing");
    };
    value.to_vec()?.iter().map(|token| token.to_string().cloned()).collect()
}

fn integers(content: &Content, key: &str) -> Vec<i64> {
    let Some(Value::Array(values)) = content.metadata.get(key) else {
        return Vec::new();
    };
    values
        .iter()
        .map(|value| match value {
            Value::I32(number) => i64::from(*number),
            Value::U32(number) => i64::from(*number),
            _ => TYPE_NORMAL,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::bytes_of_char;

    #[test]
    fn byte_alphabet_reaches_every_byte_once() {
        let mut bytes: Vec<u8> = (0x21..=0x143u32)
            .filter(|code| !matches!(code, 0x7f..=0xa0 | 0xad))
            .filter_map(char::from_u32)
            .flat_map(bytes_of_char)
            .collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(bytes_of_char('Ġ'), b" ");
        assert_eq!(bytes_of_char('Ċ'), b"\n");
        assert_eq!(bytes_of_char('語'), "語".as_bytes());
    }
}
