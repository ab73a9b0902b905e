//! Tokens to logits, for many sequences in one step.
#![expect(unsafe_code, reason = "pieces of work write different parts of one buffer")]

use super::cache::{Cache, CacheShape};
use crate::compute::attention::{self, GROUP, Query};
use crate::compute::{
    Codes, Crew, LANES, Matrix, Rows, add_product, each_row, encode, multiply, quantize, shared, vector,
};
use crate::generate::transformer::{self, Activation, Shape, Transformer};

/// A model whose weights are packed for this machine's vector instructions.
pub(crate) type Decoder = Transformer<Matrix>;

/// A layer of it.
type Layer = transformer::Layer<Matrix>;

/// Tokens that a sequence reads in a step.
pub(crate) struct Part<'a> {
    /// What it has read before.
    pub(crate) cache: &'a mut Cache,
    /// What comes next; at least one.
    pub(crate) tokens: &'a [u32],
    /// After how many of the last of them logits are wanted; at least one.
    pub(crate) told: usize,
}

/// The buffers of a step.
struct Buffers {
    /// What goes from layer to layer.
    stream: Rows,
    /// Queries, keys and values side by side.
    projected: Rows,
    attended: Rows,
    gate: Rows,
    up: Rows,
    /// What is added to the stream.
    change: Rows,
    codes: Codes,
}

impl Decoder {
    /// Returns the cache of a sequence that has read nothing.
    pub(crate) fn cache(&self) -> Cache {
        Cache::new(CacheShape {
            layers: self.layers.len(),
            heads: self.shape.kv_heads,
            head_width: self.shape.head_width,
        })
    }

    /// Returns how many bytes its weights take.
    pub(crate) fn bytes(&self) -> usize {
        let numbers = |values: &[f32]| size_of_val(values);
        let of_layer = |layer: &Layer| {
            let [queries, keys, values] = &layer.query_key_value;
            let products = [
                queries,
                keys,
                values,
                &layer.attention_output,
                &layer.gate,
                &layer.up,
                &layer.down,
            ];
            let vectors = [layer.attention_norm.as_slice(), &layer.feed_forward_norm].into_iter();
            let vectors = vectors.chain(layer.bias.iter().flatten().map(Vec::as_slice));
            let vectors = vectors.chain(layer.head_norms.iter().flatten().map(Vec::as_slice));
            let vectors = vectors.chain(layer.attention_output_norm.as_deref());
            let vectors = vectors.chain(layer.feed_forward_output_norm.as_deref());
            products.into_iter().map(Matrix::bytes).sum::<usize>() + vectors.map(numbers).sum::<usize>()
        };
        let output = self.output.as_ref().map_or(0, Matrix::bytes);
        let layers = self.layers.iter().map(of_layer).sum::<usize>();
        self.embedding.bytes() + layers + numbers(&self.norm) + output
    }

    /// Returns how many tokens the vocabulary has.
    pub(crate) fn vocabulary(&self) -> usize {
        self.embedding.rows()
    }

