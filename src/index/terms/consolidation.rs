//! Fewer segments for searches to visit, once nobody writes: while somebody does, tantivy merges by its own rule.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tantivy::TantivyError;
use tantivy::index::SegmentId;

use super::Terms;
use super::engine::Writer;
use crate::index::merging::{self, Pace};
use crate::index::{ChunkId, Error};

impl Terms {
    /// Begins to merge the segments that are a fair share of those before them at rest, in the background, unless a merge
    /// is on its way; readers see it after a [`Terms::refresh`]. Returns whether one is on its way.
    pub fn consolidate(&self) -> Result<bool, Error> {
        let mut merging = self.merging.lock();
        if let Some(begun) = merging.as_mut() {
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(merged) = Pin::new(begun).poll(&mut context) else {
                return Ok(true);
            };
            *merging = None;
            if let Err(error) = merged {
                self.check_merge(error)?;
            }
            return Ok(false);
        }
        let merged = self.worth_merging();
        if merged.is_empty() {
            return Ok(false);
        }
        // Who cannot write has nothing to begin; the next write says why.
        let mut engine = self.engine.write();
        let Writer::Open(writer) = &mut engine.writer else {
            return Ok(false);
        };
        *merging = Some(writer.merge(&merged));
        Ok(true)
    }

    /// Returns whether [`Terms::consolidate`] has nothing to do.
    pub fn is_consolidated(&self) -> bool {
        self.merging.lock().is_none() && self.worth_merging().is_empty()
    }

    fn worth_merging(&self) -> Vec<SegmentId> {
        let segments = self.in_order();
        let sizes: Vec<usize> = segments.iter().map(|(_, rows, _)| *rows).collect();
        let from = merging::first_merged(&sizes, 0, Pace::AtRest);
        segments[from..].iter().map(|(_, _, id)| *id).collect()
    }

    /// Returns the segments that readers see in order of their chunks: the first chunk, the rows and the id of each.
    fn in_order(&self) -> Vec<(ChunkId, usize, SegmentId)> {
        let snapshot = self.snapshot();
        let segments = snapshot.segments();
        let segments = segments.map(|(segment, order)| (order.bounds().0, order.len() as usize, segment.segment_id()));
        let mut segments: Vec<_> = segments.collect();
        segments.sort_unstable();
        segments
    }

    /// A merge fails when another took its segments first, and that is nobody's trouble.
    fn check_merge(&self, error: TantivyError) -> Result<(), Error> {
        let failed = |source: TantivyError| Error::terms("be merged", source);
        let there = self.index().searchable_segment_ids().map_err(failed)?;
        let shown = self.in_order();
        if there.len() == shown.len() && shown.iter().all(|(_, _, id)| there.contains(id)) {
            return Err(failed(error));
        }
        tracing::debug!(error = %error, "segments were merged by another");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
