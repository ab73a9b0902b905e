//! Small to big: the text around hits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Error;
use super::base::Base;
use crate::document::ByteSpan;
use crate::retrieve::{Context, Expansion, Extent, Hit};
use crate::store::OutlinedChunk;

/// Chunks before and after a hit that are looked at for its section.
const SECTION_REACH: u64 = 256;

/// Adds to each hit the text around it. One that is too large by itself has none.
pub(super) fn expand(base: &Base, hits: &mut [Hit], expansion: Expansion) -> Result<(), Error> {
    let reach = match expansion.extent {
        Extent::Neighbors(count) => count as u64,
        Extent::Section => SECTION_REACH,
    };
    let mut texts: HashMap<u64, Option<String>> = HashMap::new();
    for hit in hits {
        let text = match texts.entry(hit.revision_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(base.store.text(hit.revision_id)?),
        };
        let Some(text) = text else {
            continue;
        };
        let outline = base.store.outline(hit.revision_id, text, hit.chunk_id, reach)?;
        hit.context = around(hit, &outline, expansion).and_then(|(span, code_point_start)| {
            Some(Context {
                span,
                code_point_start,
                text: span.of(text)?.to_owned(),
            })
        });
    }
    Ok(())
}

/// Returns the range around a hit and the code points before it: chunks are added before and after in turn, until one
/// does not belong or would be too much.
fn around(hit: &Hit, outline: &[OutlinedChunk], expansion: Expansion) -> Option<(ByteSpan, usize)> {
    let place = outline.iter().position(|chunk| chunk.chunk_id == hit.chunk_id)?;
    let mut whole = outline[place].span;
    let mut code_point_start = outline[place].code_point_start;
    if whole.len() > expansion.max_bytes {
        return None;
    }
    let belongs = |chunk: &OutlinedChunk| match expansion.extent {
        Extent::Neighbors(_) => true,
        Extent::Section => chunk.heading_path == hit.heading_path,
    };
    let mut before = outline[..place].iter().rev().take_while(|chunk| belongs(chunk));
    let mut after = outline[place + 1..].iter().take_while(|chunk| belongs(chunk));
    let (mut may_go_back, mut may_go_on) = (true, true);
    while may_go_back || may_go_on {
        if may_go_back {
            let wider = before
                .next()
                .map(|chunk| (chunk, ByteSpan::new(chunk.span.start.min(whole.start), whole.end)));
            may_go_back = match wider {
                Some((chunk, wider)) if wider.len() <= expansion.max_bytes => {
                    (whole, code_point_start) = (wider, chunk.code_point_start);
                    true
                }
                _ => false,
            };
        }
        if may_go_on {
            let wider = after
                .next()
                .map(|chunk| ByteSpan::new(whole.start, chunk.span.end.max(whole.end)));
            may_go_on = match wider {
                Some(wider) if wider.len() <= expansion.max_bytes => {
                    whole = wider;
                    true
                }
                _ => false,
            };
        }
    }
    Some((whole, code_point_start))
}

/// Leaves out hits whose passage lies within that of a hit before them: nothing is offered to a model twice.
pub(super) fn without_covered(hits: Vec<Hit>) -> Vec<Hit> {
    let mut kept: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits {
        let span = hit.passage().span;
        let is_covered = kept.iter().any(|other| {
            let covering = other.passage().span;
            other.revision_id == hit.revision_id && covering.start <= span.start && span.end <= covering.end
        });
        if hit.context.is_none() || !is_covered {
            kept.push(hit);
        }
    }
    kept
}
