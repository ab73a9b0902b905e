//! A BERT encoder as a graph of fused operators.
//!
//! Comes in: the shape of an encoder and its weights. Goes out: the bytes of an ONNX file.
//! Always holds: the graph takes `input_ids`, `attention_mask` and `token_type_ids` (64-bit, batch by sequence), and
//! gives one pooled vector for each text, of any length but of the right direction, and the vectors of its tokens that
//! were pooled (batch by sequence by width; those of padding mean nothing).
//! Not here: tokenizing, unit length.

use super::Precision;
use super::graph::{Attribute, Dimension, GraphWriter};
use super::proto::ElementType;
use super::quantize;
use crate::models::Pooling;
use crate::models::encoder::{Activation, EncoderConfig, InvalidEncoder, Matrix, Weights};

/// Name of the output with one vector for each text.
const OUTPUT: &str = "sentence_embedding";
/// Name of the output with one vector for each token: what the last layer gives, so that it costs nothing.
const TOKEN_OUTPUT: &str = "token_embeddings";

/// Code of 32-bit integers in the attribute of a cast.
const TO_I32: Attribute = Attribute::Int("to", ElementType::I32 as i64);
/// Code of 32-bit floats in the attribute of a cast.
const TO_F32: Attribute = Attribute::Int("to", ElementType::F32 as i64);

/// Writes the graph of an encoder.
pub(super) fn write(
    config: &EncoderConfig,
    weights: &Weights<'_>,
    pooling: Pooling,
    precision: Precision,
) -> Result<Vec<u8>, InvalidEncoder> {
    let mut writer = BertWriter {
        config,
        weights,
        precision,
        graph: GraphWriter::default(),
    };
    let text = [Dimension::Open("batch"), Dimension::Open("sequence")];
    for name in ["input_ids", "attention_mask", "token_type_ids"] {
        writer.graph.input(name, ElementType::I64, &text);
    }
    let mask = writer.graph.standard("Cast", "mask", &["attention_mask"], &[TO_I32]);
    let mut hidden = writer.embeddings()?;
    for layer in 0..config.layers {
        hidden = writer.layer(layer, &hidden, &mask)?;
    }
    writer.pool(pooling, &hidden);
    let shape = [Dimension::Open("batch"), Dimension::Fixed(config.hidden_size)];
    writer.graph.output(OUTPUT, ElementType::F32, &shape);
    let [batch, sequence] = text;
    let shape = [batch, sequence, Dimension::Fixed(config.hidden_size)];
    writer.graph.output(&hidden, ElementType::F32, &shape);
    Ok(writer.graph.finish("encoder"))
}

struct BertWriter<'a> {
    config: &'a EncoderConfig,
    weights: &'a Weights<'a>,
    precision: Precision,
    graph: GraphWriter,
}

