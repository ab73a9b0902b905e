//! A model as the transformers library writes it: a directory of safetensors and of what describes them.
//!
//! ```text
//! config.json  generation_config.json              shape, and which tokens end an answer
//! model.safetensors, or several files and their index
//! tokenizer.json  tokenizer_config.json  chat_template.jinja
//! ```

mod config;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use candle_core::Result;
use serde_json::Value;

use super::blueprint::Blueprint;
use super::shard::Shard;
use super::weights::{Source, Stored};
use config::Config;

/// What the decoders call tensors, and what their files do: those of the whole model, and of a layer.
const NAMES: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];
const LAYER_NAMES: [(&str, &str); 16] = [
    ("attn_norm.weight", "input_layernorm.weight"),
    ("attn_q.weight", "self_attn.q_proj.weight"),
    ("attn_k.weight", "self_attn.k_proj.weight"),
    ("attn_v.weight", "self_attn.v_proj.weight"),
    ("attn_q.bias", "self_attn.q_proj.bias"),
    ("attn_k.bias", "self_attn.k_proj.bias"),
    ("attn_v.bias", "self_attn.v_proj.bias"),
    ("attn_qkv.weight", "self_attn.qkv_proj.weight"),
    ("attn_q_norm.weight", "self_attn.q_norm.weight"),
    ("attn_k_norm.weight", "self_attn.k_norm.weight"),
    ("attn_output.weight", "self_attn.o_proj.weight"),
    ("ffn_gate.weight", "mlp.gate_proj.weight"),
    ("ffn_up.weight", "mlp.up_proj.weight"),
    ("ffn_up.weight", "mlp.gate_up_proj.weight"),
    ("ffn_down.weight", "mlp.down_proj.weight"),
    ("ffn_norm.weight", "post_attention_layernorm.weight"),
];
/// Those of Gemma's layers that are named otherwise.
const GEMMA_NAMES: [(&str, &str); 3] = [
    ("post_attention_norm.weight", "post_attention_layernorm.weight"),
    ("ffn_norm.weight", "pre_feedforward_layernorm.weight"),
    ("post_ffw_norm.weight", "post_feedforward_layernorm.weight"),
];

/// A directory whose descriptions were read.
pub(super) struct Checkpoint {
    directory: PathBuf,
    config: Config,
    shards: Vec<Shard>,
}

/// What ends and begins texts, and how messages become one.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// Tokens that end an answer, by number.
    pub(super) end_ids: Vec<u32>,
    /// The token that begins a text.
    pub(super) bos: Option<String>,
    /// The token that ends one.
    pub(super) eos: Option<String>,
    /// The model's chat template.
    pub(super) chat_template: Option<String>,
}

