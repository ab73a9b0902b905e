//! Tests of reranking.

use std::borrow::Cow;

use super::max_sim::{best_matches, weighted_mean};
use super::{Error, LateInteraction, Passage, Reranker as _, TokenCache};
use crate::embed::{self, Embedder, Embedding, HashingEmbedder, Purpose, TokenVectors};
use crate::index::ChunkId;
use crate::worker::Cancel;

/// Tokens with these vectors in two dimensions.
fn plane(vectors: &[[f32; 2]]) -> TokenVectors {
    let ranks = (0..vectors.len() as u32).collect();
    TokenVectors::normalized(ranks, 2, vectors.as_flattened()).expect("they are vectors")
}

#[test]
fn each_token_finds_its_best_match() {
    #[track_caller]
    fn check(query: &[[f32; 2]], passage: &[[f32; 2]], weights: &[f64], expected: f64) {
        let matches = best_matches(&plane(query).widened(), &plane(passage));
        let found = weighted_mean(&matches, weights);
        assert!((found - expected).abs() < 1e-3, "{found} is not {expected}");
    }
    let (east, north, west) = ([2.0, 0.0], [0.0, 0.5], [-1.0, 0.0]);
    check(&[east], &[east], &[1.0], 1.0);
    check(&[east], &[west, north], &[1.0], 0.0);
    check(&[east], &[west], &[3.0], -1.0);
    check(&[east, north], &[north, west, east], &[0.2, 0.8], 1.0);
    // The weights count by their shares.
    check(&[east, north], &[east, west], &[3.0, 1.0], 0.75);
    check(
        &[east, north],
        &[[1.0, 1.0]],
        &[1.0, 9.0],
        std::f64::consts::FRAC_1_SQRT_2,
    );
    check(&[east], &[], &[1.0], 0.0);
    check(&[], &[east], &[], 0.0);
    check(&[east], &[east], &[0.0], 0.0);
}

#[test]
fn useless_token_vectors_are_refused() {
    for (dimensions, values) in [
        (2, vec![1.0]),
        (0, vec![]),
        (2, vec![0.0, 0.0]),
        (2, vec![f32::NAN, 1.0]),
    ] {
        let refused = TokenVectors::normalized(vec![1], dimensions, &values);
        assert!(matches!(refused, Err(embed::Error::NotAVector)), "{values:?}");
    }
}

/// An embedder whose tokens are words, each with the hashed vector of itself.
struct Words(HashingEmbedder);

impl Embedder for Words {
    fn model_id(&self) -> &'static str {
        "words"
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions()
    }

    fn max_tokens(&self) -> usize {
        self.0.max_tokens()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.0.count_tokens(text)
    }

    fn embed(&self, texts: &[&str], purpose: Purpose, cancel: &Cancel) -> Result<Vec<Embedding>, embed::Error> {
        self.0.embed(texts, purpose, cancel)
    }

    fn token_vectors(&self, text: &str, purpose: Purpose, cancel: &Cancel) -> Result<TokenVectors, embed::Error> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let vectors = self.embed(&words, purpose, cancel)?;
        // Short words are common.
        let ranks = words.iter().map(|word| 10_u32.pow(word.len().min(9) as u32)).collect();
        let values: Vec<f32> = vectors.into_iter().flat_map(Embedding::into_vec).collect();
        TokenVectors::normalized(ranks, self.dimensions(), &values)
    }
}

fn passages<'a>(texts: &[&'a str]) -> Vec<Passage<'a>> {
    let passage = |(at, text): (u64, &&'a str)| Passage {
        chunk_id: Some(ChunkId(at)),
        text: Cow::Borrowed(*text),
    };
    (0..).zip(texts).map(passage).collect()
}

#[test]
fn rare_tokens_decide() {
    let embedder = Words(HashingEmbedder::new(256));
    let reranker = LateInteraction {
        embedder: &embedder,
        kept: None,
    };
    let texts = ["the old harbour", "the lighthouse", "the old wall of the town"];
    let scores = reranker
        .score("the lighthouse wall", &passages(&texts), &Cancel::new())
        .expect("words have vectors");
    assert!(scores[1] > scores[0] && scores[2] > scores[0], "{scores:?}");
    let nothing = reranker.score("the", &[], &Cancel::new());
    assert_eq!(nothing.expect("there is nothing to score"), [0.0; 0]);
}

#[test]
fn models_without_token_vectors_are_refused() {
    let embedder = HashingEmbedder::new(8);
    let reranker = LateInteraction {
        embedder: &embedder,
        kept: None,
    };
    let refused = reranker.score("words", &passages(&["words"]), &Cancel::new());
    let refused = refused.expect_err("hashing has one vector for a text");
    assert!(matches!(refused, Error::Model(embed::Error::NoTokenVectors { .. })));
    assert!(refused.to_string().contains("`hashing`"), "{refused}");
}

#[test]
fn cancelled_reranking_stops_at_once() {
    let embedder = Words(HashingEmbedder::new(8));
    let reranker = LateInteraction {
        embedder: &embedder,
        kept: None,
    };
    let cancel = Cancel::new();
    cancel.cancel();
    let stopped = reranker.score("words", &passages(&["words"]), &cancel);
    assert!(matches!(stopped, Err(Error::Model(embed::Error::Stopped(_)))));
}

#[test]
fn kept_tokens_give_the_same_scores() {
    let embedder = Words(HashingEmbedder::new(64));
    let cache = TokenCache::new(1 << 20);
    let score = || {
        let reranker = LateInteraction {
            embedder: &embedder,
            kept: Some(cache.of("kb")),
        };
        let scores = reranker.score(
            "old lighthouse",
            &passages(&["the old wall", "a lighthouse"]),
            &Cancel::new(),
        );
        scores.expect("words have vectors")
    };
    let cold = score();
    assert!(cache.bytes() > 0);
    assert!(cold == score());
}
