//! Models in directories whose files are damaged: who asks for one is told which file, and nothing is left behind.

use std::path::{Path, PathBuf};

use groundwork::generate::{ConverseEvent, Inference, Role};
use groundwork::knowledge_base::{
    Block, Conversation, ConversationEvent, Error, ErrorKind, Groundwork, PageRequest, ProvidedModels, Settings, Turn,
};
use groundwork::worker::Cancel;

use crate::support::tiny::Tiny;
use crate::support::{scripted, settings};

const MODEL: &str = "tiny";

/// A model in a directory of the user's, and a data directory.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn model(&self) -> PathBuf {
        self.0.path().join("own").join(MODEL)
    }

    fn open(&self) -> Groundwork {
        let provided = ProvidedModels {
            language_models: vec![scripted(&[])],
            ..ProvidedModels::default()
        };
        let settings = Settings {
            model_dirs: vec![self.model()],
            ..settings(&self.0.path().join("data"))
        };
        Groundwork::open_with(settings, provided).expect("the data directory opens")
    }

    /// Returns what was made for models in directories.
    fn made(&self) -> usize {
        let entries = std::fs::read_dir(self.0.path().join("data/models"))
            .expect("the cache")
            .flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("local-")).count()
    }
}

fn converse(groundwork: &Groundwork) -> Result<String, Error> {
    let conversation = Conversation {
        model_id: MODEL.to_owned(),
        turns: vec![Turn {
            role: Role::User,
            content: vec![Block::Text("010203".to_owned())],
        }],
        inference: Inference {
            max_tokens: 4,
            logit_bias: vec![(1, -100.0)],
            ..Inference::default()
        },
        ..Conversation::default()
    };
    let mut text = String::new();
    groundwork.converse(&conversation, &Cancel::new(), &mut |event| {
        if let ConversationEvent::Model(ConverseEvent::Piece { text: piece, .. }) = event {
            text.push_str(&piece);
        }
        Ok(())
    })?;
    Ok(text)
}

#[track_caller]
fn check_told(error: &Error, parts: &[&str]) {
    assert_eq!(
        (error.kind, error.reason),
        (ErrorKind::FailedPrecondition, "MODEL_UNUSABLE"),
        "{error}"
    );
    for part in parts {
        assert!(error.message.contains(part), "{part} is not in {error}");
    }
}

/// Writes a model, damages a file of it, and checks what is said when it is loaded.
#[track_caller]
fn check_refused(write: impl Fn(&Tiny, &Path) -> PathBuf, name: &str, damage: impl Fn(Vec<u8>) -> Vec<u8>, part: &str) {
    let home = Home::new();
    write(&Tiny::new(), &home.model());
    let path = home.model().join(name);
    let bytes = std::fs::read(&path).expect("it was written");
    std::fs::write(&path, damage(bytes)).expect("it can be written");
    let groundwork = home.open();
    let error = groundwork.load_model(MODEL, false, &Cancel::new()).expect_err(part);
    check_told(&error, &[&home.model().display().to_string(), name, part]);
    assert_eq!(error.resource.map(|resource| resource.name).as_deref(), Some(MODEL));
    check_told(&converse(&groundwork).expect_err(part), &[name, part]);
    assert_eq!(home.made(), 0, "a model that cannot be loaded leaves nothing");
}

/// Keeps the first bytes of a file.
fn cut(to: usize) -> impl Fn(Vec<u8>) -> Vec<u8> {
    move |bytes| bytes[..to].to_vec()
}

/// Drops the last bytes of a file.
fn short_by(missing: usize) -> impl Fn(Vec<u8>) -> Vec<u8> {
    move |bytes| bytes[..bytes.len() - missing].to_vec()
}

/// Writes over the bytes after a text.
fn after(text: &'static str, written: &'static [u8]) -> impl Fn(Vec<u8>) -> Vec<u8> {
    move |mut bytes| {
        let found = bytes.windows(text.len()).position(|part| part == text.as_bytes());
        let at = found.expect("the text is there") + text.len();
        bytes[at..at + written.len()].copy_from_slice(written);
        bytes
    }
}

