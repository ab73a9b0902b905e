//! Embedding: our whole path (tokenizer, batches, int8 graph) beside ONNX Runtime's own API on the f32 graph.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use groundwork::chunk::{ChunkConfig, split};
use groundwork::document::{Hints, PdfReader};
use groundwork::embed::{Embedder, FastEmbedder, Purpose};
use groundwork::models::{Catalog, InstalledEncoder, InstalledModel, ModelStore};
use groundwork::worker::{Cancel, ComputeGate};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;
use tokenizers::Tokenizer;

use crate::{handbook, median, report};

/// Makes this program the other side of [`RawProcess`].
pub(crate) const RAW_ARGUMENT: &str = "raw-embed";
const ROUNDS: usize = 5;
const TEXTS: usize = 512;
/// Texts of one call to ONNX Runtime, sorted by length: what a careful user of its API would do.
const RAW_BATCH: usize = 16;

pub(crate) fn run() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let installed = encoder(None);
    let ours = open(&installed, threads);
    let ours = ours.as_ref();
    let on_onnx = FastEmbedder::open(installed, threads, Arc::new(ComputeGate::default())).expect("the encoder opens");
    let texts = texts(ours);
    let tokens: usize = texts.iter().map(|text| ours.count_tokens(text) + 2).sum();
    println!("\nembed: {} chunks of the handbook, {tokens} tokens", texts.len());
    let f32_encoder = encoder(Some("f32"));
    let mut raw = RawProcess::start(&texts);
    let ours_f32 = open(&f32_encoder, threads);
    let [mut raw_rates, mut f32_rates, mut onnx_rates, mut int8_rates] = [const { Vec::new() }; 4];
    let references: Vec<&str> = texts.iter().map(String::as_str).collect();
    for _ in 0..ROUNDS {
        raw_rates.push(tokens as f64 / raw.pass());
        f32_rates.push(rate(tokens, || embed(ours_f32.as_ref(), &references)));
        onnx_rates.push(rate(tokens, || embed(&on_onnx, &references)));
        int8_rates.push(rate(tokens, || embed(ours, &references)));
    }
    let raw_rate = median(&mut raw_rates);
    report("embed, ONNX Runtime f32 by its own API", raw_rate, "tokens/s");
    report("embed, groundwork f32", median(&mut f32_rates), "tokens/s");
    let int8_rate = median(&mut int8_rates);
    report(
        "embed, groundwork int8 on ONNX Runtime",
        median(&mut onnx_rates),
        "tokens/s",
    );
    report("embed, groundwork default (int8)", int8_rate, "tokens/s");
    report(
        "embed, groundwork default / ONNX Runtime f32",
        int8_rate / raw_rate,
        "times",
    );
    let question = "How large may a document be?";
    let mut times: Vec<_> = (0..200)
        .map(|_| {
            let begun = Instant::now();
            ours.embed(&[question], Purpose::Query, &Cancel::new())
                .expect("it embeds");
            begun.elapsed()
        })
        .collect();
    report("embed, one question, p50", crate::quantile_ms(&mut times, 0.5), "ms");
}

fn rate(tokens: usize, work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    tokens as f64 / begun.elapsed().as_secs_f64()
}

fn embed(embedder: &dyn Embedder, texts: &[&str]) {
    embedder
        .embed(texts, Purpose::Passage, &Cancel::new())
        .expect("it embeds");
}

/// The installed encoder, at the catalog's precision or another.
pub(crate) fn encoder(precision: Option<&str>) -> InstalledEncoder {
    let catalog = match precision {
        None => Catalog::built_in().expect("the catalog is whole"),
        Some(precision) => {
            let changed = format!("[models.{}]\nprecision = \"{precision}\"\n", handbook::EMBEDDING_MODEL);
            let file = tempfile::Builder::new()
                .suffix(".toml")
                .tempfile()
                .expect("a temporary file");
            std::fs::write(file.path(), changed).expect("it can be written");
            Catalog::with_user_file(file.path()).expect("the catalog is whole")
        }
    };
    let store = ModelStore::open(catalog, handbook::models_dir(), Vec::new()).expect("the cache opens");
    match store
        .pull(handbook::EMBEDDING_MODEL, &mut |_| {}, &Cancel::new())
        .expect("the model is fetched")
    {
        InstalledModel::Encoder(encoder) => encoder,
        InstalledModel::LanguageModel(_) => panic!("an embedding model is an encoder"),
    }
}

/// Opens an encoder behind our own batching.
pub(crate) fn open(encoder: &InstalledEncoder, threads: usize) -> Arc<dyn Embedder> {
    groundwork::embed::open(encoder.clone(), threads, Arc::new(ComputeGate::default())).expect("the encoder opens")
}

