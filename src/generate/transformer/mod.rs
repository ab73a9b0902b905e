//! What a decoder-only transformer is made of, whoever computes it.
//!
//! Comes in: weights in the form of whoever computes. Goes out: a [`Transformer`].
//! Always holds: only what some architecture needs is optional, and who computes names no architecture.
//! Not here: files (see [`super::candle`]); the kernels of this machine (see `engine`).

mod rotation;

pub(super) use rotation::{Pairing, Rotation};

/// How large a model is, and the numbers that its formulas name.
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
    /// What the embedding of a token is multiplied by.
    pub(crate) embedding_scale: f32,
    /// What queries are multiplied by.
    pub(crate) query_scale: f32,
    /// What becomes of the gate of a feed-forward network.
    pub(crate) activation: Activation,
}

/// A function of the gate of a feed-forward network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x / (1 + e^-x).
    Silu,
    /// x times the share of the normal distribution below it, by the hyperbolic tangent.
    GeluTanh,
}

/// The weights of a layer: matrices and vectors in the form of whoever computes.
#[derive(Debug, Clone)]
pub(crate) struct Layer<Matrix, Vector = Vec<f32>> {
    pub(crate) attention_norm: Vector,
    /// Outputs are all queries, all keys, all values.
    pub(crate) query_key_value: [Matrix; 3],
    /// What is added to queries, keys and values.
    pub(crate) bias: Option<[Vector; 3]>,
    /// Norms of each query and key.
    pub(crate) head_norms: Option<[Vector; 2]>,
    pub(crate) attention_output: Matrix,
    /// Norm of what attention adds.
    pub(crate) attention_output_norm: Option<Vector>,
    pub(crate) feed_forward_norm: Vector,
    pub(crate) gate: Matrix,
    pub(crate) up: Matrix,
    pub(crate) down: Matrix,
    /// Norm of what the feed-forward network adds.
    pub(crate) feed_forward_output_norm: Option<Vector>,
    /// Which of the model's rotations turns the heads.
    pub(crate) rotation: usize,
    /// How many keys a query sees at most, its own included; nothing where it sees all.
    pub(crate) window: Option<usize>,
}

/// A decoder-only transformer: of the Llama family, or near it.
#[derive(Debug, Clone)]
pub(crate) struct Transformer<Matrix, Vector = Vec<f32>> {
    pub(crate) shape: Shape,
    pub(crate) embedding: Matrix,
    pub(crate) layers: Vec<Layer<Matrix, Vector>>,
    pub(crate) norm: Vector,
    /// Nothing where the embedding serves.
    pub(crate) output: Option<Matrix>,
    /// What layers turn heads by, as their numbers say.
    pub(crate) rotations: Vec<Rotation>,
}
