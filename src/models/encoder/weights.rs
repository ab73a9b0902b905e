//! Named tensors of an encoder, read from safetensors.
//!
//! Comes in: the bytes of a file. Goes out: 32-bit floats of the expected shape.
//! Always holds: a tensor that is handed out is there, has that shape, and is finite.
//! Not here: what the tensors mean.

use safetensors::{Dtype, SafeTensors};

use super::InvalidEncoder;

/// Prefixes that exporters put before the names of an encoder's tensors.
const PREFIXES: [&str; 3] = ["", "bert.", "model."];

/// A matrix, row after row.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) values: Vec<f32>,
}

impl Matrix {
    /// Returns the matrix with rows and columns exchanged.
    pub(crate) fn transposed(&self) -> Self {
        let mut values = vec![0.0; self.values.len()];
        for (row, source) in self.values.chunks_exact(self.columns).enumerate() {
            for (column, value) in source.iter().enumerate() {
                values[column * self.rows + row] = *value;
            }
        }
        Self {
            rows: self.columns,
            columns: self.rows,
            values,
        }
    }
}

/// The tensors of a file.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    tensors: SafeTensors<'a>,
    prefix: &'static str,
}

impl<'a> Weights<'a> {
    /// Reads the file's table of contents.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, InvalidEncoder> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|source| InvalidEncoder(source.to_string()))?;
        let prefix = PREFIXES
            .into_iter()
            .find(|prefix| {
                let name = format!("{prefix}embeddings.word_embeddings.weight");
                tensors.tensor(&name).is_ok()
            })
            .ok_or_else(|| InvalidEncoder("the weights hold no `embeddings.word_embeddings.weight`".to_owned()))?;
        Ok(Self { tensors, prefix })
    }

    /// Returns a vector of this length.
    pub(crate) fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, InvalidEncoder> {
        self.floats(name, &[length])
    }

    /// Returns a matrix of this shape.
    pub(crate) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Matrix, InvalidEncoder> {
        let values = self.floats(name, &[rows, columns])?;
        Ok(Matrix { rows, columns, values })
    }

    fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, InvalidEncoder> {
        let name = format!("{}{name}", self.prefix);
        let tensor = self
            .tensors
            .tensor(&name)
            // Files written by old versions of PyTorch call a norm's weight and bias gamma and beta.
            .or_else(|_| self.tensors.tensor(&old_name(&name)))
            .map_err(|_| InvalidEncoder(format!("the weights hold no `{name}`")))?;
        if tensor.shape() != shape {
            return Err(InvalidEncoder(format!(
                "`{name}` has the shape {:?}, config.json asks for {shape:?}",
                tensor.shape()
            )));
        }
        let bytes = tensor.data();
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => bytes
                .as_chunks()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
            Dtype::F16 => {
                let halves = bytes.as_chunks().0.iter();
                halves.map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect()
            }
            Dtype::BF16 => {
                let halves = bytes.as_chunks().0.iter();
                halves.map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32()).collect()
            }
            other => return Err(InvalidEncoder(format!("`{name}` is of type {other:?}, not a float"))),
        };
        if values.iter().any(|value| !value.is_finite()) {
            return Err(InvalidEncoder(format!("`{name}` holds values that are not finite")));
        }
        Ok(values)
    }
}

fn old_name(name: &str) -> String {
    name.replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta")
}