/// Chunks of the handbook, repeated to [`TEXTS`].
pub(crate) fn texts(embedder: &dyn Embedder) -> Vec<String> {
    let mut texts = Vec::new();
    for document in handbook::documents("") {
        let hints = Hints {
            media_type: None,
            source_name: document.source_name,
        };
        let Ok(read) = groundwork::document::read(&document.bytes, &hints, &PdfReader::default(), &Cancel::new())
        else {
            continue;
        };
        let count = |text: &str| embedder.count_tokens(text);
        for chunk in split(&read, &ChunkConfig::default(), &count) {
            texts.extend(chunk.span.of(&read.text).map(str::to_owned));
        }
    }
    texts.into_iter().cycle().take(TEXTS).collect()
}

/// ONNX Runtime by its own API, in a process of its own because one process holds one environment of it. It waits while
/// our side is timed.
struct RawProcess {
    child: Child,
    to_child: ChildStdin,
    from_child: Lines<BufReader<ChildStdout>>,
}

impl RawProcess {
    fn start(texts: &[String]) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
            .arg(RAW_ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut to_child = child.stdin.take().expect("it is piped");
        let texts = serde_json::to_string(texts).expect("texts are JSON");
        writeln!(to_child, "{texts}").expect("the child reads");
        let from_child = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self {
            child,
            to_child,
            from_child,
        }
    }

    /// Embeds all texts once and returns the seconds that it took.
    fn pass(&mut self) -> f64 {
        writeln!(self.to_child, "pass").expect("the child reads");
        let line = self
            .from_child
            .next()
            .expect("the child answers")
            .expect("the child writes text");
        line.parse().expect("seconds")
    }
}

impl Drop for RawProcess {
    fn drop(&mut self) {
        // It ends with us in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other side of [`RawProcess`].
pub(crate) fn run_raw() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut lines = std::io::stdin().lines();
    let mut line = || lines.next().transpose().expect("the parent writes text");
    let texts: Vec<String> = serde_json::from_str(&line().expect("the texts")).expect("texts are JSON");
    let references: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut raw = Raw::open(&encoder(Some("f32")), threads);
    while line().is_some() {
        let begun = Instant::now();
        raw.embed(&references);
        println!("{}", begun.elapsed().as_secs_f64());
    }
}

/// ONNX Runtime by its own API.
struct Raw {
    session: Session,
    tokenizer: Tokenizer,
    wants_types: bool,
}

impl Raw {
    fn open(encoder: &InstalledEncoder, threads: usize) -> Self {
        let mut tokenizer = Tokenizer::from_file(&encoder.tokenizer).expect("the tokenizer can be read");
        tokenizer.with_padding(Some(tokenizers::PaddingParams::default()));
        let truncation = tokenizers::TruncationParams {
            max_length: encoder.max_tokens,
            ..tokenizers::TruncationParams::default()
        };
        tokenizer.with_truncation(Some(truncation)).expect("a truncation");
        let library = std::fs::canonicalize(&encoder.runtime_library).expect("the library is there");
        let environment = ort::init_from(library)
            .expect("the library loads")
            .build()
            .expect("an environment");
        let session = Session::builder(&environment)
            .and_then(|builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::Level3)?))
            .and_then(|builder| Ok(builder.with_intra_threads(threads)?))
            .and_then(|mut builder| builder.commit_from_file(&encoder.onnx))
            .expect("the graph can be read");
        let wants_types = session.inputs().iter().any(|input| input.name() == "token_type_ids");
        Self {
            session,
            tokenizer,
            wants_types,
        }
    }

    fn embed(&mut self, texts: &[&str]) {
        let mut sorted = texts.to_vec();
        sorted.sort_by_key(|text| std::cmp::Reverse(text.len()));
        for batch in sorted.chunks(RAW_BATCH) {
            let encodings = self.tokenizer.encode_batch(batch.to_vec(), true).expect("it tokenizes");
            let width = encodings[0].get_ids().len();
            let gather = |of: fn(&tokenizers::Encoding) -> &[u32]| {
                let values: Vec<i64> = encodings.iter().flat_map(of).map(|id| i64::from(*id)).collect();
                Tensor::from_array(([batch.len(), width], values)).expect("a tensor")
            };
            let ids = gather(tokenizers::Encoding::get_ids);
            let mask = gather(tokenizers::Encoding::get_attention_mask);
            let outputs = if self.wants_types {
                let types = gather(tokenizers::Encoding::get_type_ids);
                self.session
                    .run(ort::inputs!["input_ids" => ids, "attention_mask" => mask, "token_type_ids" => types])
            } else {
                self.session
                    .run(ort::inputs!["input_ids" => ids, "attention_mask" => mask])
            };
            std::hint::black_box(outputs.expect("the graph runs"));
        }
    }
}
