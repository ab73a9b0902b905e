//! Tiny models of random weights, as candle's own decoders take them and as files.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};
use tokenizers::Tokenizer;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::models::{AnswerStyle, InstalledLanguageModel, LanguageModelSource};

/// Tokens of the vocabulary.
pub(super) const VOCABULARY: usize = 70;
/// Keys that a query sees in layers that see few.
pub(super) const WINDOW: usize = 21;
const LAYERS: usize = 3;
const CONTEXT: usize = 128;

/// A model: its configuration and tensors as they are published.
pub(super) struct Tiny {
    pub(super) config: Json,
    pub(super) tensors: BTreeMap<String, Tensor>,
}

impl Tiny {
    /// Returns a number of its configuration.
    pub(super) fn number(&self, key: &str) -> usize {
        self.config[key].as_u64().map_or(0, |number| number as usize)
    }

    /// Returns the class that its configuration names.
    pub(super) fn class(&self) -> &str {
        self.config["architectures"][0].as_str().expect("it names a class")
    }

    /// Returns its tensors for candle's decoders.
    pub(super) fn builder(&self) -> VarBuilder<'static> {
        let tensors = self.tensors.clone().into_iter().collect();
        VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
    }

    /// Writes it as GGUF.
    pub(super) fn write_gguf(&self, directory: &Path, kind: GgmlDType) -> PathBuf {
        let (metadata, tensors) = self.gguf();
        write_gguf(directory, &metadata, &tensors, kind)
    }

    /// Writes it as the transformers library does, its weights in so many files; returns their paths.
    pub(super) fn write_safetensors(&self, directory: &Path, kind: DType, files: usize) -> Vec<PathBuf> {
        std::fs::write(directory.join("config.json"), self.config.to_string()).expect("files can be written");
        let vocabulary: Vocab = vocabulary().into_iter().zip(0..).collect();
        let merges = vec![("0".to_owned(), "1".to_owned())];
        let model = BPE::builder().vocab_and_merges(vocabulary, merges).build();
        let mut tokenizer = Tokenizer::new(model.expect("all joins are tokens"));
        tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        tokenizer.with_decoder(Some(ByteLevel::default()));
        tokenizer
            .save(directory.join("tokenizer.json"), false)
            .expect("files can be written");
        let mut shards = vec![HashMap::new(); files];
        for (at, (name, tensor)) in self.tensors.iter().enumerate() {
            shards[at % files].insert(name.clone(), tensor.to_dtype(kind).expect("numbers"));
        }
        let write = |(at, shard): (usize, HashMap<String, Tensor>)| {
            let path = directory.join(format!("model-{at}.safetensors"));
            candle_core::safetensors::save(&shard, &path).expect("files can be written");
            path
        };
        shards.into_iter().enumerate().map(write).collect()
    }

    /// Returns metadata and tensors as GGUF files have them.
    pub(super) fn gguf(&self) -> (Vec<(String, Value)>, BTreeMap<String, Tensor>) {
        let mut tensors = BTreeMap::new();
        for (name, tensor) in &self.tensors {
            let (name, tensor) = self.as_in_gguf(name, tensor);
            tensors.insert(name, tensor);
        }
        if let Some(factors) = self.llama_factors() {
            tensors.insert("rope_freqs.weight".to_owned(), factors);
        }
        (self.metadata(), tensors)
    }

    fn architecture(&self) -> &'static str {
        match self.class() {
            "Qwen2ForCausalLM" => "qwen2",
            "Qwen3ForCausalLM" => "qwen3",
            "Phi3ForCausalLM" => "phi3",
            "Gemma3ForCausalLM" => "gemma3",
            _ => "llama",
        }
    }

    fn head_width(&self) -> usize {
        match self.number("head_dim") {
            0 => self.number("hidden_size") / self.number("num_attention_heads"),
            width => width,
        }
    }

    fn metadata(&self) -> Vec<(String, Value)> {
        let name = self.architecture();
        let whole = |key: &str, number: usize| (format!("{name}.{key}"), Value::U32(number as u32));
        let float = |key: &str, number: f64| (format!("{name}.{key}"), Value::F32(number as f32));
        let head_width = self.head_width();
        let turned = self.config["partial_rotary_factor"].as_f64().unwrap_or(1.0) * head_width as f64;
        let mut metadata = vec![
            ("general.architecture".to_owned(), Value::String(name.to_owned())),
            whole("block_count", LAYERS),
            whole("context_length", self.number("max_position_embeddings")),
            whole("embedding_length", self.number("hidden_size")),
            whole("feed_forward_length", self.number("intermediate_size")),
            whole("attention.head_count", self.number("num_attention_heads")),
            whole("attention.head_count_kv", self.number("num_key_value_heads")),
            whole("attention.key_length", head_width),
            whole("attention.value_length", head_width),
            whole("rope.dimension_count", turned as usize),
            float("rope.freq_base", self.config["rope_theta"].as_f64().expect("a base")),
            float("attention.layer_norm_rms_epsilon", 1e-5),
        ];
        if self.number("sliding_window") > 0 {
            metadata.push(whole("attention.sliding_window", self.number("sliding_window")));
        }
        if self.number("sliding_window_pattern") > 0 {
            let period = self.number("sliding_window_pattern");
            metadata.push(whole("attention.sliding_window_pattern", period));
        }
        let scaling = &self.config["rope_scaling"];
        if scaling["rope_type"] == "linear" {
            let key = format!("{name}.rope.scaling.type");
            metadata.push((key, Value::String("linear".to_owned())));
            metadata.push(float(
                "rope.scaling.factor",
                scaling["factor"].as_f64().expect("a factor"),
            ));
        }
        metadata.extend(tokenizer());
        metadata
    }

    /// Returns what the factors of Llama 3 are in a file of their own tensor.
    fn llama_factors(&self) -> Option<Tensor> {
        let scaling = &self.config["rope_scaling"];
        if scaling["rope_type"] != "llama3" {
            return None;
        }
        let number = |key: &str| scaling[key].as_f64().expect("a number");
        let first = number("original_max_position_embeddings");
        let (low, high) = (number("low_freq_factor"), number("high_freq_factor"));
        let width = self.head_width();
        let base = self.config["rope_theta"].as_f64().expect("a base");
        let factors = (0..width / 2).map(|pair| {
            let length = 2.0 * std::f64::consts::PI * base.powf(2.0 * pair as f64 / width as f64);
            if length < first / high {
                return 1.0;
            }
            if length > first / low {
                return number("factor") as f32;
            }
            let share = (first / length - low) / (high - low);
            (1.0 / ((1.0 - share) / number("factor") + share)) as f32
        });
        Some(Tensor::new(factors.collect::<Vec<f32>>(), &Device::Cpu).expect("a vector"))
    }

    fn as_in_gguf(&self, name: &str, tensor: &Tensor) -> (String, Tensor) {
        let is_gemma = self.architecture() == "gemma3";
        let tensor = if is_gemma && name.ends_with("norm.weight") {
            (tensor + 1.0).expect("numbers")
        } else {
            tensor.clone()
        };
        let whole = match name {
            "model.embed_tokens.weight" => Some("token_embd.weight"),
            "model.norm.weight" => Some("output_norm.weight"),
            "lm_head.weight" => Some("output.weight"),
            _ => None,
        };
        if let Some(whole) = whole {
            return (whole.to_owned(), tensor);
        }
        let rest = name.strip_prefix("model.layers.").expect("a tensor of a layer");
        let (layer, part) = rest.split_once('.').expect("a number and a name");
        let (part, ending) = part.rsplit_once('.').expect("a name and an ending");
        let (own_name, heads) = match part {
            "input_layernorm" => ("attn_norm", None),
            "self_attn.q_proj" => ("attn_q", Some("num_attention_heads")),
            "self_attn.k_proj" => ("attn_k", Some("num_key_value_heads")),
            "self_attn.v_proj" => ("attn_v", None),
            "self_attn.qkv_proj" => ("attn_qkv", None),
            "self_attn.o_proj" => ("attn_output", None),
            "self_attn.q_norm" => ("attn_q_norm", None),
            "self_attn.k_norm" => ("attn_k_norm", None),
            "post_attention_layernorm" if is_gemma => ("post_attention_norm", None),
            "post_attention_layernorm" | "pre_feedforward_layernorm" => ("ffn_norm", None),
            "post_feedforward_layernorm" => ("post_ffw_norm", None),
            "mlp.gate_proj" => ("ffn_gate", None),
            "mlp.up_proj" | "mlp.gate_up_proj" => ("ffn_up", None),
            "mlp.down_proj" => ("ffn_down", None),
            other => panic!("{other} has no name"),
        };
        let tensor = match heads.filter(|_| self.architecture() == "llama") {
            Some(heads) => neighbours(&tensor, self.number(heads)),
            None => tensor,
        };
        (format!("blk.{layer}.{own_name}.{ending}"), tensor)
    }
}

