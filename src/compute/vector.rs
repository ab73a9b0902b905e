//! Vector functions that work on 16 numbers at a time.
#![expect(unsafe_code, reason = "vector instructions are chosen when the program runs")]

use std::arch::x86_64::{
    __m512, _CMP_LT_OQ, _mm_storeu_si128, _mm512_abs_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_cmp_ps_mask,
    _mm512_cvtepi32_epi8, _mm512_cvtps_epi32, _mm512_div_ps, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_loadu_ps,
    _mm512_mask_mov_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_reduce_add_epi32, _mm512_reduce_add_ps,
    _mm512_reduce_max_ps, _mm512_roundscale_ps, _mm512_scalef_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    _mm512_sub_ps,
};

/// Numbers of a vector register. Widths of models are multiples of it.
pub(crate) const LANES: usize = 16;
/// Numbers that are quantized by one scale.
pub(crate) const BLOCK: usize = 32;

/// Returns whether this machine has all instructions that the engine uses.
pub(crate) fn is_supported() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("f16c")
}

/// e to the power of each, to about two units in the last place; what is below -87 gives about 0. The polynomial is that
/// of Cephes' `expf`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn exp(x: __m512) -> __m512 {
    const TO_NEAREST: i32 = 0x08;
    let x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-87.3)), _mm512_set1_ps(88.0));
    let n = _mm512_roundscale_ps::<TO_NEAREST>(_mm512_mul_ps(x, _mm512_set1_ps(std::f32::consts::LOG2_E)));
    // The logarithm of 2 in two parts, the first of which is exact in few bits.
    let r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693_359_4), x);
    let r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.121_944_4e-4), r);
    let mut p = _mm512_set1_ps(1.987_569_1e-4);
    for factor in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 5e-1] {
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(factor));
    }
    let p = _mm512_fmadd_ps(_mm512_mul_ps(p, r), r, _mm512_add_ps(r, _mm512_set1_ps(1.0)));
    _mm512_scalef_ps(p, n)
}

/// Writes gate / (1 + e^-gate) * up over the gate.
pub(crate) fn gate(gate: &mut [f32], up: &[f32]) {
    #[target_feature(enable = "avx512f")]
    fn each(gate: &mut [f32], up: &[f32]) {
        for (gate, up) in gate
            .as_chunks_mut::<LANES>()
            .0
            .iter_mut()
            .zip(up.as_chunks::<LANES>().0)
        {
            // SAFETY: both arrays have 16 numbers, and no alignment is needed.
            unsafe {
                let x = _mm512_loadu_ps(gate.as_ptr());
                let e = exp(_mm512_sub_ps(_mm512_setzero_ps(), x));
                let share = _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0), e));
                _mm512_storeu_ps(gate.as_mut_ptr(), _mm512_mul_ps(share, _mm512_loadu_ps(up.as_ptr())));
            }
        }
    }

    assert_eq!(gate.len(), up.len());
    assert!(gate.len().is_multiple_of(LANES) && is_supported());
    // SAFETY: the instructions are there.
    unsafe { each(gate, up) }
}

/// Writes gate * share * up over the gate, with the share of the normal distribution below the gate, by the hyperbolic
/// tangent.
pub(crate) fn gate_by_gelu(gate: &mut [f32], up: &[f32]) {
    #[target_feature(enable = "avx512f")]
    fn each(gate: &mut [f32], up: &[f32]) {
        let gate = gate.as_chunks_mut::<LANES>().0.iter_mut();
        for (gate, up) in gate.zip(up.as_chunks::<LANES>().0) {
            // SAFETY: both arrays have 16 numbers.
            unsafe {
                let x = _mm512_loadu_ps(gate.as_ptr());
                let activated = _mm512_mul_ps(x, normal_by_tanh(x));
                _mm512_storeu_ps(
                    gate.as_mut_ptr(),
                    _mm512_mul_ps(activated, _mm512_loadu_ps(up.as_ptr())),
                );
            }
        }
    }

    assert_eq!(gate.len(), up.len());
    assert!(gate.len().is_multiple_of(LANES) && is_supported());
    // SAFETY: the instructions are there.
    unsafe { each(gate, up) }
}

