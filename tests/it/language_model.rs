//! The real language model: the same answer each time, weights that are kept, steps that make no difference.

use std::path::Path;
use std::sync::Arc;

use groundwork::document::metadata::Metadata;
use groundwork::document::{ByteSpan, DocumentId};
use groundwork::generate::{
    AnswerEvent, Asked, CandleModel, Inference, LanguageModel as _, Message, PromptTime, Role, answer,
};
use groundwork::index::ChunkId;
use groundwork::models::{Catalog, InstalledLanguageModel, InstalledModel, ModelStore};
use groundwork::retrieve::Hit;
use groundwork::worker::Cancel;

use crate::support::models;

const BRIDGE: &str = "The old bridge over the river Tarn was built in 1323. It is made of stone.";

/// The default language model; what is derived from it goes to `directory`.
fn installed(directory: &Path) -> InstalledLanguageModel {
    let catalog = Catalog::built_in().expect("the catalog is sound");
    let store = ModelStore::open(catalog, models::directory(), Vec::new()).expect("the store opens");
    match store.installed("smollm2-135m-instruct").expect("it is installed") {
        InstalledModel::LanguageModel(installed) => InstalledLanguageModel {
            directory: directory.to_owned(),
            ..installed
        },
        InstalledModel::Encoder(_) => panic!("it makes text"),
    }
}

fn bridge() -> Hit {
    Hit {
        chunk_id: ChunkId(1),
        revision_id: 1,
        document_id: DocumentId::parse("bridge").expect("a document id"),
        content_hash: String::new(),
        title: None,
        source_name: String::new(),
        heading_path: Vec::new(),
        page: None,
        span: ByteSpan::new(0, BRIDGE.len()),
        code_point_start: 0,
        text: BRIDGE.to_owned(),
        metadata: Metadata::new(),
        score: 1.0,
        bm25: None,
        cosine: None,
        context: None,
        folded: Vec::new(),
        highlights: Vec::new(),
        explanation: None,
    }
}

fn ask(model: &CandleModel) -> String {
    let hits = vec![bridge()];
    let mut text = String::new();
    let inference = Inference {
        max_tokens: 40,
        ..Inference::default()
    };
    let question = "When was the old bridge built?";
    answer(
        model,
        Asked {
            question,
            hits,
            inference: &inference,
            prompt_time: PromptTime::default(),
            embedder: None,
        },
        &Cancel::new(),
        &mut |event| {
            if let AnswerEvent::Text(piece) = event {
                text.push_str(&piece);
            }
            Ok(())
        },
    )
    .expect("the model answers");
    text
}

#[test]
fn installed_model_answers_alike_each_time() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let installed = installed(directory.path());
    let model = CandleModel::open(&installed, 2, Arc::default()).expect("the model opens");
    let first = ask(&model);
    assert!(first.contains("1323") && first.ends_with(" [1]"), "{first}");
    assert_eq!(ask(&model), first);
}

#[test]
fn kept_weights_equal_those_made_anew() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut installed = installed(directory.path());
    let model = CandleModel::open_portable(&installed, Arc::default()).expect("the model opens");
    let kept = only_file(directory.path());
    let bytes = std::fs::read(&kept).expect("the requantized weights were kept");
    let message = Message {
        role: Role::User,
        content: "Hello".into(),
    };
    let logits_of = |model: &CandleModel| {
        let tokens = model.encode(&model.render(std::slice::from_ref(&message))?)?;
        model.start()?.feed(&tokens, &Cancel::new())
    };
    let expected = logits_of(&model).expect("the model runs");
    let reopened = CandleModel::open_portable(&installed, Arc::default()).expect("the model opens from what was kept");
    assert_eq!(logits_of(&reopened).expect("the model runs"), expected);

    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    std::fs::write(&kept, &damaged).expect("the file can be damaged");
    let repaired = CandleModel::open_portable(&installed, Arc::default()).expect("the model opens despite the damage");
    assert_eq!(logits_of(&repaired).expect("the model runs"), expected);
    assert!(
        std::fs::read(&kept).is_ok_and(|now| now == bytes),
        "the damaged file was not replaced"
    );

    // A directory that cannot be written costs time, not the model.
    installed.directory = directory.path().join("missing");
    let unkept =
        CandleModel::open_portable(&installed, Arc::default()).expect("the model opens without keeping anything");
    assert_eq!(logits_of(&unkept).expect("the model runs"), expected);
}

#[test]
fn tokens_read_in_steps_give_the_same_token() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let installed = installed(directory.path());
    let portable = CandleModel::open_portable(&installed, Arc::default()).expect("the model opens");
    let model = CandleModel::open(&installed, 2, Arc::default()).expect("the model opens");
    check_steps(&portable);
    check_steps(&model);
}

#[track_caller]
fn check_steps(model: &CandleModel) {
    let tokens = model
        .encode("The capital of France is Paris, and the capital of Italy is")
        .expect("text becomes tokens");
    let at_once = model
        .start()
        .and_then(|mut s| s.feed(&tokens, &Cancel::new()))
        .expect("the model runs");
    let mut sequence = model.start().expect("a sequence begins");
    let mut in_steps = Vec::new();
    for step in tokens.chunks(5) {
        in_steps = sequence.feed(step, &Cancel::new()).expect("the model runs");
    }
    let best = |logits: &[f32]| {
        logits
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map(|(at, _)| at)
    };
    assert_eq!(best(&at_once), best(&in_steps));
    let text = best(&at_once).map(|token| model.token_bytes(token as u32));
    assert_eq!(text.as_deref(), Some(b" Rome".as_slice()));
    assert!(sequence.feed(&[], &Cancel::new()).is_err());
    assert!(sequence.feed(&vec![1; model.context_tokens()], &Cancel::new()).is_err());
}

fn only_file(directory: &Path) -> std::path::PathBuf {
    let files: Vec<_> = std::fs::read_dir(directory)
        .expect("it can be read")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}
