//! Weights of 4 and 8 bits, packed for integer dot products, and their products with rows of codes.
//!
//! Sixteen outputs stand side by side in a tile, so that one register holds four inputs of each of them:
//!
//! ```text
//! tile: block of 32 inputs | block | ...
//! 4 bits: 256 bytes of codes (inputs 0 to 15 in the low halves, 16 to 31 in the high ones), 16 scales, 16 minima
//! 8 bits: 512 bytes of codes plus 128, 16 scales
//! ```
//!
//! A weight is `scale * code + minimum` or `scale * (code - 128)`. What the files of ggml hold in 4 bits with one scale
//! for 32 weights keeps every bit; scales and minima are half-precision there too.
#![expect(unsafe_code, reason = "vector instructions are chosen when the program runs")]

use std::arch::x86_64::{
    __m512i, _mm256_loadu_si256, _mm512_and_si512, _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_dpbusd_epi32,
    _mm512_fmadd_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_srli_epi16, _mm512_storeu_ps,
};
use std::ops::Range;

use half::f16;

use super::rows::{Codes, Parts};
use super::vector::{self, BLOCK, LANES};

/// Inputs whose codes one lane of a register holds.
const STEP: usize = 4;
/// Bytes of the scales of a block, and of its minima.
const SCALES: usize = LANES * 2;
/// Rows of codes that are multiplied at once.
const LARGEST_BATCH: usize = 8;

/// How the codes of a block are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    /// 4 bits, with a minimum.
    Four,
    /// 8 bits, around zero.
    Eight,
}

impl Packing {
    const fn code_bytes(self) -> usize {
        match self {
            Self::Four => LANES * BLOCK / 2,
            Self::Eight => LANES * BLOCK,
        }
    }

    const fn block_bytes(self) -> usize {
        match self {
            Self::Four => self.code_bytes() + 2 * SCALES,
            Self::Eight => self.code_bytes() + SCALES,
        }
    }
}

/// Types of weights in files, as ggml names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceType {
    /// 4 bits and a scale for 32 weights.
    Q4_0,
    /// 4 bits, a scale and a minimum for 32 weights.
    Q4_1,
    /// 8 bits and a scale for 32 weights.
    Q8_0,
}

impl SourceType {
    /// Bytes of 32 weights.
    const fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q8_0 => 34,
        }
    }

    const fn packing(self) -> Packing {
        match self {
            Self::Q4_0 | Self::Q4_1 => Packing::Four,
            Self::Q8_0 => Packing::Eight,
        }
    }
}

/// Why weights cannot be packed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    /// The inputs do not come out in whole blocks.
    #[error("a matrix has {width} inputs, they must be a multiple of {BLOCK}")]
    Width {
        /// Inputs.
        width: usize,
    },
    /// There are more or fewer bytes than the shape says.
    #[error("a matrix of {rows} outputs and {width} inputs has {found} bytes, it must have {expected}")]
    Length {
        /// Outputs.
        rows: usize,
        /// Inputs.
        width: usize,
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        expected: usize,
    },
}

/// A matrix of weights: outputs by inputs.
pub(crate) struct Matrix {
    packing: Packing,
    rows: usize,
    width: usize,
    data: Vec<u8>,
}

impl Matrix {
    /// Packs weights as they lie in a file, output by output.
    pub(crate) fn pack(source: SourceType, rows: usize, width: usize, bytes: &[u8]) -> Result<Self, PackError> {
        if width == 0 || !width.is_multiple_of(BLOCK) {
            return Err(PackError::Width { width });
        }
        let blocks = width / BLOCK;
        let expected = rows * blocks * source.block_bytes();
        if bytes.len() != expected {
            return Err(PackError::Length {
                rows,
                width,
                found: bytes.len(),
                expected,
            });
        }
        let packing = source.packing();
        let tile_bytes = blocks * packing.block_bytes();
        let mut data = vec![0; rows.div_ceil(LANES) * tile_bytes];
        for (row, of_row) in bytes.chunks_exact(blocks * source.block_bytes()).enumerate() {
            let tile = &mut data[row / LANES * tile_bytes..][..tile_bytes];
            let targets = tile.chunks_exact_mut(packing.block_bytes());
            for (target, block) in targets.zip(of_row.chunks_exact(source.block_bytes())) {
                put(source, target, row % LANES, block);
            }
        }
        Ok(Self {
            packing,
            rows,
            width,
            data,
        })
    }

