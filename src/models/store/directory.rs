//! Models that lie in a directory of the user's and stay there.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::onnx::Precision;
use super::super::stamp;
use super::super::{CatalogModel, Error, InstalledLanguageModel, InstalledModel, Modality, Pooling, PullEvent};
use super::lock::Lock;
use super::{CONFIG, ModelStore, TOKENIZER, WEIGHTS, fetch_unit, has_extension, verified_hash};
use crate::models::fetch::Fetcher;
use crate::worker::Cancel;

/// What sentence-transformers writes beside a model about how long texts may be.
const SENTENCE_CONFIG: &str = "sentence_bert_config.json";
/// What it writes about pooling.
const POOLING_CONFIG: &str = "1_Pooling/config.json";

#[derive(Default, Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
}

#[derive(Default, Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode_cls_token: bool,
}

impl ModelStore {
    /// Returns the model in a directory of the user's: an encoder if it holds `config.json`, `tokenizer.json` and
    /// `model.safetensors`, a language model if it holds one `.gguf` file. Its id is the directory's name; its files
    /// are hashed, not checked against a pin. Fetches the runtime of an encoder.
    pub fn from_directory(
        &self,
        path: &Path,
        events: &mut dyn FnMut(PullEvent),
        cancel: &Cancel,
    ) -> Result<InstalledModel, Error> {
        let id = path
            .file_name()
            .map_or_else(|| "local".to_owned(), |name| name.to_string_lossy().into_owned());
        let modality = if path.join(CONFIG).is_file() && path.join(WEIGHTS).is_file() {
            Modality::Embedding
        } else {
            Modality::Text
        };
        let pooling: PoolingConfig = read_optional(&path.join(POOLING_CONFIG))?;
        let model = CatalogModel {
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
            passage_prefix: String::new(),
            query_prefix: String::new(),
            files: Vec::new(),
            directory: Some(path.to_owned()),
            graph: None,
        };
        if modality == Modality::Embedding && !self.is_complete(&model)? {
            let _lock = Lock::acquire(&self.directory, events, cancel)?;
            let mut fetcher = Fetcher::new(&self.sources, &self.directory, events, cancel)?;
            fetch_unit(&mut fetcher, &model.id, &self.runtime_unit()?)?;
        }
        self.assemble_directory(path, &model, None, events, cancel)
    }

    /// Makes a model of the files in `path`, which is left as it is.
    pub(super) fn assemble_directory(
        &self,
        path: &Path,
        model: &CatalogModel,
        lock: Option<&Lock>,
        events: &mut dyn FnMut(PullEvent),
        cancel: &Cancel,
    ) -> Result<InstalledModel, Error> {
        let derived = self.derived_directory(path);
        std::fs::create_dir_all(&derived).map_err(Error::io("create", &derived))?;
        match model.modality {
            Modality::Text => gguf_in(path, derived, model),
            Modality::Embedding => {
                for name in [CONFIG, TOKENIZER, WEIGHTS] {
                    if !path.join(name).is_file() {
                        return Err(lacks(path, format!("it holds no {name}")));
                    }
                }
                let mut model = model.clone();
                if model.max_tokens == 0 {
                    let config: SentenceConfig = read_optional(&path.join(SENTENCE_CONFIG))?;
                    model.max_tokens = config.max_seq_length.unwrap_or(0);
                }
                let encoder = self.encoder(&model, path, &derived, lock, events, cancel)?;
                Ok(InstalledModel::Encoder(encoder))
            }
        }
    }

    /// Returns where files are kept that we make for the model in a directory of the user's.
    pub(super) fn derived_directory(&self, path: &Path) -> PathBuf {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let hash = stamp::hash_bytes(path.as_os_str().as_encoded_bytes());
        self.directory.join(format!("local-{}", &hash[..16]))
    }
}

fn gguf_in(path: &Path, derived: PathBuf, model: &CatalogModel) -> Result<InstalledModel, Error> {
    let entries = std::fs::read_dir(path).map_err(Error::io("read", path))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| has_extension(path, "gguf"))
        .collect();
    let (Some(gguf), true) = (found.pop(), found.is_empty()) else {
        let wanted = "it must hold config.json, tokenizer.json and model.safetensors, or exactly one .gguf file";
        return Err(lacks(path, wanted.to_owned()));
    };
    let name = gguf.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(InstalledModel::LanguageModel(InstalledLanguageModel {
        model_id: model.id.clone(),
        sha256: verified_hash(path, &derived, &name)?,
        gguf,
        directory: derived,
        context_tokens: Some(model.max_tokens).filter(|tokens| *tokens > 0),
    }))
}

fn lacks(path: &Path, reason: String) -> Error {
    Error::Directory {
        path: path.to_owned(),
        reason,
    }
}

/// Reads a file of JSON that need not be there.
fn read_optional<T: Default + for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(T::default()),
        Err(source) => return Err(Error::io("read", path)(source)),
    };
    serde_json::from_slice(&bytes).map_err(|source| lacks(path, source.to_string()))
}
