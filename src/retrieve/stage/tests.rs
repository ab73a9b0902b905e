//! Tests of stages.

use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::document::DocumentId;
use crate::document::metadata::{Metadata, MetadataValue};
use crate::retrieve::{Boost, Filter, Recency};

const DAY: Duration = Duration::from_hours(24);

/// Lines up candidates 1, 2, … with these scores.
fn line(scores: &[f64]) -> Line {
    let candidates = (1..).map(ChunkId).zip(scores).map(|(chunk_id, score)| Candidate {
        chunk_id,
        score: *score,
        bm25: None,
        cosine: None,
    });
    Line::new(candidates.collect())
}

fn facts(chunk_id: u64, revision_id: u64, metadata: Metadata) -> (ChunkId, Arc<ChunkFacts>) {
    let facts = ChunkFacts {
        revision_id,
        document_id: DocumentId::parse(format!("d{revision_id}")).expect("it is valid"),
        metadata,
    };
    (ChunkId(chunk_id), Arc::new(facts))
}

/// Chunk `n` belongs to the `n`th of these documents.
fn of_documents(documents: &[u64]) -> Facts {
    let chunks = (1..).zip(documents);
    chunks
        .map(|(chunk, document)| facts(chunk, *document, Metadata::new()))
        .collect()
}

/// Chunk `n`, a document by itself, has the `n`th of these dates.
fn dated(dates: &[Option<MetadataValue>]) -> Facts {
    let chunks = (1..).zip(dates);
    let with_date = |date: &Option<MetadataValue>| date.iter().map(|date| ("date".to_owned(), date.clone())).collect();
    chunks
        .map(|(chunk, date)| facts(chunk, chunk, with_date(date)))
        .collect()
}

#[track_caller]
fn check(line: &Line, kept: &[u64], lost: &[(u64, Loss)]) {
    let found: Vec<u64> = line.kept.iter().map(|staged| staged.chunk_id().0).collect();
    assert_eq!(found, kept);
    let found: Vec<(u64, Loss)> = line
        .lost
        .iter()
        .map(|lost| (lost.staged.chunk_id().0, lost.loss))
        .collect();
    assert_eq!(found, lost);
}

#[test]
fn low_scores_and_the_rest_are_cut() {
    let mut line = line(&[0.9, 0.5, 0.4, 0.1]);
    leave_out_low(&mut line, 0.4);
    cut(&mut line, 2);
    check(&line, &[1, 2], &[(4, Loss::BelowThreshold), (3, Loss::CutOff)]);
    assert_eq!(line.lost[1].place, 3);
    cut(&mut line, 5);
    assert_eq!(line.kept.len(), 2);
}

#[test]
fn boosts_multiply_and_order_again() {
    let (yes, no) = (Some(MetadataValue::Boolean(true)), None);
    let facts = dated(&[no.clone(), yes.clone(), no, yes]);
    let boosts = [2.0, 3.0].map(|factor| Boost {
        filter: Filter::Equals("date".to_owned(), MetadataValue::Boolean(true)),
        factor,
    });
    let mut line = line(&[0.9, 0.5, -0.3, -0.6]);
    boost(&mut line, &boosts, &facts);
    check(&line, &[2, 1, 4, 3], &[]);
    let scores: Vec<f64> = line.kept.iter().map(|staged| staged.score).collect();
    assert!(
        (scores[0] - 3.0).abs() < 1e-12 && (scores[2] + 0.1).abs() < 1e-12,
        "{scores:?}"
    );
    assert_eq!(line.kept[0].boosts.len(), 2);
    assert_eq!(line.kept[0].fused_rank, 2);
    assert_eq!(line.kept[1].boosts, []);
}

