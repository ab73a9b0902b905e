//! Embedding texts that the caller brings, through the border.

use std::sync::Arc;

use groundwork::embed::{self, Embedder, Embedding, HashingEmbedder, Purpose};
use groundwork::knowledge_base::{
    EmbedOptions, Error, ErrorKind, Groundwork, MAX_EMBED_BYTES, MAX_EMBED_TEXTS, ProvidedModels, TextEmbedder,
    Truncation,
};
use groundwork::worker::Cancel;

use crate::support::{DIMENSIONS, scripted, settings};

/// An embedder that reads four words and cannot stand one of them.
struct Narrow(HashingEmbedder);

const UNBEARABLE: &str = "mango";

impl Embedder for Narrow {
    fn model_id(&self) -> &'static str {
        "narrow"
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions()
    }

    fn max_tokens(&self) -> usize {
        4
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.0.count_tokens(text)
    }

    fn embed(&self, texts: &[&str], purpose: Purpose, cancel: &Cancel) -> Result<Vec<Embedding>, embed::Error> {
        cancel.check()?;
        if texts.iter().any(|text| text.contains(UNBEARABLE)) {
            return Err(embed::Error::NotAVector);
        }
        self.0.embed(texts, purpose, cancel)
    }
}

fn open() -> (tempfile::TempDir, Groundwork) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut settings = settings(home.path());
    "narrow".clone_into(&mut settings.embedding_model_id);
    let provided = ProvidedModels {
        embedders: vec![Arc::new(Narrow(HashingEmbedder::new(DIMENSIONS)))],
        language_models: vec![scripted(&[])],
    };
    let groundwork = Groundwork::open_with(settings, provided).expect("the data directory opens");
    (home, groundwork)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn embedder(groundwork: &Groundwork, options: &EmbedOptions) -> TextEmbedder {
    groundwork
        .text_embedder(options, "configuration", &Cancel::new())
        .expect("the model is there")
}

/// Checks that a call is refused with this field and these words.
fn check<T: std::fmt::Debug>(refused: Result<T, Error>, field: &str, parts: &[&str]) {
    let error = refused.expect_err(field);
    assert_eq!(
        (error.kind, error.violations[0].field.as_str()),
        (ErrorKind::InvalidRequest, field)
    );
    for part in parts {
        assert!(error.message.contains(part), "{error} does not say {part}");
    }
}

#[test]
fn vectors_come_in_the_order_of_texts() {
    let (_home, groundwork) = open();
    let model = embedder(&groundwork, &EmbedOptions::default());
    assert_eq!((model.model_id(), model.dimensions()), ("narrow", DIMENSIONS));
    let asked = texts(&["red fox", "dog", "cat and red fox"]);
    let embedded = model.embed(&asked, &Cancel::new()).expect("vectors");
    let each = HashingEmbedder::new(DIMENSIONS);
    for (text, found) in asked.iter().zip(&embedded.results) {
        let alone = each
            .embed(&[text], Purpose::Passage, &Cancel::new())
            .expect("a vector")
            .remove(0);
        assert_eq!(found.values, alone.into_vec());
        assert_eq!(
            (found.input_tokens, found.is_truncated),
            (each.count_tokens(text), false)
        );
    }
    assert!(embedded.times.total > std::time::Duration::ZERO);
}

