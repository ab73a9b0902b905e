//! A real model, where one is installed.

use std::path::{Path, PathBuf};

use super::*;
use crate::generate::fixture::hit;
use crate::generate::{AnswerEvent, Inference, Role, answer};
use crate::worker::{Cancel, ComputeGate};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// Finds the default language model where models are kept; says so when there is none.
fn installed(directory: &Path) -> Option<InstalledLanguageModel> {
    let root = std::env::var_os("GROUNDWORK_MODELS").map(PathBuf::from).or_else(|| {
        let directories = directories::ProjectDirs::from("", "", "groundwork")?;
        Some(directories.cache_dir().join("models"))
    })?;
    let found = find(&root, 4);
    if found.is_none() {
        use std::io::Write as _;
        let line = format!("skipped: no {FILE} under {}; set GROUNDWORK_MODELS\n", root.display());
        // Nothing else can be done where even this fails.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    found.map(|gguf| InstalledLanguageModel {
        model_id: "smollm2".into(),
        sha256: "0".repeat(64),
        gguf,
        directory: directory.to_owned(),
        context_tokens: None,
    })
}

fn find(directory: &Path, depth: usize) -> Option<PathBuf> {
    let mut below = Vec::new();
    for entry in std::fs::read_dir(directory).ok()?.flatten() {
        if entry.file_name() == FILE {
            return Some(entry.path());
        }
        if depth > 0 && entry.path().is_dir() {
            below.push(entry.path());
        }
    }
    below.iter().find_map(|path| find(path, depth - 1))
}

fn ask(model: &CandleModel) -> String {
    let hits = vec![hit(
        "a",
        0,
        "The old bridge over the river Tarn was built in 1323. It is made of stone.",
    )];
    let mut text = String::new();
    let inference = Inference {
        max_tokens: 40,
        ..Inference::default()
    };
    let question = "When was the old bridge built?";
    answer(
        model,
        question,
        hits,
        &inference,
        &ComputeGate::default(),
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
    let Some(installed) = installed(directory.path()) else {
        return;
    };
    let model = CandleModel::open(&installed, 2).expect("the model opens");
    let first = ask(&model);
    assert!(first.contains("1323") && first.ends_with(" [1]"), "{first}");
    assert_eq!(ask(&model), first);
}

#[test]
fn kept_weights_equal_those_made_anew() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let Some(mut installed) = installed(directory.path()) else {
        return;
    };
    let model = CandleModel::open(&installed, 2).expect("the model opens");
    let kept = requantize::kept_path(&installed);
    let bytes = std::fs::read(&kept).expect("the requantized weights were kept");
    let message = Message {
        role: Role::User,
        content: "Hello".into(),
    };
    let logits_of = |model: &CandleModel| {
        let tokens = model.encode(&model.render(std::slice::from_ref(&message))?)?;
        model.start()?.feed(&tokens)
    };
    let expected = logits_of(&model).expect("the model runs");
    let reopened = CandleModel::open(&installed, 2).expect("the model opens from what was kept");
    assert_eq!(logits_of(&reopened).expect("the model runs"), expected);

    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    std::fs::write(&kept, &damaged).expect("the file can be damaged");
    let repaired = CandleModel::open(&installed, 2).expect("the model opens despite the damage");
    assert_eq!(logits_of(&repaired).expect("the model runs"), expected);
    assert!(
        std::fs::read(&kept).is_ok_and(|now| now == bytes),
        "the damaged file was not replaced"
    );

    // A directory that cannot be written costs time, not the model.
    installed.directory = directory.path().join("missing");
    let unkept = CandleModel::open(&installed, 2).expect("the model opens without keeping anything");
    assert_eq!(logits_of(&unkept).expect("the model runs"), expected);
}

#[test]
fn tokens_read_in_steps_give_the_same_token() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let Some(installed) = installed(directory.path()) else {
        return;
    };
    let model = CandleModel::open(&installed, 2).expect("the model opens");
    let tokens = model
        .encode("The capital of France is Paris, and the capital of Italy is")
        .expect("text becomes tokens");
    let at_once = model.start().and_then(|mut s| s.feed(&tokens)).expect("the model runs");
    let mut sequence = model.start().expect("a sequence begins");
    let mut in_steps = Vec::new();
    for step in tokens.chunks(5) {
        in_steps = sequence.feed(step).expect("the model runs");
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
    assert!(sequence.feed(&[]).is_err());
    assert!(sequence.feed(&vec![1; MAX_SEQ_LEN]).is_err());
}

#[test]
fn foreign_files_are_refused_by_name() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("model.gguf");
    let check = |bytes: Option<Vec<u8>>, expected: &str| {
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).expect("the file can be written");
        }
        let installed = InstalledLanguageModel {
            model_id: "m".into(),
            sha256: String::new(),
            gguf: path.clone(),
            directory: directory.path().to_owned(),
            context_tokens: None,
        };
        let error = CandleModel::open(&installed, 1).err().map(|error| error.to_string());
        assert!(
            error.as_deref().is_some_and(|text| text.contains(expected)),
            "{error:?}"
        );
    };
    let gguf_of = |architecture: &str| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let value = gguf_file::Value::String(architecture.to_owned());
        gguf_file::write(&mut bytes, &[("general.architecture", &value)], &[]).expect("memory can be written");
        bytes.into_inner()
    };
    check(None, "cannot open it");
    check(Some(b"no model".to_vec()), "not a GGUF file");
    check(
        Some(gguf_of("mamba")),
        "architecture mamba is not supported; supported: llama",
    );
    check(Some(gguf_of("llama")), "tokenizer.ggml.model");
}
