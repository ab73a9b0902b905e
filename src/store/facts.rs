//! What is true of chunks beside their text: the revision that they belong to, and when it is seen.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};

use super::catalog::from_json;
use super::records::chunk::ChunkFields;
use super::records::values::verify;
use super::records::{ChunkRange, revision};
use super::sqlite::{from_number, to_epoch, to_number, to_size};
use super::{EpochStore, Error};
use crate::document::metadata::Metadata;
use crate::document::{ByteSpan, DocumentId};
use crate::index::{ChunkId, Epoch, Lifetime};

/// The revision that a chunk belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkFacts {
    /// Its number. At one epoch it stands for the document.
    pub revision_id: u64,
    /// The document.
    pub document_id: DocumentId,
    /// Attributes of the document.
    pub metadata: Metadata,
}

/// Where a chunk stands in the text of its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlinedChunk {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its byte range.
    pub span: ByteSpan,
    /// Code points before it.
    pub code_point_start: usize,
    /// Headings above it, outermost first.
    pub heading_path: Vec<String>,
}

/// Epochs that see a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochRange {
    /// First epoch that sees it.
    pub first: Epoch,
    /// Last epoch that sees it; nothing while it is seen.
    pub last: Option<Epoch>,
}

impl EpochStore {
    /// Returns the facts of chunks; those that are not there, because they were erased, are left out.
    pub fn facts(&self, ids: &[ChunkId]) -> Result<HashMap<ChunkId, Arc<ChunkFacts>>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        self.records.read(|connection| {
            let mut owner = connection.prepare_cached("SELECT revision_id FROM chunk WHERE chunk_id = ?1")?;
            let mut described = connection.prepare_cached(&format!(
                "SELECT {} FROM revision r WHERE r.revision_id = ?1",
                revision::COLUMNS
            ))?;
            let mut by_revision: HashMap<i64, Arc<ChunkFacts>> = HashMap::new();
            let mut facts = HashMap::with_capacity(ids.len());
            for id in ids {
                let found: Option<i64> = owner.query_row([from_number(id.0)], |row| row.get(0)).optional()?;
                let Some(revision_id) = found else { continue };
                let shared = match by_revision.entry(revision_id) {
                    Entry::Occupied(known) => Arc::clone(known.get()),
                    Entry::Vacant(unknown) => {
                        let info = described.query_row([revision_id], |row| revision::read(row, 0))?;
                        let of_revision = Arc::new(ChunkFacts {
                            revision_id: info.revision_id,
                            document_id: info.document_id,
                            metadata: info.metadata,
                        });
                        Arc::clone(unknown.insert(of_revision))
                    }
                };
                facts.insert(*id, shared);
            }
            Ok(facts)
        })
    }

    /// Returns the chunks of a revision, in order; none when there is no such revision.
    pub fn chunks_of(&self, revision_id: u64) -> Result<Vec<ChunkId>, Error> {
        let range = self.records.read(|connection| {
            connection
                .prepare_cached("SELECT first_chunk, chunk_count FROM revision WHERE revision_id = ?1")?
                .query_row([from_number(revision_id)], |row| ChunkRange::read(row, 0))
                .optional()
        })?;
        Ok(range.map(|range| range.ids().collect()).unwrap_or_default())
    }

    /// Returns the epochs that see a document, oldest first; none when no revision of it is known. What only
    /// hidden revisions were seen in does not count.
    pub fn sightings(&self, id: &DocumentId, hidden: &[u64]) -> Result<Vec<EpochRange>, Error> {
        self.records.read(|connection| {
            let mut lives = connection.prepare_cached(
                "SELECT revision_id, added_epoch, retired_epoch FROM revision WHERE document_id = ?1 ORDER BY added_epoch",
            )?;
            let mut lapses = connection.prepare_cached(
                "SELECT from_epoch, until_epoch FROM revision_lapse WHERE revision_id = ?1 ORDER BY from_epoch",
            )?;
            let mut seen = Vec::new();
            let mut rows = lives.query([id.as_str()])?;
            while let Some(row) = rows.next()? {
                let revision_id: i64 = row.get(0)?;
                if hidden.iter().any(|hidden| from_number(*hidden) == revision_id) {
                    continue;
                }
                let life = Lifetime {
                    added: to_epoch(row.get(1)?),
                    retired: to_epoch(row.get(2)?),
                };
                let gaps = lapses.query_map(params![revision_id], |row| {
                    Ok((to_epoch(row.get(0)?), to_epoch(row.get(1)?)))
                })?;
                push_life(life, &gaps.collect::<rusqlite::Result<Vec<_>>>()?, &mut seen);
            }
            seen.sort_by_key(|range: &EpochRange| range.first);
            Ok(joined(seen))
        })
    }

    /// Returns where chunks of a revision stand in its text, which is `text`: those up to `reach` before and after a
    /// chunk, in order.
    pub fn outline(
        &self,
        revision_id: u64,
        text: &str,
        around: ChunkId,
        reach: u64,
    ) -> Result<Vec<OutlinedChunk>, Error> {
        let first = from_number(around.0.saturating_sub(reach));
        let last = from_number(around.0.saturating_add(reach));
        self.records.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT chunk_id, span_start, span_end, code_point_start, heading_path, page, checksum FROM chunk
                 WHERE chunk_id BETWEEN ?1 AND ?2 AND revision_id = ?3 ORDER BY chunk_id",
            )?;
            let rows = statement.query_map([first, last, from_number(revision_id)], |row| {
                let chunk_id: i64 = row.get(0)?;
                let (span_start, span_end): (i64, i64) = (row.get(1)?, row.get(2)?);
                let span = to_size(span_start)..to_size(span_end);
                let fields = ChunkFields {
                    chunk_id,
                    revision_id: from_number(revision_id),
                    span_start,
                    span_end,
                    code_point_start: row.get(3)?,
                    heading_path: row.get_ref(4)?.as_str()?,
                    page: row.get(5)?,
                    // A span outside of the text gives another checksum.
                    text: text.get(span.clone()).unwrap_or_default(),
                };
                verify("chunk", chunk_id, row.get(6)?, fields.checksum())?;
                Ok(OutlinedChunk {
                    chunk_id: ChunkId(to_number(chunk_id)),
                    span: ByteSpan::new(span.start, span.end.max(span.start)),
                    code_point_start: to_size(fields.code_point_start),
                    heading_path: from_json(row, 4)?,
                })
            })?;
            rows.collect()
        })
    }
}

