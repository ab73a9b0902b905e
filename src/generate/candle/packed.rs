//! Weights in the form of the engine: packed for this machine's vector instructions.

use candle_core::quantized::GgmlDType;
use candle_core::{Error, Result};

use super::weights::{Stored, Target};
use crate::compute::{self, Matrix, SourceType};
use crate::generate::transformer::Shape;

/// Packs weights.
pub(super) struct Packer;

/// Returns whether the engine can compute a model: this machine has its instructions, and the model its shape.
pub(super) fn fits(shape: Shape) -> bool {
    compute::is_supported()
        && shape.width.is_multiple_of(compute::BLOCK)
        && shape.feed_forward.is_multiple_of(compute::BLOCK)
        && shape.head_width.is_multiple_of(compute::attention::WIDTH_UNIT)
}

impl Target for Packer {
    type Matrix = Matrix;
    type Vector = Vec<f32>;

    fn matrix(&self, stored: &Stored) -> Result<Matrix> {
        let &[rows, width] = stored.dims() else {
            candle_core::bail!("it is no matrix");
        };
        let packed = match (stored, source_type(stored)) {
            (Stored::Quantized(tensor), Some(source)) => Matrix::pack(source, rows, width, &tensor.data()?),
            _ => Matrix::quantize(rows, width, &stored.numbers()?),
        };
        packed.map_err(Error::wrap)
    }

    fn vector(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        Ok(numbers)
    }
}

/// Returns the type of weights that keep every bit.
fn source_type(stored: &Stored) -> Option<SourceType> {
    let Stored::Quantized(tensor) = stored else {
        return None;
    };
    match tensor.dtype() {
        GgmlDType::Q4_0 => Some(SourceType::Q4_0),
        GgmlDType::Q4_1 => Some(SourceType::Q4_1),
        GgmlDType::Q8_0 => Some(SourceType::Q8_0),
        _ => None,
    }
}
