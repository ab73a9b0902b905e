//! Tests of the pace.

use std::time::{Duration, Instant};

use super::Pace;

#[test]
fn same_stage_is_told_with_pauses() {
    let begin = Instant::now();
    let mut pace = Pace::default();
    let told: Vec<u64> = (0..=1_000)
        .step_by(10)
        .filter(|millis| pace.is_due("reading", begin + Duration::from_millis(*millis)))
        .collect();
    assert_eq!(told, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000]);
}

#[test]
fn new_stage_is_told_at_once() {
    let begin = Instant::now();
    let mut pace = Pace::default();
    assert!(pace.is_due("reading", begin));
    assert!(!pace.is_due("reading", begin));
    assert!(pace.is_due("comparing", begin));
    assert!(!pace.is_due("comparing", begin));
}
