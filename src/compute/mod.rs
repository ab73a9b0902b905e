//! Products, norms and attention on this machine's vector instructions (AVX-512 with VNNI), for models to be built of.
//!
//! Comes in: weights of 4 and 8 bits, rows of numbers, threads. Goes out: rows of numbers.
//! Always holds: a row is computed with the same operations in the same order whoever stands beside it, and on however
//! many threads: the same row gives the same bits.
//! Not here: what the rows mean (see [`crate::generate`] and [`crate::embed`]).

pub(crate) mod attention;
mod crew;
mod matrix;
mod rows;
mod steps;
pub(crate) mod vector;

pub(crate) use crew::Crew;
pub(crate) use matrix::{Matrix, PackError, SourceType};
pub(crate) use rows::{Codes, Parts, Rows};
pub(crate) use steps::{add_product, each_row, encode, multiply, quantize, shared};
pub(crate) use vector::{BLOCK, LANES, is_supported};

#[cfg(test)]
pub(crate) mod tests;
