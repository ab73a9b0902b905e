//! Flags that say how scores are made and what becomes of the candidates; `search`, `ask` and `explain` share them.

use clap::{Args, ValueEnum};

use crate::service::pb;
use crate::service::pb::context_expansion_configuration::Extent;

/// What a search does beyond the words.
#[derive(Debug, Default, Args)]
pub(super) struct ScoringFlags {
    /// How both legs become one score [default: weighted-sum]
    #[arg(long, value_name = "METHOD")]
    fusion: Option<Fusion>,
    /// Candidates that each leg lists [default: twice the hits, at least 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    candidates: Option<u32>,
    /// At most this many chunks of one document
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    per_document: Option<u32>,
    /// Prefer hits that differ: 1 looks at scores alone, 0 at difference alone
    #[arg(long, value_name = "LAMBDA")]
    diversity: Option<f64>,
    /// Fold near-equal passages of different documents into the best one
    #[arg(long)]
    fold_duplicates: bool,
    /// Add the text of this many chunks before and after each hit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=8), conflicts_with = "section")]
    neighbors: Option<u32>,
    /// Add the section that each hit stands in
    #[arg(long)]
    section: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Fusion {
    /// The weighted sum of cosine and relative BM25
    WeightedSum,
    /// Reciprocal ranks
    ReciprocalRank,
}

impl ScoringFlags {
    /// Adds to a search what the flags say.
    pub(super) fn add_to(self, search: &mut pb::VectorSearchConfiguration) {
        let fusion = self.fusion.map_or(pb::FusionMethod::Unspecified, |it| match it {
            Fusion::WeightedSum => pb::FusionMethod::WeightedSum,
            Fusion::ReciprocalRank => pb::FusionMethod::ReciprocalRank,
        });
        let extent = match (self.neighbors, self.section) {
            (Some(count), _) => Some(Extent::Neighbors(count)),
            (None, true) => Some(Extent::Section(true)),
            (None, false) => None,
        };
        search.fusion = fusion.into();
        search.candidates_per_leg = self.candidates.unwrap_or_default();
        search.diversity = self
            .diversity
            .map(|lambda| pb::DiversityConfiguration { lambda: Some(lambda) });
        search.grouping = self
            .per_document
            .map(|max_chunks_per_document| pb::GroupingConfiguration {
                max_chunks_per_document,
            });
        search.near_duplicates = self.fold_duplicates.then(pb::NearDuplicateConfiguration::default);
        search.context_expansion = extent.map(|extent| pb::ContextExpansionConfiguration {
            extent: Some(extent),
            max_bytes: 0,
        });
    }
}

/// Returns how a score came about, line by line.
pub(super) fn explained(explanation: &pb::ScoreExplanation) -> Vec<String> {
    let mut lines = vec![sum(explanation)];
    lines.extend(explanation.rerank.iter().map(reranked));
    for factor in factors(explanation) {
        lines.push(factor);
    }
    let terms = explanation.terms.iter().map(|term| {
        let field = match term.field() {
            pb::TermField::Heading => " in headings",
            pb::TermField::Surroundings => " around",
            pb::TermField::Proximity => {
                return format!("{} {:.3} ({} apart)", term.term, term.score, term.frequency);
            }
            _ => "",
        };
        format!("{}{field} {:.3} ({}×)", term.term, term.score, term.frequency)
    });
    let terms: Vec<String> = terms.collect();
    if !terms.is_empty() {
        lines.push(format!("bm25 of {}", terms.join(", ")));
    }
    lines
}

fn sum(explanation: &pb::ScoreExplanation) -> String {
    let parts = explanation.legs.iter().map(|leg| {
        let name = match leg.leg() {
            pb::SearchLeg::Keyword => "bm25",
            _ => "cosine",
        };
        format!("{} × {name} {:.4}", leg.weight, leg.normalized)
    });
    let transformation = explanation.transformation_contribution;
    let transformation = transformation.map_or_else(String::new, |added| {
        let sign = if added < 0.0 { '-' } else { '+' };
        format!(" {sign} {:.4} for uniting wordings", added.abs())
    });
    let parts: Vec<String> = parts.collect();
    format!(
        "fused {:.4} = {}{transformation}; place {} of {} candidates",
        explanation.fused_score,
        parts.join(" + "),
        explanation.fused_rank,
        explanation.candidate_count
    )
}

/// Returns what reranking did.
pub(super) fn reranked(effect: &pb::RerankEffect) -> String {
    let pb::RerankEffect {
        place_before,
        place_after,
        weight,
        score,
        ..
    } = effect;
    match effect.relevance {
        Some(relevance) => format!(
            "reranked {score:.4}, {weight} of it relevance {relevance:.4}: from place {place_before} to {place_after}"
        ),
        None => format!("kept below what was reranked at {score:.4}: from place {place_before} to {place_after}"),
    }
}

fn factors(explanation: &pb::ScoreExplanation) -> impl Iterator<Item = String> {
    let boosts = explanation
        .boosts
        .iter()
        .map(|boost| format!("times {:.4} by boost {}", boost.multiplier, boost.index));
    let recency = explanation.recency.iter().map(|effect| match &effect.age {
        Some(age) => format!("times {:.4} by an age of {:.1} days", effect.multiplier, days(age)),
        None => format!("times {:.4}, because it has no date", effect.multiplier),
    });
    let diversity = explanation.diversity.iter().map(|effect| {
        format!(
            "chosen at {:.4}: similarity {:.4} takes {:.4}",
            effect.marginal_relevance, effect.similarity, effect.penalty
        )
    });
    boosts.chain(recency).chain(diversity)
}

fn days(age: &prost_types::Duration) -> f64 {
    age.seconds as f64 / 86_400.0
}
