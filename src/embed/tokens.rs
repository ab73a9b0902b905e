//! The tokens of a text, each with a vector of its own.

use half::f16;

use super::Error;

/// The tokens that a model reads of a text, special ones left out, each with a unit vector.
///
/// Vectors are rounded to 16 bits at once, so that they are the same whether they were kept or not.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenVectors {
    /// Places of the tokens in the model's vocabulary, which lists common tokens first; 0 is the first of text.
    ranks: Vec<u32>,
    dimensions: usize,
    /// IEEE half-precision numbers, token by token.
    halves: Vec<u16>,
}

impl TokenVectors {
    /// Takes the ranks of tokens with their vectors one after the other, and scales each vector to unit length. Fails when
    /// they are not as many, not finite, or zero.
    pub fn normalized(ranks: Vec<u32>, dimensions: usize, values: &[f32]) -> Result<Self, Error> {
        if dimensions == 0 || values.len() != ranks.len() * dimensions {
            return Err(Error::NotAVector);
        }
        let mut halves = Vec::with_capacity(values.len());
        for vector in values.chunks_exact(dimensions) {
            let norm = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            if !norm.is_finite() || norm == 0.0 {
                return Err(Error::NotAVector);
            }
            let unit = vector.iter().map(|value| (f64::from(*value) / norm) as f32);
            halves.extend(unit.map(|value| f16::from_f32(value).to_bits()));
        }
        Ok(Self {
            ranks,
            dimensions,
            halves,
        })
    }

    /// Returns the place of each token in the model's vocabulary, which lists common tokens first; 0 is the first that
    /// stands for text.
    pub fn ranks(&self) -> &[u32] {
        &self.ranks
    }

    /// Returns the vector of each token, in their order, as IEEE half-precision numbers.
    pub fn vectors(&self) -> impl ExactSizeIterator<Item = &[u16]> {
        self.halves.chunks_exact(self.dimensions)
    }

    /// Returns the vectors widened to 32 bits.
    pub fn widened(&self) -> Vec<Vec<f32>> {
        let widen = |vector: &[u16]| vector.iter().map(|half| f16::from_bits(*half).to_f32()).collect();
        self.vectors().map(widen).collect()
    }

    /// Returns about how many bytes of memory they take.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(self.ranks.as_slice()) + size_of_val(self.halves.as_slice())
    }
}
