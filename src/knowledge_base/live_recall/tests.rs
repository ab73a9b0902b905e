//! Tests of live recall: what counts as found, what is sampled, what is remembered and told.

use super::window::{MAX_CHECKS, MIN_CHECKS};
use super::*;
use crate::retrieve::LegScore;

fn exact(scores: &[f32]) -> Vec<Scored> {
    let scored = (0..).zip(scores).map(|(id, score)| Scored {
        chunk_id: ChunkId(id),
        score: *score,
    });
    scored.collect()
}

#[test]
fn recall_counts_what_is_as_near() {
    #[track_caller]
    fn check(k: usize, listed: &[f64], nearest: &[f32], expected: f64) {
        let found = recall_at(k, listed, &exact(nearest));
        assert!((found - expected).abs() < 1e-12, "{found} of {listed:?} in {nearest:?}");
    }
    check(10, &[], &[], 1.0);
    check(10, &[], &[0.5, 0.25], 0.0);
    check(2, &[0.5, 0.25], &[0.5, 0.25], 1.0);
    // One of the nearest was missed, and a farther one took its place.
    check(2, &[0.5, 0.125], &[0.5, 0.25, 0.125], 0.5);
    check(4, &[0.5, 0.25, 0.125], &[0.75, 0.5, 0.25, 0.125], 0.75);
    // Fewer exist than are asked for.
    check(10, &[0.5], &[0.5, 0.25], 0.5);
    // Which of the equal ones is listed makes no difference.
    check(2, &[0.5, 0.25], &[0.5, 0.25, 0.25, 0.25], 1.0);
    // What is listed behind the first k does not count.
    check(1, &[0.25, 0.5], &[0.5, 0.25], 0.0);
}

#[test]
fn lists_are_those_of_the_dense_leg() {
    let candidate = |id, rank, raw| Candidate {
        chunk_id: ChunkId(id),
        score: 0.0,
        bm25: None,
        cosine: Some(LegScore {
            rank,
            raw,
            normalized: 0.0,
        }),
    };
    let fused = [
        candidate(1, Some(2), 0.5),
        candidate(2, None, 0.9),
        candidate(3, Some(1), 0.75),
        Candidate {
            cosine: None,
            ..candidate(4, None, 0.0)
        },
    ];
    assert_eq!(dense_list(&fused), [(ChunkId(3), 0.75), (ChunkId(1), 0.5)]);
}

#[test]
fn samples_are_the_wanted_share() {
    let sampled = |share: f64| {
        let up_to = (share * u64::MAX as f64) as u64;
        (0..100_000).filter(|number| hash(*number) <= up_to).count()
    };
    assert_eq!(sampled(1.0), 100_000);
    assert!((900..1_100).contains(&sampled(0.01)), "{}", sampled(0.01));
    assert!((49_000..51_000).contains(&sampled(0.5)), "{}", sampled(0.5));
}

#[test]
fn windows_hold_the_last_checks() {
    let mut window = Window::default();
    assert_eq!(window.info(), LiveRecallInfo::default());
    let checked = |recall, is_filtered| Checked {
        recall_at_10: recall,
        recall,
        is_filtered,
    };
    window.add(checked(0.0, false));
    for _ in 0..MAX_CHECKS - 1 {
        window.add(checked(1.0, false));
    }
    assert_eq!(window.info().all.map(|all| all.lowest_recall_at_10), Some(0.0));
    window.add(checked(0.5, true));
    window.drop_one();
    let info = window.info();
    assert_eq!((info.checked_queries, info.dropped_queries), (1_001, 1));
    let all = info.all.expect("there were checks");
    assert_eq!((all.queries, all.lowest_recall_at_10), (1_000, 0.5));
    assert!((all.recall_at_10 - 0.9995).abs() < 1e-9 && (all.recall - 0.9995).abs() < 1e-9);
    assert_eq!(
        info.unfiltered.map(|figures| (figures.queries, figures.recall)),
        Some((999, 1.0))
    );
    assert_eq!(
        info.filtered.map(|figures| (figures.queries, figures.recall)),
        Some((1, 0.5))
    );
}

#[test]
fn low_recall_is_told_once_a_minute() {
    let mut window = Window::default();
    let now = Instant::now();
    let low = Checked {
        recall_at_10: 0.9,
        recall: 0.9,
        is_filtered: false,
    };
    for _ in 1..MIN_CHECKS {
        window.add(low);
        assert_eq!(window.warning(now), None, "too few to tell");
    }
    window.add(low);
    assert_eq!(window.warning(now).map(|low| low.queries), Some(MIN_CHECKS as u64));
    let minute = Duration::from_mins(1);
    assert_eq!(window.warning(now + minute / 2), None);
    assert!(window.warning(now + minute).is_some());
    for _ in 0..MAX_CHECKS {
        window.add(Checked {
            recall_at_10: 0.99,
            ..low
        });
    }
    assert_eq!(window.warning(now + 3 * minute), None);
}
