//! Draws: fixed for a seed, within what the caller left over, harmless on any logits.

use proptest::prelude::*;

use super::*;

fn draw(temperature: f64, top_p: f64, seed: u64, logits: &[f32]) -> Vec<Option<u32>> {
    let mut sampler = Sampler::new(&Inference {
        temperature,
        top_p,
        seed,
        ..Inference::default()
    });
    (0..64).map(|_| sampler.sample(logits)).collect()
}

#[test]
fn temperature_zero_takes_the_likeliest() {
    assert_eq!(draw(0.0, 1.0, 1, &[0.1, 3.0, f32::NAN, 3.0])[0], Some(1));
    assert_eq!(draw(0.0, 1.0, 1, &[f32::NAN])[0], None);
    assert_eq!(draw(1.0, 1.0, 1, &[])[0], None);
}

#[test]
fn seed_decides_every_draw() {
    let logits = [1.0, 1.5, 0.5, 1.2];
    assert_eq!(draw(1.0, 1.0, 7, &logits), draw(1.0, 1.0, 7, &logits));
    assert_ne!(draw(1.0, 1.0, 7, &logits), draw(1.0, 1.0, 8, &logits));
    // A fixed stream: a change of the generator would change answers that callers were promised.
    assert_eq!(
        draw(1.0, 1.0, 7, &logits)[..6],
        [Some(1), Some(1), Some(0), Some(0), Some(3), Some(1)]
    );
}

#[test]
fn top_p_leaves_out_the_unlikely() {
    let logits = [2.0, 1.9, -3.0, -4.0];
    assert!(
        draw(1.0, 0.9, 3, &logits)
            .iter()
            .all(|token| matches!(token, Some(0 | 1)))
    );
    assert!(draw(1.0, 0.01, 3, &logits).iter().all(|token| *token == Some(0)));
    assert!(draw(2.0, 1.0, 3, &logits).contains(&Some(2)));
}

#[test]
fn infinite_logits_are_drawn_without_failing() {
    assert_eq!(draw(0.7, 0.9, 3, &[f32::INFINITY, 1.0])[0], Some(0));
    assert_eq!(draw(0.7, 0.9, 3, &[f32::NEG_INFINITY, 1.0])[0], Some(1));
}

#[track_caller]
fn check_drawn(inference: &Inference, logits: &[f32], expected: &[u32]) {
    let mut sampler = Sampler::new(&Inference {
        temperature: 1.5,
        seed: 5,
        ..inference.clone()
    });
    let mut drawn: Vec<u32> = (0..500).filter_map(|_| sampler.sample(logits)).collect();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn, expected);
}

#[test]
fn each_limit_leaves_out_the_unlikely() {
    let none = Inference::default;
    let logits = [0.0, 1.0, 3.0, 2.9, f32::NAN, 2.0];
    check_drawn(&none(), &logits, &[0, 1, 2, 3, 5]);
    check_drawn(&Inference { top_k: 1, ..none() }, &logits, &[2]);
    check_drawn(&Inference { top_k: 3, ..none() }, &logits, &[2, 3, 5]);
    check_drawn(&Inference { top_k: 900, ..none() }, &logits, &[0, 1, 2, 3, 5]);
    check_drawn(&Inference { min_p: 0.5, ..none() }, &logits, &[2, 3, 5]);
    check_drawn(&Inference { min_p: 1.0, ..none() }, &logits, &[2]);
    check_drawn(
        &Inference {
            top_p: 0.01,
            min_p: 0.0,
            ..none()
        },
        &logits,
        &[2],
    );
    // `top_p` is a share of what `top_k` leaves: the likeliest of three has more than a third.
    check_drawn(
        &Inference {
            top_k: 3,
            top_p: 0.36,
            ..none()
        },
        &logits,
        &[2],
    );
    // Of equals the first is kept.
    check_drawn(&Inference { top_k: 2, ..none() }, &[1.0; 5], &[0, 1]);
    let logit_bias = vec![(2, -100.0), (3, -100.0), (5, -100.0)];
    check_drawn(&Inference { logit_bias, ..none() }, &logits, &[0, 1]);
}

#[test]
fn penalties_reach_the_likeliest_too() {
    let sample = |inference: Inference, times: usize| {
        let mut sampler = Sampler::new(&inference);
        sampler.read(&[0]);
        let logits = [2.0, 1.9, 1.8];
        (0..times).filter_map(|_| sampler.sample(&logits)).collect::<Vec<u32>>()
    };
    let none = Inference::default;
    assert_eq!(sample(none(), 3), [0, 0, 0]);
    let presence_penalty = 1.0;
    assert_eq!(
        sample(
            Inference {
                presence_penalty,
                ..none()
            },
            4
        ),
        [0, 1, 2, 0]
    );
    let frequency_penalty = 0.15;
    assert_eq!(
        sample(
            Inference {
                frequency_penalty,
                ..none()
            },
            5
        ),
        [0, 1, 0, 2, 1]
    );
    let repetition_penalty = 1.2;
    assert_eq!(
        sample(
            Inference {
                repetition_penalty,
                ..none()
            },
            3
        ),
        [1, 2, 0]
    );
    let logit_bias = vec![(2, 100.0)];
    assert_eq!(sample(Inference { logit_bias, ..none() }, 2), [2, 2]);
}

proptest! {
    #[test]
    fn limits_that_are_off_change_no_draw(
        logits in prop::collection::vec(-20f32..20.0, 1..50), temperature in 0f64..2.0, top_p in 0.01f64..1.0, seed: u64,
    ) {
        let plain = Inference { temperature, top_p, seed, ..Inference::default() };
        let wide = Inference { top_k: logits.len(), logit_bias: vec![(u32::MAX, 3.0)], ..plain.clone() };
        let (mut plain, mut wide) = (Sampler::new(&plain), Sampler::new(&wide));
        for _ in 0..20 {
            prop_assert_eq!(plain.sample(&logits), wide.sample(&logits));
        }
    }

    #[test]
    fn any_logits_are_drawn_without_failing(
        logits in prop::collection::vec(any::<f32>(), 0..30), temperature in 0f64..2.0, top_k in 0usize..5,
        min_p in 0f64..=1.0, penalty in 0.01f64..2.0, seed: u64,
    ) {
        let inference = Inference {
            temperature, top_k, min_p, seed,
            repetition_penalty: penalty, presence_penalty: -penalty, frequency_penalty: penalty,
            ..Inference::default()
        };
        let mut sampler = Sampler::new(&inference);
        for _ in 0..20 {
            let token = sampler.sample(&logits);
            prop_assert!(token.is_none_or(|token| logits.get(token as usize).is_some_and(|logit| !logit.is_nan())));
        }
    }

    #[test]
    fn drawn_tokens_are_in_the_vocabulary(
        logits in prop::collection::vec(-20f32..20.0, 1..50), temperature in 0f64..2.0, top_p in 0.01f64..1.0, seed: u64,
    ) {
        for token in draw(temperature, top_p, seed, &logits) {
            prop_assert!(token.is_some_and(|token| (token as usize) < logits.len()));
        }
    }
}
