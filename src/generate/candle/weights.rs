//! The weights of a model, from whatever file to whoever computes.
//!
//! Comes in: a [`Blueprint`] and a [`Source`] of tensors, named as GGUF files name them. Goes out: a [`Transformer`].
//! Always holds: each tensor has the shape that the blueprint says; no tensor of a layer is left over.
//! Not here: what the files look like (see `gguf`).

use std::collections::BTreeSet;
use std::ops::Range;

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{DType, Device, Error, Result, Tensor};

use super::blueprint::{Architecture, Blueprint};
use crate::generate::transformer::{Layer, Transformer};

/// Names under which tensors of a layer may be left over: they can be computed from the metadata.
const DERIVED: [&str; 3] = [".rope_freqs.weight", ".attn_rot_embd.weight", ".rotary_emb.inv_freq"];

/// A tensor as its file has it.
pub(super) enum Stored {
    /// In a type of ggml.
    Quantized(QTensor),
    /// Numbers.
    Plain(Tensor),
}

/// A file of tensors.
pub(super) trait Source {
    /// Returns the names of all tensors.
    fn names(&self) -> BTreeSet<String>;
    /// Returns what the file itself calls a tensor.
    fn own_name(&self, name: &str) -> String;
    /// Reads a tensor.
    fn tensor(&mut self, name: &str) -> Result<Stored>;
}

/// Who computes.
pub(super) trait Target {
    /// A matrix in the form that it computes with.
    type Matrix;
    /// A vector in the form that it computes with.
    type Vector;
    /// Takes a matrix of outputs by inputs.
    fn matrix(&self, stored: &Stored) -> Result<Self::Matrix>;
    /// Takes a vector.
    fn vector(&self, numbers: Vec<f32>) -> Result<Self::Vector>;
}

impl Stored {
    pub(super) fn dims(&self) -> &[usize] {
        match self {
            Self::Quantized(tensor) => tensor.shape().dims(),
            Self::Plain(tensor) => tensor.dims(),
        }
    }

    /// Returns all numbers, row by row.
    pub(super) fn numbers(&self) -> Result<Vec<f32>> {
        let tensor = match self {
            Self::Quantized(tensor) => tensor.dequantize(&Device::Cpu)?,
            Self::Plain(tensor) => tensor.to_dtype(DType::F32)?,
        };
        tensor.flatten_all()?.to_vec1()
    }

    /// Returns some rows of a matrix.
    fn rows(&self, range: Range<usize>) -> Result<Self> {
        match self {
            Self::Quantized(tensor) => {
                let (rows, width) = tensor.shape().dims2()?;
                let data = tensor.data()?;
                let row_bytes = data.len() / rows.max(1);
                let data = data[range.start * row_bytes..range.end * row_bytes].to_vec();
                let storage = QStorage::from_data(data.into(), &Device::Cpu, tensor.dtype())?;
                QTensor::new(storage, (range.len(), width)).map(Self::Quantized)
            }
            Self::Plain(tensor) => tensor.narrow(0, range.start, range.len()).map(Self::Plain),
        }
    }
}

/// Reads the weights of a model whose sequences have at most so many tokens.
pub(super) fn load<S: Source, T: Target>(
    blueprint: &Blueprint,
    context_tokens: usize,
    source: &mut S,
    target: &T,
) -> Result<Transformer<T::Matrix, T::Vector>> {
    blueprint.check()?;
    let left = source.names();
    let mut reader = Reader {
        blueprint,
        source,
        target,
        left,
    };
    let shape = blueprint.shape;
    let (embedding, vocabulary) = reader.embedding(shape.width)?;
    let has_output = reader.has("output.weight") && !blueprint.is_tied;
    let output = has_output.then(|| reader.matrix("output.weight", vocabulary, shape.width));
    let output = output.transpose()?;
    let norm = reader.norm("output_norm.weight", shape.width)?;
    let layers = (0..blueprint.windows.len()).map(|layer| reader.layer(layer));
    let layers = layers.collect::<Result<Vec<_>>>()?;
    reader.check_left()?;
    Ok(Transformer {
        shape,
        embedding,
        layers,
        norm,
        output,
        rotations: blueprint.rotations(context_tokens)?,
    })
}

struct Reader<'a, S, T> {
    blueprint: &'a Blueprint,
    source: &'a mut S,
    target: &'a T,
    /// Tensors that were not read yet.
    left: BTreeSet<String>,
}

