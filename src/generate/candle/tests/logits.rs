//! Logits of tiny models against those of candle's own decoders, which compute in numbers of 32 bits.

use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Result, Tensor};
use candle_transformers::models::{gemma3, llama, mistral, phi3, qwen2, qwen3};
use serde::de::DeserializeOwned;

use super::super::CandleModel;
use super::tiny::{self, Tiny, VOCABULARY};
use crate::generate::{LanguageModel as _, Sequence};
use crate::models::LanguageModelSource;
use crate::worker::Cancel;

/// Tokens of a prompt that is longer than the window, and of what is read one by one after it.
const PROMPT: usize = 40;
const TOKENS: usize = 44;
/// What rows of 8 bits and keys and values of half precision leave open, as a share of all logits.
const SHARE_OF_CODES: f32 = 0.06;
/// What numbers of 16 bits leave open, brought to codes once more.
const SHARE_OF_ROUNDING: f32 = 0.06;
/// What codes leave open that fall to the other side, where sums are formed in another order.
const SHARE_OF_ORDER: f32 = 0.02;
/// What sums of numbers in another order leave open.
const SHARE_OF_NUMBERS: f32 = 0.001;

/// Returns the logits after the last of some tokens.
fn expected(model: &Tiny, tokens: &[u32]) -> Result<Vec<f32>> {
    fn config<C: DeserializeOwned>(model: &Tiny) -> C {
        let mut config = model.config.clone();
        // Candle's decoders let a query see one more key than their windows say.
        if let Some(window) = config["sliding_window"].as_u64() {
            config["sliding_window"] = (window - 1).into();
        } else if model.class().starts_with("Qwen2") {
            config["sliding_window"] = config["max_position_embeddings"].clone();
        }
        serde_json::from_value(config).expect("candle reads the configuration")
    }
    let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
    let builder = model.builder();
    let logits = match model.class() {
        "LlamaForCausalLM" => {
            let config: llama::LlamaConfig = config(model);
            let config = config.into_config(false);
            let mut cache = llama::Cache::new(true, DType::F32, &config, &Device::Cpu)?;
            llama::Llama::load(builder, &config)?.forward(&input, 0, &mut cache)?
        }
        "MistralForCausalLM" => mistral::Model::new(&config(model), builder)?.forward(&input, 0)?,
        "Qwen2ForCausalLM" => qwen2::ModelForCausalLM::new(&config(model), builder)?.forward(&input, 0)?,
        "Qwen3ForCausalLM" => qwen3::ModelForCausalLM::new(&config(model), builder)?.forward(&input, 0)?,
        "Phi3ForCausalLM" => phi3::Model::new(&config(model), builder)?.forward(&input, 0)?,
        "Gemma3ForCausalLM" => gemma3::Model::new(false, &config(model), builder)?.forward(&input, 0)?,
        other => panic!("{other} has no decoder"),
    };
    logits.flatten_all()?.to_vec1()
}

/// Returns how far logits lie from those that are expected, as a share of these.
fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let squares = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| x * x).sum::<f32>();
    let difference = squares(&mut found.iter().zip(expected).map(|(x, y)| x - y));
    (difference / squares(&mut expected.iter().copied())).sqrt()
}

fn tokens() -> Vec<u32> {
    (0..TOKENS as u32)
        .map(|at| (at * 29 + at / 7) % VOCABULARY as u32)
        .collect()
}

/// Reads a prompt, then token by token, and compares the logits of each step.
#[track_caller]
fn check(model: &CandleModel, tiny: &Tiny, most: f32) {
    let tokens = tokens();
    let mut sequence = model.start().expect("a sequence begins");
    let mut read = 0;
    for end in PROMPT..=TOKENS {
        let logits = sequence.feed(&tokens[read..end], &Cancel::new()).expect("it is read");
        read = end;
        let expected = expected(tiny, &tokens[..end]).expect("candle computes");
        let distance = distance(&logits, &expected);
        let config = &tiny.config;
        assert!(distance < most, "{distance} after {end} tokens of {config}");
    }
}

/// Opens a model that is written as GGUF.
fn open(tiny: &Tiny, directory: &Path, kind: GgmlDType, is_portable: bool) -> CandleModel {
    let gguf = tiny.write_gguf(directory, kind);
    let installed = tiny::installed(directory, LanguageModelSource::Gguf(gguf));
    let model = if is_portable {
        CandleModel::open_portable(&installed, Arc::default())
    } else {
        CandleModel::open(&installed, 2, Arc::default())
    };
    model.expect("the model opens")
}

#[test]
fn portable_decoder_computes_what_candle_does() {
    for tiny in tiny::all(true) {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        // No kernel of codes is as wide: candle multiplies numbers.
        let model = open(&tiny, directory.path(), GgmlDType::F32, false);
        check(&model, &tiny, SHARE_OF_NUMBERS);
    }
    for tiny in tiny::all(false) {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let model = open(&tiny, directory.path(), GgmlDType::Q8_0, true);
        check(&model, &tiny, SHARE_OF_CODES);
    }
}

#[test]
fn portable_sequences_leave_each_other_alone() {
    let tokens = tokens();
    let feed =
        |sequence: &mut Box<dyn Sequence>, tokens: &[u32]| sequence.feed(tokens, &Cancel::new()).expect("it is read");
    for tiny in tiny::all(true) {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let model = open(&tiny, directory.path(), GgmlDType::F32, true);
        let mut first = model.start().expect("a sequence begins");
        feed(&mut first, &tokens[..PROMPT]);
        let mut second = first.fork().expect("it can be forked");
        feed(&mut first, &[1, 2, 3]);
        let forked = feed(&mut second, &tokens[PROMPT..]);
        let mut alone = model.start().expect("a sequence begins");
        feed(&mut alone, &tokens[..PROMPT]);
        assert_eq!(forked, feed(&mut alone, &tokens[PROMPT..]));
        let mut in_steps = model.start().expect("a sequence begins");
        let steps = tokens.chunks(7).map(|step| feed(&mut in_steps, step));
        let in_steps = steps.last().expect("there are steps");
        assert!(distance(&in_steps, &forked) < SHARE_OF_NUMBERS);
    }
}

#[test]
fn every_architecture_computes_what_candle_does() {
    for tiny in tiny::all(false) {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let model = open(&tiny, directory.path(), GgmlDType::Q8_0, false);
        check(&model, &tiny, SHARE_OF_CODES);
        let first = logits(&model);

        // The same weights as they are published, whole and in parts.
        for (kind, files, most) in [(DType::F32, 1, SHARE_OF_ORDER), (DType::BF16, 3, SHARE_OF_ROUNDING)] {
            let directory = tempfile::tempdir().expect("a temporary directory can be made");
            let source = LanguageModelSource::Safetensors {
                weights: tiny.write_safetensors(directory.path(), kind, files),
                directory: directory.path().to_owned(),
            };
            let installed = tiny::installed(directory.path(), source);
            let model = CandleModel::open(&installed, 2, Arc::default()).expect("the model opens");
            let distance = distance(&logits(&model), &first);
            let config = &tiny.config;
            assert!(distance < most, "{distance} in {files} files of {config}");
            assert_eq!(
                model.encode("01").expect("text becomes tokens"),
                [VOCABULARY as u32 - 1]
            );
            assert_eq!(model.token_bytes(VOCABULARY as u32 - 1), b"01");
        }
    }
}

fn logits(model: &CandleModel) -> Vec<f32> {
    let mut sequence = model.start().expect("a sequence begins");
    sequence.feed(&tokens(), &Cancel::new()).expect("it is read")
}
