//! The dot product, with the widest instructions that the machine has.
//!
//! Sums are formed in another order on each instruction set, so results differ in the last bits between machines, but
//! never between two calls on one machine.
#![expect(unsafe_code, reason = "vector instructions are chosen when the program runs")]

use std::sync::OnceLock;

type Dot = fn(&[f32], &[f32]) -> f32;

/// Returns the dot product of two vectors of one length; what is longer than the other is left out.
#[inline]
pub(super) fn dot(left: &[f32], right: &[f32]) -> f32 {
    static CHOSEN: OnceLock<Dot> = OnceLock::new();
    let length = left.len().min(right.len());
    CHOSEN.get_or_init(choose)(&left[..length], &right[..length])
}

fn choose() -> Dot {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return avx512;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return avx2;
        }
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        return neon;
    }
    plain
}

/// Eight sums side by side, which compilers turn into whatever the target's baseline has.
pub(super) fn plain(left: &[f32], right: &[f32]) -> f32 {
    let (left_chunks, left_rest) = left.as_chunks::<8>();
    let (right_chunks, right_rest) = right.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (left, right) in left_chunks.iter().zip(right_chunks) {
        for (sum, (left, right)) in sums.iter_mut().zip(left.iter().zip(right)) {
            *sum += left * right;
        }
    }
    sums.iter().sum::<f32>() + rest(left_rest, right_rest)
}

fn rest(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

#[cfg(target_arch = "x86_64")]
fn avx512(left: &[f32], right: &[f32]) -> f32 {
    use std::arch::x86_64::{
        _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_reduce_add_ps, _mm512_setzero_ps,
    };

    #[target_feature(enable = "avx512f")]
    fn sum(left: &[f32], right: &[f32]) -> f32 {
        let (left_pairs, left_rest) = left.as_chunks::<32>();
        let (right_pairs, right_rest) = right.as_chunks::<32>();
        let (mut even, mut odd) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        for (left, right) in left_pairs.iter().zip(right_pairs) {
            // SAFETY: both arrays have 32 numbers, and loads need no alignment.
            unsafe {
                even = _mm512_fmadd_ps(_mm512_loadu_ps(left.as_ptr()), _mm512_loadu_ps(right.as_ptr()), even);
                odd = _mm512_fmadd_ps(
                    _mm512_loadu_ps(left.as_ptr().add(16)),
                    _mm512_loadu_ps(right.as_ptr().add(16)),
                    odd,
                );
            }
        }
        for (left, right) in left_rest.chunks(16).zip(right_rest.chunks(16)) {
            let there = 0xffff_u16 >> (16 - left.len());
            // SAFETY: the mask reads only as many numbers as both slices have: they have one length, from 1 to 16.
            unsafe {
                even = _mm512_fmadd_ps(
                    _mm512_maskz_loadu_ps(there, left.as_ptr()),
                    _mm512_maskz_loadu_ps(there, right.as_ptr()),
                    even,
                );
            }
        }
        _mm512_reduce_add_ps(_mm512_add_ps(even, odd))
    }

    debug_assert_eq!(left.len(), right.len());
    // SAFETY: chosen only where AVX-512F was found.
    unsafe { sum(left, right) }
}

#[cfg(target_arch = "x86_64")]
fn avx2(left: &[f32], right: &[f32]) -> f32 {
    use std::arch::x86_64::{
        __m256, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps, _mm_shuffle_ps, _mm256_add_ps,
        _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps,
    };

    #[target_feature(enable = "avx2,fma")]
    fn lanes(sums: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }

    #[target_feature(enable = "avx2,fma")]
    fn sum(left: &[f32], right: &[f32]) -> f32 {
        let (left_pairs, left_rest) = left.as_chunks::<16>();
        let (right_pairs, right_rest) = right.as_chunks::<16>();
        let (mut even, mut odd) = (_mm256_setzero_ps(), _mm256_setzero_ps());
        for (left, right) in left_pairs.iter().zip(right_pairs) {
            // SAFETY: both arrays have 16 numbers, and loads need no alignment.
            unsafe {
                even = _mm256_fmadd_ps(_mm256_loadu_ps(left.as_ptr()), _mm256_loadu_ps(right.as_ptr()), even);
                odd = _mm256_fmadd_ps(
                    _mm256_loadu_ps(left.as_ptr().add(8)),
                    _mm256_loadu_ps(right.as_ptr().add(8)),
                    odd,
                );
            }
        }
        lanes(_mm256_add_ps(even, odd)) + rest(left_rest, right_rest)
    }

    // SAFETY: chosen only where AVX2 and FMA were found.
    unsafe { sum(left, right) }
}

#[cfg(target_arch = "aarch64")]
fn neon(left: &[f32], right: &[f32]) -> f32 {
    use std::arch::aarch64::{vaddq_f32, vaddvq_f32, vdupq_n_f32, vfmaq_f32, vld1q_f32};

    #[target_feature(enable = "neon")]
    fn sum(left: &[f32], right: &[f32]) -> f32 {
        let (left_pairs, left_rest) = left.as_chunks::<8>();
        let (right_pairs, right_rest) = right.as_chunks::<8>();
        let (mut even, mut odd) = (vdupq_n_f32(0.0), vdupq_n_f32(0.0));
        for (left, right) in left_pairs.iter().zip(right_pairs) {
            // SAFETY: both arrays have 8 numbers, and loads need no alignment.
            unsafe {
                even = vfmaq_f32(even, vld1q_f32(left.as_ptr()), vld1q_f32(right.as_ptr()));
                odd = vfmaq_f32(odd, vld1q_f32(left.as_ptr().add(4)), vld1q_f32(right.as_ptr().add(4)));
            }
        }
        vaddvq_f32(vaddq_f32(even, odd)) + rest(left_rest, right_rest)
    }

    // SAFETY: chosen only where NEON was found.
    unsafe { sum(left, right) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every way that this machine can take.
    fn ways() -> Vec<Dot> {
        #[cfg_attr(
            not(any(target_arch = "x86_64", target_arch = "aarch64")),
            expect(unused_mut, reason = "other machines have one way")
        )]
        let mut ways: Vec<Dot> = vec![plain, dot];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                ways.push(avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                ways.push(avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        ways.push(neon);
        ways
    }

    proptest! {
        #[test]
        fn every_way_gives_the_same(pairs in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 0..130)) {
            let (left, right): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let exact: f64 = pairs.iter().map(|&(left, right)| f64::from(left) * f64::from(right)).sum();
            for (way, dot) in ways().into_iter().enumerate() {
                let found = f64::from(dot(&left, &right));
                prop_assert!((found - exact).abs() < 1e-4, "way {way} gives {found}, not {exact}");
            }
        }
    }

    #[test]
    fn longer_vectors_are_cut() {
        assert_eq!(dot(&[1.0, 2.0, 3.0], &[4.0, 5.0]).to_bits(), 14.0_f32.to_bits());
        assert_eq!(dot(&[], &[4.0]).to_bits(), 0.0_f32.to_bits());
    }
}
