//! What is refused; logits.

mod logits;
mod tiny;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use gguf_file::Value;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use tiny::Tiny;

type Metadata = Vec<(String, Value)>;
type Tensors = BTreeMap<String, Tensor>;

#[track_caller]
fn check_refused(source: LanguageModelSource, expected: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let installed = tiny::installed(directory.path(), source);
    let error = CandleModel::open(&installed, 1, Arc::default())
        .err()
        .map(|error| error.to_string());
    assert!(
        error.as_deref().is_some_and(|text| text.contains(expected)),
        "{expected} is not in {error:?}"
    );
}

#[test]
fn foreign_files_are_refused_by_name() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("model.gguf");
    let check = |bytes: Option<Vec<u8>>, expected: &str| {
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).expect("the file can be written");
        }
        check_refused(LanguageModelSource::Gguf(path.clone()), expected);
    };
    let gguf_of = |architecture: &str| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let value = Value::String(architecture.to_owned());
        gguf_file::write(&mut bytes, &[("general.architecture", &value)], &[]).expect("memory can be written");
        bytes.into_inner()
    };
    check(None, "cannot open it");
    check(Some(b"no model".to_vec()), "not a GGUF file");
    check(
        Some(gguf_of("mamba")),
        "architecture mamba is not supported; supported: llama, mistral, mistral3, qwen2, qwen3, phi3, gemma3",
    );
    check(Some(gguf_of("llama")), "tokenizer.ggml.tokens");
}

#[test]
fn models_that_would_be_computed_wrongly_are_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let tiny = tiny::tiny("LlamaForCausalLM", json!({}));
    let check = |change: &dyn Fn(&mut Metadata, &mut Tensors), expected: &str| {
        let (mut metadata, mut tensors) = tiny.gguf();
        change(&mut metadata, &mut tensors);
        let path = tiny::write_gguf(directory.path(), &metadata, &tensors, GgmlDType::Q8_0);
        check_refused(LanguageModelSource::Gguf(path), expected);
    };
    let set = |key: &str, value: Value| {
        let key = key.to_owned();
        move |metadata: &mut Metadata, _: &mut Tensors| {
            metadata.retain(|(other, _)| *other != key);
            metadata.push((key.clone(), value.clone()));
        }
    };
    let vector = || Tensor::zeros(128, DType::F32, &Device::Cpu).expect("a vector");
    let put = |name: &str| {
        let name = name.to_owned();
        move |_: &mut Metadata, tensors: &mut Tensors| {
            tensors.insert(name.clone(), vector());
        }
    };
    check(&set("llama.expert_count", Value::U32(8)), "mixtures of experts");
    let yarn = Value::String("yarn".to_owned());
    check(
        &set("llama.rope.scaling.type", yarn),
        "scaling of the rotation by `yarn`",
    );
    check(&set("llama.attention.value_length", Value::U32(16)), "its values 16");
    check(
        &set("llama.attention.head_count_kv", Value::U32(3)),
        "4 heads cannot share 3",
    );
    for base in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        check(
            &set("llama.rope.freq_base", Value::F32(base)),
            "the base of its rotation",
        );
    }
    check(
        &set("llama.rope.dimension_count", Value::U32(0)),
        "0 numbers of a head cannot turn",
    );
    for epsilon in [-1e-5, f32::NAN, f32::INFINITY] {
        check(
            &set("llama.attention.layer_norm_rms_epsilon", Value::F32(epsilon)),
            "the epsilon of its norms",
        );
    }
    check(
        &set("llama.final_logit_softcapping", Value::F32(30.0)),
        "llama.final_logit_softcapping",
    );
    let pre = Value::String("klingon".to_owned());
    check(&set("tokenizer.ggml.pre", pre), "texts that are cut as `klingon` does");
    check(&put("blk.1.attn_sinks.weight"), "blk.1.attn_sinks.weight is not one");
    check(&put("blk.1.attn_norm_2.bias"), "blk.1.attn_norm_2.bias is not one");
    check(
        &put("blk.0.ffn_down.weight"),
        "blk.0.ffn_down.weight has the shape [128], it must have [128, 160]",
    );
    check(
        &|_, tensors| drop(tensors.remove("blk.2.attn_k.weight")),
        "the tensor blk.2.attn_k.weight is missing",
    );
    let unjoined = Value::Array(vec![Value::String("0 99999".to_owned())]);
    check(&set("tokenizer.ggml.merges", unjoined), "99999");
}

#[test]
fn types_of_weights_are_refused_by_name() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let tiny = tiny::tiny("LlamaForCausalLM", json!({}));
    let path = tiny.write_gguf(directory.path(), GgmlDType::Q8_0);
    let mut bytes = std::fs::read(&path).expect("it was written");
    let name = b"blk.1.ffn_up.weight";
    let at = bytes
        .windows(name.len())
        .position(|part| part == name)
        .expect("it has the tensor");
    // After the name the number of sides, two sides, the type.
    bytes[at + name.len() + 4 + 2 * 8] = 23;
    std::fs::write(&path, bytes).expect("files can be written");
    check_refused(
        LanguageModelSource::Gguf(path),
        "the tensor blk.1.ffn_up.weight is of the type IQ4_XS, which is not supported",
    );
}

