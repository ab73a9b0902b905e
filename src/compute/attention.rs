//! Attention of a few queries over the keys and values of one head.
//!
//! Scores of all keys first, then their softmax, then the weighted sum of values: three passes over what fits into the
//! second cache. Every query has sums of its own, formed in the order of the keys.
#![expect(unsafe_code, reason = "vector instructions are chosen when the program runs")]

use std::arch::x86_64::{
    __m512, __mmask16, _mm256_loadu_si256, _mm512_add_ps, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_mask_loadu_ps, _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_mul_ps, _mm512_reduce_add_ps,
    _mm512_reduce_max_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps,
};

use half::f16;
use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};

use super::vector::{LANES, exp};

/// Keys that lie side by side.
pub(crate) const GROUP: usize = LANES;
/// Queries that are answered at once: as many as registers hold sums for.
pub(crate) const BATCH: usize = 6;
/// Heads are as wide, or a multiple.
pub(crate) const WIDTH_UNIT: usize = 2 * LANES;
/// Registers that hold sums of one query, for heads of an odd number of units and of an even one.
const REGISTERS: [usize; 2] = [2, 4];

/// Returns how many numbers of half precision a group of [`GROUP`] keys and values takes.
pub(crate) const fn group_len(width: usize) -> usize {
    2 * GROUP * width
}

/// Writes the key and the value of a token into its lane of a group: keys stand dimension by dimension, then values token
/// by token.
pub(crate) fn put(group: &mut [u16], lane: usize, key: &[f32], value: &[f32]) {
    assert!(lane < GROUP && key.len() == value.len() && group.len() == group_len(key.len()));
    let (keys, values) = group.split_at_mut(GROUP * key.len());
    for (lanes, number) in keys.as_chunks_mut::<GROUP>().0.iter_mut().zip(key) {
        lanes[lane] = f16::from_f32(*number).to_bits();
    }
    let out: &mut [f16] = values[lane * value.len()..][..value.len()].reinterpret_cast_mut();
    out.convert_from_f32_slice(value);
}

/// A query: its numbers, scaled, and which keys it sees.
#[derive(Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) numbers: &'a [f32],
    /// The first key that it sees.
    pub(crate) first: usize,
    /// Keys up to the last one that it sees.
    pub(crate) keys: usize,
}

