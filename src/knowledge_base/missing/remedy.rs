//! Changes of a query that may bring a document in.

use super::fate::Fate;
use crate::document::metadata::Metadata;
use crate::index::Epoch;
use crate::knowledge_base::{MissingStage, SuggestedChange, Suggestion};
use crate::retrieve::options::{MAX_CANDIDATES_PER_LEG, MAX_CHUNKS_PER_DOCUMENT};
use crate::retrieve::query::MAX_RESULTS;
use crate::retrieve::{Query, SearchType, listed, without_obstacles};
use crate::store::EpochRange;

const SEARCH: &str = "retrieval_configuration.vector_search_configuration";

fn suggestion(name: &str, change: SuggestedChange) -> Suggestion {
    let text = match change {
        SuggestedChange::AtLeast(number) => format!("set {name} to {number} or more"),
        SuggestedChange::AtMost(number) => format!("set {name} to {number} or less"),
        SuggestedChange::Remove => format!("leave out {name}"),
        SuggestedChange::Set => format!("set {name}"),
    };
    Suggestion {
        field: format!("{SEARCH}.{name}"),
        change,
        text,
    }
}

/// Suggests epochs that see a document: the nearest before and after, as far as reads may name them.
pub(super) fn other_epoch(visible: &[EpochRange], epoch: Epoch, oldest: Epoch) -> Vec<Suggestion> {
    let in_epoch = |change| Suggestion {
        field: "as_of_epoch".to_owned(),
        ..suggestion("as_of_epoch", change)
    };
    let before = visible
        .iter()
        .filter_map(|range| range.last)
        .rfind(|last| *last < epoch && *last >= oldest);
    let after = visible.iter().map(|range| range.first).find(|first| *first > epoch);
    let before = before.map(|last| in_epoch(SuggestedChange::AtMost(last.0 as f64)));
    let after = after.map(|first| in_epoch(SuggestedChange::AtLeast(first.0 as f64)));
    before.or(after).into_iter().collect()
}

/// Returns the query changed so that the stage which lost the document does not, and the changes; nothing when no change
/// can be.
pub(super) fn remedy(query: &Query, fate: &Fate, metadata: &Metadata) -> Option<(Query, Vec<Suggestion>)> {
    let mut changed = query.clone();
    let options = &mut changed.options;
    let suggestion = match fate.stage {
        MissingStage::FilteredOut => {
            changed.filter = without_obstacles(query.filter.as_ref()?, metadata);
            let obstacles = fate.obstacles.iter();
            let changes = obstacles.map(|path| suggestion(path, SuggestedChange::Remove));
            return Some((changed, changes.collect()));
        }
        MissingStage::NoMatchingTerms => {
            changed.search_type = SearchType::Hybrid;
            suggestion("override_search_type", SuggestedChange::Remove)
        }
        MissingStage::NotReached if !query.exact => {
            changed.exact = true;
            suggestion("exact", SuggestedChange::Set)
        }
        MissingStage::NotListed | MissingStage::NotReached => return list_deeper(changed, fate),
        MissingStage::BelowThreshold => {
            changed.score_threshold = Some(fate.score);
            suggestion("score_threshold", SuggestedChange::AtMost(fate.score))
        }
        MissingStage::NearDuplicate => {
            options.near_duplicates = None;
            suggestion("near_duplicates", SuggestedChange::Remove)
        }
        MissingStage::GroupedAway => {
            let count = options.chunks_per_document? + fate.place_in_group;
            if count > MAX_CHUNKS_PER_DOCUMENT {
                options.chunks_per_document = None;
                suggestion("grouping", SuggestedChange::Remove)
            } else {
                options.chunks_per_document = Some(count);
                suggestion("grouping.max_chunks_per_document", at_least(count))
            }
        }
        MissingStage::NotDiverse => {
            options.diversity = None;
            suggestion("diversity", SuggestedChange::Remove)
        }
        MissingStage::Reranked => {
            options.rerank = None;
            suggestion("reranking_configuration", SuggestedChange::Remove)
        }
        MissingStage::CutOff => {
            changed.limit = within(fate.place_before_cut? as usize, MAX_RESULTS)?;
            suggestion("number_of_results", at_least(changed.limit))
        }
        MissingStage::Found | MissingStage::NoSuchDocument | MissingStage::NotVisible | MissingStage::NoChunks => {
            return None;
        }
    };
    Some((changed, vec![suggestion]))
}

/// Lets the legs list as deep as the document is in the leg where it stands best, and where it is there already, deeper.
fn list_deeper(mut changed: Query, fate: &Fate) -> Option<(Query, Vec<Suggestion>)> {
    let ranks = fate.legs.iter().filter_map(|leg| leg.exact);
    let rank = ranks.map(|exact| exact.rank).min()?;
    let rank = usize::try_from(rank).unwrap_or(usize::MAX);
    let listed = listed(&changed);
    let wanted = if rank > listed { rank } else { listed * 2 };
    // The dense leg alone, with nothing that chooses among its candidates, lists what is wanted.
    let lists_results = changed.search_type == SearchType::Semantic && !changed.options.has_stages();
    if lists_results && changed.options.candidates_per_leg.is_none() {
        changed.limit = within(wanted, MAX_RESULTS)?;
        let suggestion = suggestion("number_of_results", at_least(changed.limit));
        return Some((changed, vec![suggestion]));
    }
    let candidates = within(wanted, MAX_CANDIDATES_PER_LEG)?;
    changed.options.candidates_per_leg = Some(candidates);
    let suggestion = suggestion("candidates_per_leg", at_least(candidates));
    Some((changed, vec![suggestion]))
}

fn at_least(count: usize) -> SuggestedChange {
    SuggestedChange::AtLeast(count as f64)
}

fn within(count: usize, most: usize) -> Option<usize> {
    (count <= most).then_some(count)
}
