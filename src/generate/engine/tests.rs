//! The decoder against the same formulas written plainly, and against itself in other company.

use std::f64::consts::PI;
use std::sync::Arc;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::cache::Cache;
use super::decoder::{Decoder, Part};
use super::*;
use crate::compute::tests::{coded, matrix, weights};
use crate::compute::{Crew, Matrix, SourceType};
use crate::generate::transformer::{Activation, Layer, Pairing, Rotation, Shape};
use crate::worker::Cancel;

/// Keys that a query of such a layer sees: neither whole groups of keys, nor whole blocks.
const WINDOW: usize = 21;

/// A model of two layers; with everything that some architecture has, or nothing. Then the first layer sees few keys.
pub(super) fn model(random: &mut ChaCha8Rng, is_full: bool) -> Decoder {
    let shape = Shape {
        width: 96,
        heads: 6,
        kv_heads: 2,
        head_width: 64,
        feed_forward: 160,
        epsilon: 1e-5,
        embedding_scale: if is_full { 3.0 } else { 1.0 },
        query_scale: if is_full { 0.1 } else { 0.125 },
        activation: if is_full {
            Activation::GeluTanh
        } else {
            Activation::Silu
        },
    };
    let (queries, keys) = (shape.heads * shape.head_width, shape.kv_heads * shape.head_width);
    let around = |random: &mut ChaCha8Rng, middle: f32, len: usize| -> Vec<f32> {
        (0..len).map(|_| middle + random.random_range(-0.3..0.3)).collect()
    };
    let layer = |random: &mut ChaCha8Rng, at: usize| Layer {
        attention_norm: around(random, 1.0, shape.width),
        query_key_value: [queries, keys, keys].map(|rows| matrix(random, SourceType::Q4_1, rows, shape.width)),
        bias: is_full.then(|| [queries, keys, keys].map(|len| around(random, 0.0, len))),
        head_norms: is_full.then(|| [(); 2].map(|()| around(random, 1.0, shape.head_width))),
        attention_output: matrix(random, SourceType::Q4_0, shape.width, queries),
        attention_output_norm: is_full.then(|| around(random, 1.0, shape.width)),
        feed_forward_norm: around(random, 1.0, shape.width),
        gate: matrix(random, SourceType::Q4_1, shape.feed_forward, shape.width),
        up: matrix(random, SourceType::Q8_0, shape.feed_forward, shape.width),
        down: matrix(random, SourceType::Q4_1, shape.width, shape.feed_forward),
        feed_forward_output_norm: is_full.then(|| around(random, 1.0, shape.width)),
        rotation: at,
        window: (is_full && at == 0).then_some(WINDOW),
    };
    let layers = vec![layer(random, 0), layer(random, 1)];
    let pairing = if is_full { Pairing::Halves } else { Pairing::Neighbours };
    Decoder {
        shape,
        embedding: matrix(random, SourceType::Q8_0, 70, shape.width),
        layers,
        norm: around(random, 1.0, shape.width),
        output: is_full.then(|| matrix(random, SourceType::Q8_0, 70, shape.width)),
        rotations: [10_000.0, 1_000.0]
            .map(|base| Rotation::new(pairing, shape.head_width, base, None).with_magnitude(1.0))
            .into(),
    }
}

