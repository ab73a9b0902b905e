//! The shape of a BERT encoder and its weights, as hubs publish them.
//!
//! Comes in: `config.json` and `model.safetensors`. Goes out: facts in range, and tensors of the shapes they ask for.
//! Always holds: what is handed out is whole and finite.
//! Not here: computing (see [`crate::embed`]); graphs (see `onnx`).

mod config;
mod weights;

pub(crate) use config::{Activation, EncoderConfig};
pub(crate) use weights::{Matrix, Weights};

/// What is wrong with an encoder's files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidEncoder(pub(super) String);
