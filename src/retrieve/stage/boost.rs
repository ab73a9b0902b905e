//! Scores of some documents, multiplied.

use super::{AppliedBoost, Facts, Line};
use crate::document::metadata::Metadata;
use crate::retrieve::Boost;

/// Multiplies the scores of the documents that each boost names, and orders by score again.
pub fn boost(line: &mut Line, boosts: &[Boost], facts: &Facts) {
    let none = Metadata::new();
    for staged in &mut line.kept {
        let metadata = facts.get(&staged.chunk_id()).map_or(&none, |facts| &facts.metadata);
        for (index, boost) in boosts.iter().enumerate() {
            if boost.filter.accepts(metadata) {
                let multiplier = staged.multiply(boost.factor);
                staged.boosts.push(AppliedBoost { index, multiplier });
            }
        }
    }
    line.sort();
}
