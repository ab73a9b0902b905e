//! Real encoders, fetched by the program's own code: the graphs that it writes compute what the model's reference
//! implementation computes. The files are kept in `GROUNDWORK_MODELS`, or in the platform's cache directory.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
#[cfg(target_arch = "x86_64")]
use groundwork::embed::BertEmbedder;
use groundwork::embed::{Embedder as _, FastEmbedder, Purpose};
use groundwork::models::{Catalog, InstalledEncoder, InstalledModel, ModelStore};
use groundwork::worker::{Cancel, ComputeGate};
use tokenizers::Tokenizer;

use crate::support::models;

const MODEL: &str = "all-minilm-l6-v2";

fn store(precision: &str) -> ModelStore {
    let own = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let text = format!("[models.{MODEL}]\nprecision = \"{precision}\"\n");
    std::fs::write(own.path(), text).expect("it can be written");
    let catalog = Catalog::with_user_file(own.path()).expect("it is sound");
    ModelStore::open(catalog, models::directory(), Vec::new()).expect("the store opens")
}

fn encoder(precision: &str) -> InstalledEncoder {
    let model = store(precision).pull(MODEL, &mut |_| {}, &Cancel::new());
    match model.unwrap_or_else(|error| panic!("{error}")) {
        InstalledModel::Encoder(encoder) => encoder,
        InstalledModel::LanguageModel(_) => panic!("it makes embeddings"),
    }
}

/// The encoder on ONNX Runtime.
fn embedder(precision: &str) -> FastEmbedder {
    FastEmbedder::open(encoder(precision), 2, Arc::new(ComputeGate::default())).expect("the encoder opens")
}

/// The encoder on kernels of our own, where this machine has the instructions.
#[cfg(target_arch = "x86_64")]
fn own(threads: usize) -> Option<BertEmbedder> {
    BertEmbedder::open(&encoder("int8"), threads, Arc::new(ComputeGate::default())).expect("the encoder opens")
}

/// Fifty texts of one word to a few hundred.
fn texts() -> Vec<String> {
    let sentences = [
        "The lighthouse on the northern cape was built of granite in 1871 and is forty metres tall.",
        "Bread needs flour, water, salt and time.",
        "Mitochondria turn the energy of food into a form that cells can use!",
        "Naïve café owners in Zürich paid 3.50 francs for a cup of coffee (in 1998).",
        "Was it the committee, or its chair, that signed the treaty?",
    ];
    (0..50)
        .map(|n| {
            let words: Vec<&str> = (0..=n / 3).flat_map(|k| sentences[(n + k) % 5].split(' ')).collect();
            words[n % 4..].join(" ")
        })
        .collect()
}