impl Checkpoint {
    /// Reads what describes a model, and the headers of its weights.
    pub(super) fn open(directory: &Path, weights: &[PathBuf]) -> std::result::Result<Self, String> {
        let config = required(&directory.join("config.json"))?;
        let config = Config::new(config).map_err(|reason| format!("config.json: {reason}"))?;
        let shards = weights.iter().map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Shard::open(path).map_err(|error| format!("{name}: {error}"))
        });
        Ok(Self {
            directory: directory.to_owned(),
            shards: shards.collect::<std::result::Result<_, _>>()?,
            config,
        })
    }

    /// Returns how the model is built.
    pub(super) fn blueprint(&self) -> std::result::Result<Blueprint, String> {
        self.config
            .blueprint()
            .map_err(|reason| format!("config.json: {reason}"))
    }

    /// Returns where its tokenizer is.
    pub(super) fn tokenizer(&self) -> PathBuf {
        self.directory.join("tokenizer.json")
    }

    /// Reads how conversations with the model go.
    pub(super) fn conversation(&self) -> std::result::Result<Conversation, String> {
        let tokenizer = optional(&self.directory.join("tokenizer_config.json"))?;
        let generation = optional(&self.directory.join("generation_config.json"))?;
        let mut end_ids = ids(&generation["eos_token_id"]);
        end_ids.extend(ids(self.config.value("eos_token_id")));
        let template = self.directory.join("chat_template.jinja");
        let template = match std::fs::read_to_string(&template) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => template_of(&tokenizer["chat_template"]),
            Err(error) => return Err(format!("chat_template.jinja: {error}")),
        };
        Ok(Conversation {
            end_ids,
            bos: token_of(&tokenizer["bos_token"]),
            eos: token_of(&tokenizer["eos_token"]),
            chat_template: template,
        })
    }

    fn names_of_layers(&self) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        let special: &[_] = if self.config.is_gemma() { &GEMMA_NAMES } else { &[] };
        // Those of the architecture's own come first.
        special.iter().chain(LAYER_NAMES.iter())
    }

    /// Returns what the decoders call a tensor of the files.
    fn name_of(&self, own_name: &str) -> String {
        if let Some((name, _)) = NAMES.iter().find(|(_, own)| *own == own_name) {
            return (*name).to_owned();
        }
        let layer = own_name.strip_prefix("model.layers.");
        let Some((layer, part)) = layer.and_then(|layer| layer.split_once('.')) else {
            return own_name.to_owned();
        };
        let known = self.names_of_layers().find(|(_, own)| *own == part);
        format!("blk.{layer}.{}", known.map_or(part, |(name, _)| name))
    }
}

impl Source for Checkpoint {
    fn names(&self) -> BTreeSet<String> {
        let names = self.shards.iter().flat_map(Shard::names);
        names.map(|name| self.name_of(name)).collect()
    }

    fn own_name(&self, name: &str) -> String {
        if let Some((_, own)) = NAMES.iter().find(|(of_decoder, _)| *of_decoder == name) {
            return (*own).to_owned();
        }
        let layer = name.strip_prefix("blk.");
        let Some((layer, part)) = layer.and_then(|layer| layer.split_once('.')) else {
            return name.to_owned();
        };
        let known = self.names_of_layers().filter(|(of_decoder, _)| *of_decoder == part);
        let known: Vec<&str> = known.map(|(_, own)| *own).collect();
        let is_there = |own: &&&str| {
            let own = format!("model.layers.{layer}.{own}");
            self.shards.iter().any(|shard| shard.names().any(|name| *name == own))
        };
        let own = known.iter().find(is_there).or(known.first()).unwrap_or(&part);
        format!("model.layers.{layer}.{own}")
    }

    fn tensor(&mut self, name: &str) -> Result<Stored> {
        let own_name = self.own_name(name);
        let found = self.shards.iter_mut().find_map(|shard| shard.tensor(&own_name));
        let missing = || Err(candle_core::Error::Msg("it is missing".to_owned()));
        found.unwrap_or_else(missing).map(Stored::Plain)
    }
}

fn required(path: &Path) -> std::result::Result<Value, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let bytes = std::fs::read(path).map_err(|error| format!("{name}: {error}"))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{name}: {error}"))
}

fn optional(path: &Path) -> std::result::Result<Value, String> {
    if path.try_exists().unwrap_or(false) {
        required(path)
    } else {
        Ok(Value::Null)
    }
}

/// Reads one number or several.
fn ids(value: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(values) => values.iter().filter_map(id).collect(),
        value => id(value).into_iter().collect(),
    }
}

/// Reads a token that is written plainly, or with how it is matched.
fn token_of(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value["content"].as_str()).map(str::to_owned)
}

/// Reads a template that is one text, or the default among several.
fn template_of(value: &Value) -> Option<String> {
    let among = |templates: &Vec<Value>| {
        let default = templates.iter().find(|template| template["name"] == "default");
        default.and_then(|template| template["template"].as_str().map(str::to_owned))
    };
    match value {
        Value::Array(templates) => among(templates),
        value => value.as_str().map(str::to_owned),
    }
}
