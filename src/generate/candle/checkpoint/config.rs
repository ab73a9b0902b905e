//! `config.json` of the transformers library: how a model is built.

use serde_json::Value;

use super::super::blueprint::{Architecture, Blueprint, DEFAULT_BASE, DEFAULT_CONTEXT_TOKENS, Scaling, check_size};
use super::super::reason_of;
use crate::generate::transformer::{Activation, Pairing, Shape};

/// Classes of models that are supported.
const CLASSES: [(&str, Architecture); 6] = [
    ("LlamaForCausalLM", Architecture::Llama),
    ("MistralForCausalLM", Architecture::Llama),
    ("Qwen2ForCausalLM", Architecture::Qwen2),
    ("Qwen3ForCausalLM", Architecture::Qwen3),
    ("Phi3ForCausalLM", Architecture::Phi3),
    ("Gemma3ForCausalLM", Architecture::Gemma3),
];
/// What is added to the mean square of a row where the file names no number.
const DEFAULT_EPSILON: f32 = 1e-6;
/// Every so many-th layer of Gemma 3 sees all keys.
const GEMMA_PERIOD: usize = 6;
/// Base of the rotation of Gemma 3.
const GEMMA_BASE: f64 = 1_000_000.0;

/// A configuration of a class that is supported.
pub(super) struct Config {
    json: Value,
    class: &'static str,
    architecture: Architecture,
}

impl Config {
    /// Takes a configuration; refuses classes that are not supported.
    pub(super) fn new(json: Value) -> Result<Self, String> {
        let class = json["architectures"][0].as_str().unwrap_or("(none)");
        let known = CLASSES.iter().find(|(name, _)| *name == class);
        let Some((class, architecture)) = known.copied() else {
            let supported = CLASSES.map(|(name, _)| name).join(", ");
            return Err(format!("architecture {class} is not supported; supported: {supported}"));
        };
        Ok(Self {
            json,
            class,
            architecture,
        })
    }

    /// Returns whether it is one of Gemma's.
    pub(super) fn is_gemma(&self) -> bool {
        self.architecture == Architecture::Gemma3
    }

    /// Returns a value of the file.
    pub(super) fn value(&self, key: &str) -> &Value {
        &self.json[key]
    }

    /// Returns how the model is built.
    pub(super) fn blueprint(&self) -> Result<Blueprint, String> {
        self.check_supported()?;
        let shape = self.shape()?;
        let layers = self.required("num_hidden_layers")?;
        check_size(shape, layers).map_err(|error| reason_of(&error))?;
        let share = self.float("partial_rotary_factor").unwrap_or(1.0);
        let turned = (shape.head_width as f64 * share) as usize;
        let rope = self.rope();
        let is_gemma = self.is_gemma();
        let default_base = if is_gemma { GEMMA_BASE } else { DEFAULT_BASE };
        let base = rope["rope_theta"].as_f64().or_else(|| self.float("rope_theta"));
        let base = base.unwrap_or(default_base);
        let local = &self.json["rope_parameters"]["sliding_attention"]["rope_theta"];
        let local = local.as_f64().or_else(|| self.float("rope_local_base_freq"));
        Ok(Blueprint {
            architecture: self.architecture,
            shape,
            context_tokens: self.number("max_position_embeddings").unwrap_or(DEFAULT_CONTEXT_TOKENS),
            windows: self.windows(layers),
            pairing: Pairing::Halves,
            turned,
            base,
            local_base: is_gemma.then(|| local.unwrap_or(DEFAULT_BASE)),
            // More than a head has is refused later.
            scaling: self.scaling(rope, base, turned.min(shape.head_width))?,
            norm_offset: if is_gemma { 1.0 } else { 0.0 },
            is_tied: self.json["tie_word_embeddings"].as_bool().unwrap_or(is_gemma),
        })
    }

    fn number(&self, key: &str) -> Option<usize> {
        self.json[key].as_u64().and_then(|number| usize::try_from(number).ok())
    }

    fn required(&self, key: &str) -> Result<usize, String> {
        self.number(key).ok_or_else(|| format!("it has no number `{key}`"))
    }

    fn float(&self, key: &str) -> Option<f64> {
        self.json[key].as_f64()
    }

    /// Returns what the file says about the rotation, in its older form or in its newer one.
    fn rope(&self) -> &Value {
        let newer = &self.json["rope_parameters"];
        match (&newer["full_attention"], newer) {
            (full @ Value::Object(_), _) => full,
            (_, newer @ Value::Object(_)) => newer,
            _ => &self.json["rope_scaling"],
        }
    }