    /// Packs weights that are numbers, in 8 bits.
    pub(crate) fn quantize(rows: usize, width: usize, weights: &[f32]) -> Result<Self, PackError> {
        if width == 0 || !width.is_multiple_of(BLOCK) {
            return Err(PackError::Width { width });
        }
        let mut bytes = Vec::with_capacity(weights.len() / BLOCK * SourceType::Q8_0.block_bytes());
        for block in weights.as_chunks::<BLOCK>().0 {
            let largest = block.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
            let scale = f16::from_f32(largest / 127.0);
            let inverse = if scale > f16::ZERO { 1.0 / scale.to_f32() } else { 0.0 };
            bytes.extend(scale.to_le_bytes());
            bytes.extend(
                block
                    .iter()
                    .map(|weight| (weight * inverse).round().clamp(-127.0, 127.0) as i8 as u8),
            );
        }
        Self::pack(SourceType::Q8_0, rows, width, &bytes)
    }

    /// Returns how many outputs there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns how many inputs there are.
    #[cfg(test)]
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Returns how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    /// Returns how many tiles of 16 outputs there are, the last of which may be partly empty.
    pub(crate) fn tiles(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Writes the weights of one output.
    pub(crate) fn read(&self, row: usize, out: &mut [f32]) {
        let (tile_bytes, block_bytes) = (
            self.width / BLOCK * self.packing.block_bytes(),
            self.packing.block_bytes(),
        );
        let tile = &self.data[row / LANES * tile_bytes..][..tile_bytes];
        let lane = row % LANES;
        for (block, out) in tile.chunks_exact(block_bytes).zip(out.as_chunks_mut::<BLOCK>().0) {
            let half_at = |at: usize| f16::from_le_bytes([block[at + lane * 2], block[at + lane * 2 + 1]]).to_f32();
            let scale = half_at(self.packing.code_bytes());
            for (input, out) in out.iter_mut().enumerate() {
                let code = |input: usize| block[input / STEP * LANES * STEP + lane * STEP + input % STEP];
                *out = match self.packing {
                    Packing::Four => {
                        let both = code(input % (BLOCK / 2));
                        let code = if input < BLOCK / 2 { both & 15 } else { both >> 4 };
                        scale * f32::from(code) + half_at(self.packing.code_bytes() + SCALES)
                    }
                    Packing::Eight => scale * (f32::from(code(input)) - 128.0),
                };
            }
        }
    }

    /// Multiplies all rows of codes by the outputs of some tiles, and writes them from a column on.
    ///
    /// # Safety
    ///
    /// No part of those columns may be alive.
    pub(crate) unsafe fn multiply(&self, tiles: Range<usize>, codes: &Codes, out: &Parts<'_>, column: usize) {
        assert!(codes.width() == self.width && codes.rows() <= out.rows() && tiles.end <= self.tiles());
        assert!(column + tiles.len() * LANES <= out.width() && vector::is_supported());
        let tile_bytes = self.width / BLOCK * self.packing.block_bytes();
        for (at, tile) in tiles.enumerate() {
            let weights = &self.data[tile * tile_bytes..][..tile_bytes];
            let column = column + at * LANES;
            let mut row = 0;
            while row < codes.rows() {
                let left = codes.rows() - row;
                let batch = if left >= LARGEST_BATCH {
                    LARGEST_BATCH
                } else {
                    1 << left.ilog2()
                };
                // SAFETY: the instructions are there, shapes fit, and the columns are the caller's.
                unsafe {
                    match (self.packing, batch) {
                        (Packing::Four, 8) => product::<true, 8>(weights, codes, row, out, column),
                        (Packing::Four, 4) => product::<true, 4>(weights, codes, row, out, column),
                        (Packing::Four, 2) => product::<true, 2>(weights, codes, row, out, column),
                        (Packing::Four, _) => product::<true, 1>(weights, codes, row, out, column),
                        (Packing::Eight, 8) => product::<false, 8>(weights, codes, row, out, column),
                        (Packing::Eight, 4) => product::<false, 4>(weights, codes, row, out, column),
                        (Packing::Eight, 2) => product::<false, 2>(weights, codes, row, out, column),
                        (Packing::Eight, _) => product::<false, 1>(weights, codes, row, out, column),
                    }
                }
                row += batch;
            }
        }
    }
}

/// Puts a block of one output into its lane.
fn put(source: SourceType, target: &mut [u8], lane: usize, block: &[u8]) {
    let (codes, scales) = target.split_at_mut(source.packing().code_bytes());
    let put_codes = |codes: &mut [u8], bytes: &[u8], flip: u8| {
        for (step, bytes) in bytes.as_chunks::<STEP>().0.iter().enumerate() {
            codes[(step * LANES + lane) * STEP..][..STEP].copy_from_slice(&bytes.map(|byte| byte ^ flip));
        }
    };
    let scale = [block[0], block[1]];
    scales[lane * 2..][..2].copy_from_slice(&scale);
    let minimum = match source {
        SourceType::Q4_0 => {
            put_codes(codes, &block[2..], 0);
            // The codes stand for -8 to 7.
            f16::from_f32(f16::from_le_bytes(scale).to_f32() * -8.0).to_le_bytes()
        }
        SourceType::Q4_1 => {
            put_codes(codes, &block[4..], 0);
            [block[2], block[3]]
        }
        SourceType::Q8_0 => return put_codes(codes, &block[2..], 128),
    };
    scales[SCALES + lane * 2..][..2].copy_from_slice(&minimum);
}

/// Multiplies one tile by `BATCH` rows of codes.
///
/// Every row has sums of its own, and adds the blocks in order: what stands beside it changes nothing.
///
/// # Safety
///
/// The machine has the instructions; the weights are those of a tile as wide as the codes; the columns are no one else's.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
unsafe fn product<const FOUR: bool, const BATCH: usize>(
    weights: &[u8],
    codes: &Codes,
    row: usize,
    out: &Parts<'_>,
    column: usize,
) {
    let packing = if FOUR { Packing::Four } else { Packing::Eight };
    let (width, blocks) = (codes.width(), codes.width() / BLOCK);
    let scales = &codes.scales()[row * blocks..][..BATCH * blocks];
    let sums = &codes.sums()[row * blocks..][..BATCH * blocks];
    let codes = &codes.codes()[row * width..][..BATCH * width];
    let mut totals = [_mm512_setzero_ps(); BATCH];
    // SAFETY: all loads lie inside of the slices, whose lengths follow from the width.
    unsafe {
        let input = |at: usize, input: usize| {
            let four = codes.as_ptr().add(at * width + input);
            _mm512_set1_epi32(four.cast::<i32>().read_unaligned())
        };
        for block in 0..blocks {
            let weights = weights.as_ptr().add(block * packing.block_bytes());
            let load = |at: usize| -> __m512i { _mm512_loadu_si512(weights.add(at * LANES * STEP).cast()) };
            let halves = |at: usize| _mm512_cvtph_ps(_mm256_loadu_si256(weights.add(at).cast()));
            let first = block * BLOCK;
            let mut products = [_mm512_setzero_si512(); BATCH];
            if FOUR {
                let low = _mm512_set1_epi8(15);
                for step in 0..BLOCK / STEP / 2 {
                    let both = load(step);
                    let (left, right) = (
                        _mm512_and_si512(both, low),
                        _mm512_and_si512(_mm512_srli_epi16::<4>(both), low),
                    );
                    for (at, product) in products.iter_mut().enumerate() {
                        *product = _mm512_dpbusd_epi32(*product, left, input(at, first + step * STEP));
                        *product = _mm512_dpbusd_epi32(*product, right, input(at, first + step * STEP + BLOCK / 2));
                    }
                }
            } else {
                for (at, product) in products.iter_mut().enumerate() {
                    *product = _mm512_set1_epi32(-128 * *sums.get_unchecked(at * blocks + block));
                }
                for step in 0..BLOCK / STEP {
                    let eight = load(step);
                    for (at, product) in products.iter_mut().enumerate() {
                        *product = _mm512_dpbusd_epi32(*product, eight, input(at, first + step * STEP));
                    }
                }
            }
            let scale = halves(packing.code_bytes());
            for (at, (total, product)) in totals.iter_mut().zip(products).enumerate() {
                let of_row = _mm512_set1_ps(*scales.get_unchecked(at * blocks + block));
                *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), _mm512_mul_ps(scale, of_row), *total);
            }
            if FOUR {
                let minimum = halves(packing.code_bytes() + SCALES);
                for (at, total) in totals.iter_mut().enumerate() {
                    let at = at * blocks + block;
                    let sum = *scales.get_unchecked(at) * *sums.get_unchecked(at) as f32;
                    *total = _mm512_fmadd_ps(minimum, _mm512_set1_ps(sum), *total);
                }
            }
        }
        for (at, total) in totals.into_iter().enumerate() {
            _mm512_storeu_ps(out.part(row + at, column..column + LANES).as_mut_ptr(), total);
        }
    }
}
