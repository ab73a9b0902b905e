//! The vector index: exact scores from stored vectors, nearest neighbours from a graph.
//!
//! Comes in: unit vectors by chunk id. Goes out: cosine similarities, which are the dot products of unit vectors.
//! Always holds: a search gives as many hits as exist, at most `limit`; equal scores are ordered by chunk id.
//! Not here: removal (a chunk that no caller accepts any more stays until the index is made again) and files. The
//! graph's crate can write itself, but it writes the memory of its rows as it lies there and reads it back unchecked:
//! pointers would come back from disk, and a damaged file ends the process. So the store's vectors are inserted again.

mod graph;
mod rows;

use std::collections::HashSet;

use parking_lot::{Mutex, RwLock};

use super::best::{Best, best_first};
use super::{Accept, ChunkId, Error, Scored};
use graph::Graph;
use rows::{Row, Rows};

/// With no more accepted chunks than this, scoring them all beats any graph.
const FEW_CHUNKS: usize = 2_000;
/// Least candidates that a graph search keeps (`ef_search`).
const MIN_EF: usize = 128;
/// Vectors that a graph search looks at for each candidate that it keeps, found by measuring.
const VISITS_PER_CANDIDATE: usize = 16;
/// Accept calls that cost as much as one dot product.
const ACCEPTS_PER_DOT: usize = 16;

/// The vectors of one knowledge base and the graph over them.
#[derive(Debug)]
pub struct Vectors {
    dimensions: usize,
    rows: RwLock<Rows>,
    graph: Graph,
    // One at a time inserts.
    inserting: Mutex<()>,
}

/// How a search goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// Score every accepted chunk.
    Scan,
    /// Walk the graph keeping `ef` candidates; pass over what is not accepted while walking, or only afterwards.
    Walk { ef: usize, filtered: bool },
}

impl Plan {
    fn new(len: usize, accepted: usize, limit: usize) -> Self {
        let accepted = accepted.min(len);
        if accepted <= FEW_CHUNKS {
            return Self::Scan;
        }
        let ef = MIN_EF.max(limit.saturating_mul(2));
        // Where one of n chunks is accepted, a walk looks at n times as many.
        let walk_cost = ef.saturating_mul(VISITS_PER_CANDIDATE).saturating_mul(len) / accepted;
        let scan_cost = accepted + len / ACCEPTS_PER_DOT;
        if scan_cost <= walk_cost {
            return Self::Scan;
        }
        let nearly_all = accepted >= len - len / 5;
        if nearly_all {
            return Self::Walk {
                ef: ef * len / accepted,
                filtered: false,
            };
        }
        Self::Walk { ef, filtered: true }
    }
}

impl Vectors {
    /// Makes an empty index.
    pub fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            rows: RwLock::default(),
            graph: Graph::new(),
            inserting: Mutex::new(()),
        }
    }

    /// Adds unit vectors; chunks that are there already are left as they are. All are added, or none.
    pub fn insert(&self, rows: &[(ChunkId, &[f32])]) -> Result<(), Error> {
        for (chunk_id, vector) in rows {
            self.check_dimensions(vector)?;
            if !vector.iter().all(|number| number.is_finite()) {
                return Err(Error::NotFinite { chunk_id: *chunk_id });
            }
        }
        let _alone = self.inserting.lock();
        let new = {
            let known = self.rows.read();
            let mut seen = HashSet::new();
            let mut is_new = |chunk_id| known.get(chunk_id).is_none() && seen.insert(chunk_id);
            let new: Vec<_> = rows.iter().copied().filter(|(chunk_id, _)| is_new(*chunk_id)).collect();
            rows::blocks(&new)
        };
        self.rows.write().extend(&new);
        self.graph.insert(&new);
        Ok(())
    }

    /// Returns segments and fresh rows.
    pub fn figures(&self) -> (usize, usize) {
        (0, self.len())
    }

    /// Returns every chunk that it holds.
    pub fn held_chunks(&self) -> Vec<ChunkId> {
        self.rows.read().iter().map(|(chunk_id, _)| chunk_id).collect()
    }

    /// Returns the number of vectors.
    pub fn len(&self) -> usize {
        self.rows.read().len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the dimension of its vectors.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Returns the cosine similarities of these chunks, in their order; nothing for those that are not there.
    pub fn score(&self, query: &[f32], chunk_ids: &[ChunkId]) -> Result<Vec<Option<f32>>, Error> {
        self.check_dimensions(query)?;
        let rows = self.rows.read();
        let scores = chunk_ids
            .iter()
            .map(|chunk_id| rows.get(*chunk_id).map(|row| row.cosine(query)));
        Ok(scores.collect())
    }

    /// Finds the nearest accepted chunks, best first, equal ones by chunk id.
    ///
    /// `accepted` is how many chunks `accept` lets through ([`Vectors::len`] when it lets all). It chooses between
    /// scan and graph, so that a guess costs time only, unless it is too small: then fewer hits may come.
    pub fn search(
        &self,
        query: &[f32],
        limit: usize,
        accept: &Accept<'_>,
        accepted: usize,
    ) -> Result<Vec<Scored>, Error> {
        self.check_dimensions(query)?;
        let len = self.len();
        if limit == 0 || len == 0 {
            return Ok(Vec::new());
        }
        let enough = limit.min(accepted).min(len);
        if let Plan::Walk { ef, filtered } = Plan::new(len, accepted, limit) {
            let found = self.walk(query, ef, limit, accept, filtered);
            if found.len() >= enough {
                return Ok(found);
            }
        }
        Ok(self.scan(query, limit, accept))
    }

    fn walk(&self, query: &[f32], ef: usize, limit: usize, accept: &Accept<'_>, filtered: bool) -> Vec<Scored> {
        let found = self.graph.search(&Row::alone(query), ef, filtered.then_some(accept));
        let rows = self.rows.read();
        // Scores come from the rows, so that they equal those of `score` to the bit.
        let mut found: Vec<Scored> = found
            .into_iter()
            .filter(|chunk_id| accept(*chunk_id))
            .filter_map(|chunk_id| {
                let score = rows.get(chunk_id)?.cosine(query);
                Some(Scored { chunk_id, score })
            })
            .collect();
        found.sort_unstable_by(best_first);
        found.truncate(limit);
        found
    }

    fn scan(&self, query: &[f32], limit: usize, accept: &Accept<'_>) -> Vec<Scored> {
        let mut best = Best::new(limit);
        for (chunk_id, row) in self.rows.read().iter() {
            if accept(chunk_id) {
                let score = row.cosine(query);
                best.offer(Scored { chunk_id, score });
            }
        }
        best.into_sorted()
    }

    fn check_dimensions(&self, vector: &[f32]) -> Result<(), Error> {
        if vector.len() == self.dimensions {
            return Ok(());
        }
        Err(Error::DimensionMismatch {
            expected: self.dimensions,
            found: vector.len(),
        })
    }
}

#[cfg(test)]
mod tests;
