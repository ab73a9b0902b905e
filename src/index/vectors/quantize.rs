//! Vectors as they are kept: halves to score with, and int8 codes to find with.
//!
//! A vector is rounded to half precision when it comes, once and for all. Its codes are those halves divided by its own
//! scale; how far the codes lie from the halves is kept beside them, so that a scan can prove which rows it may pass over.

use bytemuck::{Pod, Zeroable};
use half::f16;
use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};

/// Largest code.
const CODE_MAX: f32 = 127.0;
/// Covers the rounding of norms, which are formed in single precision.
const ROUNDED_UP: f32 = 1.000_1;

/// Standard deviations that an estimate hardly ever errs by.
const HARDLY_EVER: f32 = 4.0;

/// How codes stand to the vector that they came from.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Fit {
    /// What a code of 1 stands for.
    pub(super) scale: f32,
    /// Length of the difference between the vector and its codes times the scale; never too small.
    pub(super) error: f32,
}

/// Rounds a vector to halves at the end of `halves`. Says whether all of them are finite.
pub(super) fn push_halves(vector: &[f32], halves: &mut Vec<u16>) -> bool {
    let start = halves.len();
    halves.resize(start + vector.len(), 0);
    let added = halves[start..].reinterpret_cast_mut::<f16>();
    added.convert_from_f32_slice(vector);
    added.iter().all(|half| half.is_finite())
}

/// Widens halves into `vector`, whose length they have.
pub(super) fn widen(halves: &[u16], vector: &mut [f32]) {
    halves.reinterpret_cast::<f16>().convert_to_f32_slice(vector);
}

/// Adds the codes of a vector at the end of `codes`.
pub(super) fn push_codes(vector: &[f32], codes: &mut Vec<i8>) -> Fit {
    let largest = vector.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let scale = largest / CODE_MAX;
    let per_code = if scale > 0.0 { scale.recip() } else { 0.0 };
    let start = codes.len();
    // A cast cuts what is too large off, and gives 0 for what is no number.
    codes.extend(vector.iter().map(|number| (number * per_code).round() as i8));
    let differences = vector.iter().zip(&codes[start..]);
    let squares = differences.map(|(number, code)| (number - scale * f32::from(*code)).powi(2));
    let error = squares.sum::<f32>().sqrt() * ROUNDED_UP;
    Fit { scale, error }
}

/// Returns the length of a vector, never too small.
pub(super) fn norm(vector: &[f32]) -> f32 {
    vector.iter().map(|number| number * number).sum::<f32>().sqrt() * ROUNDED_UP
}

/// What a search asks for: the vector, and its codes.
#[derive(Debug)]
pub(super) struct Query<'a> {
    pub(super) vector: &'a [f32],
    pub(super) codes: Vec<i8>,
    pub(super) fit: Fit,
    norm: f32,
}

impl<'a> Query<'a> {
    pub(super) fn new(vector: &'a [f32]) -> Self {
        let mut codes = Vec::with_capacity(vector.len());
        let fit = push_codes(vector, &mut codes);
        Self {
            vector,
            codes,
            fit,
            norm: norm(vector),
        }
    }

    /// Returns what bounds how far an estimate from codes lies from the score of any row that is not longer than
    /// `max_norm`: `error * bound.0 + bound.1`, where `error` is the row's.
    ///
    /// With x = x' + e and q = q' + f, where x' and q' are what the codes stand for, x.q - x'.q' = e.q + x'.f, and x' is at
    /// most as long as x and e together. The rest is the rounding of two sums in single precision.
    pub(super) fn bound(&self, max_norm: f32) -> (f32, f32) {
        let rounding = (self.vector.len() + 16) as f32 * f32::EPSILON * max_norm * self.norm;
        (self.norm + self.fit.error, max_norm * self.fit.error + rounding)
    }

    /// Returns what an estimate of a unit vector's score hardly ever errs by. The two roundings point anywhere, so each is
    /// seen along the other vector by a share of its length that shrinks with the root of the dimensions.
    pub(super) fn likely_error(&self, fit: Fit) -> f32 {
        let deviation = (fit.error * self.norm + self.fit.error) / (self.vector.len() as f32).sqrt();
        HARDLY_EVER * deviation
    }
}
