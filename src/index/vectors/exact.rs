//! Stored vectors as they are, and exact ranks, for those who want to know.

use super::rows::Rows;
use super::{State, Vectors};
use crate::index::best::best_first;
use crate::index::vectors::quantize::widen;
use crate::index::{Accept, ChunkId, Error, ExactRank, Scored};

impl Vectors {
    /// Returns the vectors of these chunks, in their order; nothing for those that are not there.
    pub fn vectors_of(&self, chunk_ids: &[ChunkId]) -> Vec<Option<Vec<f32>>> {
        let state = self.state();
        let vector = |chunk_id: &ChunkId| {
            let (rows, row) = state.find(*chunk_id)?;
            let mut vector = vec![0.0; rows.dimensions];
            widen(rows.halves(row), &mut vector);
            Some(vector)
        };
        chunk_ids.iter().map(vector).collect()
    }

    /// Returns the chunk's exact rank among all accepted chunks by scoring them all; nothing when it has no vector.
    pub fn rank(&self, query: &[f32], chunk_id: ChunkId, accept: &Accept<'_>) -> Result<Option<ExactRank>, Error> {
        self.check_dimensions(query)?;
        let state = self.state();
        let Some((rows, row)) = state.find(chunk_id) else {
            return Ok(None);
        };
        let own = rows.scored(query, row);
        let better: usize = state.parts().map(|rows| better(rows, query, &own, accept)).sum();
        Ok(Some(ExactRank {
            rank: better as u64 + 1,
            score: own.score,
        }))
    }
}

impl State {
    fn parts(&self) -> impl Iterator<Item = Rows<'_>> {
        let sealed = self.segments.iter().map(|segment| segment.rows());
        sealed.chain(self.sealing.blocks()).chain(self.arriving.blocks())
    }
}

/// Counts the accepted rows that stand before `own`.
fn better(rows: Rows<'_>, query: &[f32], own: &Scored, accept: &Accept<'_>) -> usize {
    let stands_before = |row: &usize| {
        let chunk_id = rows.chunk_id(*row);
        chunk_id != own.chunk_id && accept(chunk_id) && best_first(&rows.scored(query, *row), own).is_lt()
    };
    (0..rows.len()).filter(stands_before).count()
}