/// Answers up to [`BATCH`] queries of one head: writes for each the mean of the values that it sees, weighted by the
/// softmax of its products with the keys. `scores` is for the function's own use.
///
/// # Safety
///
/// The machine has the instructions of [`super::is_supported`]. The groups hold as many keys as the queries see, and are
/// as wide as the queries, as [`put`] writes them.
pub(crate) unsafe fn attend(
    groups: &[*const u16],
    queries: &[Query<'_>],
    out: &mut [&mut [f32]],
    scores: &mut Vec<f32>,
) {
    assert!(queries.len() == out.len() && queries.len() <= BATCH);
    // SAFETY: the caller's promises.
    unsafe {
        match queries.len() {
            6 => batch::<6>(groups, queries, out, scores),
            5 => batch::<5>(groups, queries, out, scores),
            4 => batch::<4>(groups, queries, out, scores),
            3 => batch::<3>(groups, queries, out, scores),
            2 => batch::<2>(groups, queries, out, scores),
            1 => batch::<1>(groups, queries, out, scores),
            _ => {}
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
unsafe fn batch<const QUERIES: usize>(
    groups: &[*const u16],
    queries: &[Query<'_>],
    out: &mut [&mut [f32]],
    scores: &mut Vec<f32>,
) {
    let most = queries.iter().map(|query| query.keys).max().unwrap_or(0);
    let groups = &groups[..most.div_ceil(GROUP)];
    let keys = groups.len() * GROUP;
    scores.resize(QUERIES * keys, 0.0);
    // SAFETY: the caller's promises; there is a score for each query and key.
    unsafe { products::<QUERIES>(groups, queries, scores) };
    let mut inverses = [0.0; QUERIES];
    for ((inverse, query), scores) in inverses.iter_mut().zip(queries).zip(scores.chunks_exact_mut(keys)) {
        *inverse = soften(scores, query.first, query.keys);
    }
    let width = queries[0].numbers.len();
    assert!(width.is_multiple_of(WIDTH_UNIT) && out.iter().all(|out| out.len() == width));
    // SAFETY: as before.
    unsafe {
        if width.is_multiple_of(2 * WIDTH_UNIT) {
            means::<QUERIES, { REGISTERS[1] }>(groups, scores, inverses, out);
        } else {
            means::<QUERIES, { REGISTERS[0] }>(groups, scores, inverses, out);
        }
    }
}

/// Writes the product of every query with every key.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
unsafe fn products<const QUERIES: usize>(groups: &[*const u16], queries: &[Query<'_>], scores: &mut [f32]) {
    let keys = groups.len() * GROUP;
    let width = queries[0].numbers.len();
    let numbers: [&[f32]; QUERIES] = std::array::from_fn(|at| &queries[at].numbers[..width]);
    // SAFETY: groups hold `width` dimensions of 16 keys.
    unsafe {
        let load = |group: *const u16, dimension: usize| {
            _mm512_cvtph_ps(_mm256_loadu_si256(group.add(dimension * GROUP).cast()))
        };
        let mut store = |sums: [__m512; QUERIES], group: usize| {
            for (at, sum) in sums.into_iter().enumerate() {
                _mm512_storeu_ps(scores[at * keys + group * GROUP..][..GROUP].as_mut_ptr(), sum);
            }
        };
        let (pairs, last) = groups.as_chunks::<2>();
        for (at, [left, right]) in pairs.iter().enumerate() {
            let (mut lefts, mut rights) = ([_mm512_setzero_ps(); QUERIES], [_mm512_setzero_ps(); QUERIES]);
            for dimension in 0..width {
                let (left, right) = (load(*left, dimension), load(*right, dimension));
                for query in 0..QUERIES {
                    let number = _mm512_set1_ps(*numbers[query].get_unchecked(dimension));
                    lefts[query] = _mm512_fmadd_ps(left, number, lefts[query]);
                    rights[query] = _mm512_fmadd_ps(right, number, rights[query]);
                }
            }
            store(lefts, 2 * at);
            store(rights, 2 * at + 1);
        }
        if let [last] = last {
            let mut sums = [_mm512_setzero_ps(); QUERIES];
            for dimension in 0..width {
                let key = load(*last, dimension);
                for query in 0..QUERIES {
                    let number = _mm512_set1_ps(*numbers[query].get_unchecked(dimension));
                    sums[query] = _mm512_fmadd_ps(key, number, sums[query]);
                }
            }
            store(sums, groups.len() - 1);
        }
    }
}

/// Makes weights of scores, of those that are seen, and zeros of the others; returns what scales them to a sum of one.
#[inline]
#[target_feature(enable = "avx512f")]
fn soften(scores: &mut [f32], first: usize, end: usize) -> f32 {
    scores[..first].fill(0.0);
    scores[end..].fill(0.0);
    let seen = &mut scores[first..end];
    let (whole, rest) = seen.as_chunks_mut::<LANES>();
    let lanes: __mmask16 = (1 << rest.len()) - 1;
    let lowest = _mm512_set1_ps(f32::MIN);
    let mut highest = lowest;
    // SAFETY: loads and stores touch the numbers of their slices alone, the last ones by their mask.
    unsafe {
        for part in whole.iter() {
            highest = _mm512_max_ps(highest, _mm512_loadu_ps(part.as_ptr()));
        }
        highest = _mm512_max_ps(highest, _mm512_mask_loadu_ps(lowest, lanes, rest.as_ptr()));
        let highest = _mm512_set1_ps(_mm512_reduce_max_ps(highest));
        let mut sum = _mm512_setzero_ps();
        for part in whole.iter_mut() {
            let weight = exp(_mm512_sub_ps(_mm512_loadu_ps(part.as_ptr()), highest));
            sum = _mm512_add_ps(sum, weight);
            _mm512_storeu_ps(part.as_mut_ptr(), weight);
        }
        let score = _mm512_mask_loadu_ps(lowest, lanes, rest.as_ptr());
        let weight = _mm512_maskz_mov_ps(lanes, exp(_mm512_sub_ps(score, highest)));
        std::arch::x86_64::_mm512_mask_storeu_ps(rest.as_mut_ptr(), lanes, weight);
        1.0 / _mm512_reduce_add_ps(_mm512_add_ps(sum, weight))
    }
}

/// Writes the weighted means of the values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
unsafe fn means<const QUERIES: usize, const REGISTERS: usize>(
    groups: &[*const u16],
    weights: &[f32],
    inverses: [f32; QUERIES],
    out: &mut [&mut [f32]],
) {
    let keys = groups.len() * GROUP;
    let width = out[0].len();
    let of_part = REGISTERS * LANES;
    assert!(width.is_multiple_of(of_part) && weights.len() == QUERIES * keys);
    for part in (0..width).step_by(of_part) {
        let mut sums = [[_mm512_setzero_ps(); REGISTERS]; QUERIES];
        for (at, group) in groups.iter().enumerate() {
            for token in 0..GROUP {
                // SAFETY: values of 16 tokens stand after the keys; there is a weight for each query and key.
                unsafe {
                    let value = group.add((GROUP + token) * width + part);
                    let value: [__m512; REGISTERS] = std::array::from_fn(|register| {
                        _mm512_cvtph_ps(_mm256_loadu_si256(value.add(register * LANES).cast()))
                    });
                    for (query, sums) in sums.iter_mut().enumerate() {
                        let weight = _mm512_set1_ps(*weights.get_unchecked(query * keys + at * GROUP + token));
                        for (sum, value) in sums.iter_mut().zip(value) {
                            *sum = _mm512_fmadd_ps(value, weight, *sum);
                        }
                    }
                }
            }
        }
        for ((sums, inverse), out) in sums.into_iter().zip(inverses).zip(out.iter_mut()) {
            let inverse = _mm512_set1_ps(inverse);
            for (sum, out) in sums
                .into_iter()
                .zip(out[part..part + of_part].as_chunks_mut::<LANES>().0)
            {
                // SAFETY: the array has 16 numbers.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr(), _mm512_mul_ps(sum, inverse)) };
            }
        }
    }
}