/// Adds a bias, and multiplies each number by the share of the normal distribution below it (Hendrycks and Gimpel 2016,
/// GELU): by the error function, or by the hyperbolic tangent that comes near it.
pub(crate) fn gelu(values: &mut [f32], bias: &[f32], is_tanh: bool) {
    #[target_feature(enable = "avx512f")]
    fn each<const TANH: bool>(values: &mut [f32], bias: &[f32]) {
        let values = values.as_chunks_mut::<LANES>().0.iter_mut();
        for (values, bias) in values.zip(bias.as_chunks::<LANES>().0) {
            // SAFETY: both arrays have 16 numbers.
            unsafe {
                let x = _mm512_add_ps(_mm512_loadu_ps(values.as_ptr()), _mm512_loadu_ps(bias.as_ptr()));
                let share = if TANH { normal_by_tanh(x) } else { normal(x) };
                _mm512_storeu_ps(values.as_mut_ptr(), _mm512_mul_ps(x, share));
            }
        }
    }

    assert_eq!(values.len(), bias.len());
    assert!(values.len().is_multiple_of(LANES) && is_supported());
    // SAFETY: the instructions are there.
    unsafe {
        if is_tanh {
            each::<true>(values, bias);
        } else {
            each::<false>(values, bias);
        }
    }
}

/// The share of the normal distribution below each number, to about 1e-7: formula 7.1.26 of Abramowitz and Stegun.
#[inline]
#[target_feature(enable = "avx512f")]
fn normal(x: __m512) -> __m512 {
    let one = _mm512_set1_ps(1.0);
    let z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(std::f32::consts::FRAC_1_SQRT_2));
    let t = _mm512_div_ps(one, _mm512_fmadd_ps(z, _mm512_set1_ps(0.327_591_1), one));
    let mut p = _mm512_set1_ps(1.061_405_4);
    for factor in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(factor));
    }
    let tail = exp(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(z, z)));
    // What lies beyond |x| on its side.
    let beyond = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(p, t), tail), _mm512_set1_ps(0.5));
    let is_negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, _mm512_setzero_ps());
    _mm512_mask_mov_ps(_mm512_sub_ps(one, beyond), is_negative, beyond)
}

/// (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
#[inline]
#[target_feature(enable = "avx512f")]
fn normal_by_tanh(x: __m512) -> __m512 {
    let one = _mm512_set1_ps(1.0);
    let cubic = _mm512_fmadd_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(0.044_715), one);
    let y = _mm512_mul_ps(_mm512_mul_ps(x, cubic), _mm512_set1_ps(-1.595_769));
    _mm512_div_ps(one, _mm512_add_ps(one, exp(y)))
}

/// Adds vectors up, brings the sum to mean 0 and variance 1, multiplies it by weights and adds a bias (Ba and others 2016,
/// layer normalization). `values` holds what comes out.
pub(crate) fn add_and_center(values: &mut [f32], more: &[f32], (weights, bias): (&[f32], &[f32]), epsilon: f32) {
    #[target_feature(enable = "avx512f")]
    fn each(values: &mut [f32], more: &[f32], (weights, bias): (&[f32], &[f32]), epsilon: f32) {
        let len = values.len() as f32;
        let values = values.as_chunks_mut::<LANES>().0;
        // SAFETY: all arrays have 16 numbers.
        unsafe {
            let mut sum = _mm512_setzero_ps();
            for (part, more) in values.iter_mut().zip(more.as_chunks::<LANES>().0) {
                let x = _mm512_add_ps(_mm512_loadu_ps(part.as_ptr()), _mm512_loadu_ps(more.as_ptr()));
                _mm512_storeu_ps(part.as_mut_ptr(), x);
                sum = _mm512_add_ps(sum, x);
            }
            let mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / len);
            let mut squares = _mm512_setzero_ps();
            for part in values.iter() {
                let x = _mm512_sub_ps(_mm512_loadu_ps(part.as_ptr()), mean);
                squares = _mm512_fmadd_ps(x, x, squares);
            }
            let scale = _mm512_set1_ps(1.0 / (_mm512_reduce_add_ps(squares) / len + epsilon).sqrt());
            let of_norm = weights.as_chunks::<LANES>().0.iter().zip(bias.as_chunks::<LANES>().0);
            for (part, (weights, bias)) in values.iter_mut().zip(of_norm) {
                let x = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(part.as_ptr()), mean), scale);
                let x = _mm512_fmadd_ps(x, _mm512_loadu_ps(weights.as_ptr()), _mm512_loadu_ps(bias.as_ptr()));
                _mm512_storeu_ps(part.as_mut_ptr(), x);
            }
        }
    }

    assert_eq!([more.len(), weights.len(), bias.len()], [values.len(); 3]);
    assert!(values.len().is_multiple_of(LANES) && is_supported());
    // SAFETY: the instructions are there.
    unsafe { each(values, more, (weights, bias), epsilon) }
}

