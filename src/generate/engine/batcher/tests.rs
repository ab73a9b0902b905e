//! Who reads how much in a step.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::super::tests::model;
use super::*;

#[test]
fn pieces_are_as_long_as_a_step_may_take() {
    for (pace, step, expected) in [
        (2_600.0, LONE_STEP, 256),
        (1_000.0, LONE_STEP, 144),
        (400.0, LONE_STEP, 48),
        (2_600.0, SHARED_STEP, 128),
        (400.0, SHARED_STEP, 16),
        (0.1, SHARED_STEP, 16),
        (f64::INFINITY, SHARED_STEP, 256),
    ] {
        assert_eq!(room(pace, step), expected, "{pace} in {step:?}");
    }
    for (tokens, room, expected) in [
        (1, 16, 1),
        (16, 16, 16),
        (20, 16, 16),
        (128, 256, 128),
        (128, 112, 64),
        (129, 128, 80),
    ] {
        assert_eq!(piece(tokens, room), expected, "{tokens} with room for {room}");
    }
}

#[test]
fn steps_have_the_room_that_the_least_patient_leaves() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let model = model(&mut random, false);
    let lengths = |parts: &[(usize, usize)]| {
        let mut queue = Queue::default();
        for (at, (tokens, room)) in parts.iter().enumerate() {
            queue.waiting.push(Waiting {
                id: at as u64,
                cache: model.cache(),
                tokens: vec![1; *tokens],
                told: 1,
                room: *room,
                cancel: Cancel::new(),
            });
        }
        let taken: Vec<usize> = queue.take().iter().map(|waiting| waiting.tokens.len()).collect();
        (taken, queue.waiting.len())
    };
    // Who writes always takes part, and so does the first prompt.
    assert_eq!(lengths(&[(1, 16), (256, 16), (1, 16)]), (vec![1, 256, 1], 0));
    assert_eq!(lengths(&[(64, 64), (30, 256), (1, 16)]), (vec![64, 1], 1));
    assert_eq!(lengths(&[(30, 256), (64, 64), (34, 128)]), (vec![30, 34], 1));
    assert_eq!(lengths(&[(128, 256), (128, 256), (2, 256)]), (vec![128, 128], 1));
}

#[test]
fn pieces_change_no_bit() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let batcher = Arc::new(Batcher::new(model(&mut random, true), Crew::new(2), Arc::default()));
    let tokens: Vec<u32> = (0..90).map(|at| at * 7 % 70).collect();
    let read = |pace| {
        let mut reading = batcher.begin();
        reading.pace = pace;
        let logits = reading.read(&tokens, 1, &Cancel::new()).expect("it is read");
        assert_eq!(reading.tokens(), tokens.len());
        logits
    };
    assert_eq!(read(1.0), read(1e6));
}
