//! Which of the rows nearby become neighbours: the heuristic of the paper on HNSW (algorithm 4).

use super::super::walk::{Graph, Key, Scratch, estimate_of, row_of};
use crate::index::simd::dots;

/// Chosen rows that a candidate is compared with at once; most candidates fall at one of the first.
const COMPARED_AT_ONCE: usize = 4;

/// A row that chooses its links.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selection<'a> {
    pub(super) graph: Graph<'a>,
    pub(super) row: u32,
    pub(super) limit: usize,
}

impl Selection<'_> {
    /// Chooses among `scratch.nearest`, nearest first: a candidate that lies nearer to a chosen one than to the row is
    /// reached through that one. Where that leaves less than three quarters of the limit, the nearest of those that were
    /// left out fill it up to there: on passages, a third of the misses at equal speed go away.
    pub(super) fn choose(&self, scratch: &mut Scratch) -> Vec<u32> {
        let mut chosen = Vec::with_capacity(self.limit);
        for candidate in &scratch.nearest {
            if chosen.len() == self.limit {
                return chosen;
            }
            if self.is_apart(*candidate, &chosen) {
                chosen.push(row_of(*candidate));
            }
        }
        let apart = chosen.len();
        for candidate in &scratch.nearest {
            if chosen.len() >= self.limit * 3 / 4 {
                break;
            }
            let row = row_of(*candidate);
            if !chosen[..apart].contains(&row) {
                chosen.push(row);
            }
        }
        chosen
    }

    /// Estimates leave out the scale of the one that they are for, so both sides are brought to it.
    fn is_apart(&self, candidate: Key, chosen: &[u32]) -> bool {
        let fits = self.graph.fits;
        let row = row_of(candidate);
        let scale = fits[row as usize].scale;
        let to_row = estimate_of(candidate) * fits[self.row as usize].scale;
        let codes = self.graph.codes(row);
        let mut sums = [0; COMPARED_AT_ONCE];
        chosen.chunks(COMPARED_AT_ONCE).all(|chosen| {
            dots(codes, self.graph.codes, chosen, &mut sums[..chosen.len()]);
            let mut compared = chosen.iter().zip(sums);
            compared.all(|(chosen, sum)| sum as f32 * fits[*chosen as usize].scale * scale <= to_row)
        })
    }
}