#[test]
fn scores_fade_with_age_down_to_the_floor() {
    let text = |date: &str| Some(MetadataValue::String(date.to_owned()));
    let facts = dated(&[
        text("2024-01-01"),
        text("2024-01-11"),
        Some(MetadataValue::Number(1_704_067_200.0)),
        text("soon"),
        text("2030-01-01"),
        None,
    ]);
    let recency = Recency {
        attribute_key: "date".to_owned(),
        half_life: DAY * 10,
        floor: 0.2,
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_hours(473_592);
    let mut line = line(&[1.0, 0.9, 1.0, 1.0, 0.8, 0.5]);
    fade(&mut line, &recency, &facts, now);
    check(&line, &[2, 5, 1, 3, 4, 6], &[]);
    let effects: Vec<_> = line.kept.iter().filter_map(|staged| staged.recency).collect();
    let ages: Vec<_> = effects.iter().map(|effect| effect.age).collect();
    let ten = Some(DAY * 10);
    assert_eq!(ages, [Some(Duration::ZERO), Some(Duration::ZERO), ten, ten, None, None]);
    let multipliers: Vec<_> = effects.iter().map(|effect| effect.multiplier).collect();
    for (found, expected) in multipliers.iter().zip([1.0, 1.0, 0.6, 0.6, 0.2, 0.2]) {
        assert!((found - expected).abs() < 1e-12, "{multipliers:?}");
    }
}

#[test]
fn documents_keep_their_best_chunks() {
    let mut first = line(&[0.9, 0.8, 0.7, 0.6, 0.5]);
    let facts = of_documents(&[1, 1, 2, 1, 2]);
    group(&mut first, 1, &facts);
    let under = |chunk| Loss::GroupedUnder(ChunkId(chunk));
    check(&first, &[1, 3], &[(2, under(1)), (4, under(1)), (5, under(3))]);
    let mut two = line(&[0.9, 0.8, 0.7, 0.6, 0.5]);
    group(&mut two, 2, &facts);
    check(&two, &[1, 2, 3, 5], &[(4, under(1))]);
}

const PASSAGE: &str = "The blue crane on the north quay lifts 48 tonnes and was built in 1987 by the yard of \
    Harland, which still keeps the drawings in its archive for anybody who asks the keeper in time";

#[track_caller]
fn check_folded(texts: &[&str], documents: &[u64], least: f64, kept: &[u64], folded: &[u64]) {
    let mut line = line(&vec![0.5; texts.len()]);
    let texts = (1..).map(ChunkId).zip(texts.iter().map(|text| (*text).to_owned()));
    fold(&mut line, least, &texts.collect(), &of_documents(documents));
    let found: Vec<u64> = line.kept.iter().map(|staged| staged.chunk_id().0).collect();
    assert_eq!(found, kept);
    let into_first: Vec<u64> = line.kept[0].folded.iter().map(|folded| folded.chunk_id.0).collect();
    assert_eq!(into_first, folded);
    assert_eq!(line.kept.len() + line.lost.len(), documents.len());
}

#[test]
fn near_equal_passages_are_folded_into_the_best() {
    let shouted = PASSAGE.to_uppercase().replace(' ', "\n");
    let reworded = PASSAGE.replace("anybody", "everybody");
    let other = "High water comes twice a day.";
    check_folded(
        &[PASSAGE, &shouted, other, PASSAGE],
        &[1, 2, 3, 4],
        1.0,
        &[1, 3],
        &[2, 4],
    );
    check_folded(&[PASSAGE, &reworded], &[1, 2], 0.8, &[1], &[2]);
    check_folded(&[PASSAGE, &reworded], &[1, 2], 0.98, &[1, 2], &[]);
    check_folded(&["tides", "Tides!", "tide"], &[1, 2, 3], 0.9, &[1, 3], &[2]);
}

#[test]
fn other_numbers_and_own_chunks_are_not_folded() {
    let heavier = PASSAGE.replace("48", "84");
    check_folded(&[PASSAGE, &heavier], &[1, 2], 0.1, &[1, 2], &[]);
    check_folded(&[PASSAGE, PASSAGE], &[1, 1], 0.9, &[1, 2], &[]);
    check_folded(&["", "", "---"], &[1, 2, 3], 0.9, &[1, 2, 3], &[]);
}

fn vectors(degrees: &[f32]) -> HashMap<ChunkId, Vec<f32>> {
    let chunks = (1..).map(ChunkId).zip(degrees);
    let vector = |degrees: &f32| {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        vec![cosine, sine]
    };
    chunks.map(|(chunk_id, degrees)| (chunk_id, vector(degrees))).collect()
}

#[test]
fn diversity_prefers_what_differs() {
    let scores = [1.0, 0.99, 0.8, 0.3];
    let angles = vectors(&[0.0, 1.0, 80.0, 91.0]);
    let mut alike = line(&scores);
    diversify(&mut alike, 1.0, 3, &angles);
    check(&alike, &[1, 2, 3], &[(4, Loss::CutOff)]);
    let mut mixed = line(&scores);
    diversify(&mut mixed, 0.5, 2, &angles);
    check(&mixed, &[1, 3], &[(2, Loss::NotDiverse), (4, Loss::CutOff)]);
    let effect = mixed.kept[1].diversity.expect("it was placed");
    assert_eq!(effect.similar_to, Some(ChunkId(1)));
    assert!((effect.marginal_relevance - (0.5 * effect.relevance - effect.penalty)).abs() < 1e-12);
    assert!((effect.similarity - 80.0_f64.to_radians().cos()).abs() < 1e-6);
    let mut different = line(&scores);
    diversify(&mut different, 0.0, 2, &angles);
    check(&different, &[1, 4], &[(2, Loss::NotDiverse), (3, Loss::CutOff)]);
}

#[test]
fn diversity_does_without_vectors_and_good_scores() {
    let mut line = line(&[-0.1, -0.2, -0.3]);
    diversify(&mut line, 0.5, 2, &HashMap::new());
    check(&line, &[1, 2], &[(3, Loss::CutOff)]);
    let mut none = Line::default();
    diversify(&mut none, 0.5, 2, &HashMap::new());
    check(&none, &[], &[]);
}

proptest! {
    #[test]
    fn every_candidate_is_kept_or_lost_once(
        scores in prop::collection::vec(-1.0_f64..1.0, 0..150),
        documents in prop::collection::vec(1_u64..20, 150),
        (threshold, lambda, limit, per_document) in (-1.0_f64..1.0, 0.0..=1.0, 1_usize..30, 1_usize..4),
    ) {
        let facts = of_documents(&documents);
        let degrees: Vec<f32> = documents.iter().map(|document| *document as f32 * 9.0).collect();
        let texts: HashMap<_, _> = (1..).map(ChunkId).zip(documents.iter().map(|it| format!("text {}", it % 5))).collect();
        let mut line = line(&scores);
        line.sort();
        leave_out_low(&mut line, threshold);
        fold(&mut line, 0.9, &texts, &facts);
        group(&mut line, per_document, &facts);
        diversify(&mut line, lambda, limit, &vectors(&degrees));
        prop_assert!(line.kept.len() <= limit);
        prop_assert!(line.kept.iter().all(|staged| staged.score >= threshold));
        let lost = line.lost.iter().map(|lost| lost.staged.chunk_id());
        let mut all: Vec<ChunkId> = line.chunk_ids().into_iter().chain(lost).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (1..=scores.len() as u64).map(ChunkId).collect::<Vec<_>>());
        let mut counts = HashMap::new();
        for id in line.chunk_ids() {
            *counts.entry(facts[&id].revision_id).or_insert(0_usize) += 1;
        }
        prop_assert!(counts.values().all(|count| *count <= per_document));
    }
}

