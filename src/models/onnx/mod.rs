//! Writes the ONNX graph of an encoder that comes as safetensors.
//!
//! Comes in: `config.json` and weights. Goes out: the bytes of an ONNX file that pools by itself.
//! Always holds: the same weights and the same [`WRITER_VERSION`] give the same bytes.
//! Not here: running the graph; where the file is kept.

mod bert;
mod graph;
mod proto;
mod quantize;
#[cfg(test)]
mod tests;

use serde::Deserialize;

use super::Pooling;
use super::encoder::{EncoderConfig, InvalidEncoder, Weights};

/// Changes whenever the bytes change that are written for the same weights.
pub(super) const WRITER_VERSION: u32 = 2;

/// In how many bits the products of a graph are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// 8-bit weights and activations, quantized as they come.
    Int8,
}

impl Precision {
    /// Returns the name of the file that holds a graph of this precision.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Self::F32 => "model.f32.onnx",
            Self::Int8 => "model.int8.onnx",
        }
    }
}

/// Writes the graph of a BERT encoder.
pub(super) fn write(
    config: &EncoderConfig,
    safetensors: &[u8],
    pooling: Pooling,
    precision: Precision,
) -> Result<Vec<u8>, InvalidEncoder> {
    let weights = Weights::parse(safetensors)?;
    bert::write(config, &weights, pooling, precision)
}