/// The formulas, number by number: the logits after the last token.
fn plainly(model: &Decoder, tokens: &[u32]) -> Vec<f64> {
    let Shape {
        heads,
        kv_heads,
        head_width,
        epsilon,
        embedding_scale,
        query_scale,
        activation,
        ..
    } = model.shape;
    let norm = |row: &[f64], weights: &[f32]| -> Vec<f64> {
        let mean = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
        let scaled = row.iter().map(|x| x / (mean + f64::from(epsilon)).sqrt());
        scaled.zip(weights).map(|(x, weight)| x * f64::from(*weight)).collect()
    };
    let normed_if = |row: Vec<f64>, weights: Option<&Vec<f32>>| weights.map_or_else(|| row.clone(), |w| norm(&row, w));
    // Inputs of matrices have 8 bits.
    let rounded = |row: &[f64]| -> Vec<f64> {
        let codes = coded(&[row.iter().map(|x| *x as f32).collect()]);
        let of_code = |(at, code): (usize, &i8)| f64::from(*code) * f64::from(codes.scales()[at / 32]);
        codes.codes().iter().enumerate().map(of_code).collect()
    };
    let times = |matrix: &Matrix, row: &[f64]| -> Vec<f64> {
        let row = &rounded(row);
        let product = |weights: &Vec<f32>| weights.iter().zip(row).map(|(weight, x)| f64::from(*weight) * x).sum();
        weights(matrix).iter().map(product).collect()
    };
    let embedding = weights(&model.embedding);
    let mut rows: Vec<Vec<f64>> = tokens
        .iter()
        .map(|token| {
            embedding[*token as usize]
                .iter()
                .map(|x| f64::from(x * embedding_scale))
                .collect()
        })
        .collect();
    for layer in &model.layers {
        let projected: Vec<[Vec<Vec<f64>>; 3]> = rows
            .iter()
            .enumerate()
            .map(|(position, row)| {
                let normed = norm(row, &layer.attention_norm);
                std::array::from_fn(|which| {
                    let mut out = times(&layer.query_key_value[which], &normed);
                    if let Some(bias) = &layer.bias {
                        out.iter_mut()
                            .zip(&bias[which])
                            .for_each(|(x, bias)| *x += f64::from(*bias));
                    }
                    let heads = out.chunks(head_width).map(|head| {
                        let Some(head_norms) = layer.head_norms.as_ref().filter(|_| which < 2) else {
                            return head.to_vec();
                        };
                        norm(head, &head_norms[which])
                    });
                    heads
                        .map(|head| {
                            if which < 2 {
                                turned(&model.rotations[layer.rotation], &head, position)
                            } else {
                                head
                            }
                        })
                        .collect()
                })
            })
            .collect();
        for (position, row) in rows.iter_mut().enumerate() {
            let mut attended = Vec::new();
            for head in 0..heads {
                let kv_head = head / (heads / kv_heads);
                let query = &projected[position][0][head];
                let product = |key: &[f64]| query.iter().zip(key).map(|(x, y)| x * y).sum::<f64>();
                let first = layer.window.map_or(0, |window| (position + 1).saturating_sub(window));
                let score = |at: usize| product(&projected[at][1][kv_head]) * f64::from(query_scale);
                let scores = (first..=position).map(score);
                let weights: Vec<f64> = scores.map(f64::exp).collect();
                let sum: f64 = weights.iter().sum();
                attended.extend((0..head_width).map(|dimension| {
                    let parts = weights.iter().zip(first..);
                    parts
                        .map(|(weight, at)| weight / sum * projected[at][2][kv_head][dimension])
                        .sum::<f64>()
                }));
            }
            let change = times(&layer.attention_output, &attended);
            let change = normed_if(change, layer.attention_output_norm.as_ref());
            row.iter_mut().zip(change).for_each(|(x, change)| *x += change);
            let normed = norm(row, &layer.feed_forward_norm);
            let (gate, up) = (times(&layer.gate, &normed), times(&layer.up, &normed));
            let activate = |(x, up): (&f64, f64)| activated(activation, *x) * up;
            let gated: Vec<f64> = gate.iter().zip(up).map(activate).collect();
            let change = times(&layer.down, &gated);
            let change = normed_if(change, layer.feed_forward_output_norm.as_ref());
            row.iter_mut().zip(change).for_each(|(x, change)| *x += change);
        }
    }
    let last = norm(rows.last().expect("a token"), &model.norm);
    times(model.output.as_ref().unwrap_or(&model.embedding), &last)
}

fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => x * 0.5 * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh()),
    }
}

fn turned(rotation: &Rotation, head: &[f64], position: usize) -> Vec<f64> {
    let mut head: Vec<f32> = head.iter().map(|x| *x as f32).collect();
    rotation.turn(&mut head, &rotation.turns(position));
    head.into_iter().map(f64::from).collect()
}

/// Reads tokens in steps of these lengths, alone.
fn alone(model: &Decoder, crew: &Crew, tokens: &[u32], lengths: &[usize]) -> Vec<f32> {
    let mut cache = model.cache();
    let mut logits = Vec::new();
    let mut rest = tokens;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (tokens, after) = rest.split_at((*length).min(rest.len()));
        rest = after;
        let cache = &mut cache;
        logits = model
            .step(crew, &mut [Part { cache, tokens, told: 1 }])
            .remove(0)
            .remove(0);
    }
    logits
}

#[test]
fn logits_are_those_of_the_formulas() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for is_full in [false, true] {
        let model = model(&mut random, is_full);
        let tokens: Vec<u32> = (0..40).map(|_| random.random_range(0..70)).collect();
        let found = alone(&model, &Crew::new(1), &tokens, &[40]);
        let expected = plainly(&model, &tokens);
        let spread = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
        let difference = found
            .iter()
            .zip(&expected)
            .map(|(x, y)| (f64::from(*x) - y).powi(2))
            .sum::<f64>()
            .sqrt();
        // Keys and values of half precision, and codes that fall to the other side, leave this open.
        assert!(difference < 0.04 * spread, "{difference} of {spread}");
    }
}

#[test]
fn company_and_cuts_change_no_bit() {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let model = model(&mut random, true);
    let prompts: Vec<Vec<u32>> = [70, 1, 33, 18, 50]
        .iter()
        .map(|len| (0..*len).map(|_| random.random_range(0..70)).collect())
        .collect();
    let crews = [1, 2, 3].map(Crew::new);
    let expected: Vec<Vec<f32>> = prompts
        .iter()
        .map(|tokens| alone(&model, &crews[0], tokens, &[1]))
        .collect();
    for crew in &crews {
        for lengths in [&[100][..], &[7, 1, 16], &[32]] {
            for (tokens, expected) in prompts.iter().zip(&expected) {
                assert_eq!(&alone(&model, crew, tokens, lengths), expected);
            }
        }
        let mut caches: Vec<Cache> = prompts.iter().map(|_| model.cache()).collect();
        let parts = caches.iter_mut().zip(&prompts);
        let mut parts: Vec<Part<'_>> = parts.map(|(cache, tokens)| Part { cache, tokens, told: 1 }).collect();
        assert_eq!(model.step(crew, &mut parts).concat(), expected);
    }
}