#[test]
fn shortened_vectors_have_unit_length_again() {
    let (_home, groundwork) = open();
    let asked = texts(&["red fox and dog"]);
    let values = |dimensions, normalize| {
        let options = EmbedOptions {
            dimensions,
            normalize,
            ..EmbedOptions::default()
        };
        let embedded = embedder(&groundwork, &options).embed(&asked, &Cancel::new());
        embedded.expect("a vector").results.remove(0).values
    };
    let whole = values(None, true);
    assert_eq!(values(Some(DIMENSIONS), false), whole);
    let cut = values(Some(200), false);
    assert_eq!(cut, whole[..200]);
    let scaled = values(Some(200), true);
    let norm: f64 = scaled.iter().map(|value| f64::from(*value).powi(2)).sum();
    assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    let along: f64 = scaled
        .iter()
        .zip(&cut)
        .map(|(left, right)| f64::from(left * right))
        .sum();
    let cut_norm: f64 = cut.iter().map(|value| f64::from(*value).powi(2)).sum();
    assert!((along - cut_norm.sqrt()).abs() < 1e-5, "the direction stays");
    for dimensions in [0, DIMENSIONS + 1] {
        let options = EmbedOptions {
            dimensions: Some(dimensions),
            ..EmbedOptions::default()
        };
        let refused = groundwork.text_embedder(&options, "configuration", &Cancel::new());
        check(
            refused,
            "configuration.dimensions",
            &["1 to 256", &format!("is {dimensions}")],
        );
    }
}

#[test]
fn long_texts_are_refused_or_marked() {
    let (_home, groundwork) = open();
    let asked = texts(&["red fox", "one two three four five"]);
    let refused = embedder(&groundwork, &EmbedOptions::default()).embed(&asked, &Cancel::new());
    check(refused, "texts[1]", &["5 tokens", "4 at most", "END"]);
    let options = EmbedOptions {
        truncation: Truncation::End,
        ..EmbedOptions::default()
    };
    let embedded = embedder(&groundwork, &options)
        .embed(&asked, &Cancel::new())
        .expect("vectors");
    let told: Vec<_> = embedded
        .results
        .iter()
        .map(|text| (text.input_tokens, text.is_truncated))
        .collect();
    assert_eq!(told, [(2, false), (4, true)]);
}

#[test]
fn one_bad_text_loses_no_other() {
    let (_home, groundwork) = open();
    let model = embedder(&groundwork, &EmbedOptions::default());
    let asked = texts(&["red fox", " ", "a mango", "one two three four five", "dog"]);
    let each = model
        .embed_each(&asked, &Cancel::new())
        .expect("the batch is told")
        .results;
    let whole = model
        .embed(&texts(&["red fox", "dog"]), &Cancel::new())
        .expect("vectors")
        .results;
    let good: Vec<_> = each.iter().flatten().collect();
    assert_eq!(good, whole.iter().collect::<Vec<_>>());
    let reasons: Vec<_> = each
        .iter()
        .map(|result| result.as_ref().err().map(|error| error.reason))
        .collect();
    let invalid = Some("INVALID_FIELD");
    assert_eq!(reasons, [None, invalid, Some("EMBEDDING_FAILED"), invalid, None]);
    assert_eq!(each[3].as_ref().expect_err("too long").violations[0].field, "texts[3]");
    let all_bad = model
        .embed_each(&texts(&["", ""]), &Cancel::new())
        .expect("the batch is told");
    assert!(all_bad.results.iter().all(Result::is_err));
    let cancel = Cancel::new();
    cancel.cancel();
    for asked in [&asked, &texts(&["mango"])] {
        let stopped = model.embed_each(asked, &cancel).expect_err("nobody waits for it");
        assert_eq!(stopped.kind, ErrorKind::Cancelled);
    }
}

#[test]
fn batches_have_limits() {
    let (_home, groundwork) = open();
    let model = embedder(&groundwork, &EmbedOptions::default());
    let embed = |texts: Vec<String>| model.embed(&texts, &Cancel::new());
    check(embed(Vec::new()), "texts", &["1 to 512", "not 0"]);
    check(embed(vec!["a".to_owned(); MAX_EMBED_TEXTS + 1]), "texts", &["not 513"]);
    check(
        embed(vec!["a".repeat(MAX_EMBED_BYTES), "b".to_owned()]),
        "texts",
        &["2097152", "2097153"],
    );
    let language_model = EmbedOptions {
        model_id: "groundwork.scripted".to_owned(),
        ..EmbedOptions::default()
    };
    let error = groundwork
        .text_embedder(&language_model, "configuration", &Cancel::new())
        .expect_err("it does not embed");
    assert_eq!(error.kind, ErrorKind::NotFound);
}
