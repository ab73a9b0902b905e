//! A few chunks of each document.

use std::collections::HashMap;

use super::{Facts, Line, Loss};
use crate::index::ChunkId;

/// Keeps the best `max_chunks` of each document.
pub fn group(line: &mut Line, max_chunks: usize, facts: &Facts) {
    // The best chunk of each document, and how many of it are kept.
    let mut groups: HashMap<u64, (ChunkId, usize)> = HashMap::new();
    line.sift(|_, staged| {
        let facts = facts.get(&staged.chunk_id())?;
        let (best, count) = groups.entry(facts.revision_id).or_insert((staged.chunk_id(), 0));
        if *count == max_chunks {
            return Some(Loss::GroupedUnder(*best));
        }
        *count += 1;
        None
    });
}
