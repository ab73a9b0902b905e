//! Changes of a query that may bring a document in.

use super::fate::Fate;
use crate::document::metadata::Metadata;
use crate::index::Epoch;
use crate::knowledge_base::{MissingStage, SuggestedChange, Suggestion};
use crate::retrieve::options::{MAX_CANDIDATES_PER_LEG, MAX_CHUNKS_PER_DOCUMENT};
use crate::retrieve::query::MAX_RESULTS;
use crate::retrieve::{LeftOut, Query, SearchType, left_out, listed, without_obstacles};
use crate::store::EpochRange;

const SEARCH: &str = "retrieval_configuration.vector_search_configuration";
const RESULTS: &str = "number_of_results";
const CANDIDATES: &str = "candidates_per_leg";

/// How far below a score a threshold is suggested, as a share of the score.
const MARGIN: f64 = 1e-6;
/// The same where scores fade while time goes by.
const FADING_MARGIN: f64 = 1e-3;
/// Digits of a suggested threshold.
const THRESHOLD_DIGITS: i32 = 5;

/// How a document is brought in that stands too far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As few results as reach it. The legs may list deeper for them, which changes scores.
    Least,
    /// The same, while the legs list what they listed.
    Pinned,
    /// As many results as can be asked for.
    Most,
}

impl Way {
    /// In the order in which they are tried.
    pub(super) const ALL: [Self; 3] = [Self::Least, Self::Pinned, Self::Most];

    /// Returns whether it may differ from the others for a document that a stage lost.
    pub(super) fn matters(stage: MissingStage) -> bool {
        matches!(stage, MissingStage::CutOff | MissingStage::NotListed)
    }
}

fn suggestion(name: &str, change: SuggestedChange) -> Suggestion {
    let text = match change {
        SuggestedChange::AtLeast(number) => format!("set {name} to {number} or more"),
        SuggestedChange::AtMost(number) => format!("set {name} to {number} or less"),
        SuggestedChange::Exactly(number) => format!("set {name} to {number}"),
        SuggestedChange::Remove => format!("leave out {name}"),
        SuggestedChange::Set => format!("set {name}"),
    };
    Suggestion {
        field: format!("{SEARCH}.{name}"),
        change,
        text,
    }
}

fn leave_out(it: &LeftOut) -> Suggestion {
    let mut suggestion = suggestion(&it.path, SuggestedChange::Remove);
    if it.leaves_one {
        suggestion.text += ", and put the one condition that is left of that and_all in its place";
    }
    suggestion
}

/// Leaves out of the suggestions what takes back what was not asked for.
pub(super) fn settled(query: &Query, mut suggestions: Vec<Suggestion>) -> Vec<Suggestion> {
    if query.options.candidates_per_leg.is_none() {
        let taken_back = suggestion(CANDIDATES, SuggestedChange::Remove);
        suggestions.retain(|it| *it != taken_back);
    }
    suggestions
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
    let before = before.map(|last| in_epoch(SuggestedChange::Exactly(last.0 as f64)));
    let after = after.map(|first| in_epoch(SuggestedChange::Exactly(first.0 as f64)));
    before.or(after).into_iter().collect()
}

