//! Tests of onnx.

use std::collections::HashMap;

use proptest::prelude::*;
use prost::Message as _;
use safetensors::{Dtype, tensor::TensorView};

use super::proto::ModelProto;
use super::quantize::per_column;
use super::{Precision, write};
use crate::models::Pooling;
use crate::models::encoder::{EncoderConfig, InvalidEncoder, Matrix};

const CONFIG: &str = r#"{"model_type": "bert", "hidden_size": 4, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 8, "vocab_size": 10, "max_position_embeddings": 6}"#;

/// Weights of the encoder that [`CONFIG`] describes, each tensor under the name that `rename` gives.
fn weights(rename: impl Fn(&str) -> String) -> Vec<u8> {
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.word_embeddings.weight".into(), vec![10, 4]),
        ("embeddings.position_embeddings.weight".into(), vec![6, 4]),
        ("embeddings.token_type_embeddings.weight".into(), vec![2, 4]),
        ("embeddings.LayerNorm.weight".into(), vec![4]),
        ("embeddings.LayerNorm.bias".into(), vec![4]),
    ];
    for layer in 0..2 {
        let dense = [
            ("attention.self.query", 4, 4),
            ("attention.self.key", 4, 4),
            ("attention.self.value", 4, 4),
            ("attention.output.dense", 4, 4),
            ("intermediate.dense", 8, 4),
            ("output.dense", 4, 8),
        ];
        for (name, outputs, inputs) in dense {
            shapes.push((format!("encoder.layer.{layer}.{name}.weight"), vec![outputs, inputs]));
            shapes.push((format!("encoder.layer.{layer}.{name}.bias"), vec![outputs]));
        }
        for name in ["attention.output", "output"] {
            shapes.push((format!("encoder.layer.{layer}.{name}.LayerNorm.weight"), vec![4]));
            shapes.push((format!("encoder.layer.{layer}.{name}.LayerNorm.bias"), vec![4]));
        }
    }
    let data: Vec<u8> = (0..80_u8).flat_map(|n| (f32::from(n) / 80.0).to_le_bytes()).collect();
    let views: HashMap<String, TensorView<'_>> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let bytes = shape.iter().product::<usize>() * 4;
            let view = TensorView::new(Dtype::F32, shape, &data[..bytes]).expect("the shape fits");
            (rename(&name), view)
        })
        .collect();
    safetensors::serialize(views, None).expect("tensors can be written")
}

fn written(weights: &[u8], precision: Precision) -> Result<Vec<u8>, InvalidEncoder> {
    let config = EncoderConfig::parse(CONFIG.as_bytes()).expect("it is sound");
    write(&config, weights, Pooling::Mean, precision)
}

#[test]
fn graph_uses_fused_operators_throughout() {
    let check = |precision, expected: &[(&str, usize)]| {
        let bytes = written(&weights(str::to_owned), precision).expect("the weights fit");
        let graph = ModelProto::decode(&bytes[..])
            .expect("it is a model")
            .graph
            .expect("it has a graph");
        for (operator, count) in expected {
            let nodes = graph
                .node
                .iter()
                .filter(|node| node.op_type.as_deref() == Some(operator));
            assert_eq!(nodes.count(), *count, "{operator}");
        }
    };
    let both = [
        ("EmbedLayerNormalization", 1),
        ("SkipLayerNormalization", 4),
        ("BiasGelu", 2),
    ];
    check(
        Precision::F32,
        &[&both[..], &[("Attention", 2), ("QAttention", 0)]].concat(),
    );
    check(
        Precision::Int8,
        &[
            &both[..],
            &[("Attention", 0), ("QAttention", 2), ("DynamicQuantizeMatMul", 6)],
        ]
        .concat(),
    );
}

#[test]
fn same_weights_give_same_bytes() {
    for precision in [Precision::F32, Precision::Int8] {
        let first = written(&weights(str::to_owned), precision).expect("the weights fit");
        // The order of tensors in the file differs from run to run.
        assert_eq!(
            first,
            written(&weights(str::to_owned), precision).expect("the weights fit")
        );
    }
}

#[test]
fn old_and_prefixed_names_are_found() {
    let renames: [fn(&str) -> String; 2] = [
        |name| format!("bert.{name}"),
        |name| {
            name.replace("Norm.weight", "Norm.gamma")
                .replace("Norm.bias", "Norm.beta")
        },
    ];
    let plain = written(&weights(str::to_owned), Precision::F32).expect("the weights fit");
    for rename in renames {
        assert_eq!(written(&weights(rename), Precision::F32).as_ref(), Ok(&plain));
    }
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let missing = weights(|name| name.replace("layer.1.output.dense.bias", "elsewhere"));
    let error = written(&missing, Precision::F32)
        .expect_err("a tensor is missing")
        .to_string();
    assert!(error.contains("encoder.layer.1.output.dense.bias"), "{error}");
    let wide = CONFIG.replace("\"intermediate_size\": 8", "\"intermediate_size\": 9");
    let config = EncoderConfig::parse(wide.as_bytes()).expect("it is sound");
    let error = write(&config, &weights(str::to_owned), Pooling::Cls, Precision::Int8).expect_err("a width differs");
    assert!(error.to_string().contains("[8, 4]"), "{error}");
    assert!(written(b"not safetensors", Precision::F32).is_err());
}

#[test]
fn encoders_that_cannot_be_written_are_refused() {
    let check = |from: &str, to: &str, reason: &str| {
        let error = EncoderConfig::parse(CONFIG.replace(from, to).as_bytes()).expect_err("it is refused");
        assert!(error.to_string().contains(reason), "{error}");
    };
    check("\"bert\"", "\"xlm-roberta\"", "xlm-roberta");
    check("\"num_attention_heads\": 2", "\"num_attention_heads\": 3", "multiple");
    check("\"vocab_size\": 10", "\"vocab_size\": 0", "vocab_size");
    check(
        "\"vocab_size\": 10",
        "\"vocab_size\": 10, \"hidden_act\": \"relu\"",
        "relu",
    );
    check(
        "\"vocab_size\": 10",
        "\"vocab_size\": 10, \"position_embedding_type\": \"relative_key\"",
        "relative_key",
    );
    check("\"hidden_size\": 4,", "", "hidden_size");
}

proptest! {
    #[test]
    fn quantized_weights_stay_near(values in prop::collection::vec(-3.0_f32..3.0, 12)) {
        let matrix = Matrix { rows: 4, columns: 3, values };
        let quantized = per_column(&matrix);
        for (position, value) in matrix.values.iter().enumerate() {
            let scale = quantized.scales[position % 3];
            let back = f32::from(quantized.values[position]) * scale;
            prop_assert!((back - value).abs() <= scale * 0.501);
        }
    }
}