/// Divides a vector by its root mean square, and multiplies it by weights (Zhang and Sennrich 2019, `RMSNorm`).
pub(crate) fn normalize(values: &[f32], weights: &[f32], epsilon: f32, out: &mut [f32]) {
    #[target_feature(enable = "avx512f")]
    fn each(values: &[f32], weights: &[f32], epsilon: f32, out: &mut [f32]) {
        let values_of = values.as_chunks::<LANES>().0;
        let mut sum = _mm512_setzero_ps();
        for part in values_of {
            // SAFETY: the array has 16 numbers.
            let x = unsafe { _mm512_loadu_ps(part.as_ptr()) };
            sum = _mm512_fmadd_ps(x, x, sum);
        }
        let mean = _mm512_reduce_add_ps(sum) / values.len() as f32;
        let scale = _mm512_set1_ps(1.0 / (mean + epsilon).sqrt());
        let parts = values_of.iter().zip(weights.as_chunks::<LANES>().0);
        for ((part, weights), out) in parts.zip(out.as_chunks_mut::<LANES>().0) {
            // SAFETY: all three arrays have 16 numbers.
            unsafe {
                let x = _mm512_mul_ps(_mm512_loadu_ps(part.as_ptr()), scale);
                _mm512_storeu_ps(out.as_mut_ptr(), _mm512_mul_ps(x, _mm512_loadu_ps(weights.as_ptr())));
            }
        }
    }

    assert_eq!([weights.len(), out.len()], [values.len(); 2]);
    assert!(values.len().is_multiple_of(LANES) && is_supported());
    // SAFETY: the instructions are there.
    unsafe { each(values, weights, epsilon, out) }
}

/// Multiplies each number.
pub(crate) fn scale(values: &mut [f32], by: f32) {
    for value in values {
        *value *= by;
    }
}

/// Adds vectors up, number by number.
pub(crate) fn add(values: &mut [f32], more: &[f32]) {
    for (value, more) in values.iter_mut().zip(more) {
        *value += more;
    }
}

