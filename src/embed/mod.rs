//! Text to [`Embedding`].
//!
//! Comes in: texts. Goes out: unit vectors of the model's dimension, of texts or of their tokens.
//! Always holds: an embedding is finite and of unit length.
//! Not here: fetching models (see [`crate::models`]).

mod batch;
#[cfg(target_arch = "x86_64")]
mod bert;
mod cached;
mod coverage;
mod fastembed;
mod hashing;
#[cfg(test)]
mod tests;
mod tokenizer;
mod tokens;

use std::path::Path;
use std::sync::Arc;

use crate::models::InstalledEncoder;
use crate::worker::{Cancel, ComputeGate, Stopped, Work};

#[cfg(target_arch = "x86_64")]
pub use bert::BertEmbedder;
pub use cached::CachedEmbedder;
pub use fastembed::FastEmbedder;
pub use hashing::HashingEmbedder;
pub use tokens::TokenVectors;

/// A unit vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// Scales `values` to unit length. Fails when they are not finite or all zero.
    pub fn normalized(mut values: Vec<f32>) -> Result<Self, Error> {
        let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        if !norm.is_finite() || norm == 0.0 {
            return Err(Error::NotAVector);
        }
        for value in &mut values {
            *value = (f64::from(*value) / norm) as f32;
        }
        Ok(Self(values))
    }

    /// Keeps the first components and scales them to unit length. Fails when they are all zero.
    pub fn shortened(mut self, dimensions: usize) -> Result<Self, Error> {
        self.0.truncate(dimensions);
        Self::normalized(self.0)
    }

    /// Returns its components.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Gives up its components.
    pub fn into_vec(self) -> Vec<f32> {
        self.0
    }
}

/// What a text is embedded as; some models put a prefix before each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A passage to be found.
    Passage,
    /// A query that looks for passages.
    Query,
}

impl Purpose {
    /// Returns what the cores are wanted for when texts are embedded.
    fn embedding_work(self) -> Work {
        match self {
            Self::Passage => Work::Ingestion,
            Self::Query => Work::Search,
        }
    }

    /// Returns what the cores are wanted for when the vectors of single tokens are.
    fn token_work(self) -> Work {
        match self {
            Self::Passage => Work::Reranking,
            Self::Query => Work::Search,
        }
    }
}

/// How a text falls into the tokens of a model. Words of a language that the model was made for are few long tokens,
/// those of another fall into many short or unknown ones.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TokenCoverage {
    /// Letters and digits in tokens that the model knows. One of a script without spaces between words, where a
    /// character is a syllable or a word, counts as three.
    pub letters: f64,
    /// Tokens with letters or digits; in a token that the model does not know each character counts as one.
    pub tokens: usize,
}

/// Why embedding failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller wants no more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The model gave a vector that is not finite, or zero.
    #[error("the embedding model returned no usable vector")]
    NotAVector,
    /// The model's vectors are not of the dimension that its entry states.
    #[error("the embedding model's vectors have {found} dimensions, its catalog entry says {expected}")]
    Dimensions {
        /// What the entry says.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// ONNX Runtime's library cannot be loaded.
    #[error("cannot load ONNX Runtime from {library}: {reason}")]
    Runtime {
        /// Path of the library.
        library: String,
        /// What the loader said.
        reason: String,
    },
    /// A file of the model cannot be used.
    #[error("cannot use {file}")]
    File {
        /// Its path.
        file: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The model has one vector for a text and none for its tokens.
    #[error(
        "the embedding model `{model_id}` gives no vectors of single tokens, which late interaction compares: choose a model that does"
    )]
    NoTokenVectors {
        /// The model's id.
        model_id: String,
    },
    /// The model's graph was written by an earlier version, which gave one vector for a text and none for its tokens.
    #[error(
        "the graph of the embedding model `{model_id}`, {file}, was written by an earlier version and gives no vectors of single tokens, which late interaction compares: make its directory writable and start again, so that it is written anew"
    )]
    EarlierGraph {
        /// The model's id.
        model_id: String,
        /// Path of the graph.
        file: String,
    },
    /// The model failed on these texts.
    #[error("the embedding model failed")]
    Inference(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Turns texts into unit vectors.
pub trait Embedder: Send + Sync {
    /// Returns the model's id in the catalog.
    fn model_id(&self) -> &str;
    /// Returns the dimension of its vectors.
    fn dimensions(&self) -> usize;
    /// Returns how many tokens it reads at most, special tokens included; the rest of a text is ignored.
    fn max_tokens(&self) -> usize;
    /// Returns how many bytes it takes in memory; 0 where that is not worth counting.
    fn memory_bytes(&self) -> u64 {
        0
    }
    /// Counts the tokens of a text, special tokens left out.
    fn count_tokens(&self, text: &str) -> usize;
    /// Counts the tokens that the model would read of a text if it read all of it: special tokens and what it puts before
    /// the text included.
    fn count_input_tokens(&self, text: &str, _purpose: Purpose) -> Result<usize, Error> {
        Ok(self.count_tokens(text))
    }
    /// Returns how a query falls into tokens; nothing when that says nothing about what the model knows.
    fn coverage(&self, _text: &str) -> Option<TokenCoverage> {
        None
    }
    /// Embeds texts, in their order. Looks at `cancel` once a batch.
    fn embed(&self, texts: &[&str], purpose: Purpose, cancel: &Cancel) -> Result<Vec<Embedding>, Error>;
    /// Returns the tokens of a text, those that it reads, each with a vector; always the same ones for the same text.
    /// Fails with [`Error::NoTokenVectors`] where the model has none, and with [`Error::EarlierGraph`] where it could have.
    fn token_vectors(&self, _text: &str, _purpose: Purpose, cancel: &Cancel) -> Result<TokenVectors, Error> {
        cancel.check()?;
        Err(Error::NoTokenVectors {
            model_id: self.model_id().to_owned(),
        })
    }
}

/// Loads an encoder that computes on `threads` threads, one batch at a time behind `gate`: on kernels of our own where
/// this machine and the encoder allow it, else on ONNX Runtime.
pub fn open(files: InstalledEncoder, threads: usize, gate: Arc<ComputeGate>) -> Result<Arc<dyn Embedder>, Error> {
    #[cfg(target_arch = "x86_64")]
    if let Some(embedder) = BertEmbedder::open(&files, threads, Arc::clone(&gate))? {
        return Ok(Arc::new(embedder));
    }
    Ok(Arc::new(FastEmbedder::open(files, threads, gate)?))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| unusable(path, source))
}

fn unusable(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::File {
        file: path.display().to_string(),
        source: source.into(),
    }
}
