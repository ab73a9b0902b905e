//! Tests of measures, rankings and significance. Expected values come from `trec_eval`'s own code.

mod files;

use proptest::prelude::*;

use super::*;

const QRELS: &str = include_str!("tests/graded.qrels.tsv");
const RUN: &str = include_str!("tests/graded.run");
/// What `trec_eval` says of the two: graded, negative and zero grades, ties, ties of 32-bit numbers only, documents that
/// nobody judged, queries without a ranking, without a relevant document, and without judgments.
const EXPECTED: &str = include_str!("tests/graded.expected.tsv");

fn run_of(text: &'static str) -> Run {
    Run::parse(files::lines(text)).expect("the run can be read")
}

fn judgments_of(text: &'static str) -> Judgments {
    Judgments::parse(files::lines(text), |_| None).expect("the judgments can be read")
}

fn ranking(documents: &[(&str, f64)]) -> Ranking {
    let documents = documents.iter().map(|(id, score)| Retrieved {
        document_id: (*id).to_owned(),
        score: *score,
    });
    Ranking::new(documents.collect())
}

fn ids(ranking: &Ranking) -> Vec<&str> {
    let documents = ranking.documents().iter();
    documents.map(|document| document.document_id.as_str()).collect()
}

fn grades(grades: &[(&str, i64)]) -> Grades {
    grades.iter().map(|(id, grade)| ((*id).to_owned(), *grade)).collect()
}

#[test]
fn measures_equal_those_of_trec_eval() {
    let mut lines = EXPECTED.lines().map(|line| line.split('\t'));
    let head = lines.next().expect("a head").skip(1);
    let measures: Vec<Measure> = head.map(|name| name.parse().expect("a measure")).collect();
    let evaluation = Evaluation::of(&run_of(RUN), &judgments_of(QRELS), &measures);
    assert_eq!((evaluation.queries.len(), evaluation.unjudged_count), (12, 1));
    assert_eq!(evaluation.empty_count(), 1);
    let mut sums = vec![0.0; measures.len()];
    for (mut expected, found) in lines.zip(&evaluation.queries) {
        assert_eq!(expected.next(), Some(found.query_id.as_str()));
        for (at, expected) in expected.enumerate() {
            let expected: f64 = expected.parse().expect("a number");
            let value = found.values[at];
            assert!(
                (value - expected).abs() < 1e-12,
                "{} of {}: {value}, not {expected}",
                measures[at],
                found.query_id
            );
            sums[at] += expected;
        }
    }
    for ((measure, mean), sum) in evaluation.means().into_iter().zip(sums) {
        assert!((mean - sum / 12.0).abs() < 1e-12, "mean {measure}: {mean}");
    }
}

#[test]
fn ties_are_broken_by_falling_id() {
    let tied = ranking(&[("a", 1.0), ("b", 2.0), ("c", 1.0), ("ab", 1.0)]);
    assert_eq!(ids(&tied), ["b", "c", "ab", "a"]);
    let tied_as_32_bit = ranking(&[("a", 1.0 + 1e-9), ("b", 1.0), ("c", 1.0 + 1e-6)]);
    assert_eq!(ids(&tied_as_32_bit), ["c", "b", "a"]);
    let odd = ranking(&[("a", f64::NAN), ("b", -0.0), ("c", 0.0), ("d", f64::INFINITY)]);
    assert_eq!(ids(&odd), ["d", "c", "b", "a"]);
}

#[test]
fn hits_fold_to_their_best_document() {
    let hits = [("a", 3.0), ("b", 2.5), ("a", 2.0), ("c", 1.0), ("b", 2.7)];
    let hits = hits.map(|(id, score)| (id.to_owned(), score));
    let folded = Ranking::of_hits(hits.clone(), 2);
    assert_eq!(folded, ranking(&[("a", 3.0), ("b", 2.7)]));
    assert_eq!(ids(&Ranking::of_hits(hits, 9)), ["a", "b", "c"]);
    assert!(Ranking::of_hits([], 9).documents().is_empty());
}

#[test]
fn names_of_measures_are_read_back() {
    let measures = [Measure::Ndcg(3), Measure::Precision(7)].into_iter();
    for measure in measures.chain(Measure::USUAL) {
        assert_eq!(measure.to_string().parse(), Ok(measure));
        assert_eq!(measure.to_string().to_uppercase().parse(), Ok(measure));
    }
    for wrong in ["", "ndcg", "ndcg@0", "ndcg@-1", "recall@x", "map@10", "f1@3"] {
        assert!(wrong.parse::<Measure>().is_err(), "{wrong}");
    }
}

#[test]
fn differences_are_counted_and_weighed() {
    #[track_caller]
    fn check(first: &[f64], second: &[f64], counts: (usize, usize, usize), p_value: f64) {
        let found = Comparison::of(first, second);
        assert_eq!((found.better_count, found.worse_count, found.same_count), counts);
        assert!((found.p_value - p_value).abs() < 1e-12, "{}", found.p_value);
    }
    check(&[], &[], (0, 0, 0), 1.0);
    check(&[0.5, 0.5], &[0.5, 0.5], (0, 0, 2), 1.0);
    // Of 2 × 2 × 2 signs, only all of one kind are as far from 0.
    check(&[0.1, 0.2, 0.3, 0.9], &[0.2, 0.4, 0.6, 0.9], (3, 0, 1), 0.25);
    check(&[0.4, 0.2], &[0.2, 0.4], (1, 1, 0), 1.0);
    // Differences 1, 2, 3 and -4: of 16 sums, 14 are at least 2 from 0, and two are 0.
    check(&[0.0, 0.0, 0.0, 0.4], &[0.1, 0.2, 0.3, 0.0], (3, 1, 0), 14.0 / 16.0);
}

