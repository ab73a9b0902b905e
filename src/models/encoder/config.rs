//! What `config.json` says about an encoder.
//!
//! Comes in: the bytes of the file. Goes out: facts that are in range and agree with each other.
//! Always holds: the encoder is a BERT that is supported.
//! Not here: its weights.

use serde::Deserialize;

use super::InvalidEncoder;

/// Widest layer and largest table that is believed; beyond it the file is damaged.
const MAX_SIZE: usize = 1 << 24;

/// The activation between the two halves of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// By the error function.
    Gelu,
    /// Approximated by the hyperbolic tangent.
    TanhGelu,
}

/// The shape of a BERT encoder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EncoderConfig {
    pub(crate) hidden_size: usize,
    pub(crate) max_positions: usize,
    pub(crate) vocabulary: usize,
    pub(crate) token_types: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) epsilon: f32,
    pub(crate) activation: Activation,
}

#[derive(Deserialize)]
struct Record {
    model_type: Option<String>,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "bert_epsilon")]
    layer_norm_eps: f32,
    #[serde(default = "gelu")]
    hidden_act: String,
    position_embedding_type: Option<String>,
}

fn two() -> usize {
    2
}

fn bert_epsilon() -> f32 {
    1e-12
}

fn gelu() -> String {
    "gelu".to_owned()
}

impl EncoderConfig {
    /// Reads `config.json`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, InvalidEncoder> {
        let record: Record =
            serde_json::from_slice(bytes).map_err(|source| InvalidEncoder(format!("config.json: {source}")))?;
        let refuse = |reason: String| Err(InvalidEncoder(format!("config.json: {reason}")));
        match record.model_type.as_deref() {
            None | Some("bert") => {}
            Some(other) => {
                return refuse(format!("`model_type` is `{other}`; only `bert` encoders are supported"));
            }
        }
        match record.position_embedding_type.as_deref() {
            None | Some("absolute") => {}
            Some(other) => {
                return refuse(format!(
                    "`position_embedding_type` is `{other}`; only `absolute` is known"
                ));
            }
        }
        let sizes = [
            ("hidden_size", record.hidden_size),
            ("num_hidden_layers", record.num_hidden_layers),
            ("num_attention_heads", record.num_attention_heads),
            ("intermediate_size", record.intermediate_size),
            ("vocab_size", record.vocab_size),
            ("max_position_embeddings", record.max_position_embeddings),
            ("type_vocab_size", record.type_vocab_size),
        ];
        for (name, size) in sizes {
            if size == 0 || size > MAX_SIZE {
                return refuse(format!("`{name}` is {size}, it must be 1 to {MAX_SIZE}"));
            }
        }
        if !record.hidden_size.is_multiple_of(record.num_attention_heads) {
            return refuse(format!(
                "`hidden_size` {} is not a multiple of `num_attention_heads` {}",
                record.hidden_size, record.num_attention_heads
            ));
        }
        let activation = match record.hidden_act.as_str() {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::TanhGelu,
            other => return refuse(format!("`hidden_act` is `{other}`; `gelu` and `gelu_new` are known")),
        };
        Ok(Self {
            hidden_size: record.hidden_size,
            max_positions: record.max_position_embeddings,
            vocabulary: record.vocab_size,
            token_types: record.type_vocab_size,
            layers: record.num_hidden_layers,
            heads: record.num_attention_heads,
            intermediate_size: record.intermediate_size,
            epsilon: record.layer_norm_eps,
            activation,
        })
    }
}
