//! Embeddings without weights: hashed words and word pairs.
//!
//! Comes in: texts. Goes out: unit vectors that are close when texts share words.
//! Always holds: the same text gives the same vector on every machine.
//! Not here: meaning. This is for tests and for trying things out, not for serving.

use unicode_segmentation::UnicodeSegmentation as _;

use super::{Embedder, Embedding, Error, Purpose};
use crate::worker::Cancel;

/// Share of a pair of neighbouring words beside a word.
const PAIR_WEIGHT: f32 = 0.5;

/// Turns texts into vectors by hashing their words.
#[derive(Debug, Clone)]
pub struct HashingEmbedder {
    dimensions: usize,
}

impl HashingEmbedder {
    /// Returns an embedder of vectors with this many components, at least one.
    pub fn new(dimensions: usize) -> Self {
        Self {
            dimensions: dimensions.max(1),
        }
    }

    fn vector(&self, text: &str) -> Result<Embedding, Error> {
        let words: Vec<String> = text.unicode_words().map(str::to_lowercase).collect();
        let mut values = vec![0.0; self.dimensions];
        for word in &words {
            self.add(&mut values, fnv1a(&[word]), 1.0);
        }
        for pair in words.windows(2) {
            self.add(&mut values, fnv1a(&[&pair[0], &pair[1]]), PAIR_WEIGHT);
        }
        // A text without words, or one whose words cancel out, still gets a vector.
        if values.iter().all(|value| *value == 0.0) {
            values[0] = 1.0;
        }
        Embedding::normalized(values)
    }

    fn add(&self, values: &mut [f32], hash: u64, weight: f32) {
        let slot = (hash >> 1) % self.dimensions as u64;
        values[slot as usize] += if hash & 1 == 0 { weight } else { -weight };
    }
}

impl Embedder for HashingEmbedder {
    fn model_id(&self) -> &'static str {
        "hashing"
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn max_tokens(&self) -> usize {
        usize::MAX
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.unicode_words().count()
    }

    fn embed(&self, texts: &[&str], _purpose: Purpose, cancel: &Cancel) -> Result<Vec<Embedding>, Error> {
        cancel.check()?;
        texts.iter().map(|text| self.vector(text)).collect()
    }
}

/// The FNV-1a hash of some words, told apart by a byte that no text holds, with its bits mixed once more.
fn fnv1a(words: &[&str]) -> u64 {
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0xff]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(29)
}
