//! Steps of a model that the threads of a crew share.
#![expect(unsafe_code, reason = "pieces of work write different parts of one buffer")]

use std::ops::Range;

use super::crew::Crew;
use super::matrix::Matrix;
use super::rows::{Codes, Parts, Rows};
use super::vector::{self, LANES};

/// Pieces of work for each thread, so that one which is kept from running leaves its share to the others.
const PIECES_PER_THREAD: usize = 3;
/// Rows from which work on single rows is shared among threads.
const SHARED_ROWS: usize = 16;

/// Shares a range of work among the threads of a crew.
pub(crate) fn shared(crew: &Crew, len: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
    let pieces = if crew.threads() == 1 {
        1
    } else {
        crew.threads() * PIECES_PER_THREAD
    };
    let of_piece = len.div_ceil(pieces).max(1);
    crew.run(len.div_ceil(of_piece), &|piece| {
        work(piece * of_piece..len.min((piece + 1) * of_piece));
    });
}

/// Shares rows among the threads of a crew, unless they are few.
fn shared_rows(crew: &Crew, rows: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
    if rows < SHARED_ROWS {
        work(0..rows);
    } else {
        shared(crew, rows, work);
    }
}

/// Works on each row.
pub(crate) fn each_row(crew: &Crew, rows: &mut Rows, work: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    let rows = &rows.parts();
    shared_rows(crew, rows.rows(), &|range| {
        for row in range {
            // SAFETY: each row is in one piece of work.
            work(row, unsafe { rows.part(row, 0..rows.width()) });
        }
    });
}

/// Quantizes rows of a width, which `numbers` writes one by one.
pub(crate) fn encode(
    crew: &Crew,
    codes: &mut Codes,
    (rows, width): (usize, usize),
    numbers: &(dyn Fn(usize, &mut [f32]) + Sync),
) {
    codes.resize(rows, width);
    let codes = &codes.parts();
    shared_rows(crew, rows, &|range| {
        let mut of_row = vec![0.0; width];
        for row in range {
            numbers(row, &mut of_row);
            // SAFETY: each row is in one piece of work.
            unsafe { codes.set(row, &of_row) };
        }
    });
}

/// Quantizes all rows.
pub(crate) fn quantize(crew: &Crew, rows: &Rows, codes: &mut Codes) {
    encode(crew, codes, (rows.len(), rows.width()), &|row, out| {
        out.copy_from_slice(rows.row(row));
    });
}

/// Multiplies all rows of codes by a matrix. `finish` is called for each piece of columns, once its products are there.
pub(crate) fn multiply(
    crew: &Crew,
    matrix: &Matrix,
    codes: &Codes,
    out: &mut Rows,
    finish: &(dyn Fn(&Parts<'_>, Range<usize>) + Sync),
) {
    let out = &out.parts();
    shared(crew, matrix.tiles(), &|tiles| {
        let columns = tiles.start * LANES..tiles.end * LANES;
        // SAFETY: each tile is in one piece of work, and has columns of its own.
        unsafe { matrix.multiply(tiles, codes, out, columns.start) };
        finish(out, columns);
    });
}

/// Adds the products of a matrix to a stream of rows.
pub(crate) fn add_product(crew: &Crew, matrix: &Matrix, codes: &Codes, change: &mut Rows, stream: &mut Rows) {
    let stream = &stream.parts();
    multiply(crew, matrix, codes, change, &|change, columns| {
        let columns = columns.start..columns.end.min(matrix.rows());
        for row in 0..codes.rows() {
            // SAFETY: the columns are those of this piece of work in both buffers.
            let (stream, change) = unsafe { (stream.part(row, columns.clone()), change.part(row, columns.clone())) };
            vector::add(stream, change);
        }
    });
}