#[test]
fn sequences_that_part_leave_each_other_alone() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let model = model(&mut random, false);
    let crew = Crew::new(2);
    let tokens: Vec<u32> = (0..80).map(|_| random.random_range(0..70)).collect();
    let read = |cache: &mut Cache, tokens: &[u32]| {
        let mut logits = model.step(&crew, &mut [Part { cache, tokens, told: 1 }]);
        logits.remove(0).remove(0)
    };
    let mut first = model.cache();
    read(&mut first, &tokens[..45]);
    let mut second = first.clone();
    read(&mut first, &[1, 2, 3]);
    let expected = alone(&model, &crew, &tokens, &[80]);
    assert_eq!(read(&mut second, &tokens[45..]), expected);
    assert_eq!(first.tokens(), 48);
}

#[test]
fn sequences_amid_others_get_what_they_get_alone() {
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let model = model(&mut random, true);
    let prompts: Vec<Vec<u32>> = (0..8)
        .map(|_| {
            let len = random.random_range(1..60);
            (0..len).map(|_| random.random_range(0..70)).collect()
        })
        .collect();
    let likeliest = |logits: &[f32]| {
        let best = logits
            .iter()
            .enumerate()
            .max_by(|left, right| left.1.total_cmp(right.1));
        best.map_or(0, |(token, _)| token as u32)
    };
    let batcher = Arc::new(Batcher::new(model, Crew::new(2), Arc::default()));
    let answer = |prompt: &[u32], step: usize| {
        let mut reading = batcher.begin();
        let mut logits = Vec::new();
        for tokens in prompt.chunks(step) {
            logits.push(reading.read(tokens, 1, &Cancel::new()).expect("it is read").concat());
        }
        // How the prompt was cut is for each to decide.
        let mut logits = logits.split_off(logits.len() - 1);
        for _ in 0..12 {
            let next = likeliest(&logits[logits.len() - 1]);
            logits.push(reading.read(&[next], 1, &Cancel::new()).expect("it is read").concat());
        }
        logits
    };
    let alone: Vec<_> = prompts.iter().map(|prompt| answer(prompt, 100)).collect();
    for round in 0..50 {
        std::thread::scope(|scope| {
            for (at, (prompt, alone)) in prompts.iter().zip(&alone).enumerate() {
                let answer = &answer;
                scope.spawn(move || assert_eq!(&answer(prompt, 1 + (round + at) % 17), alone));
            }
        });
    }
}

#[test]
fn reading_ahead_and_back_changes_no_bit() {
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let batcher = Arc::new(Batcher::new(model(&mut random, true), Crew::new(2), Arc::default()));
    let tokens: Vec<u32> = (0..90).map(|_| random.random_range(0..70)).collect();
    let read = |reading: &mut Reading, tokens: &[u32], told| {
        let logits = reading.read(tokens, told, &Cancel::new());
        logits.expect("it is read")
    };
    let mut plain = batcher.begin();
    let expected: Vec<Vec<f32>> = tokens
        .iter()
        .map(|token| read(&mut plain, &[*token], 1).concat())
        .collect();
    let mut ahead = batcher.begin();
    let mut fork = None;
    let mut at = 0;
    while at < tokens.len() {
        let len = random.random_range(1..=8).min(tokens.len() - at);
        assert_eq!(read(&mut ahead, &tokens[at..at + len], len), expected[at..at + len]);
        let back = random.random_range(0..len);
        ahead.rewind(back);
        at += len - back;
        assert_eq!(ahead.tokens(), at);
        // Blocks that another holds are not written.
        if fork.is_none() && at > 40 {
            fork = ahead.fork().map(|fork| (fork, at));
        }
    }
    let (mut fork, at) = fork.expect("it was forked");
    assert_eq!(read(&mut fork, &tokens[at..], 1).concat(), expected[tokens.len() - 1]);
}

#[test]
fn who_wants_no_more_leaves_the_others_alone() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let batcher = Arc::new(Batcher::new(model(&mut random, false), Crew::new(2), Arc::default()));
    let mut reading = batcher.begin();
    let first = reading.read(&[1, 2, 3], 1, &Cancel::new()).expect("it is read");
    let cancel = Cancel::new();
    cancel.cancel();
    assert!(matches!(
        reading.read(&[4], 1, &cancel),
        Err(crate::generate::Error::Stopped(_))
    ));
    assert!(reading.read(&[70], 1, &Cancel::new()).is_err());
    assert_eq!(reading.tokens(), 3);
    let mut other = batcher.begin();
    assert_eq!(other.read(&[1, 2, 3], 1, &Cancel::new()).expect("it is read"), first);
    let mut fork = other.fork().expect("it can be forked");
    let next =
        [&mut reading, &mut other, &mut fork].map(|reading| reading.read(&[4], 1, &Cancel::new()).expect("it is read"));
    assert!(next.iter().all(|logits| *logits == next[0]));
}
