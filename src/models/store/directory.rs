//! Models that lie in a directory of the user's and stay there.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::catalog::directory::{lacks, read_optional};
use super::super::stamp;
use super::super::{CatalogModel, Error, InstalledModel, LanguageModelSource, Modality, PullEvent};
use super::lock::Lock;
use super::{CONFIG, ModelStore, TOKENIZER, WEIGHTS, checkpoint, has_extension, language_model, verified_hash};
use crate::worker::Cancel;

/// What sentence-transformers writes beside a model about how long texts may be.
const SENTENCE_CONFIG: &str = "sentence_bert_config.json";
#[derive(Default, Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
}

impl ModelStore {
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
            Modality::Text => language_model_in(path, derived, model),
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

fn language_model_in(path: &Path, derived: PathBuf, model: &CatalogModel) -> Result<InstalledModel, Error> {
    if let Some((source, sha256)) = checkpoint::find(path, &derived)? {
        return Ok(language_model(model, source, sha256, derived));
    }
    let entries = std::fs::read_dir(path).map_err(Error::io("read", path))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| has_extension(path, "gguf") && path.is_file())
        .collect();
    let (Some(gguf), true) = (found.pop(), found.is_empty()) else {
        let wanted = "it must hold config.json, tokenizer.json and files of safetensors, or exactly one .gguf file";
        return Err(lacks(path, wanted.to_owned()));
    };
    let name = gguf.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sha256 = verified_hash(path, &derived, &name)?;
    Ok(language_model(model, LanguageModelSource::Gguf(gguf), sha256, derived))
}
