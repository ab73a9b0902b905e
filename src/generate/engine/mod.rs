//! A decoder of the Llama family on this machine's vector instructions.
//!
//! Comes in: weights of 4 and 8 bits, and tokens of many sequences at once. Goes out: logits.
//! Always holds: a row of a batch is computed with the same operations in the same order whoever stands beside it,
//! however the prompt is cut, and on however many threads: the same tokens give the same bits.
//! Not here: files (see [`super::candle`]), sampling.

mod batcher;
mod cache;
mod decoder;
mod prefixes;
mod rotation;

pub(super) use batcher::{Batcher, Reading};
pub(super) use decoder::{Bias, Decoder, Layer, Shape};
pub(super) use rotation::{Pairing, Rotation};

#[cfg(test)]
mod tests;