/// Puts numbers side by side that turn together.
fn neighbours(tensor: &Tensor, heads: usize) -> Tensor {
    let (rows, width) = tensor.dims2().expect("a matrix");
    let paired = tensor.reshape((heads, 2, rows / heads / 2, width)).expect("heads");
    let paired = paired.transpose(1, 2).and_then(|paired| paired.contiguous());
    paired
        .and_then(|paired| paired.reshape((rows, width)))
        .expect("a matrix")
}

/// Writes a GGUF file.
pub(super) fn write_gguf(
    directory: &Path,
    metadata: &[(String, Value)],
    tensors: &BTreeMap<String, Tensor>,
    kind: GgmlDType,
) -> PathBuf {
    let quantized = tensors.iter().map(|(name, tensor)| {
        let kind = if tensor.rank() == 2 { kind } else { GgmlDType::F32 };
        (
            name.as_str(),
            QTensor::quantize(tensor, kind).expect("it can be quantized"),
        )
    });
    let quantized: Vec<_> = quantized.collect();
    let tensors: Vec<_> = quantized.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let path = directory.join("tiny.gguf");
    let mut file = std::fs::File::create(&path).expect("files can be made");
    gguf_file::write(&mut file, &metadata, &tensors).expect("files can be written");
    path
}

/// Returns the model of a file in a directory of its own.
pub(super) fn installed(directory: &Path, source: LanguageModelSource) -> InstalledLanguageModel {
    InstalledLanguageModel {
        model_id: "tiny".to_owned(),
        sha256: String::new(),
        directory: directory.to_owned(),
        source,
        context_tokens: None,
        answer_style: AnswerStyle::Free,
    }
}

