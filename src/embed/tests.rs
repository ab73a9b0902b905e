//! Tests of embed.

use proptest::prelude::*;

use super::batch::plan;
use super::{Embedder as _, Embedding, Error, HashingEmbedder, Purpose};
use crate::worker::Cancel;

fn hashed(texts: &[&str]) -> Vec<Embedding> {
    HashingEmbedder::new(256)
        .embed(texts, Purpose::Passage, &Cancel::new())
        .expect("hashing does not fail")
}

fn cosine(a: &Embedding, b: &Embedding) -> f32 {
    a.as_slice().iter().zip(b.as_slice()).map(|(a, b)| a * b).sum()
}

#[test]
fn hashing_prefers_texts_sharing_words() {
    let vectors = hashed(&[
        "how tall is the old lighthouse",
        "The old lighthouse is forty metres tall.",
        "Bread needs flour, water and salt.",
    ]);
    assert!(cosine(&vectors[0], &vectors[1]) > cosine(&vectors[0], &vectors[2]) + 0.2);
}

#[test]
fn hashing_gives_unit_vectors_always() {
    for vector in hashed(&["", "   ", "one", "!?", "naïve Straße 東京"]) {
        assert!((cosine(&vector, &vector) - 1.0).abs() < 1e-5);
    }
}

#[test]
fn hashing_never_changes() {
    let vector = HashingEmbedder::new(8)
        .embed(&["Alpha beta"], Purpose::Query, &Cancel::new())
        .expect("hashing does not fail");
    let again = HashingEmbedder::new(8)
        .embed(&["alpha, beta"], Purpose::Passage, &Cancel::new())
        .expect("hashing does not fail");
    assert_eq!(vector, again);
}

#[test]
fn cancelled_embedding_stops_at_once() {
    let cancel = Cancel::new();
    cancel.cancel();
    let result = HashingEmbedder::new(8).embed(&["text"], Purpose::Passage, &cancel);
    assert!(matches!(result, Err(Error::Stopped(_))));
}

#[test]
fn useless_vectors_are_refused() {
    for values in [vec![], vec![0.0, 0.0], vec![f32::NAN, 1.0], vec![f32::INFINITY]] {
        assert!(matches!(Embedding::normalized(values), Err(Error::NotAVector)));
    }
}

#[test]
fn batches_group_texts_of_like_length() {
    assert_eq!(plan(&[10, 200, 12, 190], 400), [vec![0, 2], vec![3, 1]]);
    assert_eq!(plan(&[600], 400), [vec![0]]);
    assert!(plan(&[], 400).is_empty());
}

proptest! {
    #[test]
    fn batches_hold_each_text_once(lengths in prop::collection::vec(1_usize..600, 0..200), limit in 1_usize..5_000) {
        let batches = plan(&lengths, limit);
        let mut seen: Vec<usize> = batches.concat();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
        for batch in batches {
            let width = batch.iter().map(|&position| lengths[position]).max().unwrap_or(0);
            prop_assert!(batch.len() == 1 || batch.len() * width <= limit);
        }
    }
}
