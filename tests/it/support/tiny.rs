//! A language model of random weights that is small enough to be written for a test.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

const WIDTH: usize = 128;
const HEADS: usize = 4;
const FEED_FORWARD: usize = 128;
const CONTEXT: usize = 512;
/// Tokens of the vocabulary: letters, and two of them joined.
const VOCABULARY: usize = 70;
/// Type of numbers of 32 bits in GGUF.
const F32: u32 = 0;
/// Places of tensors in GGUF are multiples of this.
const ALIGNMENT: usize = 32;

/// A tensor: what GGUF files and files of safetensors call it, its sides, its numbers.
struct Tensor {
    gguf_name: &'static str,
    name: &'static str,
    dims: Vec<usize>,
    numbers: Vec<f32>,
}

/// A model.
pub(crate) struct Tiny(Vec<Tensor>);

impl Tiny {
    pub(crate) fn new() -> Self {
        let mut state = 1_u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1_u32 << 23) as f32 - 1.0
        };
        let square = vec![WIDTH, WIDTH];
        let tensors = [
            (
                "token_embd.weight",
                "model.embed_tokens.weight",
                vec![VOCABULARY, WIDTH],
            ),
            ("output_norm.weight", "model.norm.weight", vec![WIDTH]),
            (
                "blk.0.attn_norm.weight",
                "model.layers.0.input_layernorm.weight",
                vec![WIDTH],
            ),
            (
                "blk.0.attn_q.weight",
                "model.layers.0.self_attn.q_proj.weight",
                square.clone(),
            ),
            (
                "blk.0.attn_k.weight",
                "model.layers.0.self_attn.k_proj.weight",
                square.clone(),
            ),
            (
                "blk.0.attn_v.weight",
                "model.layers.0.self_attn.v_proj.weight",
                square.clone(),
            ),
            (
                "blk.0.attn_output.weight",
                "model.layers.0.self_attn.o_proj.weight",
                square,
            ),
            (
                "blk.0.ffn_norm.weight",
                "model.layers.0.post_attention_layernorm.weight",
                vec![WIDTH],
            ),
            (
                "blk.0.ffn_gate.weight",
                "model.layers.0.mlp.gate_proj.weight",
                vec![FEED_FORWARD, WIDTH],
            ),
            (
                "blk.0.ffn_up.weight",
                "model.layers.0.mlp.up_proj.weight",
                vec![FEED_FORWARD, WIDTH],
            ),
            (
                "blk.0.ffn_down.weight",
                "model.layers.0.mlp.down_proj.weight",
                vec![WIDTH, FEED_FORWARD],
            ),
        ];
        let tensors = tensors.map(|(gguf_name, name, dims)| {
            let scale = if dims.len() == 2 { 0.1 } else { 1.0 };
            let numbers = (0..dims.iter().product()).map(|_| scale * random()).collect();
            Tensor {
                gguf_name,
                name,
                dims,
                numbers,
            }
        });
        Self(tensors.into())
    }

    /// The same with numbers in its last norm that are none.
    pub(crate) fn without_numbers() -> Self {
        let mut tiny = Self::new();
        tiny.0[1].numbers.fill(f32::NAN);
        tiny
    }

    /// Writes it into `directory` as a GGUF file, and returns its path.
    pub(crate) fn write_gguf(&self, directory: &Path) -> PathBuf {
        let whole = |key: &str, number: usize| entry(&format!("llama.{key}"), 4, &(number as u32).to_le_bytes());
        let named = |key: &str, name: &str| entry(key, 8, &text(name));
        let texts = |key: &str, texts: &[String]| {
            let mut list = [8_u32.to_le_bytes().to_vec(), count(texts.len())].concat();
            list.extend(texts.iter().flat_map(|item| text(item)));
            entry(key, 9, &list)
        };
        let metadata = [
            named("general.architecture", "llama"),
            whole("block_count", 1),
            whole("context_length", CONTEXT),
            whole("embedding_length", WIDTH),
            whole("feed_forward_length", FEED_FORWARD),
            whole("attention.head_count", HEADS),
            entry("llama.attention.layer_norm_rms_epsilon", 6, &1e-5_f32.to_le_bytes()),
            named("tokenizer.ggml.model", "gpt2"),
            named("tokenizer.ggml.pre", "gpt-2"),
            texts("tokenizer.ggml.tokens", &vocabulary()),
            texts("tokenizer.ggml.merges", &["0 1".to_owned()]),
            entry("tokenizer.ggml.eos_token_id", 4, &1_u32.to_le_bytes()),
        ];
        let mut bytes = [b"GGUF".to_vec(), 3_u32.to_le_bytes().to_vec()].concat();
        bytes.extend(count(self.0.len()));
        bytes.extend(count(metadata.len()));
        bytes.extend(metadata.concat());
        let mut data: Vec<u8> = Vec::new();
        for tensor in &self.0 {
            bytes.extend(text(tensor.gguf_name));
            bytes.extend((tensor.dims.len() as u32).to_le_bytes());
            bytes.extend(tensor.dims.iter().rev().flat_map(|side| count(*side)));
            bytes.extend(F32.to_le_bytes());
            bytes.extend(count(data.len()));
            data.extend(tensor.numbers.iter().flat_map(|number| number.to_le_bytes()));
            data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend(data);
        write(directory, "tiny.gguf", &bytes)
    }

    /// Writes it into `directory` as the transformers library does, and returns the path of its weights.
    pub(crate) fn write_safetensors(&self, directory: &Path) -> PathBuf {
        let config = json!({
            "architectures": ["LlamaForCausalLM"], "vocab_size": VOCABULARY, "hidden_size": WIDTH,
            "intermediate_size": FEED_FORWARD, "num_hidden_layers": 1, "num_attention_heads": HEADS,
            "rms_norm_eps": 1e-5, "max_position_embeddings": CONTEXT, "tie_word_embeddings": true, "eos_token_id": 1,
        });
        write(directory, "config.json", config.to_string().as_bytes());
        let tokens: serde_json::Map<_, _> = vocabulary().into_iter().zip((0..).map(|id: u32| id.into())).collect();
        let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
        let tokenizer = json!({
            "version": "1.0", "added_tokens": [], "pre_tokenizer": bytes, "decoder": bytes,
            "model": { "type": "BPE", "vocab": tokens, "merges": ["0 1"] },
        });
        write(directory, "tokenizer.json", tokenizer.to_string().as_bytes());
        let mut header = String::from("{");
        let mut data: Vec<u8> = Vec::new();
        for tensor in &self.0 {
            let begin = data.len();
            data.extend(tensor.numbers.iter().flat_map(|number| number.to_le_bytes()));
            let info = json!({ "dtype": "F32", "shape": tensor.dims, "data_offsets": [begin, data.len()] });
            let comma = if begin == 0 { "" } else { "," };
            write!(header, "{comma}\"{}\":{info}", tensor.name).expect("memory can be written");
        }
        header.push('}');
        let bytes = [count(header.len()), header.into_bytes(), data].concat();
        write(directory, "model.safetensors", &bytes)
    }
}

fn vocabulary() -> Vec<String> {
    let letters = (1..VOCABULARY as u32).map(|at| char::from_u32(0x2f + at).expect("a letter"));
    letters.map(String::from).chain(["01".to_owned()]).collect()
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    std::fs::create_dir_all(directory).expect("a directory");
    let path = directory.join(name);
    std::fs::write(&path, bytes).expect("a file");
    path
}

/// An entry of the metadata of GGUF: its key, the number of its type, its value.
fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [text(key), kind.to_le_bytes().to_vec(), value.to_vec()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [count(text.len()), text.as_bytes().to_vec()].concat()
}

fn count(number: usize) -> Vec<u8> {
    (number as u64).to_le_bytes().to_vec()
}