    /// Reads the next tokens of some sequences; returns for each the logits after the last of them, one row for each that
    /// is told.
    ///
    /// # Panics
    ///
    /// If a token is not of the vocabulary, or a part has none or tells of more than it has.
    pub(crate) fn step(&self, crew: &Crew, parts: &mut [Part<'_>]) -> Vec<Vec<Vec<f32>>> {
        let mut positions = Vec::new();
        let mut told = Vec::new();
        for of_part in parts.iter_mut() {
            assert!(
                (1..=of_part.tokens.len()).contains(&of_part.told),
                "a part tells of at least one token"
            );
            of_part.cache.reserve(of_part.tokens.len());
            let first = of_part.cache.tokens();
            positions.extend(first..first + of_part.tokens.len());
            told.extend(positions.len() - of_part.told..positions.len());
        }
        let mut buffers = self.buffers(positions.len());
        let tokens = parts.iter().flat_map(|part| part.tokens);
        for (row, token) in tokens.enumerate() {
            self.embedding.read(*token as usize, buffers.stream.row_mut(row));
            vector::scale(buffers.stream.row_mut(row), self.shape.embedding_scale);
        }
        let turns = self.rotations.iter().map(|rotation| {
            let turns = positions.iter().map(|position| rotation.turns(*position));
            turns.collect::<Vec<_>>()
        });
        let turns: Vec<_> = turns.collect();
        for (at, layer) in self.layers.iter().enumerate() {
            self.project(crew, layer, &mut buffers);
            self.turn(crew, layer, &turns[layer.rotation], &mut buffers.projected);
            self.remember(at, parts, &buffers.projected);
            self.attend(crew, at, parts, &positions, &mut buffers);
            quantize(crew, &buffers.attended, &mut buffers.codes);
            let norm = layer.attention_output_norm.as_deref();
            self.add(crew, &layer.attention_output, norm, &mut buffers);
            self.feed_forward(crew, layer, &mut buffers);
        }
        for part in parts.iter_mut() {
            part.cache.advance(part.tokens.len());
        }
        let mut logits = self.logits(crew, &told, &buffers.stream).into_iter();
        parts
            .iter()
            .map(|part| logits.by_ref().take(part.told).collect())
            .collect()
    }

    fn buffers(&self, rows: usize) -> Buffers {
        let Shape {
            width,
            heads,
            kv_heads,
            head_width,
            feed_forward,
            ..
        } = self.shape;
        // Tiles are whole, also where a matrix ends inside of one.
        let whole = |width: usize| width.next_multiple_of(LANES);
        Buffers {
            stream: Rows::new(rows, width),
            projected: Rows::new(rows, whole((heads + 2 * kv_heads) * head_width)),
            attended: Rows::new(rows, heads * head_width),
            gate: Rows::new(rows, feed_forward),
            up: Rows::new(rows, feed_forward),
            change: Rows::new(rows, width),
            codes: Codes::default(),
        }
    }

    /// Makes queries, keys and values of the stream.
    fn project(&self, crew: &Crew, layer: &Layer, buffers: &mut Buffers) {
        self.normalize(crew, &buffers.stream, &layer.attention_norm, &mut buffers.codes);
        let tiles: Vec<(usize, usize)> = layer
            .query_key_value
            .iter()
            .enumerate()
            .flat_map(|(matrix, of_matrix)| (0..of_matrix.tiles()).map(move |tile| (matrix, tile)))
            .collect();
        let codes = &buffers.codes;
        let out = &buffers.projected.parts();
        let [queries, keys, _] = &layer.query_key_value;
        let columns = [0, queries.rows(), queries.rows() + keys.rows()];
        shared(crew, tiles.len(), &|range| {
            for (matrix, tile) in &tiles[range] {
                let column = columns[*matrix] + tile * LANES;
                // SAFETY: each tile is in one piece of work, and has columns of its own.
                unsafe { layer.query_key_value[*matrix].multiply(*tile..tile + 1, codes, out, column) };
            }
        });
    }

    /// Adds biases, norms heads where the model does, turns queries and keys, and scales queries.
    fn turn(&self, crew: &Crew, layer: &Layer, turns: &[Vec<(f32, f32)>], projected: &mut Rows) {
        let Shape {
            heads,
            kv_heads,
            head_width,
            epsilon,
            query_scale,
            ..
        } = self.shape;
        each_row(crew, projected, &|row, projected| {
            let (queries, rest) = projected.split_at_mut(heads * head_width);
            let (keys, values) = rest.split_at_mut(kv_heads * head_width);
            if let Some(bias) = &layer.bias {
                for (values, bias) in [&mut *queries, &mut *keys, values].into_iter().zip(bias) {
                    vector::add(values, bias);
                }
            }
            for (at, heads) in [queries, keys].into_iter().enumerate() {
                let mut normed = vec![0.0; head_width];
                for head in heads.chunks_exact_mut(head_width) {
                    if let Some(norms) = &layer.head_norms {
                        vector::normalize(head, &norms[at], epsilon, &mut normed);
                        head.copy_from_slice(&normed);
                    }
                    self.rotations[layer.rotation].turn(head, &turns[row]);
                    if at == 0 {
                        vector::scale(head, query_scale);
                    }
                }
            }
        });
    }

    /// Writes keys and values into the caches.
    fn remember(&self, layer: usize, parts: &mut [Part<'_>], projected: &Rows) {
        let queries = self.shape.heads * self.shape.head_width;
        let keys = self.shape.kv_heads * self.shape.head_width;
        let mut row = 0;
        for part in parts {
            let rows = row..row + part.tokens.len();
            let of_rows = rows.clone().map(|row| {
                let row = &projected.row(row)[queries..];
                (&row[..keys], &row[keys..2 * keys])
            });
            part.cache.write(layer, of_rows);
            row = rows.end;
        }
    }

    /// Answers the queries of all rows.
    fn attend(&self, crew: &Crew, layer: usize, parts: &[Part<'_>], positions: &[usize], buffers: &mut Buffers) {
        let Shape {
            heads,
            kv_heads,
            head_width,
            ..
        } = self.shape;
        let group = heads / kv_heads;
        let window = self.layers[layer].window;
        // Queries of one part that look at the same keys: row by row, those of a row together.
        let mut pieces: Vec<(usize, usize, std::ops::Range<usize>)> = Vec::new();
        let mut row = 0;
        for (part, of_part) in parts.iter().enumerate() {
            let end = row + of_part.tokens.len();
            for head in 0..kv_heads {
                let queries = (row * group..end * group).step_by(attention::BATCH);
                pieces.extend(queries.map(|first| (part, head, first..(first + attention::BATCH).min(end * group))));
            }
            row = end;
        }
        let Buffers {
            projected, attended, ..
        } = buffers;
        let projected = &*projected;
        let out = &attended.parts();
        crew.run(pieces.len(), &|piece| {
            let (part, head, of_piece) = &pieces[piece];
            let columns = |at: usize| {
                let first = (head * group + at % group) * head_width;
                first..first + head_width
            };
            let seen = |at: usize| {
                let end = positions[at / group] + 1;
                window.map_or(0, |window| end.saturating_sub(window))..end
            };
            // Rows of a part are in order: the first of them sees the first key.
            let before = seen(of_piece.start).start / GROUP * GROUP;
            let end = seen(of_piece.end - 1).end;
            let queries = of_piece.clone().map(|at| Query {
                numbers: &projected.row(at / group)[columns(at)],
                first: seen(at).start - before,
                keys: seen(at).end - before,
            });
            let queries: Vec<Query<'_>> = queries.collect();
            // SAFETY: each query is in one piece of work, and has columns of its own.
            let out = of_piece.clone().map(|at| unsafe { out.part(at / group, columns(at)) });
            let mut out: Vec<&mut [f32]> = out.collect();
            let (mut groups, mut scores) = (Vec::new(), Vec::new());
            parts[*part].cache.groups(layer, *head, before..end, &mut groups);
            // SAFETY: the cache holds the keys of all positions up to these.
            unsafe { attention::attend(&groups, &queries, &mut out, &mut scores) };
        });
    }

    fn feed_forward(&self, crew: &Crew, layer: &Layer, buffers: &mut Buffers) {
        let activate = match self.shape.activation {
            Activation::Silu => vector::gate,
            Activation::GeluTanh => vector::gate_by_gelu,
        };
        let Buffers {
            stream,
            gate,
            up,
            codes,
            ..
        } = buffers;
        self.normalize(crew, stream, &layer.feed_forward_norm, codes);
        let rows = codes.rows();
        {
            let (codes, gate, up) = (&*codes, &gate.parts(), &up.parts());
            shared(crew, layer.gate.tiles(), &|tiles| {
                let columns = tiles.start * LANES..tiles.end * LANES;
                // SAFETY: each tile is in one piece of work, and has columns of its own in both buffers.
                unsafe {
                    layer.gate.multiply(tiles.clone(), codes, gate, columns.start);
                    layer.up.multiply(tiles, codes, up, columns.start);
                    for row in 0..rows {
                        activate(gate.part(row, columns.clone()), up.part(row, columns.clone()));
                    }
                }
            });
        }
        quantize(crew, gate, codes);
        let norm = layer.feed_forward_output_norm.as_deref();
        self.add(crew, &layer.down, norm, buffers);
    }

    /// Adds the products of a matrix with the codes to the stream; normed, where the model does that.
    fn add(&self, crew: &Crew, matrix: &Matrix, norm: Option<&[f32]>, buffers: &mut Buffers) {
        let Buffers {
            stream, change, codes, ..
        } = buffers;
        let Some(norm) = norm else {
            return add_product(crew, matrix, codes, change, stream);
        };
        multiply(crew, matrix, codes, change, &|_, _| {});
        let change = &*change;
        each_row(crew, stream, &|row, stream| {
            let mut normed = vec![0.0; stream.len()];
            vector::normalize(change.row(row), norm, self.shape.epsilon, &mut normed);
            vector::add(stream, &normed);
        });
    }

    /// Norms all rows, and quantizes what comes out.
    fn normalize(&self, crew: &Crew, rows: &Rows, weights: &[f32], codes: &mut Codes) {
        encode(crew, codes, (rows.len(), rows.width()), &|row, out| {
            vector::normalize(rows.row(row), weights, self.shape.epsilon, out);
        });
    }

    fn logits(&self, crew: &Crew, told: &[usize], stream: &Rows) -> Vec<Vec<f32>> {
        let mut chosen = Rows::new(told.len(), stream.width());
        for (at, row) in told.iter().enumerate() {
            chosen.row_mut(at).copy_from_slice(stream.row(*row));
        }
        let mut codes = Codes::default();
        self.normalize(crew, &chosen, &self.norm, &mut codes);
        let output = self.output.as_ref().unwrap_or(&self.embedding);
        let mut logits = Rows::new(told.len(), output.tiles() * LANES);
        multiply(crew, output, &codes, &mut logits, &|_, _| {});
        (0..told.len())
            .map(|row| logits.row(row)[..output.rows()].to_vec())
            .collect()
    }
}
