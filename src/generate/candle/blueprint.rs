//! What a model's files say about how it is built, whatever form they have.

use candle_core::Result;

use crate::generate::transformer::{Pairing, Rotation, Shape};

/// The architectures that are supported, as `general.architecture` names them.
pub const SUPPORTED_ARCHITECTURES: [&str; 7] = ["llama", "mistral", "mistral3", "qwen2", "qwen3", "phi3", "gemma3"];

/// Tokens of context where a file names no number.
pub(super) const DEFAULT_CONTEXT_TOKENS: usize = 4096;
/// Base of the rotation where a file names none.
pub(super) const DEFAULT_BASE: f64 = 10_000.0;

/// Most numbers of a row, and of all that is counted in a layer: some hundred times what models have, so that only damaged
/// files say more.
const MAX_WIDTH: usize = 1 << 22;
/// Most layers.
const MAX_LAYERS: usize = 1 << 12;

/// A family of models that are built alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    /// Llama, and Mistral's models, which differ in nothing that is not in their numbers.
    Llama,
    /// Qwen 2 and 2.5: biases.
    Qwen2,
    /// Qwen 3: norms of heads.
    Qwen3,
    /// Phi 3 and later: matrices that are one in the file.
    Phi3,
    /// Gemma 3: norms after attention and feed-forward network, layers that see few keys.
    Gemma3,
}

impl Architecture {
    /// Returns the family that a file's `general.architecture` belongs to.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        match name {
            "llama" | "mistral" | "mistral3" => Some(Self::Llama),
            "qwen2" => Some(Self::Qwen2),
            "qwen3" => Some(Self::Qwen3),
            "phi3" => Some(Self::Phi3),
            "gemma3" => Some(Self::Gemma3),
            _ => None,
        }
    }
}

/// How a model is built.
#[derive(Debug, Clone)]
pub(super) struct Blueprint {
    pub(super) architecture: Architecture,
    pub(super) shape: Shape,
    /// Tokens of context that it was trained for.
    pub(super) context_tokens: usize,
    /// For each layer how many keys a query sees at most; nothing where it sees all.
    pub(super) windows: Vec<Option<usize>>,
    pub(super) pairing: Pairing,
    /// How many numbers of a head turn.
    pub(super) turned: usize,
    /// Base of the rotation.
    pub(super) base: f64,
    /// Base of the rotation of layers that see few keys, where it is another one; it is not scaled.
    pub(super) local_base: Option<f64>,
    pub(super) scaling: Scaling,
    /// What is added to the weights of norms.
    pub(super) norm_offset: f32,
    /// The embedding serves as the last matrix too, whatever else the file has.
    pub(super) is_tied: bool,
}

/// How the rotation is slowed down for texts longer than those that a model was trained on first.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scaling {
    /// Not at all.
    None,
    /// All pairs alike.
    Linear(f32),
    /// Each pair by a factor of its own.
    Factors(Vec<f32>),
    /// Each pair by a factor of its own, by others where sequences may be longer than those of the first training.
    Long {
        short: Vec<f32>,
        long: Vec<f32>,
        first_context_tokens: usize,
        magnitude: f32,
    },
}

impl Blueprint {
    /// Returns the rotations of a model whose sequences have at most so many tokens: that of all layers, then that of
    /// layers that see few keys.
    pub(super) fn rotations(&self, context_tokens: usize) -> Result<Vec<Rotation>> {
        let (factors, magnitude) = match &self.scaling {
            Scaling::None => (None, 1.0),
            Scaling::Linear(factor) => (Some(vec![*factor; self.turned / 2]), 1.0),
            Scaling::Factors(factors) => (Some(factors.clone()), 1.0),
            Scaling::Long {
                short,
                long,
                first_context_tokens,
                magnitude,
            } => {
                let is_long = context_tokens > *first_context_tokens;
                (Some(if is_long { long } else { short }.clone()), *magnitude)
            }
        };
        let factors = factors.as_deref();
        if let Some(factors) = factors {
            let (found, expected) = (factors.len(), self.turned / 2);
            if found != expected {
                candle_core::bail!("the rotation is scaled by {found} factors, it must be by {expected}");
            }
            if factors.iter().any(|factor| !(factor.is_finite() && *factor > 0.0)) {
                candle_core::bail!("the rotation is scaled by factors that are not numbers above 0");
            }
        }
        let rotation = Rotation::new(self.pairing, self.turned, self.base, factors).with_magnitude(magnitude);
        let local = self.local_base;
        let local = local.map(|base| Rotation::new(self.pairing, self.turned, base, None));
        Ok([Some(rotation), local].into_iter().flatten().collect())
    }

    /// Returns which rotation a layer has.
    pub(super) fn rotation_of(&self, layer: usize) -> usize {
        usize::from(self.local_base.is_some() && self.windows.get(layer).is_some_and(Option::is_some))
    }

    /// Checks what no decoder could do without, beside [its size](check_size).
    pub(super) fn check(&self) -> Result<()> {
        let shape = self.shape;
        if self.context_tokens == 0 {
            candle_core::bail!("its context is 0");
        }
        if !shape.heads.is_multiple_of(shape.kv_heads) {
            let (heads, kv_heads) = (shape.heads, shape.kv_heads);
            candle_core::bail!("{heads} heads cannot share {kv_heads} heads of keys");
        }
        if !(1..=shape.head_width).contains(&self.turned) || !self.turned.is_multiple_of(2) {
            let (turned, width) = (self.turned, shape.head_width);
            candle_core::bail!("{turned} numbers of a head cannot turn, it has {width}, and they turn in pairs");
        }
        for base in [Some(self.base), self.local_base].into_iter().flatten() {
            if !(base.is_finite() && base > 0.0) {
                candle_core::bail!("the base of its rotation is {base}, it must be a number above 0");
            }
        }
        let epsilon = shape.epsilon;
        if !(0.0..1.0).contains(&epsilon) {
            candle_core::bail!("the epsilon of its norms is {epsilon}, it must be a number from 0 and below 1");
        }
        if self.windows.iter().flatten().any(|window| *window < 2) {
            candle_core::bail!("layers whose queries see fewer than 2 keys are not supported");
        }
        Ok(())
    }
}

/// Checks the numbers that a file says about the size of a model, before anything of that size is made.
pub(super) fn check_size(shape: Shape, layers: usize) -> Result<()> {
    for (name, number, most) in [
        ("its width", shape.width, MAX_WIDTH),
        ("its number of heads", shape.heads, MAX_WIDTH),
        ("its number of heads of keys", shape.kv_heads, MAX_WIDTH),
        ("the width of its heads", shape.head_width, MAX_WIDTH),
        ("the width of its feed-forward network", shape.feed_forward, MAX_WIDTH),
        ("its number of layers", layers, MAX_LAYERS),
    ] {
        if !(1..=most).contains(&number) {
            candle_core::bail!("{name} is {number}, 1 to {most} are supported");
        }
    }
    Ok(())
}