/// Adds the epochs of a life without its gaps, which are in order.
fn push_life(life: Lifetime, gaps: &[(Epoch, Epoch)], seen: &mut Vec<EpochRange>) {
    let mut first = life.added;
    let mut push = |first: Epoch, end: Epoch| {
        if first < end {
            let last = (end != Lifetime::NEVER).then(|| Epoch(end.0 - 1));
            seen.push(EpochRange { first, last });
        }
    };
    for (from, until) in gaps {
        push(first, *from);
        first = first.max(*until);
    }
    push(first, life.retired);
}

/// Joins ranges that follow each other without a gap: a document that was replaced was seen all the time.
fn joined(ranges: Vec<EpochRange>) -> Vec<EpochRange> {
    let mut whole: Vec<EpochRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match whole.last_mut() {
            Some(before) if before.last.is_some_and(|last| last.0 + 1 == range.first.0) => before.last = range.last,
            _ => whole.push(range),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lives: &[(u64, u64)], gaps: &[(u64, u64)], expected: &[(u64, Option<u64>)]) {
        let gaps: Vec<_> = gaps.iter().map(|(from, until)| (Epoch(*from), Epoch(*until))).collect();
        let mut seen = Vec::new();
        for (added, retired) in lives {
            let life = Lifetime {
                added: Epoch(*added),
                retired: Epoch(*retired),
            };
            push_life(life, &gaps, &mut seen);
        }
        let found: Vec<_> = joined(seen)
            .into_iter()
            .map(|range| (range.first.0, range.last.map(|last| last.0)))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn lives_without_gaps_are_joined() {
        let never = u64::MAX;
        check(&[], &[], &[]);
        check(&[(1, 4)], &[], &[(1, Some(3))]);
        check(&[(1, 4), (4, never)], &[], &[(1, None)]);
        check(&[(1, 4), (6, never)], &[], &[(1, Some(3)), (6, None)]);
        check(
            &[(1, never)],
            &[(2, 3), (5, 7)],
            &[(1, Some(1)), (3, Some(4)), (7, None)],
        );
    }
}
