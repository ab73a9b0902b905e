//! The tokenizer of a model, and the bytes of each token.

mod pre_tokenizer;
mod sentencepiece;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::tokenizer::TokenizerFromGguf;
use tokenizers::Tokenizer;

use super::checkpoint::Conversation;
use super::{number_of, text_of};
use sentencepiece::{Pieces, SPACE};

/// Tokens that end an answer in the chat formats we know, besides those that the metadata names.
const END_TOKENS: [&str; 6] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end|>",
    "<end_of_turn>",
    "</s>",
];
/// Metadata that names tokens which end an answer.
const END_KEYS: [&str; 2] = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"];
/// `tokenizer.ggml.token_type` of a token of plain text.
const TYPE_NORMAL: i64 = 1;
/// `tokenizer.ggml.token_type` of the token of what is in no other.
const TYPE_UNKNOWN: i64 = 2;
/// `tokenizer.ggml.token_type` of a token without text, as those that begin and end turns of a conversation.
const TYPE_CONTROL: i64 = 3;
/// `tokenizer.ggml.token_type` of a user's own token, which is plain text too.
const TYPE_USER_DEFINED: i64 = 4;
/// `tokenizer.ggml.token_type` of a token that is one byte.
const TYPE_BYTE: i64 = 6;

/// Tokens of the largest vocabulary that is read from a file that numbers them freely.
const MAX_TOKENS: usize = 1 << 24;

