//! Models in directories of the user's, named on the command line or in the configuration.

use std::path::Path;

use serde::Deserialize;

use super::super::onnx::Precision;
use super::super::{AnswerStyle, Error, Modality, Pooling};
use super::CatalogModel;

/// Weights of an encoder.
const WEIGHTS: &str = "model.safetensors";
/// Its shape.
const CONFIG: &str = "config.json";
/// What sentence-transformers writes about pooling.
const POOLING_CONFIG: &str = "1_Pooling/config.json";

/// What `config.json` says about what the model is for.
#[derive(Default, Deserialize)]
struct ModelConfig {
    architectures: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode_cls_token: bool,
}

/// Describes the model in a directory: an encoder if it holds `config.json` and `model.safetensors`, unless that names a
/// language model; else a language model, which must be its one `.gguf` file. Its id is the directory's name; its files are
/// hashed, not checked against a pin.
pub(super) fn describe(path: &Path) -> Result<CatalogModel, Error> {
    let path = path
        .canonicalize()
        .map_err(Error::io("open the model directory", path))?;
    let Some(id) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return Err(lacks(&path, "it has no name that could be the model's id".to_owned()));
    };
    let modality = if path.join(CONFIG).is_file() && path.join(WEIGHTS).is_file() && !is_causal(&path) {
        Modality::Embedding
    } else {
        Modality::Text
    };
    let pooling: PoolingConfig = read_optional(&path.join(POOLING_CONFIG))?;
    Ok(CatalogModel {
        name: id.clone(),
        id,
        provider: String::new(),
        license: String::new(),
        modality,
        dimensions: 0,
        max_tokens: 0,
        pooling: if pooling.pooling_mode_cls_token {
            Pooling::Cls
        } else {
            Pooling::Mean
        },
        precision: Precision::Int8,
        answer_style: AnswerStyle::Free,
        passage_prefix: String::new(),
        query_prefix: String::new(),
        files: Vec::new(),
        directory: Some(path),
        graph: None,
    })
}

/// Returns whether `config.json` in a directory names the class of a language model.
pub(in crate::models) fn is_causal(path: &Path) -> bool {
    let classes = read_optional::<ModelConfig>(&path.join(CONFIG)).unwrap_or_default();
    let classes = classes.architectures.unwrap_or_default();
    classes.iter().any(|class| class.ends_with("ForCausalLM"))
}

/// Says what a directory of the user's lacks.
pub(in crate::models) fn lacks(path: &Path, reason: String) -> Error {
    Error::Directory {
        path: path.to_owned(),
        reason,
    }
}

/// Reads a file of JSON that need not be there.
pub(in crate::models) fn read_optional<T: Default + for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(T::default()),
        Err(source) => return Err(Error::io("read", path)(source)),
    };
    serde_json::from_slice(&bytes).map_err(|source| lacks(path, source.to_string()))
}
