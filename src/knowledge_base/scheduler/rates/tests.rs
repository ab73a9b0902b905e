//! Tests of what is learned and predicted.

use super::*;

fn read(tokens: u64, each: f64) -> Done {
    Done {
        read: tokens,
        reading: Duration::from_secs_f64(tokens as f64 * each),
        ..Done::default()
    }
}

fn written(tokens: u64, each: f64, beside: usize) -> Done {
    Done {
        written: tokens,
        writing: Duration::from_secs_f64(tokens as f64 * each),
        beside,
        ..Done::default()
    }
}

fn check(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= expected * 1e-6 + 1e-9,
        "{found} is not {expected}"
    );
}

#[test]
fn nothing_known_predicts_slowly_and_refuses_nobody() {
    let rates = Rates::new(8);
    let cost = rates.cost(1_000, 100, 1, false);
    check(cost.expected, 1_000.0 * FIRST_READ + 50.0 * FIRST_WRITE);
    check(cost.least + cost.due, 0.0);
    assert_eq!(
        (rates.reading_rate(), rates.writing_rate(1), rates.share()),
        (None, None, None)
    );
}

#[test]
fn what_was_seen_is_predicted() {
    let mut rates = Rates::new(8);
    rates.learn(read(128, 0.001));
    rates.learn(written(100, 0.01, 1));
    rates.learn_length(25, 100);
    check(rates.cost(500, 200, 1, false).expected, 0.5 + 0.25 * 200.0 * 0.01);
    check(rates.reading_rate().expect("it read"), 1_000.0);
    check(rates.writing_rate(1).expect("it wrote"), 100.0);
    // With more beside, as if they took turns; as with more, where only that was seen.
    check(rates.seconds_to_write(4), 0.04);
    rates.learn(written(100, 0.015, 4));
    check(rates.seconds_to_write(4), 0.015);
    check(rates.seconds_to_write(3), 0.03);
    check(rates.seconds_to_write(8), 0.03);
    check(rates.seconds_to_write(99), 0.03);
    let mut busy = Rates::new(8);
    busy.learn(written(100, 0.02, 8));
    check(busy.seconds_to_write(1), 0.02);
    check(
        rates.worth(Done {
            read: 100,
            ..written(10, 0.0, 4)
        }),
        0.1 + 0.15,
    );
}

#[test]
fn old_figures_fade() {
    let mut rates = Rates::new(1);
    for _ in 0..100 {
        rates.learn(written(64, 0.1, 1));
    }
    for _ in 0..100 {
        rates.learn(written(64, 0.01, 1));
    }
    assert!(rates.seconds_to_write(1) < 0.011, "{}", rates.seconds_to_write(1));
    rates.learn(written(1, 10.0, 1));
    assert!(rates.seconds_to_write(1) < 0.04, "one slow token counts for little");
}

#[test]
fn hope_is_given_up_by_good_figures_only() {
    let mut rates = Rates::new(8);
    for _ in 0..4 {
        rates.learn(read(64, 0.01));
        rates.learn(written(32, 0.02, 2));
        rates.learn_length(40, 100);
    }
    // At best twice as fast, and half as long as others were, whatever the limit.
    let cost = rates.cost(100, 1_000, 1, false);
    check(cost.least, 100.0 * 0.01 / 2.0 + (40.0 / 2.0) * 0.02 / 2.0);
    check(cost.due, cost.least);
    assert!(cost.least < cost.expected);
    let streamed = rates.cost(100, 1_000, 1, true);
    check(streamed.due, 0.5);
    check(streamed.least, cost.least);
}

#[test]
fn odd_figures_do_no_harm() {
    let mut rates = Rates::new(0);
    rates.learn(Done::default());
    rates.learn(Done {
        beside: usize::MAX,
        ..written(1, 0.0, 1)
    });
    rates.learn_length(u64::MAX, 0);
    for (tokens, most) in [(0, 0), (u64::MAX, usize::MAX as u64)] {
        let cost = rates.cost(tokens, most, usize::MAX, true);
        assert!(cost.expected.is_finite() && cost.expected > 0.0, "{cost:?}");
        assert!(cost.least <= cost.expected, "{cost:?}");
    }
}
