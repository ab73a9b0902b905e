//! The language model by itself: reading prompts, writing tokens, alone and in company.
//!
//! `cargo bench -- decoder [MODEL.gguf] [--llama-cpp PYTHON]`; without a file the catalog's model. With a Python that has
//! llama-cpp-python, that engine is measured in turns with ours, on the file as it is and requantized to 8 bits.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use groundwork::embed::{Embedder, Purpose};
use groundwork::generate::{AnswerStyle, CandleModel, LanguageModel, Sequence};
use groundwork::models::{Catalog, InstalledLanguageModel, InstalledModel, LanguageModelSource, ModelStore};
use groundwork::worker::{Cancel, ComputeGate};

use crate::{handbook, report};

/// Makes this program one that keeps a core busy.
pub(crate) const SPIN_ARGUMENT: &str = "spin";
const REPEATS: usize = 3;
/// Tokens that are read in one step, as answers do.
const STEP: usize = 128;
const CONTEXT: usize = 256;
const DECODED: usize = 128;
/// Lets a peer decode, for so many seconds at most.
const DECODE: &str = "decode 10";

pub(crate) fn run(arguments: &[String]) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut file, mut python) = (None, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--llama-cpp" => python = arguments.next(),
            path => file = Some(PathBuf::from(path)),
        }
    }
    let installed = installed(file);
    println!("\ndecoder: {} on {threads} threads", installed.source.path().display());
    let gate = Arc::new(ComputeGate::default());
    let begun = Instant::now();
    let model = CandleModel::open(&installed, threads, Arc::clone(&gate)).expect("the model opens");
    report("decoder, opened in", begun.elapsed().as_secs_f64() * 1e3, "ms");
    report("decoder, resident once open", status_mib("VmRSS"), "MiB");
    let text: String = handbook::documents("")
        .iter()
        .filter_map(|document| String::from_utf8(document.bytes.clone()).ok())
        .collect();
    let tokens = model.encode(&text).expect("text becomes tokens");
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut peers = python.map_or_else(Vec::new, |python| {
        let peer =
            |name, requantized| Peer::start(name, python, installed.source.path(), &tokens, home.path(), requantized);
        vec![peer("llama.cpp, as shipped", false), peer("llama.cpp, 8 bits", true)]
    });
    for len in [128, 512, 1_024, 2_048] {
        let what = format!("prefill of {len}");
        in_turns(&what, &mut peers, &format!("prefill {len}"), || {
            prefill(&model, &tokens[..len])
        });
    }
    let alone = in_turns("one stream", &mut peers, DECODE, || decode(&model, &tokens, 1));
    for streams in [2, 4, 8] {
        let rate = best(|| decode(&model, &tokens, streams));
        report(&format!("decoder, {streams} streams together"), rate, "tokens/s");
        for (peer, of_peer) in peers.iter().zip(&alone[1..]) {
            report(
                &format!("decoder, times one stream of {}", peer.name),
                rate / of_peer,
                "",
            );
        }
    }
    {
        let _spinning: Vec<Spinning> = (0..threads).map(|_| Spinning::start()).collect();
        let what = format!("one stream beside {threads} busy processes");
        let busy = in_turns(&what, &mut peers, DECODE, || decode(&model, &tokens, 1));
        for (busy, alone) in busy.iter().zip(&alone) {
            report("decoder, share of its idle rate", busy / alone, "");
        }
    }
    let alone = alone[0];
    beside_ingestion(&model, &tokens, alone, &gate, threads);
    report("decoder, most that was resident", status_mib("VmHWM"), "MiB");
}

/// Measures our side and the others in turns; returns the best rate of each, ours first.
fn in_turns(what: &str, peers: &mut [Peer], command: &str, mut ours: impl FnMut() -> f64) -> Vec<f64> {
    let mut rates = vec![0.0_f64; 1 + peers.len()];
    for _ in 0..REPEATS {
        rates[0] = rates[0].max(ours());
        for (peer, rate) in peers.iter_mut().zip(&mut rates[1..]) {
            *rate = rate.max(peer.measure(command));
        }
    }
    report(&format!("decoder, {what}"), rates[0], "tokens/s");
    for (peer, rate) in peers.iter().zip(&rates[1..]) {
        report(&format!("  {}", peer.name), *rate, "tokens/s");
        report("  times that", rates[0] / rate, "");
    }
    rates
}

/// Another engine in a process of its own, which works only when it is asked.
struct Peer {
    name: &'static str,
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(name: &'static str, python: &str, gguf: &Path, tokens: &[u32], home: &Path, requantized: bool) -> Self {
        let ids = home.join("tokens.json");
        let listed = serde_json::to_vec(&tokens[..tokens.len().min(4_096)]).expect("tokens are numbers");
        std::fs::write(&ids, listed).expect("it can be written");
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/llamacpp.py");
        let mut command = Command::new(python);
        command.arg(script).arg(gguf).arg(ids).arg(threads.to_string());
        if requantized {
            command.arg(home.join("requantized.gguf"));
        }
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn().expect("Python starts");
        let input = process.stdin.take().expect("it is piped");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut peer = Self {
            name,
            process,
            input,
            output,
        };
        assert!(peer.line().get("ready").is_some(), "llama-cpp-python loads the model");
        peer
    }