    /// Refuses what would be computed otherwise than the model was trained.
    fn check_supported(&self) -> Result<(), String> {
        let quantized = &self.json["quantization_config"];
        if !quantized.is_null() {
            let method = quantized["quant_method"].as_str().unwrap_or("(unnamed)");
            return Err(format!("weights quantized by `{method}` are not supported"));
        }
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if self.float(key).is_some_and(|cap| cap != 0.0) {
                return Err(format!("`{key}` is not supported"));
            }
        }
        let key = if self.is_gemma() {
            "hidden_activation"
        } else {
            "hidden_act"
        };
        let expected = if self.is_gemma() { "gelu_pytorch_tanh" } else { "silu" };
        match self.json[key].as_str() {
            Some(activation) if activation != expected => Err(format!(
                "`{key}` is {activation}, of {} only {expected} is supported",
                self.class
            )),
            _ => Ok(()),
        }
    }

    fn shape(&self) -> Result<Shape, String> {
        let (width, heads) = (self.required("hidden_size")?, self.required("num_attention_heads")?);
        let of_head = width.checked_div(heads).unwrap_or(0);
        let head_width = self.number("head_dim").unwrap_or(of_head);
        let scaled_by = self.float("query_pre_attn_scalar").filter(|_| self.is_gemma());
        let epsilon = self.float("rms_norm_eps");
        Ok(Shape {
            width,
            heads,
            kv_heads: self.number("num_key_value_heads").unwrap_or(heads),
            head_width,
            feed_forward: self.required("intermediate_size")?,
            epsilon: epsilon.map_or(DEFAULT_EPSILON, |epsilon| epsilon as f32),
            embedding_scale: if self.is_gemma() { (width as f32).sqrt() } else { 1.0 },
            query_scale: 1.0 / scaled_by.map_or(head_width as f32, |width| width as f32).sqrt(),
            activation: if self.is_gemma() {
                Activation::GeluTanh
            } else {
                Activation::Silu
            },
        })
    }

    /// Returns how many keys queries of each layer see.
    fn windows(&self, layers: usize) -> Vec<Option<usize>> {
        let is_qwen = matches!(self.architecture, Architecture::Qwen2 | Architecture::Qwen3);
        let is_off = is_qwen && self.json["use_sliding_window"].as_bool() != Some(true);
        let window = self.number("sliding_window").filter(|_| !is_off);
        let period = self.number("sliding_window_pattern").unwrap_or(GEMMA_PERIOD);
        let sees_few = |layer: usize| match self.json["layer_types"][layer].as_str() {
            Some(kind) => kind == "sliding_attention",
            None if self.is_gemma() => !(layer + 1).is_multiple_of(period),
            None if is_qwen => self.number("max_window_layers").is_none_or(|first| layer >= first),
            None => true,
        };
        (0..layers).map(|layer| window.filter(|_| sees_few(layer))).collect()
    }

    fn scaling(&self, rope: &Value, base: f64, turned: usize) -> Result<Scaling, String> {
        let number = |key: &str| {
            let number = rope[key].as_f64().filter(|number| *number > 0.0);
            number.ok_or_else(|| format!("scaling of the rotation has no number `{key}` above 0"))
        };
        let kind = rope["rope_type"].as_str().or_else(|| rope["type"].as_str());
        match kind.unwrap_or("default") {
            "default" => Ok(Scaling::None),
            "linear" => Ok(Scaling::Linear(number("factor")? as f32)),
            "llama3" => {
                let factors = Llama3 {
                    factor: number("factor")?,
                    low: number("low_freq_factor")?,
                    high: number("high_freq_factor")?,
                    first_context_tokens: number("original_max_position_embeddings")?,
                };
                let pairs = (0..turned / 2).map(|pair| base.powf(2.0 * pair as f64 / turned as f64));
                Ok(Scaling::Factors(pairs.map(|pair| factors.of(pair) as f32).collect()))
            }
            "longrope" | "su" if self.architecture == Architecture::Phi3 => self.long(rope),
            other => Err(format!(
                "scaling of the rotation by `{other}` is not supported; supported: default, linear, llama3, and longrope \
                 of Phi3ForCausalLM"
            )),
        }
    }

    fn long(&self, rope: &Value) -> Result<Scaling, String> {
        let factors = |key: &str| {
            let numbers = rope[key].as_array().map_or(&[][..], Vec::as_slice).iter();
            let factors = numbers.map(|number| number.as_f64().map(|number| number as f32));
            factors
                .collect::<Option<Vec<f32>>>()
                .ok_or_else(|| format!("scaling of the rotation has no list `{key}` of numbers"))
        };
        let key = "original_max_position_embeddings";
        let first = self
            .number(key)
            .or_else(|| rope[key].as_u64().map(|number| number as usize));
        let Some(first) = first.filter(|first| *first > 1) else {
            return Err(format!("it has no number `{key}` above 1"));
        };
        let context = self.number("max_position_embeddings").unwrap_or(DEFAULT_CONTEXT_TOKENS);
        let longer = context as f64 / first as f64;
        let magnitude = if longer > 1.0 {
            (1.0 + longer.ln() / (first as f64).ln()).sqrt()
        } else {
            1.0
        };
        Ok(Scaling::Long {
            short: factors("short_factor")?,
            long: factors("long_factor")?,
            first_context_tokens: first,
            magnitude: rope["attention_factor"].as_f64().unwrap_or(magnitude) as f32,
        })
    }
}

/// How Llama 3 slows pairs down: those that turn more than once in the first training's texts not at all.
struct Llama3 {
    factor: f64,
    low: f64,
    high: f64,
    first_context_tokens: f64,
}

impl Llama3 {
    /// Returns what slows down a pair that turns by an angle of 1 in so many tokens.
    fn of(&self, tokens: f64) -> f64 {
        let turns = self.first_context_tokens / (2.0 * std::f64::consts::PI * tokens);
        if turns > self.high {
            return 1.0;
        }
        if turns < self.low {
            return self.factor;
        }
        let share = (turns - self.low) / (self.high - self.low);
        1.0 / ((1.0 - share) / self.factor + share)
    }
}
