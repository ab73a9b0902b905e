//! Text to [`Embedding`].
//!
//! Comes in: texts. Goes out: unit vectors of the model's dimension.
//! Always holds: an embedding is finite and of unit length.
//! Not here: fetching models (see [`crate::models`]).

use crate::worker::{Cancel, Stopped};

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

/// Why embedding failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller wants no more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The model gave a vector that is not finite, or zero.
    #[error("the embedding model returned no usable vector")]
    NotAVector,
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
    /// Counts the tokens of a text, special tokens left out.
    fn count_tokens(&self, text: &str) -> usize;
    /// Embeds texts, in their order. Looks at `cancel` once a batch.
    fn embed(&self, texts: &[&str], purpose: Purpose, cancel: &Cancel) -> Result<Vec<Embedding>, Error>;
}
