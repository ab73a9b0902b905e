//! Tokens to logits, for many sequences in one step.
#![expect(unsafe_code, reason = "pieces of work write different parts of one buffer")]

use super::cache::{Cache, CacheShape};
use super::rotation::Rotation;
use crate::compute::attention::{self, Query};
use crate::compute::{Codes, Crew, LANES, Matrix, Rows, add_product, each_row, encode, multiply, shared, vector};

/// How large a model is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    /// Numbers of a row.
    pub(crate) width: usize,
    /// Query heads of a layer.
    pub(crate) heads: usize,
    /// Heads of keys and values, each for as many query heads.
    pub(crate) kv_heads: usize,
    /// Numbers of a head.
    pub(crate) head_width: usize,
    /// Numbers between the two halves of a feed-forward network.
    pub(crate) feed_forward: usize,
    /// What is added to the mean square of a row.
    pub(crate) epsilon: f32,
}

/// What is added to queries, keys and values.
pub(crate) struct Bias(pub(crate) Vec<f32>);

/// The weights of a layer.
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<f32>,
    /// Outputs are all queries, all keys, all values.
    pub(crate) query_key_value: [Matrix; 3],
    pub(crate) bias: Option<[Bias; 3]>,
    /// Norms of each query and key.
    pub(crate) head_norms: Option<[Vec<f32>; 2]>,
    pub(crate) attention_output: Matrix,
    pub(crate) feed_forward_norm: Vec<f32>,
    pub(crate) gate: Matrix,
    pub(crate) up: Matrix,
    pub(crate) down: Matrix,
}

/// A decoder-only transformer of the Llama family.
pub(crate) struct Decoder {
    pub(crate) shape: Shape,
    pub(crate) embedding: Matrix,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Vec<f32>,
    /// Nothing where the embedding serves.
    pub(crate) output: Option<Matrix>,
    pub(crate) rotation: Rotation,
}