impl BertWriter<'_> {
    /// Token, position and segment embeddings, added up and normed.
    fn embeddings(&mut self) -> Result<String, InvalidEncoder> {
        let config = self.config;
        // The fused operator takes 32-bit ids, callers give 64-bit ones.
        let ids = self.graph.standard("Cast", "ids", &["input_ids"], &[TO_I32]);
        let segments = self.graph.standard("Cast", "segments", &["token_type_ids"], &[TO_I32]);
        let mut tables = Vec::new();
        for (table, rows) in [
            ("word_embeddings", config.vocabulary),
            ("position_embeddings", config.max_positions),
            ("token_type_embeddings", config.token_types),
        ] {
            let name = format!("embeddings.{table}.weight");
            let matrix = self.weights.matrix(&name, rows, config.hidden_size)?;
            tables.push(self.matrix(&name, &matrix));
        }
        let gamma = self.vector("embeddings.LayerNorm.weight", config.hidden_size)?;
        let beta = self.vector("embeddings.LayerNorm.bias", config.hidden_size)?;
        self.graph.node(
            "com.microsoft",
            "EmbedLayerNormalization",
            "embedded",
            &[&ids, &segments, &tables[0], &tables[1], &tables[2], &gamma, &beta],
            &["embedded", "unused_mask_index"],
            &[Attribute::Float("epsilon", config.epsilon)],
        );
        Ok("embedded".to_owned())
    }

    /// One layer: attention, then the feed-forward half, each added to its input and normed.
    fn layer(&mut self, layer: usize, hidden: &str, mask: &str) -> Result<String, InvalidEncoder> {
        let (width, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let at = format!("encoder.layer.{layer}");
        let attended = self.attention(&at, hidden, mask)?;
        let projected = self.matmul(&format!("{at}.attention.output.dense"), &attended, width, width)?;
        let output = format!("{at}.attention.output");
        let middle = self.add_and_norm(&output, &format!("{output}.normed"), &projected, hidden)?;
        let widened = self.matmul(&format!("{at}.intermediate.dense"), &middle, width, inner)?;
        let bias = self.vector(&format!("{at}.intermediate.dense.bias"), inner)?;
        let operator = match self.config.activation {
            Activation::Gelu => "BiasGelu",
            Activation::TanhGelu => "FastGelu",
        };
        let name = format!("{at}.activated");
        let activated = self.graph.fused(operator, &name, &[&widened, &bias], &[]);
        let narrowed = self.matmul(&format!("{at}.output.dense"), &activated, inner, width)?;
        let output = format!("{at}.output");
        let name = if layer + 1 == self.config.layers {
            TOKEN_OUTPUT.to_owned()
        } else {
            format!("{output}.normed")
        };
        self.add_and_norm(&output, &name, &narrowed, &middle)
    }

    /// Self-attention with query, key and value as one matrix.
    fn attention(&mut self, at: &str, hidden: &str, mask: &str) -> Result<String, InvalidEncoder> {
        let width = self.config.hidden_size;
        let mut bias = Vec::with_capacity(3 * width);
        // Weights are stored output by input: stacked, then turned once, they are input by query, key and value.
        let mut stacked = Matrix {
            rows: 3 * width,
            columns: width,
            values: Vec::with_capacity(3 * width * width),
        };
        for part in ["query", "key", "value"] {
            let name = format!("{at}.attention.self.{part}");
            let matrix = self.weights.matrix(&format!("{name}.weight"), width, width)?;
            stacked.values.extend(matrix.values);
            bias.extend(self.weights.vector(&format!("{name}.bias"), width)?);
        }
        let weight = stacked.transposed();
        let name = format!("{at}.attended");
        let bias = self.graph.floats(&format!("{name}.bias"), &[3 * width], &bias);
        let heads = [Attribute::Int("num_heads", self.config.heads.cast_signed() as i64)];
        match self.precision {
            Precision::F32 => {
                let weight = self.matrix(&format!("{name}.weight"), &weight);
                Ok(self
                    .graph
                    .fused("Attention", &name, &[hidden, &weight, &bias, mask], &heads))
            }
            Precision::Int8 => {
                let (weight, scales) = self.quantized(&format!("{name}.weight"), &weight);
                let outputs = ["quantized", "scale", "zero"].map(|part| format!("{name}.{part}"));
                let [quantized, scale, zero] = outputs.each_ref().map(String::as_str);
                self.graph.node(
                    "",
                    "DynamicQuantizeLinear",
                    quantized,
                    &[hidden],
                    &[quantized, scale, zero],
                    &[],
                );
                let inputs = [quantized, &weight, &bias, scale, &scales, mask, zero];
                Ok(self.graph.fused("QAttention", &name, &inputs, &heads))
            }
        }
    }

    /// A product with a matrix of weights, without its bias.
    fn matmul(&mut self, dense: &str, input: &str, rows: usize, columns: usize) -> Result<String, InvalidEncoder> {
        let name = format!("{dense}.weight");
        let matrix = self.weights.matrix(&name, columns, rows)?.transposed();
        match self.precision {
            Precision::F32 => {
                let weight = self.matrix(&name, &matrix);
                Ok(self.graph.standard("MatMul", dense, &[input, &weight], &[]))
            }
            Precision::Int8 => {
                let (weight, scales) = self.quantized(&name, &matrix);
                Ok(self
                    .graph
                    .fused("DynamicQuantizeMatMul", dense, &[input, &weight, &scales], &[]))
            }
        }
    }

    /// `norm(input + bias + skip)` as `name`, with the bias of the product that made `input`.
    fn add_and_norm(&mut self, at: &str, name: &str, input: &str, skip: &str) -> Result<String, InvalidEncoder> {
        let width = self.config.hidden_size;
        let gamma = self.vector(&format!("{at}.LayerNorm.weight"), width)?;
        let beta = self.vector(&format!("{at}.LayerNorm.bias"), width)?;
        let bias = self.vector(&format!("{at}.dense.bias"), width)?;
        Ok(self.graph.fused(
            "SkipLayerNormalization",
            name,
            &[input, skip, &gamma, &beta, &bias],
            &[Attribute::Float("epsilon", self.config.epsilon)],
        ))
    }

    fn pool(&mut self, pooling: Pooling, hidden: &str) {
        match pooling {
            Pooling::Mean => {
                // The sum over the tokens has the direction of their mean, and only the direction is used.
                let mask = self.graph.standard("Cast", "mask_f32", &["attention_mask"], &[TO_F32]);
                let axis = self.graph.integers("sequence_axis", &[1], &[1]);
                let row = self.graph.standard("Unsqueeze", "mask_row", &[&mask, &axis], &[]);
                let sum = self.graph.standard("MatMul", "token_sum", &[&row, hidden], &[]);
                self.graph.standard("Squeeze", OUTPUT, &[&sum, &axis], &[]);
            }
            Pooling::Cls => {
                let first = self.graph.integers("first_token", &[], &[0]);
                let axis = [Attribute::Int("axis", 1)];
                self.graph.standard("Gather", OUTPUT, &[hidden, &first], &axis);
            }
        }
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<String, InvalidEncoder> {
        let values = self.weights.vector(name, length)?;
        Ok(self.graph.floats(name, &[length], &values))
    }

    fn matrix(&mut self, name: &str, matrix: &Matrix) -> String {
        self.graph.floats(name, &[matrix.rows, matrix.columns], &matrix.values)
    }

    fn quantized(&mut self, name: &str, matrix: &Matrix) -> (String, String) {
        let quantized = quantize::per_column(matrix);
        let weight = self
            .graph
            .bytes(name, &[matrix.rows, matrix.columns], &quantized.values);
        let scales = self
            .graph
            .floats(&format!("{name}.scales"), &[matrix.columns], &quantized.scales);
        (weight, scales)
    }
}