    fn measure(&mut self, command: &str) -> f64 {
        writeln!(self.input, "{command}").expect("it listens");
        self.line()["rate"].as_f64().expect("a rate")
    }

    fn line(&mut self) -> serde_json::Value {
        let mut line = String::new();
        // What the library itself prints is no JSON.
        while self.output.read_line(&mut line).expect("it tells") > 0 {
            if let Ok(value) = serde_json::from_str(&line) {
                return value;
            }
            line.clear();
        }
        panic!("{} ended", self.name);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Decodes while passages are embedded without a pause, and tells what each keeps of its own rate.
fn beside_ingestion(model: &CandleModel, tokens: &[u32], alone: f64, gate: &Arc<ComputeGate>, threads: usize) {
    let encoder = crate::embed::encoder(None);
    let embedder = groundwork::embed::open(encoder, threads, Arc::clone(gate)).expect("the encoder opens");
    let texts = crate::embed::texts(&*embedder);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let idle = best(|| {
        let begun = Instant::now();
        embed(&*embedder, &texts);
        texts.len() as f64 / begun.elapsed().as_secs_f64()
    });
    let is_over = AtomicBool::new(false);
    let (decoded, embedded) = std::thread::scope(|scope| {
        let embedding = scope.spawn(|| {
            let begun = Instant::now();
            let mut done = 0;
            while !is_over.load(Ordering::Relaxed) {
                embed(&*embedder, &texts[..64]);
                done += 64;
            }
            f64::from(done) / begun.elapsed().as_secs_f64()
        });
        let decoded = best(|| decode(model, tokens, 1));
        is_over.store(true, Ordering::Relaxed);
        (decoded, embedding.join().expect("it embeds"))
    });
    report("decoder, one stream beside ingestion", decoded, "tokens/s");
    report("decoder, share of its idle rate", decoded / alone, "");
    report("decoder, share that the ingestion keeps", embedded / idle, "");
}

fn embed(embedder: &dyn Embedder, texts: &[&str]) {
    embedder
        .embed(texts, Purpose::Passage, &Cancel::new())
        .expect("it embeds");
}

/// The catalog's language model, or that of a file.
pub(crate) fn installed(gguf: Option<PathBuf>) -> InstalledLanguageModel {
    if let Some(gguf) = gguf {
        return InstalledLanguageModel {
            model_id: "model".to_owned(),
            sha256: String::new(),
            directory: gguf.parent().map(PathBuf::from).unwrap_or_default(),
            source: LanguageModelSource::Gguf(gguf),
            context_tokens: None,
            answer_style: AnswerStyle::Free,
        };
    }
    let catalog = Catalog::built_in().expect("the catalog is whole");
    let store = ModelStore::open(catalog, handbook::models_dir(), Vec::new()).expect("the cache opens");
    let model = store.pull(handbook::LANGUAGE_MODEL, &mut |_| {}, &Cancel::new());
    match model.expect("the model is fetched") {
        InstalledModel::LanguageModel(installed) => installed,
        InstalledModel::Encoder(_) => panic!("a language model makes text"),
    }
}

fn read(sequence: &mut dyn Sequence, tokens: &[u32]) -> Vec<f32> {
    let mut logits = Vec::new();
    for step in tokens.chunks(STEP) {
        logits = sequence.feed(step, &Cancel::new()).expect("it is read");
    }
    logits
}

/// Tokens a second.
pub(crate) fn prefill(model: &CandleModel, tokens: &[u32]) -> f64 {
    let mut sequence = model.start().expect("a sequence begins");
    let begun = Instant::now();
    read(sequence.as_mut(), tokens);
    tokens.len() as f64 / begun.elapsed().as_secs_f64()
}

/// Tokens a second of all streams together, each after a prompt of its own.
pub(crate) fn decode(model: &CandleModel, tokens: &[u32], streams: usize) -> f64 {
    let prompts = (0..streams).map(|at| &tokens[at * CONTEXT..(at + 1) * CONTEXT]);
    let ready = prompts.map(|prompt| {
        let mut sequence = model.start().expect("a sequence begins");
        let logits = read(sequence.as_mut(), prompt);
        (sequence, logits)
    });
    let ready: Vec<_> = ready.collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for (mut sequence, mut logits) in ready {
            scope.spawn(move || {
                for _ in 0..DECODED {
                    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
                    let token = best.map_or(0, |(token, _)| token as u32);
                    logits = read(sequence.as_mut(), &[token]);
                }
            });
        }
    });
    (streams * DECODED) as f64 / begun.elapsed().as_secs_f64()
}

fn best(mut rate: impl FnMut() -> f64) -> f64 {
    (0..REPEATS).map(|_| rate()).fold(0.0, f64::max)
}

fn status_mib(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1_024.0
}

/// A process that keeps a core busy until it is dropped.
struct Spinning(Child);

impl Spinning {
    fn start() -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        Self(Command::new(program).arg(SPIN_ARGUMENT).spawn().expect("it starts"))
    }
}

impl Drop for Spinning {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Keeps a core busy, for a minute at most where nobody stops it.
pub(crate) fn spin() {
    let begun = Instant::now();
    while begun.elapsed().as_secs() < 60 {
        std::hint::spin_loop();
    }
}
