//! Dot products of vectors of int8 codes: exact sums, the same on every machine.

use std::sync::OnceLock;

use super::prefetch;

type Dots = fn(&[i8], &[i8], &[u32], &mut [i32]);

/// Rows that are fetched ahead of the one that is multiplied.
const AHEAD: usize = 3;

/// Puts the dot product of `query` and each of the numbered rows into `out`, which has as many places as there are
/// numbers. Rows lie one after another and are as long as the query.
#[inline]
pub(in crate::index) fn dots(query: &[i8], rows: &[i8], numbers: &[u32], out: &mut [i32]) {
    static CHOSEN: OnceLock<Dots> = OnceLock::new();
    for number in numbers.iter().take(AHEAD) {
        prefetch(row(rows, *number, query.len()));
    }
    CHOSEN.get_or_init(choose)(query, rows, numbers, out);
}

/// Returns the dot product of two vectors of codes.
#[inline]
pub(in crate::index) fn dot_codes(left: &[i8], right: &[i8]) -> i32 {
    let mut out = [0];
    dots(left, right, &[0], &mut out);
    out[0]
}

#[inline]
fn row(rows: &[i8], number: u32, dimensions: usize) -> &[i8] {
    &rows[number as usize * dimensions..][..dimensions]
}

#[inline]
fn fetch_ahead(rows: &[i8], numbers: &[u32], at: usize, dimensions: usize) {
    if let Some(number) = numbers.get(at + AHEAD) {
        prefetch(row(rows, *number, dimensions));
    }
}

fn choose() -> Dots {
    #[cfg(target_arch = "x86_64")]
    {
        if has_avx512() {
            return avx512;
        }
        if has_avx_vnni() {
            return avx_vnni;
        }
        if is_x86_feature_detected!("avx2") {
            return avx2;
        }
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        return neon;
    }
    plain
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

#[cfg(target_arch = "x86_64")]
fn has_avx_vnni() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni")
}

/// What compilers turn into whatever the target's baseline has.
fn plain(query: &[i8], rows: &[i8], numbers: &[u32], out: &mut [i32]) {
    for (number, out) in numbers.iter().zip(out) {
        *out = rest(query, row(rows, *number, query.len()));
    }
}

#[inline]
fn rest(left: &[i8], right: &[i8]) -> i32 {
    let pairs = left.iter().zip(right);
    pairs.map(|(left, right)| i32::from(*left) * i32::from(*right)).sum()
}

#[cfg(target_arch = "x86_64")]
fn avx512(query: &[i8], rows: &[i8], numbers: &[u32], out: &mut [i32]) {
    use std::arch::x86_64::{
        __m512i, _mm512_add_epi32, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_maskz_loadu_epi8,
        _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_setzero_si512, _mm512_xor_si512,
    };

    /// The first factor of the instruction has no sign: 128 is added to each code of the row (by turning its highest
    /// bit), and 128 times the sum of the query's codes is taken off at the end.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn sums(query: &[i8], rows: &[i8], numbers: &[u32], out: &mut [i32]) {
        let dimensions = query.len();
        let (query_parts, query_rest) = query.as_chunks::<64>();
        let there = u64::MAX.unbounded_shr(64 - query_rest.len() as u32);
        let turned: __m512i = _mm512_set1_epi8(i8::MIN);
        let too_much = 128 * query.iter().map(|code| i32::from(*code)).sum::<i32>();
        for (at, (number, out)) in numbers.iter().zip(out).enumerate() {
            fetch_ahead(rows, numbers, at, dimensions);
            let (row_parts, row_rest) = row(rows, *number, dimensions).as_chunks::<64>();
            let (mut even, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
            for (query, row) in query_parts.iter().zip(row_parts) {
                // SAFETY: both arrays have 64 codes, and loads need no alignment.
                let (query, row) = unsafe {
                    let query = _mm512_loadu_si512(query.as_ptr().cast());
                    (query, _mm512_loadu_si512(row.as_ptr().cast()))
                };
                (even, odd) = (odd, _mm512_dpbusd_epi32(even, _mm512_xor_si512(row, turned), query));
            }
            if !query_rest.is_empty() {
                // SAFETY: the mask reads only as many codes as both slices have. What it leaves out is 0 in the query,
                // so that it adds nothing.
                let (query, row) = unsafe {
                    let query = _mm512_maskz_loadu_epi8(there, query_rest.as_ptr());
                    (query, _mm512_maskz_loadu_epi8(there, row_rest.as_ptr()))
                };
                even = _mm512_dpbusd_epi32(even, _mm512_xor_si512(row, turned), query);
            }
            *out = _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd)) - too_much;
        }
    }

    // SAFETY: chosen only where these three were found.
    unsafe { sums(query, rows, numbers, out) }
}