/// Returns the tokens: letters, and two of them joined.
pub(super) fn vocabulary() -> Vec<String> {
    let letters = (1..VOCABULARY as u32).map(|at| char::from_u32(0x2f + at).expect("a letter"));
    letters.map(String::from).chain(["01".to_owned()]).collect()
}

/// A tokenizer of them.
fn tokenizer() -> Vec<(String, Value)> {
    let tokens = vocabulary().into_iter().map(Value::String);
    let key = |key: &str| format!("tokenizer.ggml.{key}");
    vec![
        (key("model"), Value::String("gpt2".to_owned())),
        (key("pre"), Value::String("gpt-2".to_owned())),
        (key("tokens"), Value::Array(tokens.collect())),
        (key("merges"), Value::Array(vec![Value::String("0 1".to_owned())])),
        (key("eos_token_id"), Value::U32(1)),
    ]
}

/// Makes models of all architectures, each with what its formulas differ by. Odd ones are as wide as no kernel of codes can
/// be.
pub(super) fn all(is_odd: bool) -> Vec<Tiny> {
    let llama3 = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    });
    let head_width = if is_odd { 20 } else { 64 };
    let of = |class: &str, more: Json| {
        let mut config = if is_odd {
            json!({ "hidden_size": 72, "intermediate_size": 100 })
        } else {
            json!({})
        };
        extend(&mut config, more);
        tiny(class, config)
    };
    // Heads as wide as those of Phi 3.
    let phi3 = |more: Json| {
        let width = if is_odd { 72 } else { 192 };
        let mut config = json!({ "hidden_size": width, "num_attention_heads": 2, "num_key_value_heads": 1 });
        extend(&mut config, more);
        of("Phi3ForCausalLM", config)
    };
    vec![
        of("LlamaForCausalLM", json!({})),
        of(
            "LlamaForCausalLM",
            json!({ "rope_scaling": llama3, "tie_word_embeddings": true }),
        ),
        of(
            "MistralForCausalLM",
            json!({ "sliding_window": WINDOW, "head_dim": head_width }),
        ),
        of("Qwen2ForCausalLM", json!({ "tie_word_embeddings": true })),
        of(
            "Qwen3ForCausalLM",
            json!({ "head_dim": head_width, "tie_word_embeddings": true }),
        ),
        phi3(json!({})),
        phi3(json!({ "partial_rotary_factor": if is_odd { 0.5 } else { 0.75 } })),
        of(
            "Gemma3ForCausalLM",
            json!({
                "head_dim": head_width, "sliding_window": WINDOW, "sliding_window_pattern": 2,
                "rope_theta": 1_000_000.0, "rope_local_base_freq": 10_000.0, "tie_word_embeddings": true,
                "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": head_width,
                // Candle has no more where a prompt is read at once.
                "num_key_value_heads": 1,
            }),
        ),
    ]
}

