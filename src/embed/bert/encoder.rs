//! Tokens to the vectors of a BERT encoder's last layer (Devlin and others 2018).
#![expect(unsafe_code, reason = "pieces of work write different parts of one buffer")]

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use crate::compute::attention::{self, GROUP, Query};
use crate::compute::{
    BLOCK, Codes, Crew, Matrix, PackError, Parts, Rows, add_product, each_row, is_supported, multiply, quantize, vector,
};
use crate::models::{Activation, EncoderConfig, EncoderWeights, InvalidEncoder};

/// Why an encoder cannot be built.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    /// Its weights are not those that its shape asks for.
    #[error(transparent)]
    Weights(#[from] InvalidEncoder),
    /// Its weights cannot be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// A BERT encoder whose products are computed in 8 bits, with a scale for every 32 inputs of every row: what comes out is
/// close to what 32-bit floats give, and does not depend on the texts beside.
pub(super) struct Encoder {
    width: usize,
    heads: usize,
    epsilon: f32,
    is_tanh: bool,
    /// A row for each token of the vocabulary.
    words: Vec<f16>,
    /// A row for each position, with the segment's added.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Norm {
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// A matrix with what is added to its products.
struct Dense {
    matrix: Matrix,
    bias: Vec<f32>,
}

struct Layer {
    /// Outputs are all queries, scaled for attention, all keys, all values.
    query_key_value: Dense,
    attention_output: Dense,
    attention_norm: Norm,
    up: Dense,
    down: Dense,
    norm: Norm,
}

/// The buffers of a pass.
struct Buffers {
    /// What goes from layer to layer.
    stream: Rows,
    projected: Rows,
    attended: Rows,
    inner: Rows,
    /// What is added to the stream.
    change: Rows,
    codes: Codes,
}

impl Encoder {
    /// Returns whether this machine has the instructions, and the encoder a shape that they can compute.
    pub(super) fn fits(config: &EncoderConfig) -> bool {
        is_supported()
            && config.hidden_size.is_multiple_of(BLOCK)
            && config.intermediate_size.is_multiple_of(BLOCK)
            && (config.hidden_size / config.heads).is_multiple_of(attention::WIDTH_UNIT)
    }

    /// Reads and packs the weights of an encoder that [fits](Self::fits).
    pub(super) fn build(config: &EncoderConfig, weights: &EncoderWeights<'_>) -> Result<Self, BuildError> {
        let width = config.hidden_size;
        let table = |name: &str, rows: usize| weights.matrix(&format!("embeddings.{name}.weight"), rows, width);
        let words = table("word_embeddings", config.vocabulary)?.values;
        let mut positions = table("position_embeddings", config.max_positions)?.values;
        let segments = table("token_type_embeddings", config.token_types)?.values;
        for position in positions.chunks_exact_mut(width) {
            vector::add(position, &segments[..width]);
        }
        let builder = Builder { config, weights };
        let layers = (0..config.layers).map(|layer| builder.layer(&format!("encoder.layer.{layer}")));
        Ok(Self {
            width,
            heads: config.heads,
            epsilon: config.epsilon,
            is_tanh: config.activation == Activation::TanhGelu,
            words: words.into_iter().map(f16::from_f32).collect(),
            positions,
            norm: builder.norm("embeddings")?,
            layers: layers.collect::<Result<_, _>>()?,
        })
    }

    /// Returns how many bytes its weights take.
    pub(super) fn bytes(&self) -> usize {
        let dense = |dense: &Dense| dense.matrix.bytes() + size_of_val(dense.bias.as_slice());
        let norm = |norm: &Norm| size_of_val(norm.weights.as_slice()) + size_of_val(norm.bias.as_slice());
        let of_layer = |layer: &Layer| {
            let products = [&layer.query_key_value, &layer.attention_output, &layer.up, &layer.down];
            products.into_iter().map(dense).sum::<usize>() + norm(&layer.attention_norm) + norm(&layer.norm)
        };
        let tables = size_of_val(self.words.as_slice()) + size_of_val(self.positions.as_slice());
        tables + norm(&self.norm) + self.layers.iter().map(of_layer).sum::<usize>()
    }

    /// Returns how many tokens the vocabulary has.
    pub(super) fn vocabulary(&self) -> usize {
        self.words.len() / self.width
    }

    /// Returns the vectors of the tokens of some texts, one text after the other.
    ///
    /// # Panics
    ///
    /// If a token is not of the vocabulary, or a text is longer than there are positions.
    pub(super) fn pass(&self, crew: &Crew, texts: &[&[u32]]) -> Rows {
        let mut spans: Vec<Range<usize>> = Vec::with_capacity(texts.len());
        for text in texts {
            let start = spans.last().map_or(0, |last| last.end);
            spans.push(start..start + text.len());
        }
        let rows = spans.last().map_or(0, |last| last.end);
        let width = self.width;
        let inner = self.layers.first().map_or(0, |layer| layer.up.bias.len());
        let mut buffers = Buffers {
            stream: Rows::new(rows, width),
            projected: Rows::new(rows, 3 * width),
            attended: Rows::new(rows, width),
            inner: Rows::new(rows, inner),
            change: Rows::new(rows, width),
            codes: Codes::default(),
        };
        self.read(texts, &mut buffers.stream);
        for layer in &self.layers {
            self.layer(crew, layer, &spans, &mut buffers);
        }
        buffers.stream
    }

    /// Writes the embeddings of all tokens.
    fn read(&self, texts: &[&[u32]], stream: &mut Rows) {
        let tokens = texts.iter().flat_map(|text| text.iter().enumerate());
        for (row, (position, token)) in tokens.enumerate() {
            let word = &self.words[*token as usize * self.width..][..self.width];
            let position = &self.positions[position * self.width..][..self.width];
            let out = stream.row_mut(row);
            word.convert_to_f32_slice(out);
            vector::add_and_center(out, position, (&self.norm.weights, &self.norm.bias), self.epsilon);
        }
    }

    fn layer(&self, crew: &Crew, layer: &Layer, spans: &[Range<usize>], buffers: &mut Buffers) {
        let Buffers {
            stream,
            projected,
            attended,
            inner,
            change,
            codes,
        } = buffers;
        quantize(crew, stream, codes);
        multiply(
            crew,
            &layer.query_key_value.matrix,
            codes,
            projected,
            &|out, columns| {
                let bias = &layer.query_key_value.bias[columns.clone()];
                each_part(out, &columns, |part| vector::add(part, bias));
            },
        );
        self.attend(crew, spans, projected, attended);
        quantize(crew, attended, codes);
        add_product(crew, &layer.attention_output.matrix, codes, change, stream);
        self.center(crew, &layer.attention_output, &layer.attention_norm, stream);
        quantize(crew, stream, codes);
        multiply(crew, &layer.up.matrix, codes, inner, &|out, columns| {
            let bias = &layer.up.bias[columns.clone()];
            each_part(out, &columns, |part| vector::gelu(part, bias, self.is_tanh));
        });
        quantize(crew, inner, codes);
        add_product(crew, &layer.down.matrix, codes, change, stream);
        self.center(crew, &layer.down, &layer.norm, stream);
    }

    /// Adds the bias of the products that were added to the stream, and norms it.
    fn center(&self, crew: &Crew, dense: &Dense, norm: &Norm, stream: &mut Rows) {
        each_row(crew, stream, &|_, row| {
            vector::add_and_center(row, &dense.bias, (&norm.weights, &norm.bias), self.epsilon);
        });
    }

    /// Lets every token of a text look at all of them.
    fn attend(&self, crew: &Crew, spans: &[Range<usize>], projected: &Rows, attended: &mut Rows) {
        let head_width = self.width / self.heads;
        let out = &attended.parts();
        crew.run(spans.len() * self.heads, &|piece| {
            let (span, head) = (&spans[piece / self.heads], piece % self.heads);
            let columns = head * head_width..(head + 1) * head_width;
            let part = |row: usize, which: usize| &projected.row(row)[which * self.width..][columns.clone()];
            let group_len = attention::group_len(head_width);
            let mut groups = vec![0; span.len().div_ceil(GROUP) * group_len];
            for (token, row) in span.clone().enumerate() {
                let group = &mut groups[token / GROUP * group_len..][..group_len];
                attention::put(group, token % GROUP, part(row, 1), part(row, 2));
            }
            let groups: Vec<*const u16> = groups.chunks_exact(group_len).map(<[u16]>::as_ptr).collect();
            let mut scores = Vec::new();
            for first in span.clone().step_by(attention::BATCH) {
                let rows = first..(first + attention::BATCH).min(span.end);
                let query = |row| Query {
                    numbers: part(row, 0),
                    first: 0,
                    keys: span.len(),
                };
                let queries: Vec<Query<'_>> = rows.clone().map(query).collect();
                // SAFETY: each head of each text is in one piece of work, and has columns of its own.
                let out = rows.map(|row| unsafe { out.part(row, columns.clone()) });
                let mut out: Vec<&mut [f32]> = out.collect();
                // SAFETY: the groups hold the keys of all tokens of the text, and live to the end of this piece.
                unsafe { attention::attend(&groups, &queries, &mut out, &mut scores) };
            }
        });
    }
}

/// Changes the columns of a piece of work in all rows.
fn each_part(out: &Parts<'_>, columns: &Range<usize>, change: impl Fn(&mut [f32])) {
    for row in 0..out.rows() {
        // SAFETY: the columns are those of one piece of work.
        change(unsafe { out.part(row, columns.clone()) });
    }
}

/// Finds the weights of an encoder by their names.
struct Builder<'a> {
    config: &'a EncoderConfig,
    weights: &'a EncoderWeights<'a>,
}

impl Builder<'_> {
    fn layer(&self, at: &str) -> Result<Layer, BuildError> {
        let (width, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let output = format!("{at}.attention.output");
        Ok(Layer {
            query_key_value: self.query_key_value(&format!("{at}.attention.self"))?,
            attention_output: self.dense(&format!("{output}.dense"), width, width)?,
            attention_norm: self.norm(&output)?,
            up: self.dense(&format!("{at}.intermediate.dense"), inner, width)?,
            down: self.dense(&format!("{at}.output.dense"), width, inner)?,
            norm: self.norm(&format!("{at}.output"))?,
        })
    }

    /// Queries, keys and values as one matrix.
    fn query_key_value(&self, at: &str) -> Result<Dense, BuildError> {
        let width = self.config.hidden_size;
        let scale = 1.0 / ((width / self.config.heads) as f32).sqrt();
        let (mut stacked, mut bias) = (Vec::with_capacity(3 * width * width), Vec::with_capacity(3 * width));
        for (part, scale) in [("query", scale), ("key", 1.0), ("value", 1.0)] {
            let matrix = self.weights.matrix(&format!("{at}.{part}.weight"), width, width)?;
            stacked.extend(matrix.values.into_iter().map(|weight| weight * scale));
            let of_part = self.weights.vector(&format!("{at}.{part}.bias"), width)?;
            bias.extend(of_part.into_iter().map(|number| number * scale));
        }
        let matrix = Matrix::quantize(3 * width, width, &stacked)?;
        Ok(Dense { matrix, bias })
    }

    fn dense(&self, at: &str, rows: usize, width: usize) -> Result<Dense, BuildError> {
        let weights = self.weights.matrix(&format!("{at}.weight"), rows, width)?;
        Ok(Dense {
            matrix: Matrix::quantize(rows, width, &weights.values)?,
            bias: self.weights.vector(&format!("{at}.bias"), rows)?,
        })
    }

    fn norm(&self, at: &str) -> Result<Norm, BuildError> {
        let width = self.config.hidden_size;
        Ok(Norm {
            weights: self.weights.vector(&format!("{at}.LayerNorm.weight"), width)?,
            bias: self.weights.vector(&format!("{at}.LayerNorm.bias"), width)?,
        })
    }
}
