//! Rows of numbers that pieces of work write side by side, and rows of 8-bit codes.
#![expect(unsafe_code, reason = "threads write different parts of one buffer")]

use super::vector::{self, BLOCK};

/// A buffer of rows whose parts are written by different pieces of work at the same time.
pub(crate) struct Rows {
    values: Vec<f32>,
    width: usize,
}

/// Hands out parts of [`Rows`]. No two that live at the same time may overlap, which whoever makes pieces of work sees to.
pub(crate) struct Parts<'a> {
    start: *mut f32,
    rows: usize,
    width: usize,
    _rows: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: parts are handed out by unsafe functions only, whose callers answer for them being apart.
unsafe impl Sync for Parts<'_> {}

impl Rows {
    pub(crate) fn new(rows: usize, width: usize) -> Self {
        Self {
            values: vec![0.0; rows * width],
            width,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.width
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.width..][..self.width]
    }

    pub(crate) fn parts(&mut self) -> Parts<'_> {
        Parts {
            start: self.values.as_mut_ptr(),
            rows: self.len(),
            width: self.width,
            _rows: std::marker::PhantomData,
        }
    }
}

impl Parts<'_> {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Returns a part of a row.
    ///
    /// # Safety
    ///
    /// No other part that overlaps it may be alive.
    #[expect(clippy::mut_from_ref, reason = "parts of one buffer, which callers keep apart")]
    pub(crate) unsafe fn part(&self, row: usize, columns: std::ops::Range<usize>) -> &mut [f32] {
        assert!(row < self.rows && columns.start <= columns.end && columns.end <= self.width);
        // SAFETY: it lies inside of the buffer, which is borrowed as long as this, and is apart from others.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.width + columns.start), columns.len()) }
    }
}

/// Rows of numbers as codes of 8 bits, quantized block by block.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    width: usize,
    values: Vec<i8>,
    /// Scale of each block of each row.
    scales: Vec<f32>,
    /// Sum of the codes of each block of each row.
    sums: Vec<i32>,
}

impl Codes {
    /// Makes room for so many rows.
    pub(crate) fn resize(&mut self, rows: usize, width: usize) {
        self.width = width;
        self.values.resize(rows * width, 0);
        self.scales.resize(rows * width / BLOCK, 0.0);
        self.sums.resize(rows * width / BLOCK, 0);
    }

    /// Lets pieces of work quantize different rows at the same time.
    pub(crate) fn parts(&mut self) -> CodeParts<'_> {
        CodeParts {
            rows: self.rows(),
            width: self.width,
            values: self.values.as_mut_ptr(),
            scales: self.scales.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
            _codes: std::marker::PhantomData,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn codes(&self) -> &[i8] {
        &self.values
    }

    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }

    pub(crate) fn sums(&self) -> &[i32] {
        &self.sums
    }
}

/// Quantizes rows of [`Codes`], different ones at the same time.
pub(crate) struct CodeParts<'a> {
    rows: usize,
    width: usize,
    values: *mut i8,
    scales: *mut f32,
    sums: *mut i32,
    _codes: std::marker::PhantomData<&'a mut Codes>,
}

// SAFETY: rows are written by an unsafe function only, whose callers answer for them being apart.
unsafe impl Sync for CodeParts<'_> {}

impl CodeParts<'_> {
    /// Quantizes a row.
    ///
    /// # Safety
    ///
    /// No one else may write the row at the same time.
    pub(crate) unsafe fn set(&self, row: usize, values: &[f32]) {
        assert!(row < self.rows && values.len() == self.width);
        let blocks = self.width / BLOCK;
        // SAFETY: they lie inside of the buffers, which are borrowed as long as this, and the row is the caller's.
        unsafe {
            vector::quantize(
                values,
                std::slice::from_raw_parts_mut(self.values.add(row * self.width), self.width),
                std::slice::from_raw_parts_mut(self.scales.add(row * blocks), blocks),
                std::slice::from_raw_parts_mut(self.sums.add(row * blocks), blocks),
            );
        }
    }
}
