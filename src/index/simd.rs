//! Dot products, with the widest instructions that the machine has.
//!
//! Integer results are the same on every machine. Sums of floating-point products are formed in another order on each
//! instruction set, so they differ in the last bits between machines, but never between two calls on one machine.
#![expect(unsafe_code, reason = "vector instructions are chosen when the program runs")]

mod half;
mod int8;

pub(super) use half::dot;
pub(super) use int8::{dot_codes, dots};

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE_BYTES: usize = 64;

/// Asks the machine to fetch memory that will be read soon.
#[inline]
pub(super) fn prefetch<T>(part: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        let start = part.as_ptr().cast::<i8>();
        for line in (0..std::mem::size_of_val(part)).step_by(LINE_BYTES) {
            // SAFETY: the address lies inside of the slice, and fetching ahead reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.add(line)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = part;
}
