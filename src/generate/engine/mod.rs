//! A decoder of the Llama family, and of those near it, on this machine's vector instructions.
//!
//! Comes in: weights of 4 and 8 bits, and tokens of many sequences at once. Goes out: logits.
//! Always holds: a row of a batch is computed with the same operations in the same order whoever stands beside it,
//! however the prompt is cut, and on however many threads: the same tokens give the same bits.
//! Not here: files (see [`super::candle`]), sampling.

mod batcher;
mod cache;
mod decoder;
mod prefixes;

pub(super) use batcher::{Batcher, Reading};

#[cfg(test)]
mod tests;
