//! Weights in 8 bits.
//!
//! Comes in: a matrix. Goes out: signed bytes and one scale for each column.
//! Always holds: `byte * scale` is within half a scale of the weight; zero stays zero.
//! Not here: activations, which ONNX Runtime quantizes as they come.

use crate::models::encoder::Matrix;

/// A matrix in 8 bits.
#[derive(Debug)]
pub(super) struct QuantizedMatrix {
    pub(super) values: Vec<i8>,
    /// One for each column.
    pub(super) scales: Vec<f32>,
}

/// Quantizes each column by its own largest weight.
pub(super) fn per_column(matrix: &Matrix) -> QuantizedMatrix {
    let mut largest = vec![0.0_f32; matrix.columns];
    for row in matrix.values.chunks_exact(matrix.columns) {
        for (largest, value) in largest.iter_mut().zip(row) {
            *largest = largest.max(value.abs());
        }
    }
    let scales: Vec<f32> = largest
        .into_iter()
        .map(|largest| if largest > 0.0 { largest / 127.0 } else { 1.0 })
        .collect();
    let values = matrix
        .values
        .chunks_exact(matrix.columns)
        .flat_map(|row| row.iter().zip(&scales))
        .map(|(value, scale)| (value / scale).round() as i8)
        .collect();
    QuantizedMatrix { values, scales }
}
