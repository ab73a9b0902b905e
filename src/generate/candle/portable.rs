//! A decoder on candle's tensors, for machines that the engine is not written for, and for GPUs.
//!
//! Comes in: weights as candle multiplies by them, and tokens of one sequence. Goes out: logits.
//! Always holds: what a sequence has read is never changed, so that sequences with the same beginning share it.
//! Not here: files (see `weights`), several sequences in one step.

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{D, DType, Device, Module as _, Result, Tensor};
use candle_nn::ops::{rms_norm, softmax_last_dim};
use candle_nn::rotary_emb::{rope, rope_i};

use super::weights::{Stored, Target};
use crate::generate::transformer::{self, Activation, Pairing, Rotation, Transformer};

/// Types of weights that candle has packed kernels for on processors; others are brought to the first of them.
const PACKED_TYPES: [GgmlDType; 3] = [GgmlDType::Q8_0, GgmlDType::Q4K, GgmlDType::Q6K];

type Layer = transformer::Layer<QMatMul, Tensor>;

/// A model on a device.
pub(super) struct Portable {
    pub(super) transformer: Transformer<QMatMul, Tensor>,
    pub(super) device: Device,
}

/// What a sequence has read. Clones share it.
#[derive(Clone)]
pub(super) struct Read {
    /// Keys and values of each layer, heads by tokens; of layers that see few keys those that can still be seen.
    layers: Vec<Option<[Tensor; 2]>>,
    tokens: usize,
}

/// Brings weights to a device.
pub(super) struct Mover {
    pub(super) device: Device,
}

/// What all layers of a step share.
struct Step {
    /// Where its first token stands.
    first: usize,
    tokens: usize,
    /// Cosines and sines of each rotation.
    turns: Vec<[Tensor; 2]>,
}

/// Returns where tensors are computed: on a GPU, where the program was built for one and the machine has it.
pub(super) fn device() -> Device {
    let gpu: Option<Result<Device>> = if cfg!(feature = "cuda") {
        Some(Device::new_cuda(0))
    } else if cfg!(feature = "metal") {
        Some(Device::new_metal(0))
    } else {
        None
    };
    match gpu {
        Some(Ok(gpu)) => gpu,
        Some(Err(error)) => {
            let error = super::reason_of(&error);
            tracing::warn!(
                error,
                "no GPU can be used, the language model computes on the processor"
            );
            Device::Cpu
        }
        None => Device::Cpu,
    }
}

impl Target for Mover {
    type Matrix = QMatMul;
    type Vector = Tensor;

    fn matrix(&self, stored: &Stored) -> Result<QMatMul> {
        if let Stored::Quantized(tensor) = stored
            && (PACKED_TYPES.contains(&tensor.dtype()) || self.device.is_cuda() && tensor.dtype().block_size() > 1)
        {
            let storage = QStorage::from_data(tensor.data()?, &self.device, tensor.dtype())?;
            return QMatMul::from_qtensor(QTensor::new(storage, tensor.shape())?);
        }
        let numbers = Tensor::from_vec(stored.numbers()?, stored.dims(), &Device::Cpu)?;
        let width = numbers.dim(D::Minus1)?;
        let kind = PACKED_TYPES[0];
        if !width.is_multiple_of(kind.block_size()) {
            return Ok(QMatMul::Tensor(numbers.to_device(&self.device)?));
        }
        let quantized = QTensor::quantize_onto(&numbers, kind, &self.device)?;
        QMatMul::from_qtensor(quantized)
    }

    fn vector(&self, numbers: Vec<f32>) -> Result<Tensor> {
        let len = numbers.len();
        Tensor::from_vec(numbers, len, &self.device)
    }
}

impl Read {
    /// Returns how many tokens were read.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }
}

impl Portable {
    /// Begins a sequence that has read nothing.
    pub(super) fn begin(&self) -> Read {
        Read {
            layers: vec![None; self.transformer.layers.len()],
            tokens: 0,
        }
    }