#[test]
fn damaged_headers_are_refused_by_name() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let (metadata, tensors) = tiny::tiny("LlamaForCausalLM", json!({})).gguf();
    let check = |key: &str, value: Value, expected: &str| {
        let mut metadata = metadata.clone();
        metadata.retain(|(other, _)| other != key);
        metadata.push((key.to_owned(), value));
        let path = tiny::write_gguf(directory.path(), &metadata, &tensors, GgmlDType::Q8_0);
        check_refused(LanguageModelSource::Gguf(path.clone()), expected);
        check_refused(LanguageModelSource::Gguf(path.clone()), &path.display().to_string());
    };
    check(
        "general.alignment",
        Value::U32(0),
        "its metadata has general.alignment 0",
    );
    check(
        "llama.block_count",
        Value::U32(u32::MAX),
        "its number of layers is 4294967295, 1 to 4096",
    );
    check(
        "llama.embedding_length",
        Value::U64(u64::MAX),
        "its width is 18446744073709551615",
    );
    check("llama.attention.head_count", Value::U32(0), "its number of heads is 0");
    check(
        "tokenizer.ggml.tokens",
        Value::U32(7),
        "its metadata has no list tokenizer.ggml.tokens",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_anywhere_is_an_error_or_harmless(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut: Option<prop::sample::Index>,
        is_in_header: bool,
    ) {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = tiny::tiny("LlamaForCausalLM", json!({})).write_gguf(directory.path(), GgmlDType::Q8_0);
        let mut bytes = std::fs::read(&path).expect("it was written");
        // Metadata and places of tensors take the first bytes.
        let damaged = if is_in_header { 4_000.min(bytes.len()) } else { bytes.len() };
        for (at, byte) in places {
            bytes[at.index(damaged)] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(&path, &bytes).expect("files can be written");
        let installed = tiny::installed(directory.path(), LanguageModelSource::Gguf(path.clone()));
        if let Err(error) = CandleModel::open(&installed, 1, Arc::default()) {
            prop_assert!(error.to_string().contains(&path.display().to_string()), "{}", error);
        }
    }
}

#[test]
fn damaged_checkpoints_are_refused_by_file() {
    let tiny = || tiny::tiny("LlamaForCausalLM", json!({}));
    let check = |tiny: Tiny, damage: &dyn Fn(&Path), expected: &str| {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let weights = tiny.write_safetensors(directory.path(), DType::F32, 2);
        damage(directory.path());
        let source = LanguageModelSource::Safetensors {
            directory: directory.path().to_owned(),
            weights,
        };
        check_refused(source, expected);
    };
    let with = |key: &str, value: serde_json::Value| {
        let mut tiny = tiny();
        tiny.config[key] = value;
        tiny
    };
    let without = |name: &str| {
        let mut tiny = tiny();
        tiny.tensors.remove(name).expect("it has the tensor");
        tiny
    };
    let shard = "model-1.safetensors";
    let write = |name: &'static str, bytes: &'static [u8]| {
        move |directory: &Path| std::fs::write(directory.join(name), bytes).expect("files can be written")
    };
    let whole = |_: &Path| {};
    check(
        with("architectures", json!(["MambaForCausalLM"])),
        &whole,
        "architecture MambaForCausalLM is not supported; supported: LlamaForCausalLM, MistralForCausalLM",
    );
    check(with("hidden_act", json!("relu")), &whole, "`hidden_act` is relu");
    check(
        with("rope_scaling", json!({ "rope_type": "yarn" })),
        &whole,
        "scaling of the rotation by `yarn`",
    );
    check(
        with("quantization_config", json!({ "quant_method": "awq" })),
        &whole,
        "quantized by `awq`",
    );
    check(
        with("num_key_value_heads", json!(4)),
        &whole,
        "k_proj.weight has the shape [64, 128], it must have [128, 128]",
    );
    let missing = "model.layers.1.mlp.up_proj.weight";
    check(without(missing), &whole, &format!("the tensor {missing} is missing"));
    check(
        without("lm_head.weight"),
        &|directory| {
            let path = directory.join("model-0.safetensors");
            std::fs::remove_file(path).expect("it was written");
        },
        "model-0.safetensors: No such file",
    );
    check(tiny(), &write(shard, b"short"), "model-1.safetensors: failed to fill");
    check(
        tiny(),
        &write(shard, &[0xff; 64]),
        "model-1.safetensors: its header is said to have",
    );
    check(tiny(), &write("tokenizer.json", b"{}"), "tokenizer.json: ");
    check(tiny(), &write("config.json", b"{"), "config.json: ");
    check(
        tiny(),
        &|directory| {
            let path = directory.join(shard);
            let bytes = std::fs::read(&path).expect("it was written");
            std::fs::write(path, &bytes[..bytes.len() - 100]).expect("files can be written");
        },
        "model-1.safetensors: the tensor ",
    );
    let mut biased = tiny();
    let bias = Tensor::zeros(128, DType::F32, &Device::Cpu).expect("a vector");
    biased
        .tensors
        .insert("model.layers.0.self_attn.o_proj.bias".to_owned(), bias);
    check(biased, &whole, "model.layers.0.self_attn.o_proj.bias is not one");
}
