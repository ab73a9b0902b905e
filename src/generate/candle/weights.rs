//! The weights of a GGUF file, packed for the engine.

use std::io::{Read, Seek};

use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Result};

use super::{number_of, text_of};
use crate::compute::{self, Matrix, SourceType};
use crate::generate::engine::{Bias, Decoder, Layer, Pairing, Rotation, Shape};

/// Base of the rotation where a file names none.
const DEFAULT_ROTATION_BASE: f64 = 10_000.0;

/// Returns whether the engine can read the model: this machine has its instructions, and the model its shape.
pub(super) fn fits(architecture: &str, content: &Content) -> bool {
    let Some(shape) = shape(architecture, content) else {
        return false;
    };
    let has_experts = number_of(content, &format!("{architecture}.expert_count")).is_some_and(|count| count > 0);
    let scaling = text_of(content, &format!("{architecture}.rope.scaling.type"));
    compute::is_supported()
        && !has_experts
        && scaling.is_none_or(|scaling| scaling == "none")
        && shape.width.is_multiple_of(compute::BLOCK)
        && shape.feed_forward.is_multiple_of(compute::BLOCK)
        && shape.head_width.is_multiple_of(compute::attention::WIDTH_UNIT)
        && shape.kv_heads > 0
        && shape.heads.is_multiple_of(shape.kv_heads)
}

/// Reads and packs the weights.
pub(super) fn load<R: Read + Seek>(architecture: &str, content: &Content, source: &mut R) -> Result<Decoder> {
    let Some(shape) = shape(architecture, content) else {
        candle_core::bail!("its metadata does not say how large it is");
    };
    let mut file = File { content, source };
    let embedding = file.matrix("token_embd.weight")?;
    let blocks = number_of(content, &format!("{architecture}.block_count")).unwrap_or(0);
    let layers = (0..blocks).map(|block| file.layer(block, shape));
    let layers = layers.collect::<Result<Vec<_>>>()?;
    let norm = file.vector("output_norm.weight", shape.width)?;
    let has = |name: &str| content.tensor_infos.contains_key(name);
    let output = has("output.weight").then(|| file.matrix("output.weight")).transpose()?;
    let turned = number_of(content, &format!("{architecture}.rope.dimension_count")).unwrap_or(shape.head_width);
    let base = content.metadata.get(&format!("{architecture}.rope.freq_base"));
    let base = base
        .and_then(|base| base.to_f32().ok())
        .map_or(DEFAULT_ROTATION_BASE, f64::from);
    let factors = has("rope_freqs.weight").then(|| file.vector("rope_freqs.weight", turned / 2));
    let pairing = if architecture == "llama" {
        Pairing::Neighbours
    } else {
        Pairing::Halves
    };
    let rotation = Rotation::new(
        pairing,
        turned.min(shape.head_width),
        base,
        factors.transpose()?.as_deref(),
    );
    check(&embedding, embedding.rows(), shape.width)?;
    if let Some(output) = &output {
        check(output, embedding.rows(), shape.width)?;
    }
    Ok(Decoder {
        shape,
        embedding,
        layers,
        norm,
        output,
        rotation,
    })
}

fn shape(architecture: &str, content: &Content) -> Option<Shape> {
    let number = |key: &str| number_of(content, &format!("{architecture}.{key}"));
    let epsilon = content
        .metadata
        .get(&format!("{architecture}.attention.layer_norm_rms_epsilon"))?;
    let (width, heads) = (number("embedding_length")?, number("attention.head_count")?);
    Some(Shape {
        width,
        heads,
        kv_heads: number("attention.head_count_kv").unwrap_or(heads),
        head_width: number("attention.key_length").or_else(|| width.checked_div(heads))?,
        feed_forward: number("feed_forward_length")?,
        epsilon: epsilon.to_f32().ok()?,
    })
}

struct File<'a, R> {
    content: &'a Content,
    source: &'a mut R,
}

impl<R: Read + Seek> File<'_, R> {
    fn layer(&mut self, block: usize, shape: Shape) -> Result<Layer> {
        let name = |part: &str| format!("blk.{block}.{part}");
        let (queries, keys) = (shape.heads * shape.head_width, shape.kv_heads * shape.head_width);
        let mut matrix = |part: &str, rows: usize, width: usize| {
            let matrix = self.matrix(&name(part))?;
            check(&matrix, rows, width)?;
            Ok::<_, candle_core::Error>(matrix)
        };
        let query_key_value = [
            matrix("attn_q.weight", queries, shape.width)?,
            matrix("attn_k.weight", keys, shape.width)?,
            matrix("attn_v.weight", keys, shape.width)?,
        ];
        let attention_output = matrix("attn_output.weight", shape.width, queries)?;
        let gate = matrix("ffn_gate.weight", shape.feed_forward, shape.width)?;
        let up = matrix("ffn_up.weight", shape.feed_forward, shape.width)?;
        let down = matrix("ffn_down.weight", shape.width, shape.feed_forward)?;
        let has = |part: &str| self.content.tensor_infos.contains_key(&name(part));
        let (has_bias, has_head_norms) = (has("attn_q.bias"), has("attn_q_norm.weight"));
        let mut vector = |part: &str, len: usize| self.vector(&name(part), len);
        Ok(Layer {
            attention_norm: vector("attn_norm.weight", shape.width)?,
            query_key_value,
            bias: if has_bias {
                Some([
                    Bias(vector("attn_q.bias", queries)?),
                    Bias(vector("attn_k.bias", keys)?),
                    Bias(vector("attn_v.bias", keys)?),
                ])
            } else {
                None
            },
            head_norms: if has_head_norms {
                Some([
                    vector("attn_q_norm.weight", shape.head_width)?,
                    vector("attn_k_norm.weight", shape.head_width)?,
                ])
            } else {
                None
            },
            attention_output,
            feed_forward_norm: vector("ffn_norm.weight", shape.width)?,
            gate,
            up,
            down,
        })
    }

    fn tensor(&mut self, name: &str) -> Result<QTensor> {
        self.content.tensor(self.source, name, &Device::Cpu)
    }

    fn matrix(&mut self, name: &str) -> Result<Matrix> {
        let tensor = self.tensor(name)?;
        let (rows, width) = tensor.shape().dims2()?;
        let source = match tensor.dtype() {
            GgmlDType::Q4_0 => Some(SourceType::Q4_0),
            GgmlDType::Q4_1 => Some(SourceType::Q4_1),
            GgmlDType::Q8_0 => Some(SourceType::Q8_0),
            _ => None,
        };
        let packed = if let Some(source) = source {
            Matrix::pack(source, rows, width, &tensor.data()?)
        } else {
            let weights = tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            Matrix::quantize(rows, width, &weights)
        };
        packed.map_err(|error| candle_core::Error::Msg(format!("{name}: {error}")))
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        let tensor = self.tensor(name)?.dequantize(&Device::Cpu)?;
        let vector = tensor.flatten_all()?.to_vec1::<f32>()?;
        if vector.len() != len {
            candle_core::bail!("{name} has {} numbers, it must have {len}", vector.len());
        }
        Ok(vector)
    }
}

fn check(matrix: &Matrix, rows: usize, width: usize) -> Result<()> {
    if (matrix.rows(), matrix.width()) != (rows, width) {
        let (found_rows, found_width) = (matrix.rows(), matrix.width());
        candle_core::bail!("a matrix is {found_rows} by {found_width}, it must be {rows} by {width}");
    }
    Ok(())
}