    /// Reads tokens, at least one, and returns the logits after the last. After a failure nothing was read.
    pub(super) fn step(&self, read: &mut Read, tokens: &[u32]) -> Result<Vec<f32>> {
        let Transformer {
            shape,
            embedding,
            layers,
            norm,
            output,
            rotations,
        } = &self.transformer;
        let positions = read.tokens..read.tokens + tokens.len();
        let turns = rotations.iter().map(|rotation| {
            let turns = positions.clone().map(|position| rotation.turns(position));
            self.turns(&turns.collect::<Vec<_>>())
        });
        let step = Step {
            first: read.tokens,
            tokens: tokens.len(),
            turns: turns.collect::<Result<_>>()?,
        };
        let ids = Tensor::new(tokens, &self.device)?;
        let mut stream = embedding.embedding(&ids)?.to_dtype(DType::F32)?;
        stream = (stream * f64::from(shape.embedding_scale))?;
        let mut seen = Vec::with_capacity(layers.len());
        for (layer, before) in layers.iter().zip(&read.layers) {
            let normed = rms_norm(&stream, &layer.attention_norm, shape.epsilon)?;
            let (change, after) = self.attend(layer, &step, &normed, before.as_ref())?;
            seen.push(Some(after));
            stream = self.add(&stream, &change, layer.attention_output_norm.as_ref())?;
            let normed = rms_norm(&stream, &layer.feed_forward_norm, shape.epsilon)?;
            let gate = layer.gate.forward(&normed)?;
            let gate = match shape.activation {
                Activation::Silu => gate.silu()?,
                Activation::GeluTanh => gate.gelu()?,
            };
            let change = layer.down.forward(&(gate * layer.up.forward(&normed)?)?)?;
            stream = self.add(&stream, &change, layer.feed_forward_output_norm.as_ref())?;
        }
        let last = stream.narrow(0, tokens.len() - 1, 1)?.contiguous()?;
        let last = rms_norm(&last, norm, shape.epsilon)?;
        let logits = output.as_ref().unwrap_or(embedding).forward(&last)?;
        let logits = logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        read.layers = seen;
        read.tokens = positions.end;
        Ok(logits)
    }

    /// Returns cosines and sines, tokens by pairs.
    fn turns(&self, turns: &[Vec<(f32, f32)>]) -> Result<[Tensor; 2]> {
        let dims = (turns.len(), turns.first().map_or(0, Vec::len));
        let cosines = turns.iter().flatten().map(|turn| turn.0).collect();
        let sines = turns.iter().flatten().map(|turn| turn.1).collect();
        Ok([
            Tensor::from_vec(cosines, dims, &self.device)?,
            Tensor::from_vec(sines, dims, &self.device)?,
        ])
    }

    /// Adds to the stream, what is added normed where the model does that.
    fn add(&self, stream: &Tensor, change: &Tensor, norm: Option<&Tensor>) -> Result<Tensor> {
        match norm {
            Some(norm) => stream + rms_norm(change, norm, self.transformer.shape.epsilon)?,
            None => stream + change,
        }
    }