/// The sum of eight numbers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn lanes(sums: std::arch::x86_64::__m256i) -> i32 {
    use std::arch::x86_64::{
        _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_castsi256_si128, _mm256_extracti128_si256,
    };

    let four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)))
}

#[cfg(target_arch = "x86_64")]
fn avx_vnni(query: &[i8], rows: &[i8], numbers: &[u32], out: &mut [i32]) {
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_dpbusd_avx_epi32, _mm256_loadu_si256, _mm256_set1_epi8, _mm256_setzero_si256,
        _mm256_xor_si256,
    };

    /// As with the longer registers of AVX-512, 128 is added to the row's codes and taken off at the end.
    #[target_feature(enable = "avx2,avxvnni")]
    fn sums(query: &[i8], rows: &[i8], numbers: &[u32], out: &mut [i32]) {
        let dimensions = query.len();
        let (query_parts, query_rest) = query.as_chunks::<32>();
        let turned = _mm256_set1_epi8(i8::MIN);
        let too_much = 128
            * query_parts
                .as_flattened()
                .iter()
                .map(|code| i32::from(*code))
                .sum::<i32>();
        for (at, (number, out)) in numbers.iter().zip(out).enumerate() {
            fetch_ahead(rows, numbers, at, dimensions);
            let (row_parts, row_rest) = row(rows, *number, dimensions).as_chunks::<32>();
            let (mut even, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
            for (query, row) in query_parts.iter().zip(row_parts) {
                // SAFETY: both arrays have 32 codes, and loads need no alignment.
                let (query, row) = unsafe {
                    let query = _mm256_loadu_si256(query.as_ptr().cast());
                    (query, _mm256_loadu_si256(row.as_ptr().cast()))
                };
                (even, odd) = (odd, _mm256_dpbusd_avx_epi32(even, _mm256_xor_si256(row, turned), query));
            }
            *out = lanes(_mm256_add_epi32(even, odd)) - too_much + rest(query_rest, row_rest);
        }
    }

    // SAFETY: chosen only where both were found.
    unsafe { sums(query, rows, numbers, out) }
}

