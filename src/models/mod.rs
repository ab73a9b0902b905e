//! The catalog of models, and their files.
//!
//! Comes in: a catalog (built in, and the user's own) and a cache directory. Goes out: verified files.
//! Always holds: a file that is used has the hash that the catalog pins.
//! Not here: running models.

mod builtin;
mod catalog;
mod encoder;
mod error;
mod fetch;
mod onnx;
mod stamp;
mod store;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use catalog::{Catalog, CatalogFile, CatalogModel, CatalogRuntime, Source};
pub use encoder::InvalidEncoder;
pub(crate) use encoder::{Activation, EncoderConfig, Weights as EncoderWeights};
pub use error::{Attempt, Error};
pub use fetch::PullEvent;
pub use onnx::Precision;
pub use stamp::FileState;
pub use store::{Availability, FileReport, ModelStore};

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Modality {
    /// Makes embeddings.
    Embedding,
    /// Makes text.
    Text,
}

/// How token vectors become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over all tokens.
    Mean,
    /// The first token's.
    Cls,
}

/// A model whose files are here and verified.
#[derive(Debug, Clone)]
pub enum InstalledModel {
    /// An encoder as an ONNX graph.
    Encoder(InstalledEncoder),
    /// A language model.
    LanguageModel(InstalledLanguageModel),
}

/// Files and facts of an encoder.
#[derive(Debug, Clone)]
pub struct InstalledEncoder {
    /// Id in the catalog.
    pub model_id: String,
    /// SHA-256 of the weights it was made from, in lowercase hexadecimal.
    pub weights_sha256: String,
    /// The ONNX graph.
    pub onnx: PathBuf,
    /// The tokenizer.
    pub tokenizer: PathBuf,
    /// ONNX Runtime's shared library.
    pub runtime_library: PathBuf,
    /// How token vectors become one; nothing when the graph does it itself.
    pub pooling: Option<Pooling>,
    /// Dimension of its vectors.
    pub dimensions: usize,
    /// Tokens that it reads at most, special tokens included.
    pub max_tokens: usize,
    /// Put before each passage.
    pub passage_prefix: String,
    /// Put before each query.
    pub query_prefix: String,
    /// What the graph was written from; nothing when it was fetched.
    pub source: Option<EncoderSource>,
}

/// What an encoder's graph was written from.
#[derive(Debug, Clone)]
pub struct EncoderSource {
    /// Its shape, as `config.json`.
    pub config: PathBuf,
    /// Its weights, as `model.safetensors`.
    pub weights: PathBuf,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// In how many bits products are computed.
    pub precision: Precision,
}

/// How a language model words its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerStyle {
    /// It chooses among sentences of the passages and quotes them: for models too small to be trusted with words of their own.
    Quoted,
    /// In its own words.
    Free,
}

/// What a language model is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LanguageModelSource {
    /// One GGUF file, with tokenizer and chat template inside.
    Gguf(PathBuf),
    /// A directory as the transformers library writes it.
    Safetensors {
        /// Holds `config.json` and `tokenizer.json`.
        directory: PathBuf,
        /// The files of weights.
        weights: Vec<PathBuf>,
    },
}

impl LanguageModelSource {
    /// Returns the file or directory that people know it by.
    pub fn path(&self) -> &Path {
        match self {
            Self::Gguf(path) | Self::Safetensors { directory: path, .. } => path,
        }
    }

    /// Returns the size of its files of weights; what cannot be told, which loading will say, counts 0.
    pub fn weight_bytes(&self) -> u64 {
        let files = match self {
            Self::Gguf(path) => std::slice::from_ref(path),
            Self::Safetensors { weights, .. } => weights,
        };
        let sizes = files.iter().filter_map(|file| file.metadata().ok());
        sizes.map(|metadata| metadata.len()).sum()
    }
}

/// Files and facts of a language model.
#[derive(Debug, Clone)]
pub struct InstalledLanguageModel {
    /// Id in the catalog.
    pub model_id: String,
    /// SHA-256 of the GGUF file as fetched, or of the hashes of all files of safetensors and of what describes them; in
    /// lowercase hexadecimal.
    pub sha256: String,
    /// Its files as fetched.
    pub source: LanguageModelSource,
    /// Where derived files (requantized weights) may be kept.
    pub directory: PathBuf,
    /// Tokens of context, if the catalog bounds them below the file's own value.
    pub context_tokens: Option<usize>,
    /// How it words its answers unless the caller says otherwise.
    pub answer_style: AnswerStyle,
}