/// Quantizes blocks of 32 numbers to -127 to 127, each block by the largest of it; tells the scale of each block and the
/// sum of what its numbers became.
pub(crate) fn quantize(values: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn each(values: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
        let blocks = values
            .as_chunks::<BLOCK>()
            .0
            .iter()
            .zip(codes.as_chunks_mut::<BLOCK>().0);
        for ((block, codes), (scale, sum)) in blocks.zip(scales.iter_mut().zip(sums)) {
            // SAFETY: both arrays have 32 numbers.
            unsafe {
                let (x, y) = (
                    _mm512_loadu_ps(block.as_ptr()),
                    _mm512_loadu_ps(block.as_ptr().add(LANES)),
                );
                let largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(x), _mm512_abs_ps(y)));
                let inverse = _mm512_set1_ps(if largest > 0.0 { 127.0 / largest } else { 0.0 });
                let x = _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
                let y = _mm512_cvtps_epi32(_mm512_mul_ps(y, inverse));
                _mm_storeu_si128(codes.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(x));
                _mm_storeu_si128(codes.as_mut_ptr().add(LANES).cast(), _mm512_cvtepi32_epi8(y));
                *scale = largest / 127.0;
                *sum = _mm512_reduce_add_epi32(_mm512_add_epi32(x, y));
            }
        }
    }

    assert_eq!(
        [codes.len(), scales.len() * BLOCK, sums.len() * BLOCK],
        [values.len(); 3]
    );
    assert!(is_supported());
    // SAFETY: the instructions are there.
    unsafe { each(values, codes, scales, sums) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_those_of_the_formula() {
        let gates: Vec<f32> = (-80..80).map(|at| at as f32 * 0.37).collect();
        let up: Vec<f32> = (0..160).map(|at| at as f32 - 80.0).collect();
        let mut out = gates.clone();
        gate(&mut out, &up);
        for ((gate, up), out) in gates.iter().zip(&up).zip(out) {
            let expected = f64::from(*gate) / (1.0 + f64::from(-gate).exp()) * f64::from(*up);
            assert!(
                (f64::from(out) - expected).abs() <= 1e-6 * expected.abs() + 1e-30,
                "{gate} {up}: {out} {expected}"
            );
        }
    }

    #[test]
    fn gelu_gates_are_those_of_the_formula() {
        let gates: Vec<f32> = (-80..80).map(|at| at as f32 * 0.37).collect();
        let up: Vec<f32> = (0..160).map(|at| at as f32 - 80.0).collect();
        let mut out = gates.clone();
        gate_by_gelu(&mut out, &up);
        for ((gate, up), out) in gates.iter().zip(&up).zip(out) {
            let x = f64::from(*gate);
            let inner = (2.0 / std::f64::consts::PI).sqrt() * x * (1.0 + 0.044_715 * x * x);
            let expected = x * 0.5 * (1.0 + inner.tanh()) * f64::from(*up);
            assert!(
                (f64::from(out) - expected).abs() <= 1e-5 * expected.abs() + 2e-4,
                "{gate} {up}: {out} {expected}"
            );
        }
    }

    #[test]
    fn shares_of_the_normal_distribution_are_those_of_the_formulas() {
        // From tables of the error function.
        let table = [
            (-3.0, 0.001_349_898),
            (-1.0, 0.158_655_25),
            (-0.1, 0.460_172_16),
            (0.0, 0.5),
            (0.5, 0.691_462_46),
        ];
        let bias = [0.25; 16];
        for (x, share) in table {
            let mut values = vec![x - 0.25; 16];
            gelu(&mut values, &bias, false);
            assert!(
                values.iter().all(|value| (value - x * share).abs() < 5e-7),
                "{x}: {values:?}"
            );
        }
        for at in -60..60 {
            let x = at as f32 * 0.13;
            let mut values = vec![x - 0.25; 16];
            gelu(&mut values, &bias, true);
            let inner = (2.0 / std::f64::consts::PI).sqrt() * f64::from(x) * (1.0 + 0.044_715 * f64::from(x * x));
            let expected = f64::from(x) * 0.5 * (1.0 + inner.tanh());
            assert!(
                values.iter().all(|value| (f64::from(*value) - expected).abs() < 2e-6),
                "{x}: {values:?}"
            );
        }
    }

    #[test]
    fn centered_rows_are_those_of_the_formula() {
        let values: Vec<f32> = (0..48).map(|at| (at as f32 * 1.3).sin() + 5.0).collect();
        let more: Vec<f32> = (0..48).map(|at| (at as f32 * 0.7).cos()).collect();
        let weights: Vec<f32> = (0..48).map(|at| 1.0 + at as f32 * 0.01).collect();
        let bias: Vec<f32> = (0..48).map(|at| at as f32 * 0.1).collect();
        let mut out = values.clone();
        add_and_center(&mut out, &more, (&weights, &bias), 1e-5);
        let sums: Vec<f64> = values.iter().zip(&more).map(|(x, y)| f64::from(x + y)).collect();
        let mean = sums.iter().sum::<f64>() / 48.0;
        let variance = sums.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 48.0;
        for (at, out) in out.iter().enumerate() {
            let expected = (sums[at] - mean) / (variance + 1e-5).sqrt() * f64::from(weights[at]) + f64::from(bias[at]);
            assert!((f64::from(*out) - expected).abs() < 1e-5, "{at}: {out} {expected}");
        }
    }

    #[test]
    fn norms_are_those_of_the_formula() {
        let values: Vec<f32> = (0..48).map(|at| (at as f32 - 20.0) * 0.3).collect();
        let weights: Vec<f32> = (0..48).map(|at| 1.0 + at as f32 * 0.01).collect();
        let mut out = vec![0.0; 48];
        normalize(&values, &weights, 1e-5, &mut out);
        let mean = values.iter().map(|x| x * x).sum::<f32>() / 48.0;
        for ((x, weight), out) in values.iter().zip(&weights).zip(out) {
            assert!((out - x / (mean + 1e-5).sqrt() * weight).abs() < 1e-5);
        }
    }

    #[test]
    fn codes_give_the_numbers_back() {
        let values: Vec<f32> = (0..96)
            .map(|at| {
                if at < 64 {
                    (at as f32 * 0.7).sin() * at as f32
                } else {
                    0.0
                }
            })
            .collect();
        let (mut codes, mut scales, mut sums) = (vec![0; 96], vec![0.0; 3], vec![0; 3]);
        quantize(&values, &mut codes, &mut scales, &mut sums);
        for (block, values) in values.chunks(32).enumerate() {
            let codes = &codes[block * 32..][..32];
            assert_eq!(codes.iter().map(|code| i32::from(*code)).sum::<i32>(), sums[block]);
            for (value, code) in values.iter().zip(codes) {
                assert!((value - f32::from(*code) * scales[block]).abs() <= scales[block] * 0.501);
            }
        }
        assert!(scales[2] <= 0.0);
    }
}