#[test]
fn damaged_gguf_is_refused_by_name() {
    let check = |damage: &dyn Fn(Vec<u8>) -> Vec<u8>, part: &str| {
        check_refused(Tiny::write_gguf, "tiny.gguf", damage, part);
    };
    for bytes in [0, 3, 20, 300, 1_000] {
        check(&cut(bytes), "not a GGUF file, or a damaged one");
    }
    check(
        &short_by(100),
        "it is cut short: the tensor blk.0.ffn_down.weight ends at byte",
    );
    check(&short_by(200_000), "it is cut short: the tensor blk.0.");
    // The type of the value follows its key, then the value.
    let layers = b"\x04\0\0\0\xff\xff\xff\x7f";
    check(
        &after("llama.block_count", layers),
        "its number of layers is 2147483647",
    );
    let heads = b"\x04\0\0\0\0\0\0\0";
    check(&after("llama.attention.head_count", heads), "its number of heads is 0");
    // The number of sides, then the sides.
    let sides = b"\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0";
    check(
        &after("blk.0.attn_q.weight", sides),
        "the tensor blk.0.attn_q.weight has the shape",
    );
}

#[test]
fn damaged_safetensors_are_refused_by_name() {
    let check = |name: &str, damage: &dyn Fn(Vec<u8>) -> Vec<u8>, part: &str| {
        check_refused(Tiny::write_safetensors, name, damage, part);
    };
    let weights = "model.safetensors";
    check(weights, &cut(0), "failed to fill");
    check(weights, &cut(100), "its header is said to have");
    check(
        weights,
        &short_by(100),
        "the tensor model.layers.0.mlp.down_proj.weight ends at byte",
    );
    check(weights, &after("model.norm.weight", b"\0"), "control character");
    check(
        weights,
        &after("\"data_offsets\":[0,", b"9"),
        "the tensor model.embed_tokens.weight",
    );
    check("tokenizer.json", &short_by(10), "tokenizer.json");
    check(
        "config.json",
        &|bytes| {
            let config = String::from_utf8(bytes).expect("JSON");
            config
                .replace("\"num_hidden_layers\":1", "\"num_hidden_layers\":1000000000000000000")
                .into_bytes()
        },
        "its number of layers is 1000000000000000000",
    );
}

#[test]
fn weights_that_give_no_numbers_are_named() {
    for write in [Tiny::write_gguf, Tiny::write_safetensors] {
        let home = Home::new();
        write(&Tiny::without_numbers(), &home.model());
        let error = converse(&home.open()).expect_err("it cannot go on");
        let file = home.model().display().to_string();
        check_told(&error, &["the logits of `tiny` are not numbers", &file]);
    }
}

#[test]
fn whole_models_serve_and_tell_their_size() {
    for write in [Tiny::write_gguf, Tiny::write_safetensors] {
        let home = Home::new();
        let weights = write(&Tiny::new(), &home.model());
        let groundwork = home.open();
        assert!(!converse(&groundwork).expect("it serves").is_empty());
        let entries = std::fs::read_dir(home.model()).expect("its files").flatten();
        let sizes = entries.map(|entry| entry.metadata().expect("a file").len());
        let listed = groundwork.models(None, "", &PageRequest::default()).expect("a page");
        let listed = listed
            .items
            .into_iter()
            .find(|model| model.id == MODEL)
            .expect("it is listed");
        let bytes: u64 = listed.files.iter().map(|(_, _, bytes)| bytes).sum();
        assert_eq!(bytes, sizes.sum::<u64>());
        let name = weights.file_name().expect("a name").to_string_lossy();
        assert!(
            listed.files.iter().any(|(file, ..)| *file == name),
            "{:?}",
            listed.files
        );
        assert_eq!(home.made(), 1);
    }
}
