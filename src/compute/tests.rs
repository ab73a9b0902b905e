//! Products against the same sums written plainly.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Makes a matrix of random bytes whose weights are small.
pub(crate) fn matrix(random: &mut ChaCha8Rng, source: SourceType, rows: usize, width: usize) -> Matrix {
    let mut bytes = Vec::new();
    for _ in 0..rows * width / 32 {
        let (scale, codes) = match source {
            SourceType::Q8_0 => (0.002, 32),
            SourceType::Q4_0 | SourceType::Q4_1 => (0.02, 16),
        };
        let half = |value: f32| half::f16::from_f32(value).to_le_bytes();
        bytes.extend(half(scale * random.random_range(0.5..1.5)));
        if source == SourceType::Q4_1 {
            bytes.extend(half(-0.15 * random.random_range(0.5..1.5_f32)));
        }
        bytes.extend((0..codes).map(|_| random.random::<u8>()));
    }
    Matrix::pack(source, rows, width, &bytes).expect("whole blocks")
}

/// Returns the weights of a matrix, output by output.
pub(crate) fn weights(matrix: &Matrix) -> Vec<Vec<f32>> {
    let read = |row| {
        let mut weights = vec![0.0; matrix.width()];
        matrix.read(row, &mut weights);
        weights
    };
    (0..matrix.rows()).map(read).collect()
}

/// Returns rows of numbers as codes.
pub(crate) fn coded(rows: &[Vec<f32>]) -> Codes {
    let mut codes = Codes::default();
    encode(&Crew::new(1), &mut codes, (rows.len(), rows[0].len()), &|row, out| {
        out.copy_from_slice(&rows[row]);
    });
    codes
}

#[test]
fn products_are_those_of_the_weights() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for source in [SourceType::Q4_0, SourceType::Q4_1, SourceType::Q8_0] {
        let matrix = matrix(&mut random, source, 50, 96);
        let expected = weights(&matrix);
        for rows in [1, 2, 3, 8, 15] {
            let numbers = |_| (0..96).map(|_| random.random_range(-2.0..2.0)).collect();
            let codes = coded(&(0..rows).map(numbers).collect::<Vec<_>>());
            let mut out = Rows::new(rows, 64);
            multiply(&Crew::new(1), &matrix, &codes, &mut out, &|_, _| {});
            for row in 0..rows {
                let input = |at: usize| {
                    let at = row * 96 + at;
                    f64::from(codes.codes()[at]) * f64::from(codes.scales()[at / 32])
                };
                for (output, weights) in expected.iter().enumerate() {
                    let sum: f64 = weights
                        .iter()
                        .enumerate()
                        .map(|(at, weight)| f64::from(*weight) * input(at))
                        .sum();
                    let found = f64::from(out.row(row)[output]);
                    assert!((found - sum).abs() < 1e-4, "{source:?} {rows}: {found} {sum}");
                }
            }
        }
    }
}

#[test]
fn numbers_are_kept_in_eight_bits() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let numbers: Vec<f32> = (0..20 * 64).map(|_| random.random_range(-1.0..1.0)).collect();
    let matrix = Matrix::quantize(20, 64, &numbers).expect("whole blocks");
    for (number, kept) in numbers.iter().zip(weights(&matrix).concat()) {
        assert!((number - kept).abs() < 0.005, "{number} {kept}");
    }
    assert!(Matrix::quantize(2, 48, &[0.0; 96]).is_err());
    assert!(Matrix::pack(SourceType::Q4_1, 2, 64, &[0; 79]).is_err());
}