    /// Returns what attention adds, and the keys and values that later tokens see.
    fn attend(
        &self,
        layer: &Layer,
        step: &Step,
        normed: &Tensor,
        before: Option<&[Tensor; 2]>,
    ) -> Result<(Tensor, [Tensor; 2])> {
        let shape = self.transformer.shape;
        let queries = self.heads(layer, 0, normed, Some(step))?;
        let queries = (queries * f64::from(shape.query_scale))?;
        let mut keys = self.heads(layer, 1, normed, Some(step))?;
        let mut values = self.heads(layer, 2, normed, None)?;
        if let Some([keys_before, values_before]) = before {
            keys = Tensor::cat(&[keys_before, &keys], 1)?;
            values = Tensor::cat(&[values_before, &values], 1)?;
        }
        let (kv_heads, seen, width) = keys.dims3()?;
        let group = shape.heads / kv_heads;
        let queries = queries.reshape((kv_heads, group * step.tokens, width))?;
        let mut scores = queries.matmul(&keys.transpose(1, 2)?)?;
        if let Some(mask) = self.mask(step, seen, layer.window)? {
            let dims = (kv_heads, group, step.tokens, seen);
            scores = scores.reshape(dims)?.broadcast_add(&mask)?;
            scores = scores.reshape((kv_heads, group * step.tokens, seen))?;
        }
        let attended = softmax_last_dim(&scores)?.matmul(&values)?;
        let attended = attended.reshape((shape.heads, step.tokens, width))?.transpose(0, 1)?;
        let attended = attended.contiguous()?.reshape((step.tokens, shape.heads * width))?;
        let change = layer.attention_output.forward(&attended)?;
        // The next token is one of the keys that it sees itself.
        let kept = layer.window.map_or(seen, |window| seen.min(window - 1));
        let after = if kept == seen {
            [keys, values]
        } else {
            let last = |tensor: Tensor| tensor.narrow(1, seen - kept, kept)?.contiguous();
            [last(keys)?, last(values)?]
        };
        Ok((change, after))
    }

    /// Projects rows to queries, keys or values, heads by tokens; turned, where a step says by what.
    fn heads(&self, layer: &Layer, which: usize, normed: &Tensor, turned: Option<&Step>) -> Result<Tensor> {
        let shape = self.transformer.shape;
        let mut rows = layer.query_key_value[which].forward(normed)?;
        if let Some(bias) = &layer.bias {
            rows = rows.broadcast_add(&bias[which])?;
        }
        let tokens = rows.dim(0)?;
        let heads = rows.reshape((tokens, (), shape.head_width))?.transpose(0, 1)?;
        let mut heads = heads.contiguous()?;
        if let Some(norms) = layer.head_norms.as_ref().filter(|_| which < 2) {
            heads = rms_norm(&heads, &norms[which], shape.epsilon)?;
        }
        let Some(step) = turned else {
            return Ok(heads);
        };
        let rotation = &self.transformer.rotations[layer.rotation];
        turn(rotation, &heads.unsqueeze(0)?, &step.turns[layer.rotation])?.squeeze(0)
    }

    /// Returns what is added to scores so that no query sees what it must not; nothing where it may see all.
    fn mask(&self, step: &Step, seen: usize, window: Option<usize>) -> Result<Option<Tensor>> {
        if step.tokens == 1 {
            // What lies beyond the window was given up.
            return Ok(None);
        }
        let first_key = step.first + step.tokens - seen;
        let positions = step.first..step.first + step.tokens;
        let scores = positions.flat_map(|position| {
            (first_key..first_key + seen).map(move |key| {
                let is_seen = key <= position && window.is_none_or(|window| key + window > position);
                if is_seen { 0.0 } else { f32::NEG_INFINITY }
            })
        });
        let scores = scores.collect::<Vec<f32>>();
        Tensor::from_vec(scores, (step.tokens, seen), &self.device).map(Some)
    }
}

/// Turns heads; those of more numbers than turn keep the others.
fn turn(rotation: &Rotation, heads: &Tensor, [cosines, sines]: &[Tensor; 2]) -> Result<Tensor> {
    let (width, turned) = (heads.dim(D::Minus1)?, 2 * cosines.dim(1)?);
    let turn = |heads: &Tensor| match rotation.pairing() {
        Pairing::Neighbours => rope_i(heads, cosines, sines),
        Pairing::Halves => rope(heads, cosines, sines),
    };
    if turned == width {
        return turn(heads);
    }
    let part = turn(&heads.narrow(D::Minus1, 0, turned)?.contiguous()?)?;
    Tensor::cat(&[&part, &heads.narrow(D::Minus1, turned, width - turned)?], D::Minus1)?.contiguous()
}