/// Tokens that a sequence reads in a step.
pub(crate) struct Part<'a> {
    /// What it has read before.
    pub(crate) cache: &'a mut Cache,
    /// What comes next; at least one.
    pub(crate) tokens: &'a [u32],
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

    /// Returns how many tokens the vocabulary has.
    pub(crate) fn vocabulary(&self) -> usize {
        self.embedding.rows()
    }

    /// Reads the next tokens of some sequences; returns for each the logits after its last one.
    ///
    /// # Panics
    ///
    /// If a token is not of the vocabulary, or a part has none.
    pub(crate) fn step(&self, crew: &Crew, parts: &mut [Part<'_>]) -> Vec<Vec<f32>> {
        let mut positions = Vec::new();
        let mut last = Vec::new();
        for of_part in parts.iter_mut() {
            assert!(!of_part.tokens.is_empty(), "a part has at least one token");
            of_part.cache.reserve(of_part.tokens.len());
            let first = of_part.cache.tokens();
            positions.extend(first..first + of_part.tokens.len());
            last.push(positions.len() - 1);
        }
        let mut buffers = self.buffers(positions.len());
        let tokens = parts.iter().flat_map(|part| part.tokens);
        for (row, token) in tokens.enumerate() {
            self.embedding.read(*token as usize, buffers.stream.row_mut(row));
        }
        let turns: Vec<_> = positions
            .iter()
            .map(|position| self.rotation.turns(*position))
            .collect();
        for (at, layer) in self.layers.iter().enumerate() {
            self.project(crew, layer, &mut buffers);
            self.turn(crew, layer, &turns, &mut buffers.projected);
            self.remember(at, parts, &positions, &buffers.projected);
            self.attend(crew, at, parts, &positions, &mut buffers);
            let Buffers {
                stream,
                attended,
                change,
                codes,
                ..
            } = &mut buffers;
            let attended = &*attended;
            encode(crew, codes, (attended.len(), attended.width()), &|row, out| {
                out.copy_from_slice(attended.row(row));
            });
            add_product(crew, &layer.attention_output, codes, change, stream);
            self.feed_forward(crew, layer, &mut buffers);
        }
        for part in parts.iter_mut() {
            part.cache.advance(part.tokens.len());
        }
        self.logits(crew, &last, &buffers.stream)
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
            ..
        } = self.shape;
        let scale = 1.0 / (head_width as f32).sqrt();
        each_row(crew, projected, &|row, projected| {
            let (queries, rest) = projected.split_at_mut(heads * head_width);
            let (keys, values) = rest.split_at_mut(kv_heads * head_width);
            if let Some(bias) = &layer.bias {
                for (values, bias) in [&mut *queries, &mut *keys, values].into_iter().zip(bias) {
                    vector::add(values, &bias.0);
                }
            }
            for (at, heads) in [queries, keys].into_iter().enumerate() {
                let mut normed = vec![0.0; head_width];
                for head in heads.chunks_exact_mut(head_width) {
                    if let Some(norms) = &layer.head_norms {
                        vector::normalize(head, &norms[at], epsilon, &mut normed);
                        head.copy_from_slice(&normed);
                    }
                    self.rotation.turn(head, &turns[row]);
                    if at == 0 {
                        for number in head.iter_mut() {
                            *number *= scale;
                        }
                    }
                }
            }
        });
    }

    /// Writes keys and values into the caches.
    fn remember(&self, layer: usize, parts: &mut [Part<'_>], positions: &[usize], projected: &Rows) {
        let queries = self.shape.heads * self.shape.head_width;
        let keys = self.shape.kv_heads * self.shape.head_width;
        let mut row = 0;
        for part in parts {
            let rows = row..row + part.tokens.len();
            debug_assert_eq!(positions[row], part.cache.tokens());
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
            let queries = of_piece.clone().map(|at| Query {
                numbers: &projected.row(at / group)[columns(at)],
                keys: positions[at / group] + 1,
            });
            let queries: Vec<Query<'_>> = queries.collect();
            // SAFETY: each query is in one piece of work, and has columns of its own.
            let out = of_piece.clone().map(|at| unsafe { out.part(at / group, columns(at)) });
            let mut out: Vec<&mut [f32]> = out.collect();
            let most = queries.iter().map(|query| query.keys).max().unwrap_or(0);
            let (mut groups, mut scores) = (Vec::new(), Vec::new());
            parts[*part].cache.groups(layer, *head, most, &mut groups);
            // SAFETY: the cache holds the keys of all positions up to these.
            unsafe { attention::attend(&groups, &queries, &mut out, &mut scores) };
        });
    }

    fn feed_forward(&self, crew: &Crew, layer: &Layer, buffers: &mut Buffers) {
        let Buffers {
            stream,
            gate,
            up,
            change,
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
                        vector::gate(gate.part(row, columns.clone()), up.part(row, columns.clone()));
                    }
                }
            });
        }
        let gate = &*gate;
        encode(crew, codes, (gate.len(), gate.width()), &|row, out| {
            out.copy_from_slice(gate.row(row));
        });
        add_product(crew, &layer.down, codes, change, stream);
    }

    /// Norms all rows, and quantizes what comes out.
    fn normalize(&self, crew: &Crew, rows: &Rows, weights: &[f32], codes: &mut Codes) {
        encode(crew, codes, (rows.len(), rows.width()), &|row, out| {
            vector::normalize(rows.row(row), weights, self.shape.epsilon, out);
        });
    }

    fn logits(&self, crew: &Crew, last: &[usize], stream: &Rows) -> Vec<Vec<f32>> {
        let mut chosen = Rows::new(last.len(), stream.width());
        for (at, row) in last.iter().enumerate() {
            chosen.row_mut(at).copy_from_slice(stream.row(*row));
        }
        let mut codes = Codes::default();
        self.normalize(crew, &chosen, &self.norm, &mut codes);
        let output = self.output.as_ref().unwrap_or(&self.embedding);
        let mut logits = Rows::new(last.len(), output.tiles() * LANES);
        multiply(crew, output, &codes, &mut logits, &|_, _| {});
        (0..last.len())
            .map(|row| logits.row(row)[..output.rows()].to_vec())
            .collect()
    }
}
