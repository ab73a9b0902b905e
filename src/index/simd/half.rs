//! The dot product of a query and a vector of half-precision numbers.

use std::sync::OnceLock;

type Dot = fn(&[f32], &[u16]) -> f32;

/// Returns the dot product with a vector of IEEE half-precision numbers; what is longer than the other is left out.
#[inline]
pub(in crate::index) fn dot(query: &[f32], halves: &[u16]) -> f32 {
    static CHOSEN: OnceLock<Dot> = OnceLock::new();
    let length = query.len().min(halves.len());
    CHOSEN.get_or_init(choose)(&query[..length], &halves[..length])
}

fn choose() -> Dot {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return avx512;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            return avx2;
        }
    }
    plain
}

/// Turns a half into a float without a branch: its bits are moved into place and the exponent is corrected by a product,
/// which is exact also for the smallest halves. What is not finite becomes a large number.
#[inline]
fn widen(half: u16) -> f32 {
    // 2 to the power of 112: the difference of the two exponents' offsets.
    const CORRECTION: f32 = f32::from_bits((127 + 112) << 23);
    let magnitude = f32::from_bits(u32::from(half & 0x7fff) << 13) * CORRECTION;
    f32::from_bits(magnitude.to_bits() | (u32::from(half & 0x8000) << 16))
}

/// Eight sums side by side, which compilers turn into whatever the target's baseline has.
fn plain(query: &[f32], halves: &[u16]) -> f32 {
    let (query_parts, query_rest) = query.as_chunks::<8>();
    let (half_parts, half_rest) = halves.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (query, halves) in query_parts.iter().zip(half_parts) {
        for (sum, (number, half)) in sums.iter_mut().zip(query.iter().zip(halves)) {
            *sum += number * widen(*half);
        }
    }
    sums.iter().sum::<f32>() + rest(query_rest, half_rest)
}

fn rest(query: &[f32], halves: &[u16]) -> f32 {
    let products = query.iter().zip(halves).map(|(number, half)| number * widen(*half));
    products.sum()
}

#[cfg(target_arch = "x86_64")]
fn avx512(query: &[f32], halves: &[u16]) -> f32 {
    use std::arch::x86_64::{
        _mm256_loadu_si256, _mm512_add_ps, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_reduce_add_ps,
        _mm512_setzero_ps,
    };

    #[target_feature(enable = "avx512f")]
    fn sum(query: &[f32], halves: &[u16]) -> f32 {
        let (query_parts, query_rest) = query.as_chunks::<32>();
        let (half_parts, half_rest) = halves.as_chunks::<32>();
        let (mut even, mut odd) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        for (query, halves) in query_parts.iter().zip(half_parts) {
            // SAFETY: both arrays have 32 numbers, and loads need no alignment.
            unsafe {
                let first = _mm512_cvtph_ps(_mm256_loadu_si256(halves.as_ptr().cast()));
                let second = _mm512_cvtph_ps(_mm256_loadu_si256(halves.as_ptr().add(16).cast()));
                even = _mm512_fmadd_ps(_mm512_loadu_ps(query.as_ptr()), first, even);
                odd = _mm512_fmadd_ps(_mm512_loadu_ps(query.as_ptr().add(16)), second, odd);
            }
        }
        _mm512_reduce_add_ps(_mm512_add_ps(even, odd)) + rest(query_rest, half_rest)
    }

    debug_assert_eq!(query.len(), halves.len());
    // SAFETY: chosen only where AVX-512F was found.
    unsafe { sum(query, halves) }
}

#[cfg(target_arch = "x86_64")]
fn avx2(query: &[f32], halves: &[u16]) -> f32 {
    use std::arch::x86_64::{
        __m256, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_loadu_si128, _mm_movehl_ps, _mm_shuffle_ps, _mm256_add_ps,
        _mm256_castps256_ps128, _mm256_cvtph_ps, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
        _mm256_setzero_ps,
    };

    #[target_feature(enable = "avx2,fma,f16c")]
    fn lanes(sums: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn sum(query: &[f32], halves: &[u16]) -> f32 {
        let (query_parts, query_rest) = query.as_chunks::<16>();
        let (half_parts, half_rest) = halves.as_chunks::<16>();
        let (mut even, mut odd) = (_mm256_setzero_ps(), _mm256_setzero_ps());
        for (query, halves) in query_parts.iter().zip(half_parts) {
            // SAFETY: both arrays have 16 numbers, and loads need no alignment.
            unsafe {
                let first = _mm256_cvtph_ps(_mm_loadu_si128(halves.as_ptr().cast()));
                let second = _mm256_cvtph_ps(_mm_loadu_si128(halves.as_ptr().add(8).cast()));
                even = _mm256_fmadd_ps(_mm256_loadu_ps(query.as_ptr()), first, even);
                odd = _mm256_fmadd_ps(_mm256_loadu_ps(query.as_ptr().add(8)), second, odd);
            }
        }
        lanes(_mm256_add_ps(even, odd)) + rest(query_rest, half_rest)
    }

    // SAFETY: chosen only where AVX2, FMA and F16C were found.
    unsafe { sum(query, halves) }
}

#[cfg(test)]
mod tests {
    use ::half::f16;
    use proptest::prelude::*;

    use super::*;

    /// Every way that this machine can take.
    fn ways() -> Vec<Dot> {
        #[cfg_attr(
            not(target_arch = "x86_64"),
            expect(unused_mut, reason = "other machines have one way")
        )]
        let mut ways: Vec<Dot> = vec![plain, dot];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                ways.push(avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
                ways.push(avx2);
            }
        }
        ways
    }

    proptest! {
        #[test]
        fn every_way_gives_the_same(pairs in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 0..130)) {
            let query: Vec<f32> = pairs.iter().map(|pair| pair.0).collect();
            let halves: Vec<u16> = pairs.iter().map(|pair| f16::from_f32(pair.1).to_bits()).collect();
            let products = query.iter().zip(&halves);
            let exact: f64 = products.map(|(number, half)| f64::from(*number) * f16::from_bits(*half).to_f64()).sum();
            for (way, dot) in ways().into_iter().enumerate() {
                let found = f64::from(dot(&query, &halves));
                prop_assert!((found - exact).abs() < 1e-4, "way {way} gives {found}, not {exact}");
            }
        }
    }

    #[test]
    fn every_finite_half_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            if half.is_finite() {
                assert_eq!(widen(bits).to_bits(), half.to_f32().to_bits(), "{bits:#06x}");
            }
        }
    }

    #[test]
    fn longer_vectors_are_cut() {
        let halves = [4.0, 5.0].map(|number| f16::from_f32(number).to_bits());
        assert_eq!(dot(&[1.0, 2.0, 3.0], &halves).to_bits(), 14.0_f32.to_bits());
        assert_eq!(dot(&[], &halves).to_bits(), 0.0_f32.to_bits());
    }
}