impl<S: Source, T: Target> Reader<'_, S, T> {
    fn has(&self, name: &str) -> bool {
        self.left.contains(name)
    }

    fn tensor(&mut self, name: &str) -> Result<Stored> {
        let own_name = self.source.own_name(name);
        if !self.left.remove(name) {
            candle_core::bail!("the tensor {own_name} is missing");
        }
        self.source.tensor(name).map_err(named(&own_name))
    }

    fn shaped(&mut self, name: &str, dims: &[usize]) -> Result<Stored> {
        let stored = self.tensor(name)?;
        if stored.dims() != dims {
            let (own_name, found) = (self.source.own_name(name), stored.dims());
            candle_core::bail!("the tensor {own_name} has the shape {found:?}, it must have {dims:?}");
        }
        Ok(stored)
    }

    fn matrix(&mut self, name: &str, rows: usize, width: usize) -> Result<T::Matrix> {
        let [matrix] = self.matrices(name, [rows], width)?;
        Ok(matrix)
    }

    /// Reads matrices whose outputs follow one another in one tensor.
    fn matrices<const COUNT: usize>(
        &mut self,
        name: &str,
        rows: [usize; COUNT],
        width: usize,
    ) -> Result<[T::Matrix; COUNT]> {
        let stored = self.shaped(name, &[rows.iter().sum(), width])?;
        let own_name = self.source.own_name(name);
        let mut first = 0;
        let matrices = rows.map(|rows| {
            let range = first..first + rows;
            first = range.end;
            let part = if COUNT == 1 { None } else { Some(stored.rows(range)?) };
            self.target.matrix(part.as_ref().unwrap_or(&stored))
        });
        let matrices = matrices.into_iter().collect::<Result<Vec<_>>>();
        let matrices = matrices.map_err(named(&own_name))?;
        matrices
            .try_into()
            .map_err(|_| Error::Msg(format!("{own_name} does not come out in {COUNT} matrices")))
    }

    fn embedding(&mut self, width: usize) -> Result<(T::Matrix, usize)> {
        let name = "token_embd.weight";
        let stored = self.tensor(name)?;
        let own_name = self.source.own_name(name);
        let vocabulary = match stored.dims() {
            [vocabulary, of_row] if *of_row == width => *vocabulary,
            found => candle_core::bail!("the tensor {own_name} has the shape {found:?}, it must have rows of {width}"),
        };
        let matrix = self.target.matrix(&stored).map_err(named(&own_name))?;
        Ok((matrix, vocabulary))
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<T::Vector> {
        let numbers = self.shaped(name, &[len])?.numbers()?;
        self.target.vector(numbers)
    }

    fn norm(&mut self, name: &str, len: usize) -> Result<T::Vector> {
        let mut numbers = self.shaped(name, &[len])?.numbers()?;
        for number in &mut numbers {
            *number += self.blueprint.norm_offset;
        }
        self.target.vector(numbers)
    }

    fn layer(&mut self, layer: usize) -> Result<Layer<T::Matrix, T::Vector>> {
        let shape = self.blueprint.shape;
        let architecture = self.blueprint.architecture;
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (queries, keys) = (shape.heads * shape.head_width, shape.kv_heads * shape.head_width);
        let query_key_value = if self.has(&name("attn_qkv.weight")) {
            self.matrices(&name("attn_qkv.weight"), [queries, keys, keys], shape.width)?
        } else {
            [
                self.matrix(&name("attn_q.weight"), queries, shape.width)?,
                self.matrix(&name("attn_k.weight"), keys, shape.width)?,
                self.matrix(&name("attn_v.weight"), keys, shape.width)?,
            ]
        };
        let has_bias = self.has(&name("attn_q.bias"));
        let bias = has_bias.then(|| {
            Ok::<_, Error>([
                self.vector(&name("attn_q.bias"), queries)?,
                self.vector(&name("attn_k.bias"), keys)?,
                self.vector(&name("attn_v.bias"), keys)?,
            ])
        });
        let bias = bias.transpose()?;
        let has_head_norms = self.has(&name("attn_q_norm.weight"));
        let head_norms = has_head_norms.then(|| {
            Ok::<_, Error>([
                self.norm(&name("attn_q_norm.weight"), shape.head_width)?,
                self.norm(&name("attn_k_norm.weight"), shape.head_width)?,
            ])
        });
        let head_norms = head_norms.transpose()?;
        let has_output_norms = architecture == Architecture::Gemma3;
        let output_norm = |reader: &mut Self, part: &str| {
            let norm = has_output_norms.then(|| reader.norm(&name(part), shape.width));
            norm.transpose()
        };
        let [gate, up] = self.gate_and_up(layer)?;
        Ok(Layer {
            attention_norm: self.norm(&name("attn_norm.weight"), shape.width)?,
            query_key_value,
            bias,
            head_norms,
            attention_output: self.matrix(&name("attn_output.weight"), shape.width, queries)?,
            attention_output_norm: output_norm(self, "post_attention_norm.weight")?,
            feed_forward_norm: self.norm(&name("ffn_norm.weight"), shape.width)?,
            gate,
            up,
            down: self.matrix(&name("ffn_down.weight"), shape.width, shape.feed_forward)?,
            feed_forward_output_norm: output_norm(self, "post_ffw_norm.weight")?,
            rotation: self.blueprint.rotation_of(layer),
            window: self.blueprint.windows[layer],
        })
    }

    fn gate_and_up(&mut self, layer: usize) -> Result<[T::Matrix; 2]> {
        let shape = self.blueprint.shape;
        let (gate, up) = (
            format!("blk.{layer}.ffn_gate.weight"),
            format!("blk.{layer}.ffn_up.weight"),
        );
        if self.blueprint.architecture == Architecture::Phi3 && !self.has(&gate) {
            return self.matrices(&up, [shape.feed_forward; 2], shape.width);
        }
        Ok([
            self.matrix(&gate, shape.feed_forward, shape.width)?,
            self.matrix(&up, shape.feed_forward, shape.width)?,
        ])
    }

    /// Refuses a model that has more than was read: it would be computed otherwise than it was trained.
    fn check_left(&self) -> Result<()> {
        let is_needed = |name: &&String| {
            let is_of_layer = name.starts_with("blk.") || name.rsplit('.').next() == Some("bias");
            is_of_layer && !DERIVED.iter().any(|end| name.ends_with(end))
        };
        if let Some(name) = self.left.iter().find(is_needed) {
            let own_name = self.source.own_name(name);
            candle_core::bail!("the tensor {own_name} is not one that models of this architecture have");
        }
        Ok(())
    }
}

fn named(name: &str) -> impl FnOnce(Error) -> Error {
    move |error| Error::Msg(format!("the tensor {name}: {}", super::reason_of(&error)))
}
