//! The exact answer of the dense leg, made beside reads and writes.

use std::ops::Range;

use super::{EpochStore, Error, Lease};
use crate::index::{Accepted, ChunkId, ChunkSet, Scored, best_first};
use crate::worker::Cancel;

/// Chunks that are looked at together: some milliseconds, in which writers wait at most.
const PIECE: usize = 65_536;

impl EpochStore {
    /// Finds the chunks nearest to a unit vector by scoring all of `within`, or all that the epoch sees: best first, equal
    /// ones by chunk id. Looks at `cancel` once a piece, and keeps nobody waiting for longer than one.
    pub fn exact_nearest(
        &self,
        lease: &Lease<'_>,
        vector: &[f32],
        limit: usize,
        within: Option<&ChunkSet>,
        cancel: &Cancel,
    ) -> Result<Vec<Scored>, Error> {
        let mut best: Vec<Scored> = Vec::new();
        let end = self.visibility.len();
        for start in (0..end).step_by(PIECE) {
            cancel.check()?;
            let piece = start..end.min(start + PIECE);
            let wanted = match within {
                Some(set) => part_of(set, piece),
                None => self.seen_part(lease, piece),
            };
            if wanted.is_empty() {
                continue;
            }
            let scanned = self.vectors.scan_accepted(vector, limit, Accepted::Set(&wanted));
            let (found, _) = scanned.map_err(Error::Index)?;
            best.extend(found);
            best.sort_unstable_by(best_first);
            best.truncate(limit);
        }
        Ok(best)
    }

    /// Returns whether the vectors of all these chunks are there.
    pub fn has_vectors(&self, mut chunk_ids: impl Iterator<Item = ChunkId>) -> bool {
        chunk_ids.all(|chunk_id| self.vectors.contains(chunk_id))
    }

    fn seen_part(&self, lease: &Lease<'_>, piece: Range<usize>) -> ChunkSet {
        let visible = self.visibility.at(lease.epoch());
        let ids = piece.map(|id| ChunkId(id as u64));
        set_of(ids.filter(|id| visible.contains(*id)))
    }
}

fn part_of(set: &ChunkSet, piece: Range<usize>) -> ChunkSet {
    let last = piece.end.saturating_sub(1) as u64;
    set_of(set.iter_within(ChunkId(piece.start as u64), ChunkId(last)))
}

fn set_of(ids: impl Iterator<Item = ChunkId>) -> ChunkSet {
    let mut set = ChunkSet::default();
    ids.for_each(|id| set.insert(id, 1));
    set
}