#[test]
fn reranking_blends_and_keeps_the_rest_below() {
    #[track_caller]
    fn check(scores: &[f64], relevances: &[f64], weight: f64, relative: bool, expected: &[(u64, f64)]) {
        let mut line = line(scores);
        rerank(&mut line, relevances, weight, relative);
        let order: Vec<u64> = line.kept.iter().map(|staged| staged.chunk_id().0).collect();
        assert_eq!(order, expected.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        for (place, (staged, (_, score))) in (1..).zip(line.kept.iter().zip(expected)) {
            let effect = staged.rerank.expect("all of them are told");
            assert!((staged.score - score).abs() < 1e-12, "{effect:?} is not {score}");
            assert_eq!((effect.place_before, effect.place), (staged.fused_rank, place));
            assert!(effect.relevance.is_some() == (staged.fused_rank as usize <= relevances.len()));
        }
        assert!(line.kept.iter().is_sorted_by(|left, right| left.score >= right.score));
    }
    check(
        &[0.9, 0.8, 0.7],
        &[0.1, 0.6],
        0.5,
        false,
        &[(2, 0.7), (1, 0.5), (3, 0.5)],
    );
    check(
        &[0.9, 0.8, 0.7, 0.2],
        &[0.3],
        1.0,
        false,
        &[(1, 0.3), (2, 0.3), (3, 0.3), (4, 0.2)],
    );
    check(&[0.9, 0.8], &[0.0, 0.0], 0.0, false, &[(1, 0.9), (2, 0.8)]);
    check(&[0.9, 0.8], &[], 0.8, false, &[(1, 0.9), (2, 0.8)]);
    check(
        &[20.0, 10.0, 5.0],
        &[0.2, 1.0],
        0.5,
        true,
        &[(2, 0.75), (1, 0.6), (3, 0.25)],
    );
    check(&[-1.0, -2.0], &[0.5], 0.5, true, &[(1, -0.25), (2, -2.0)]);
    check(&[], &[], 0.8, true, &[]);
}

proptest! {
    #[test]
    fn reranked_order_survives_sorting(
        scores in prop::collection::vec(-2.0..2.0_f64, 0..30),
        relevances in prop::collection::vec(-1.0..1.0_f64, 0..30),
        weight in 0.0..=1.0_f64,
        relative in any::<bool>(),
    ) {
        let mut scores = scores;
        scores.sort_by(|left, right| right.total_cmp(left));
        let mut line = line(&scores);
        let count = relevances.len().min(scores.len());
        rerank(&mut line, &relevances[..count], weight, relative);
        let order = line.chunk_ids();
        let rest: Vec<u64> = order[count..].iter().map(|id| id.0).collect();
        prop_assert_eq!(rest, (count as u64 + 1..=scores.len() as u64).collect::<Vec<_>>());
        line.sort();
        prop_assert_eq!(line.chunk_ids(), order);
    }
}