#[test]
fn many_queries_are_compared_by_draws() {
    let first: Vec<f64> = (0..200).map(|at| f64::from(at % 10) / 20.0).collect();
    let better: Vec<f64> = first.iter().map(|value| value + 0.1).collect();
    let sure = Comparison::of(&first, &better);
    assert!((sure.p_value - 1.0 / f64::from(PERMUTATIONS + 1)).abs() < 1e-12);
    assert!((sure.difference() - 0.1).abs() < 1e-12);
    let swapped: Vec<f64> = first.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    let unsure = Comparison::of(&first, &swapped);
    assert!(unsure.p_value > 0.9, "{}", unsure.p_value);
    assert_eq!(Comparison::of(&first, &swapped), unsure, "draws are the same each time");
}

/// Sums of 100 independent signs are normal enough: the p-value of a difference of 1.96 standard errors is about 0.05.
#[test]
fn draws_agree_with_the_normal_distribution() {
    let ups = 60;
    let second: Vec<f64> = (0..100).map(|at| if at < ups { 1.0 } else { 0.0 }).collect();
    let first: Vec<f64> = second.iter().map(|value| 1.0 - value).collect();
    let found = Comparison::of(&first, &second).p_value;
    // Two tails of the binomial distribution: P(X ≥ 60 or X ≤ 40) with n = 100.
    assert!((found - 0.0569).abs() < 0.01, "{found}");
}

/// A ranking of the documents 0 to 29 without repeats, and grades for some of them.
fn judged() -> impl Strategy<Value = (Vec<String>, Grades)> {
    let order = Just((0..30).collect::<Vec<u32>>()).prop_shuffle();
    let grades = prop::collection::hash_map(0..40_u32, -2..5_i64, 0..30);
    (order, 0..30_usize, grades).prop_map(|(order, length, grades)| {
        let ids = order.iter().take(length).map(ToString::to_string);
        let grades = grades.into_iter().map(|(id, grade)| (id.to_string(), grade));
        (ids.collect(), grades.collect())
    })
}

fn values(ranking: &[String], grades: &Grades) -> Vec<f64> {
    let judged = Judged::new(ranking.iter().map(String::as_str), grades);
    Measure::USUAL.iter().map(|measure| measure.of(&judged)).collect()
}

proptest! {
    #[test]
    fn measures_lie_between_zero_and_one((ranking, grades) in judged()) {
        for (measure, value) in Measure::USUAL.iter().zip(values(&ranking, &grades)) {
            prop_assert!((0.0..=1.0 + 1e-12).contains(&value), "{measure} is {value}");
        }
    }

    #[test]
    fn best_order_has_the_best_values((_, grades) in judged()) {
        let mut best: Vec<String> = grades.keys().cloned().collect();
        best.sort_by_key(|id| -grades[id]);
        let relevant = grades.values().filter(|grade| **grade > 0).count();
        let judged = Judged::new(best.iter().map(String::as_str), &grades);
        for measure in Measure::USUAL {
            let expected = match measure {
                _ if relevant == 0 => 0.0,
                Measure::Precision(cutoff) => relevant.min(cutoff) as f64 / cutoff as f64,
                Measure::Recall(cutoff) => relevant.min(cutoff) as f64 / relevant as f64,
                _ => 1.0,
            };
            prop_assert!((measure.of(&judged) - expected).abs() < 1e-12, "{measure}");
        }
    }

    #[test]
    fn relevant_document_moved_up_never_harms((ranking, grades) in judged(), at in 1..30_usize) {
        prop_assume!(at < ranking.len());
        let grade = |id: &String| grades.get(id).copied().unwrap_or(0).max(0);
        prop_assume!(grade(&ranking[at]) >= grade(&ranking[at - 1]));
        let mut better = ranking.clone();
        better.swap(at - 1, at);
        for (measure, (before, after)) in Measure::USUAL.iter().zip(values(&ranking, &grades).into_iter().zip(values(&better, &grades))) {
            prop_assert!(after >= before - 1e-12, "{measure} falls from {before} to {after}");
        }
    }

    #[test]
    fn order_of_runs_only_turns_the_sign(pairs in prop::collection::vec((0.0..1.0_f64, 0.0..1.0_f64), 0..40)) {
        let (first, second): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let (there, back) = (Comparison::of(&first, &second), Comparison::of(&second, &first));
        prop_assert!((there.p_value - back.p_value).abs() < 1e-12);
        prop_assert!(there.p_value > 0.0 && there.p_value <= 1.0);
        prop_assert_eq!(there.better_count, back.worse_count);
        prop_assert_eq!(there.better_count + there.worse_count + there.same_count, first.len());
    }

    #[test]
    fn written_runs_are_read_back(scores in prop::collection::vec(prop::collection::hash_map("[a-z#_.]{1,8}", -1e6..1e6_f64, 1..20), 1..5)) {
        let mut run = Run::default();
        for (query, documents) in scores.into_iter().enumerate() {
            run.insert(format!("q{query}"), Ranking::of_hits(documents, 100));
        }
        let mut written = Vec::new();
        run.write("made", &mut written).expect("memory takes everything");
        let text = String::from_utf8(written).expect("text");
        prop_assert_eq!(Run::parse(files::lines(text)).expect("a run"), run);
    }
}

#[test]
fn grades_below_zero_take_nothing_away() {
    let judged = Judged::new(["a", "b"], &grades(&[("a", -1), ("b", 2)]));
    assert_eq!(judged.relevant_count(), 1);
    let expected = 1.0 / 3.0_f64.log2();
    assert!((Measure::Ndcg(10).of(&judged) - expected).abs() < 1e-12);
}