#[cfg(target_arch = "x86_64")]
fn avx2(query: &[i8], rows: &[i8], numbers: &[u32], out: &mut [i32]) {
    use std::arch::x86_64::{
        _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_madd_epi16, _mm256_setzero_si256,
    };

    /// Codes are widened to 16 bits first: the instruction for bytes would cut sums off at 16 bits.
    #[target_feature(enable = "avx2")]
    fn sums(query: &[i8], rows: &[i8], numbers: &[u32], out: &mut [i32]) {
        let dimensions = query.len();
        let (query_parts, query_rest) = query.as_chunks::<16>();
        for (at, (number, out)) in numbers.iter().zip(out).enumerate() {
            fetch_ahead(rows, numbers, at, dimensions);
            let (row_parts, row_rest) = row(rows, *number, dimensions).as_chunks::<16>();
            let (mut even, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
            for (query, row) in query_parts.iter().zip(row_parts) {
                // SAFETY: both arrays have 16 codes, and loads need no alignment.
                let (query, row) = unsafe {
                    let query = _mm_loadu_si128(query.as_ptr().cast());
                    (query, _mm_loadu_si128(row.as_ptr().cast()))
                };
                let products = _mm256_madd_epi16(_mm256_cvtepi8_epi16(query), _mm256_cvtepi8_epi16(row));
                (even, odd) = (odd, _mm256_add_epi32(even, products));
            }
            *out = lanes(_mm256_add_epi32(even, odd)) + rest(query_rest, row_rest);
        }
    }

    // SAFETY: chosen only where AVX2 was found.
    unsafe { sums(query, rows, numbers, out) }
}

#[cfg(target_arch = "aarch64")]
fn neon(query: &[i8], rows: &[i8], numbers: &[u32], out: &mut [i32]) {
    use std::arch::aarch64::{
        vaddq_s32, vaddvq_s32, vdupq_n_s32, vget_high_s8, vget_low_s8, vld1q_s8, vmull_s8, vpadalq_s16,
    };

    #[target_feature(enable = "neon")]
    fn sums(query: &[i8], rows: &[i8], numbers: &[u32], out: &mut [i32]) {
        let dimensions = query.len();
        let (query_parts, query_rest) = query.as_chunks::<16>();
        for (number, out) in numbers.iter().zip(out) {
            let (row_parts, row_rest) = row(rows, *number, dimensions).as_chunks::<16>();
            let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
            for (query, row) in query_parts.iter().zip(row_parts) {
                // SAFETY: both arrays have 16 codes, and loads need no alignment.
                let (query, row) = unsafe { (vld1q_s8(query.as_ptr()), vld1q_s8(row.as_ptr())) };
                low = vpadalq_s16(low, vmull_s8(vget_low_s8(query), vget_low_s8(row)));
                high = vpadalq_s16(high, vmull_s8(vget_high_s8(query), vget_high_s8(row)));
            }
            *out = vaddvq_s32(vaddq_s32(low, high)) + rest(query_rest, row_rest);
        }
    }

    // SAFETY: chosen only where NEON was found.
    unsafe { sums(query, rows, numbers, out) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every way that this machine can take.
    fn ways() -> Vec<Dots> {
        #[cfg_attr(
            not(any(target_arch = "x86_64", target_arch = "aarch64")),
            expect(unused_mut, reason = "other machines have one way")
        )]
        let mut ways: Vec<Dots> = vec![plain, dots];
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512() {
                ways.push(avx512);
            }
            if has_avx_vnni() {
                ways.push(avx_vnni);
            }
            if is_x86_feature_detected!("avx2") {
                ways.push(avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        ways.push(neon);
        ways
    }

    #[track_caller]
    fn check(query: &[i8], rows: &[i8]) {
        let numbers: Vec<u32> = (0..rows.len().checked_div(query.len()).unwrap_or(1) as u32)
            .rev()
            .collect();
        let exact: Vec<i32> = numbers
            .iter()
            .map(|number| rest(query, row(rows, *number, query.len())))
            .collect();
        for (way, dots) in ways().into_iter().enumerate() {
            let mut out = vec![i32::MIN; numbers.len()];
            dots(query, rows, &numbers, &mut out);
            assert_eq!(out, exact, "way {way}");
        }
    }

    proptest! {
        #[test]
        fn every_way_gives_the_same(
            (query, rows) in (0..200_usize).prop_flat_map(|dimensions| (
                prop::collection::vec(any::<i8>(), dimensions),
                prop::collection::vec(any::<i8>(), dimensions * 5),
            )),
        ) {
            check(&query, &rows);
        }
    }

    #[test]
    fn largest_codes_do_not_overflow() {
        for (left, right) in [(i8::MIN, i8::MIN), (i8::MIN, i8::MAX), (i8::MAX, i8::MAX)] {
            check(&[left; 4_096], &[right; 8_192]);
        }
        assert_eq!(dot_codes(&[1, 2, 3], &[4, -5, 6]), 12);
    }
}