/// Returns the query changed so that the stage which lost the document does not, and the changes; nothing when no change
/// can be. `is_joined` says that the outermost `and_all` of the filter is not the caller's.
pub(super) fn remedy(
    query: &Query,
    fate: &Fate,
    metadata: &Metadata,
    is_joined: bool,
    way: Way,
) -> Option<(Query, Vec<Suggestion>)> {
    let mut changed = query.clone();
    let options = &mut changed.options;
    let suggestion = match fate.stage {
        MissingStage::FilteredOut => {
            let filter = query.filter.as_ref()?;
            changed.filter = without_obstacles(filter, metadata);
            let changes = left_out(filter, metadata, is_joined);
            return Some((changed, changes.iter().map(leave_out).collect()));
        }
        MissingStage::NoMatchingTerms => {
            changed.search_type = SearchType::Hybrid;
            suggestion("override_search_type", SuggestedChange::Remove)
        }
        MissingStage::NotReached if !query.exact => {
            changed.exact = true;
            suggestion("exact", SuggestedChange::Set)
        }
        MissingStage::NotListed | MissingStage::NotReached => return list_deeper(changed, fate, way),
        MissingStage::BelowThreshold => {
            let fades = options.recency.is_some();
            let threshold = below(fate.score, if fades { FADING_MARGIN } else { MARGIN });
            changed.score_threshold = Some(threshold);
            let mut suggestion = suggestion("score_threshold", SuggestedChange::AtMost(threshold));
            if fades {
                suggestion.text =
                    format!("set score_threshold to about {threshold} or less: the score fades with time");
            }
            suggestion
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
        MissingStage::CutOff => return more_results(changed, fate, way),
        MissingStage::Found | MissingStage::NoSuchDocument | MissingStage::NotVisible | MissingStage::NoChunks => {
            return None;
        }
    };
    Some((changed, vec![suggestion]))
}

/// Asks for so many results that the document is one of them.
fn more_results(mut changed: Query, fate: &Fate, way: Way) -> Option<(Query, Vec<Suggestion>)> {
    if way == Way::Most {
        return most_results(changed);
    }
    let mut suggestions = Vec::new();
    if way == Way::Pinned && changed.options.candidates_per_leg.is_none() {
        let candidates = within(fate.legs.first()?.candidates, MAX_CANDIDATES_PER_LEG)?;
        changed.options.candidates_per_leg = Some(candidates);
        suggestions.push(suggestion(CANDIDATES, SuggestedChange::Exactly(candidates as f64)));
    }
    changed.limit = within(fate.place_before_cut? as usize, MAX_RESULTS)?;
    suggestions.insert(0, suggestion(RESULTS, at_least(changed.limit)));
    Some((changed, suggestions))
}

/// Asks for as many results as there can be, unless that was done, or more would be looked at closer for them.
fn most_results(mut changed: Query) -> Option<(Query, Vec<Suggestion>)> {
    if changed.limit == MAX_RESULTS || changed.options.rerank.is_some() {
        return None;
    }
    changed.limit = MAX_RESULTS;
    Some((
        changed,
        vec![suggestion(RESULTS, SuggestedChange::Exactly(MAX_RESULTS as f64))],
    ))
}

/// Lets the legs list as deep as the document is in the leg where it stands best, and where it is there already, deeper.
fn list_deeper(mut changed: Query, fate: &Fate, way: Way) -> Option<(Query, Vec<Suggestion>)> {
    let is_unpinned = changed.options.candidates_per_leg.is_none();
    if way == Way::Most && is_unpinned && changed.limit < MAX_RESULTS {
        return most_results(changed);
    }
    let ranks = fate.legs.iter().filter_map(|leg| leg.exact);
    let rank = ranks.map(|exact| exact.rank).min()?;
    let rank = usize::try_from(rank).unwrap_or(usize::MAX);
    let listed = listed(&changed);
    let wanted = match rank {
        rank if rank > listed => rank,
        _ if listed < MAX_CANDIDATES_PER_LEG => MAX_CANDIDATES_PER_LEG.min(listed * 2),
        _ => listed * 2,
    };
    // The dense leg alone, with nothing that chooses among its candidates, lists what is wanted.
    let lists_results = changed.search_type == SearchType::Semantic && !changed.options.has_stages();
    if lists_results && is_unpinned {
        changed.limit = within(wanted, MAX_RESULTS)?;
        let suggestion = suggestion(RESULTS, at_least(changed.limit));
        return Some((changed, vec![suggestion]));
    }
    if let Some(candidates) = within(wanted, MAX_CANDIDATES_PER_LEG) {
        changed.options.candidates_per_leg = Some(candidates);
        let suggestion = suggestion(CANDIDATES, at_least(candidates));
        return Some((changed, vec![suggestion]));
    }
    if lists_results {
        return None;
    }
    // For many results, each leg lists twice as many, and so more than it can be told to.
    let limit = within(wanted.div_ceil(2), MAX_RESULTS)?;
    changed.limit = limit.max(changed.limit);
    let mut suggestions = vec![suggestion(RESULTS, at_least(changed.limit))];
    if !is_unpinned {
        changed.options.candidates_per_leg = None;
        suggestions.push(suggestion(CANDIDATES, SuggestedChange::Remove));
    }
    Some((changed, suggestions))
}

fn at_least(count: usize) -> SuggestedChange {
    SuggestedChange::AtLeast(count as f64)
}

fn within(count: usize, most: usize) -> Option<usize> {
    (count <= most).then_some(count)
}

/// Returns a number of few digits that is below a score by a share of it, and no more than a little farther.
fn below(score: f64, margin: f64) -> f64 {
    let lower = score - score.abs() * margin;
    let digits_before = lower.abs().log10().ceil();
    let scale = 10_f64.powf(f64::from(THRESHOLD_DIGITS) - digits_before);
    let rounded = (lower * scale).floor() / scale;
    // What is nearly 0 has no scale.
    if rounded.is_finite() && rounded <= lower {
        rounded
    } else {
        lower
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_a_little_below() {
        #[track_caller]
        fn check(score: f64, margin: f64, expected: f64) {
            let found = below(score, margin);
            assert!((found - expected).abs() <= f64::EPSILON * expected.abs(), "{found}");
            assert!(found <= score, "{found}");
        }
        check(0.523_456_789, MARGIN, 0.52345);
        check(0.5, MARGIN, 0.49999);
        check(0.5, FADING_MARGIN, 0.4995);
        check(12.345_678, FADING_MARGIN, 12.333);
        check(-0.25, MARGIN, -0.25001);
        check(0.0, MARGIN, 0.0);
        check(1e-310, MARGIN, 1e-310 - 1e-316);
    }
}
