//! Sentences for people.

use super::fate::Fate;
use crate::document::DocumentId;
use crate::index::{ChunkId, Epoch};
use crate::knowledge_base::{ExactLeg, MissingStage};
use crate::retrieve::{Leg, Query};
use crate::store::EpochRange;

/// Says that no document of this id is known.
pub(super) fn unknown(id: &DocumentId, failed: Option<&str>) -> String {
    match failed {
        Some(reason) => format!("it was never indexed: the last attempt failed because {reason}"),
        None => format!("no retained epoch knows a document `{id}`"),
    }
}

/// Says which epochs see a document that this one does not.
pub(super) fn not_visible(epoch: Epoch, visible: &[EpochRange]) -> String {
    let range = |range: &EpochRange| match range.last {
        Some(last) if last == range.first => format!("epoch {last}"),
        Some(last) => format!("epochs {} to {last}", range.first),
        None => format!("epochs from {} on", range.first),
    };
    let ranges: Vec<String> = visible.iter().map(range).collect();
    format!("epoch {epoch} does not see it; what sees it: {}", ranges.join(", "))
}

/// Says what became of a document.
pub(super) fn of(query: &Query, fate: &Fate, other: Option<&(ChunkId, DocumentId)>) -> String {
    let other = other.map_or_else(String::new, |(chunk_id, document_id)| {
        format!("{chunk_id} of `{document_id}`")
    });
    let place = fate.place_before_cut.unwrap_or_default();
    match fate.stage {
        MissingStage::Found => format!("it is there, at rank {}", fate.rank.unwrap_or_default()),
        MissingStage::FilteredOut => format!("the filter does not let it through: {}", fate.obstacles.join(", ")),
        MissingStage::NoMatchingTerms => {
            "no term of the query stands in it, and only the keyword leg was asked".to_owned()
        }
        MissingStage::NotListed => {
            let candidates = fate.legs.first().map_or(0, |leg| leg.candidates);
            format!(
                "each leg lists {candidates} candidates, and it is behind them: {}",
                ranks(&fate.legs)
            )
        }
        MissingStage::NotReached => format!(
            "it belongs to the candidates ({}), but the approximate walk over the vectors did not reach it",
            ranks(&fate.legs)
        ),
        MissingStage::BelowThreshold => format!(
            "its score {:.4} is below the threshold {}",
            fate.score,
            query.score_threshold.unwrap_or_default()
        ),
        MissingStage::NearDuplicate => format!("it says nearly the same as {other} and was folded into it"),
        MissingStage::GroupedAway => format!("better chunks of its document took its places, the best is {other}"),
        MissingStage::NotDiverse => {
            format!("it would be at place {place}, but it is too similar to results that diversity chose before it")
        }
        MissingStage::CutOff => format!(
            "it is at place {place}, and {} results were asked for{}",
            query.limit,
            moved(fate)
        ),
        MissingStage::Reranked => {
            let (before, after) = fate.rerank.map_or((0, 0), |effect| (effect.place_before, effect.place));
            format!(
                "reranking moved it from place {before} to place {after}, and {} results were asked for",
                query.limit
            )
        }
        // Told without a search.
        MissingStage::NoSuchDocument | MissingStage::NotVisible | MissingStage::NoChunks => String::new(),
    }
}

fn moved(fate: &Fate) -> String {
    let effect = fate.rerank.filter(|effect| effect.place_before != effect.place);
    effect.map_or_else(String::new, |effect| {
        format!(
            "; reranking had moved it from place {} to place {}",
            effect.place_before, effect.place
        )
    })
}

fn ranks(legs: &[ExactLeg]) -> String {
    let rank = |leg: &ExactLeg| {
        let name = match leg.leg {
            Leg::Keyword => "BM25",
            Leg::Dense => "cosine",
        };
        match leg.exact {
            Some(exact) => format!("rank {} by {name}", exact.rank),
            None => format!("no rank by {name}"),
        }
    };
    legs.iter().map(rank).collect::<Vec<_>>().join(", ")
}