/// The mean of candle's token vectors over one text at a time.
fn reference(encoder: &InstalledEncoder, texts: &[String]) -> Vec<Vec<f32>> {
    let directory = encoder.tokenizer.parent().expect("it lies in a directory");
    let config = std::fs::read(directory.join("config.json")).expect("it was fetched");
    let config: Config = serde_json::from_slice(&config).expect("it is JSON");
    let weights = std::fs::read(directory.join("model.safetensors")).expect("it was fetched");
    let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).expect("they are sound");
    let model = BertModel::load(weights, &config).expect("they are a BERT");
    let mut tokenizer = Tokenizer::from_file(&encoder.tokenizer).expect("it is a tokenizer");
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).expect("nothing is asked for");
    let vector = |text: &String| -> candle_core::Result<Vec<f32>> {
        let tokens = tokenizer.encode(text.as_str(), true).expect("it can be encoded");
        let mut ids = tokens.get_ids().to_vec();
        if ids.len() > encoder.max_tokens {
            let end = ids[ids.len() - 1];
            ids.truncate(encoder.max_tokens - 1);
            ids.push(end);
        }
        let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let hidden = model.forward(&ids, &ids.zeros_like()?, None)?;
        hidden.mean(1)?.squeeze(0)?.to_vec1()
    };
    texts
        .iter()
        .map(|text| vector(text).expect("candle computes it"))
        .collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn written_graphs_agree_with_the_reference() {
    let texts = texts();
    let expected = reference(&encoder("f32"), &texts);
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (precision, least) in [("f32", 0.9999), ("int8", 0.98)] {
        let vectors = embedder(precision)
            .embed(&borrowed, Purpose::Passage, &Cancel::new())
            .expect("it embeds");
        for ((text, vector), expected) in texts.iter().zip(&vectors).zip(&expected) {
            let found = cosine(vector.as_slice(), expected);
            assert!(found >= least, "{precision}: {found} for {text:?}");
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn own_kernels_agree_with_the_reference() {
    let Some(embedder) = own(2) else { return };
    let texts = texts();
    let expected = reference(&encoder("f32"), &texts);
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = embedder
        .embed(&borrowed, Purpose::Passage, &Cancel::new())
        .expect("it embeds");
    for ((text, vector), expected) in texts.iter().zip(&vectors).zip(&expected) {
        let found = cosine(vector.as_slice(), expected);
        assert!(found >= 0.999, "{found} for {text:?}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn vectors_depend_on_their_texts_alone() {
    let Some(embedder) = own(1) else { return };
    let texts = texts();
    let alone: Vec<_> = texts
        .iter()
        .flat_map(|text| {
            embedder
                .embed(&[text], Purpose::Passage, &Cancel::new())
                .expect("it embeds")
        })
        .collect();
    for threads in [1, 2, 3] {
        let embedder = own(threads).expect("it opened before");
        for texts in [&texts[..], &texts[..2]] {
            let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
            let together = embedder
                .embed(&borrowed, Purpose::Passage, &Cancel::new())
                .expect("it embeds");
            assert_eq!(together, alone[..texts.len()], "{threads} threads");
        }
    }
}

#[test]
fn installed_encoder_opens_without_network() {
    let first = encoder("int8");
    let mut events = Vec::new();
    let store = store("int8");
    store
        .pull(MODEL, &mut |event| events.push(event), &Cancel::new())
        .expect("it is here");
    assert_eq!(events, []);
    let InstalledModel::Encoder(again) = store.installed(MODEL).expect("it is here") else {
        panic!("it makes embeddings");
    };
    assert_eq!((again.onnx, again.weights_sha256), (first.onnx, first.weights_sha256));
}

#[test]
fn texts_of_any_kind_are_embedded() {
    let embedder = embedder("int8");
    let long = "word ".repeat(5_000);
    let texts = ["", " ", "a", "\u{0}\u{200b}", "東京の灯台", long.as_str()];
    let vectors = embedder
        .embed(&texts, Purpose::Query, &Cancel::new())
        .expect("it embeds");
    assert_eq!(vectors.len(), texts.len());
    assert_eq!(embedder.count_tokens(&long), 5_000);
    assert_eq!(embedder.count_tokens(""), 0);
    assert!(
        embedder
            .embed(&[], Purpose::Query, &Cancel::new())
            .expect("nothing is asked for")
            .is_empty()
    );
}

#[test]
fn second_library_is_refused_by_name() {
    let _first = embedder("int8");
    let mut files = encoder("int8");
    let copy = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    files.runtime_library = copy.path().to_owned();
    let error = FastEmbedder::open(files, 1, Arc::new(ComputeGate::default())).expect_err("one is loaded already");
    let error = error.to_string();
    assert!(
        error.contains("can hold only one") && error.contains(&copy.path().display().to_string()),
        "{error}"
    );
}

#[test]
fn model_in_a_directory_of_the_user_serves() {
    let pulled = encoder("int8");
    let from = pulled.tokenizer.parent().expect("it lies in a directory");
    let home = tempfile::tempdir().expect("a temporary directory");
    let directory = home.path().join("mine");
    std::fs::create_dir(&directory).expect("a new directory");
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(from.join(name), directory.join(name)).expect("a file");
    }
    let catalog = Catalog::open(None, &[directory]).expect("it holds a model");
    let store = ModelStore::open(catalog, home.path().join("models"), Vec::new()).expect("the store opens");
    let model = store
        .pull("mine", &mut |_| {}, &Cancel::new())
        .expect("it is an encoder");
    let InstalledModel::Encoder(model) = model else {
        panic!("it makes embeddings");
    };
    assert_ne!(model.onnx, pulled.onnx);
    assert_eq!(
        (model.weights_sha256, model.dimensions, model.max_tokens),
        (pulled.weights_sha256, 384, 512)
    );
    let bytes = |path| std::fs::read(path).expect("it was written");
    assert!(
        bytes(model.onnx) == bytes(pulled.onnx),
        "the same weights give the same graph"
    );
}

#[test]
fn languages_the_model_does_not_know_fall_into_letters() {
    let embedder = embedder("int8");
    let letters_per_token = |text: &str| {
        let coverage = embedder.coverage(text).expect("the tokenizer tells");
        coverage.letters / coverage.tokens as f64
    };
    let english = letters_per_token("Which lighthouse on the northern cape was built of granite?");
    assert!(english > 3.5, "{english}");
    let german = letters_per_token("Welcher Leuchtturm am nördlichen Kap wurde aus Granit gebaut?");
    assert!((1.5..english).contains(&german), "{german}");
    for text in [
        "Какой маяк на северном мысе построен из гранита?",
        "أي منارة في الرأس الشمالي بنيت من الجرانيت؟",
        "北角的哪座灯塔是用花岗岩建造的？",
    ] {
        let unknown = letters_per_token(text);
        assert!(unknown < 1.4, "{unknown} for {text}");
    }
}

#[test]
fn token_vectors_add_up_to_the_pooled_one() {
    let embedder = embedder("f32");
    for text in texts().iter().step_by(7) {
        let alone = embedder
            .embed(&[text], Purpose::Passage, &Cancel::new())
            .expect("it embeds");
        let tokens = embedder
            .token_vectors(text, Purpose::Passage, &Cancel::new())
            .expect("our graphs have them");
        assert_eq!(tokens.ranks().len(), embedder.count_tokens(text).min(254));
        assert_eq!(tokens.vectors().len(), tokens.ranks().len());
        // The pooled vector has the special tokens too, and the lengths that are lost here.
        let vectors = tokens.widened();
        let sum: Vec<f32> = (0..384)
            .map(|at| vectors.iter().map(|vector| vector[at]).sum())
            .collect();
        let found = cosine(&sum, alone[0].as_slice());
        assert!(found > 0.95, "{found} for {text:?}");
        for vector in &vectors {
            assert!((cosine(vector, vector) - 1.0).abs() < 1e-3);
        }
    }
}

#[test]
fn common_tokens_rank_before_rare_ones() {
    let tokens = embedder("int8").token_vectors("! of lighthouse", Purpose::Query, &Cancel::new());
    let tokens = tokens.expect("our graphs have them");
    // The vocabulary begins with characters, and goes on with words, the most frequent first.
    assert!(
        matches!(tokens.ranks(), [0, 900..1_100, 5_000..=u32::MAX]),
        "{:?}",
        tokens.ranks()
    );
}

#[test]
fn token_vectors_of_long_texts_end_with_the_window() {
    let embedder = embedder("int8");
    let long = "word ".repeat(5_000);
    for (text, count) in [("", 0), (" ", 0), ("the old lighthouse", 3), (long.as_str(), 254)] {
        let tokens = embedder
            .token_vectors(text, Purpose::Query, &Cancel::new())
            .expect("our graphs have them");
        assert_eq!(tokens.ranks().len(), count, "{text:.20}");
        let again = embedder
            .token_vectors(text, Purpose::Query, &Cancel::new())
            .expect("our graphs have them");
        assert!(tokens == again, "the same text has the same vectors");
    }
}

#[test]
fn earlier_graphs_serve_where_nothing_can_be_written() {
    encoder("int8");
    let cache = tempfile::tempdir().expect("a temporary directory");
    for entry in std::fs::read_dir(models::directory()).expect("the models are here") {
        let directory = entry.expect("an entry").path();
        let name = directory.file_name().expect("it has a name").to_owned();
        let is_wanted = name == MODEL || name.to_string_lossy().starts_with("onnxruntime-");
        if !is_wanted || !directory.is_dir() {
            continue;
        }
        let target = cache.path().join(&name);
        std::fs::create_dir(&target).expect("a new directory");
        for file in std::fs::read_dir(&directory).expect("it can be read") {
            let file = file.expect("an entry").path();
            let copy = target.join(file.file_name().expect("it has a name"));
            std::fs::copy(&file, &copy).expect("there is room");
        }
    }
    let stamp = cache.path().join(MODEL).join("stamp.json");
    let written_by = |writer: &str| {
        let json = std::fs::read_to_string(&stamp).expect("there is a stamp");
        // Of every graph that the directory keeps.
        let mut parts = json.split("\"writer ");
        let mut rewritten = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (_, after) = part.split_once(' ').expect("its version");
            rewritten.extend(["\"writer ", writer, " ", after]);
        }
        assert_ne!(json, rewritten, "it names the writer");
        std::fs::write(&stamp, rewritten).expect("it can be written");
    };
    // Nobody can take the lock, not even the superuser, who may write everywhere.
    std::fs::create_dir(cache.path().join(".lock")).expect("a new directory");
    let installed = || {
        let catalog = Catalog::built_in().expect("it is sound");
        let store = ModelStore::open(catalog, cache.path(), Vec::new()).expect("the store opens");
        store.installed(MODEL)
    };
    assert!(installed().is_ok(), "a current one needs no lock");
    written_by("1");
    let Ok(InstalledModel::Encoder(earlier)) = installed() else {
        panic!("an earlier graph serves on");
    };
    assert!(earlier.onnx.starts_with(cache.path()));
    written_by("99");
    assert!(installed().is_err(), "one of a later version says nothing");
}