fn extend(config: &mut Json, more: Json) {
    let (Json::Object(config), Json::Object(more)) = (config, more) else {
        panic!("configurations are objects");
    };
    config.extend(more);
}

/// Makes a model of a class of the transformers library.
pub(super) fn tiny(class: &str, more: Json) -> Tiny {
    let mut config = json!({
        "architectures": [class], "vocab_size": VOCABULARY, "hidden_size": 128, "intermediate_size": 160,
        "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0, "max_position_embeddings": CONTEXT, "hidden_act": "silu",
        "tie_word_embeddings": false, "use_sliding_window": false, "max_window_layers": 0, "attention_bias": false,
    });
    extend(&mut config, more);
    let mut model = Tiny {
        config,
        tensors: BTreeMap::new(),
    };
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for (name, dims) in shapes(&model) {
        let is_gemma = class.starts_with("Gemma");
        let (middle, spread) = match dims.len() {
            1 if name.rsplit('.').next() == Some("bias") => (0.0, 0.3),
            1 => (if is_gemma { 0.0 } else { 1.0 }, 0.3),
            _ => (0.0, 1.7 / (dims[1] as f32).sqrt()),
        };
        let count = dims.iter().product();
        let numbers: Vec<f32> = (0..count)
            .map(|_| middle + spread * random.random_range(-1.0..1.0))
            .collect();
        let tensor = Tensor::from_vec(numbers, dims, &Device::Cpu).expect("as many numbers");
        // In 8 bits matrices keep every bit.
        let tensor = if tensor.rank() == 2 && tensor.dims()[1].is_multiple_of(32) {
            let quantized = QTensor::quantize(&tensor, GgmlDType::Q8_0).expect("whole blocks");
            quantized.dequantize(&Device::Cpu).expect("numbers")
        } else {
            tensor
        };
        model.tensors.insert(name, tensor);
    }
    model
}

fn shapes(model: &Tiny) -> Vec<(String, Vec<usize>)> {
    let width = model.number("hidden_size");
    let feed_forward = model.number("intermediate_size");
    let head_width = model.head_width();
    let queries = model.number("num_attention_heads") * head_width;
    let keys = model.number("num_key_value_heads") * head_width;
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, width]),
        ("model.norm.weight".to_owned(), vec![width]),
    ];
    if model.config["tie_word_embeddings"] == false {
        shapes.push(("lm_head.weight".to_owned(), vec![VOCABULARY, width]));
    }
    let class = model.class();
    for layer in 0..LAYERS {
        let mut add = |part: &str, dims: &[usize]| {
            shapes.push((format!("model.layers.{layer}.{part}"), dims.to_vec()));
        };
        add("input_layernorm.weight", &[width]);
        add("post_attention_layernorm.weight", &[width]);
        add("self_attn.o_proj.weight", &[width, queries]);
        add("mlp.down_proj.weight", &[width, feed_forward]);
        if class.starts_with("Phi3") {
            add("self_attn.qkv_proj.weight", &[queries + 2 * keys, width]);
            add("mlp.gate_up_proj.weight", &[2 * feed_forward, width]);
            continue;
        }
        for (part, rows) in [("q", queries), ("k", keys), ("v", keys)] {
            add(&format!("self_attn.{part}_proj.weight"), &[rows, width]);
            if class.starts_with("Qwen2") {
                add(&format!("self_attn.{part}_proj.bias"), &[rows]);
            }
        }
        add("mlp.gate_proj.weight", &[feed_forward, width]);
        add("mlp.up_proj.weight", &[feed_forward, width]);
        if class.starts_with("Qwen3") || class.starts_with("Gemma3") {
            add("self_attn.q_norm.weight", &[head_width]);
            add("self_attn.k_norm.weight", &[head_width]);
        }
        if class.starts_with("Gemma3") {
            add("pre_feedforward_layernorm.weight", &[width]);
            add("post_feedforward_layernorm.weight", &[width]);
        }
    }
    shapes
}
