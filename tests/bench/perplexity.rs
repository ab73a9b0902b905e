//! What types of weights lose, as perplexity, and what they take, as rates.
//!
//! `cargo bench -- perplexity [MODEL.gguf] [TEXT...]`: on our handbook and on other texts. Weights of the file are turned
//! into other types; the first row is the file computed in 32 bits throughout, by candle, token by token. The file itself may
//! have lost something already: that is not seen here.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::gguf_file::{self, Content};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;
use groundwork::generate::{CandleModel, LanguageModel};
use groundwork::models::InstalledLanguageModel;
use groundwork::worker::{Cancel, ComputeGate};

use crate::decoder::{decode, installed, prefill};
use crate::handbook;

/// Tokens of a text that are read, from its beginning, and in one piece.
const TOKENS: usize = 2_048;
const WINDOW: usize = 512;
/// Tokens whose logits are held at once.
const STEP: usize = 64;

/// Types that the file's matrices are turned into.
const TYPES: [(&str, GgmlDType); 6] = [
    ("Q8_0", GgmlDType::Q8_0),
    ("Q6_K", GgmlDType::Q6K),
    ("Q5_0", GgmlDType::Q5_0),
    ("Q4_1", GgmlDType::Q4_1),
    ("Q4_0", GgmlDType::Q4_0),
    ("Q4_K", GgmlDType::Q4K),
];

pub(crate) fn run(arguments: &[String]) {
    let mut paths: Vec<PathBuf> = arguments.iter().map(PathBuf::from).collect();
    let is_model = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "gguf");
    let file = paths.iter().position(is_model).map(|at| paths.remove(at));
    let installed = installed(file);
    let shipped = open(&installed);
    let handbook: String = handbook::documents("")
        .iter()
        .filter_map(|document| String::from_utf8(document.bytes.clone()).ok())
        .collect();
    let mut texts = vec![("handbook".to_owned(), handbook)];
    for path in &paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        texts.push((name, std::fs::read_to_string(path).expect("a text can be read")));
    }
    let texts: Vec<(String, Vec<u32>)> = texts
        .into_iter()
        .map(|(name, text)| {
            let mut tokens = shipped.encode(&text).expect("text becomes tokens");
            tokens.truncate(TOKENS);
            (name, tokens)
        })
        .collect();
    println!(
        "\nperplexity: {}, {TOKENS} tokens of a text in pieces of {WINDOW}",
        installed.source.path().display()
    );
    for (name, _) in &texts {
        print!("{name:>14}");
    }
    println!("{:>14}{:>14}  weights", "prefill 512", "decode");
    let home = tempfile::tempdir().expect("a temporary directory");
    let exact = home.path().join("f32.gguf");
    rewrite(installed.source.path(), &exact, GgmlDType::F32).expect("numbers can be written in 32 bits");
    for (_, tokens) in &texts {
        print!("{:>14.3}", perplexity(tokens, |tokens| exactly(&exact, tokens)));
    }
    println!("{:>14}{:>14}  as shipped, computed in 32 bits", "", "");
    row(&shipped, &texts, "as shipped");
    for (name, kind) in TYPES {
        let path = home.path().join(format!("{name}.gguf"));
        match rewrite(installed.source.path(), &path, kind) {
            Ok(()) => row(&open(&of_file(&path)), &texts, name),
            Err(error) => println!("{name}: {}", error.to_string().lines().next().unwrap_or_default()),
        }
    }
    let portable = CandleModel::open_portable(&of_file(&copied(installed.source.path(), home.path())), Arc::default());
    row(
        &portable.expect("the model opens"),
        &texts,
        "as shipped, without our kernels",
    );
}

fn row(model: &CandleModel, texts: &[(String, Vec<u32>)], name: &str) {
    for (_, tokens) in texts {
        print!("{:>14.3}", perplexity(tokens, |tokens| logits(model, tokens)));
    }
    let tokens = &texts[0].1;
    let best = |rate: &dyn Fn() -> f64| (0..3).map(|_| rate()).fold(0.0, f64::max);
    let (reading, writing) = (
        best(&|| prefill(model, &tokens[..512])),
        best(&|| decode(model, tokens, 1)),
    );
    println!("{reading:>14.1}{writing:>14.1}  {name}");
}

/// e to the mean surprise at each token but the first of a piece.
fn perplexity(tokens: &[u32], logits: impl Fn(&[u32]) -> Vec<Vec<f32>>) -> f64 {
    let mut surprise = (0.0, 0);
    for window in tokens.chunks(WINDOW) {
        for (logits, next) in logits(window).iter().zip(&window[1..]) {
            let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = logits.iter().map(|logit| f64::from(logit - highest).exp()).sum();
            surprise.0 += sum.ln() - f64::from(logits[*next as usize] - highest);
            surprise.1 += 1;
        }
    }
    (surprise.0 / f64::from(surprise.1)).exp()
}

fn logits(model: &CandleModel, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut sequence = model.start().expect("a sequence begins");
    let steps = tokens.chunks(STEP);
    steps
        .flat_map(|step| sequence.feed_each(step, &Cancel::new()).expect("it is read"))
        .collect()
}

/// The logits of the decoder of candle on weights of 32 bits.
fn exactly(path: &Path, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut source = BufReader::new(File::open(path).expect("it was written"));
    let content = Content::read(&mut source).expect("it was written");
    let mut weights = ModelWeights::from_gguf(content, &mut source, &Device::Cpu).expect("it has all weights");
    let each = tokens.iter().enumerate().map(|(position, token)| {
        let input = Tensor::new(&[*token], &Device::Cpu).and_then(|input| input.unsqueeze(0));
        let logits = input.and_then(|input| weights.forward(&input, position)?.flatten_all()?.to_vec1());
        logits.expect("it computes")
    });
    each.collect()
}

/// Writes a file again with its matrices in another type.
fn rewrite(source: &Path, target: &Path, kind: GgmlDType) -> candle_core::Result<()> {
    let mut file = BufReader::new(File::open(source)?);
    let content = Content::read(&mut file)?;
    let mut tensors = Vec::new();
    for name in content.tensor_infos.keys() {
        let tensor = content.tensor(&mut file, name, &Device::Cpu)?;
        let tensor = if tensor.shape().rank() == 2 {
            QTensor::quantize(&tensor.dequantize(&Device::Cpu)?, kind)?
        } else {
            tensor
        };
        tensors.push((name.as_str(), tensor));
    }
    let metadata: Vec<_> = content
        .metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    gguf_file::write(&mut File::create(target)?, &metadata, &tensors)
}

/// The portable side keeps its weights beside the file: it gets a copy.
fn copied(source: &Path, home: &Path) -> PathBuf {
    let target = home.join("shipped.gguf");
    std::fs::copy(source, &target).expect("it can be copied");
    target
}

fn of_file(path: &Path) -> InstalledLanguageModel {
    installed(Some(path.to_owned()))
}

fn open(installed: &InstalledLanguageModel) -> CandleModel {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    CandleModel::open(installed, threads, Arc::new(ComputeGate::default())).expect("the model opens")
}