/// How tokens are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// Each character is a byte.
    Bytes,
    /// As text, spaces as [`SPACE`], and bytes that are in no other token as `<0x0A>`.
    Text,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

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
    /// Returns about how many bytes it takes: its texts, once as they are and once in the tokenizer.
    pub(super) fn memory_bytes(&self) -> usize {
        let texts = self.tokens.iter().map(|token| token.len() + size_of::<String>());
        self.bytes.len() + size_of_val(self.offsets.as_slice()) + 2 * texts.sum::<usize>()
    }

    /// Reads the vocabulary from the metadata of a GGUF file; `is_phi` where the model is of that family.
    pub(super) fn read(content: &Content, is_phi: bool) -> Result<Self, Error> {
        let tokens = strings(content, "tokenizer.ggml.tokens")?;
        let types = integers(content, "tokenizer.ggml.token_type");
        let id_of = |key: &str| number_of(content, key).and_then(|id| u32::try_from(id).ok());
        let (tokenizer, spelling) = if text_of(content, "tokenizer.ggml.model") == Some("llama") {
            let flag = |key: &str| content.metadata.get(key).and_then(|value| value.to_bool().ok());
            let pieces = Pieces {
                tokens: &tokens,
                scores: &floats(content, "tokenizer.ggml.scores"),
                types: &types,
                unknown: id_of("tokenizer.ggml.unknown_token_id"),
                has_space_before: flag("tokenizer.ggml.add_space_prefix").unwrap_or(true),
                takes_space_after: is_phi,
            };
            (guarded(|| pieces.tokenizer())?, Spelling::Text)
        } else {
            let mut tokenizer = guarded(|| Ok(Tokenizer::from_gguf(content)?))?;
            let name = text_of(content, "tokenizer.ggml.pre").unwrap_or("default");
            pre_tokenizer::correct(&mut tokenizer, name)?;
            (tokenizer, Spelling::Bytes)
        };
        let kind = |id: usize| types.get(id).copied().unwrap_or(TYPE_NORMAL);
        let bytes = tokens.iter().enumerate().map(|(id, token)| match (kind(id), spelling) {
            (TYPE_NORMAL | TYPE_USER_DEFINED, Spelling::Bytes) => token.chars().flat_map(bytes_of_char).collect(),
            (TYPE_NORMAL | TYPE_USER_DEFINED, Spelling::Text) => token.replace(SPACE, " ").into_bytes(),
            (TYPE_BYTE, _) => byte_of(token).map_or_else(Vec::new, |byte| vec![byte]),
            _ => Vec::new(),
        });
        let (bytes, offsets) = joined(bytes);
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

    /// Reads `tokenizer.json`.
    pub(super) fn open(path: &Path, conversation: &Conversation) -> Result<Self, Error> {
        let mut tokenizer = guarded(|| Tokenizer::from_file(path))?;
        tokenizer.with_truncation(None)?;
        tokenizer.with_padding(None);
        let count = tokenizer
            .get_vocab(true)
            .into_values()
            .max()
            .map_or(0, |last| last as usize + 1);
        if count > MAX_TOKENS {
            return Err(format!("its tokens are numbered up to {count}, at most {MAX_TOKENS} are supported").into());
        }
        let spelling = spelling_of(&tokenizer)?;
        let added = tokenizer.get_added_tokens_decoder();
        let tokens = (0..count as u32).map(|id| tokenizer.id_to_token(id).unwrap_or_default());
        let tokens: Vec<String> = tokens.collect();
        let bytes = tokens.iter().zip(0..).map(|(token, id)| match added.get(&id) {
            Some(added) if added.special => Vec::new(),
            Some(_) => token.clone().into_bytes(),
            None if spelling == Spelling::Bytes => token.chars().flat_map(bytes_of_char).collect(),
            None => byte_of(token).map_or_else(|| token.replace(SPACE, " ").into_bytes(), |byte| vec![byte]),
        });
        let (bytes, offsets) = joined(bytes);
        let id_of = |token: &Option<String>| token.as_deref().and_then(|token| tokenizer.token_to_id(token));
        let (bos, eos) = (id_of(&conversation.bos), id_of(&conversation.eos));
        let mut ends = conversation.end_ids.clone();
        ends.extend(eos);
        ends.extend(END_TOKENS.iter().filter_map(|token| tokenizer.token_to_id(token)));
        Ok(Self {
            tokenizer,
            tokens,
            bytes,
            offsets,
            ends,
            bos,
            eos,
        })
    }

    /// Turns text into tokens. The chat template writes the special tokens, so none are added.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
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

    /// Returns how many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns the tokens that end an answer.
    pub(super) fn ends(&self) -> &[u32] {
        &self.ends
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

/// Makes a tokenizer. The library panics where it should join tokens to one that is longer than all it has.
fn guarded(make: impl FnOnce() -> Result<Tokenizer, Error>) -> Result<Tokenizer, Error> {
    let tokenizer = catch_unwind(AssertUnwindSafe(make));
    tokenizer.unwrap_or_else(|_| Err("its tokenizer joins tokens to one that it has not".into()))
}

/// Returns how a tokenizer writes tokens down.
fn spelling_of(tokenizer: &Tokenizer) -> Result<Spelling, Error> {
    let decoder = serde_json::to_string(&tokenizer.get_decoder())?;
    let has = |name: &str| decoder.contains(&format!("\"type\":\"{name}\""));
    if has("ByteLevel") {
        Ok(Spelling::Bytes)
    } else if has("ByteFallback") || has("Metaspace") || has("Replace") {
        Ok(Spelling::Text)
    } else {
        Err("tokens that are neither bytes nor text of SentencePiece are not supported".into())
    }
}

/// Puts the bytes of all tokens one after another, and tells where each begins and the last ends.
fn joined(tokens: impl Iterator<Item = Vec<u8>>) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut offsets) = (Vec::new(), vec![0]);
    for token in tokens {
        bytes.extend(token);
        offsets.push(bytes.len());
    }
    (bytes, offsets)
}

/// Returns the byte that a token such as `<0x0A>` stands for.
fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16).ok()
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

fn strings(content: &Content, key: &str) -> Result<Vec<String>, Error> {
    let Some(Value::Array(values)) = content.metadata.get(key) else {
        return Err(format!("its metadata has no list {key}").into());
    };
    let texts = values.iter().map(|value| value.to_string().cloned());
    Ok(texts.collect::<candle_core::Result<_>>()?)
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

fn floats(content: &Content, key: &str) -> Vec<f32> {
    let Some(Value::Array(values)) = content.metadata.get(key) else {
        return Vec::new();
    };
    values.iter().map(|value| value.to_f32().unwrap_or(0.0)).collect()
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
