//! Models that lie in a directory of the user's and stay there.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::catalog::directory::{lacks, read_optional};
use super::super::stamp::{self, Stamp};
use super::super::{CatalogModel, Error, InstalledModel, LanguageModelSource, Modality, PullEvent};
use super::lock::Lock;
use super::{CONFIG, ModelStore, TOKENIZER, WEIGHTS, checkpoint, has_extension, language_model, verified_hash};
use crate::worker::Cancel;

/// What sentence-transformers writes beside a model about how long texts may be.
const SENTENCE_CONFIG: &str = "sentence_bert_config.json";
/// What an encoder is made of.
const ENCODER_FILES: [&str; 3] = [CONFIG, TOKENIZER, WEIGHTS];

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
        let was_there = derived.is_dir();
        let assembled = self.assemble_from(path, &derived, model, lock, events, cancel);
        if assembled.is_err() && !was_there {
            remove_derived(&derived);
        }
        assembled
    }

    fn assemble_from(
        &self,
        path: &Path,
        derived: &Path,
        model: &CatalogModel,
        lock: Option<&Lock>,
        events: &mut dyn FnMut(PullEvent),
        cancel: &Cancel,
    ) -> Result<InstalledModel, Error> {
        match model.modality {
            Modality::Text => language_model_in(path, derived, model),
            Modality::Embedding => {
                check_names(path, ENCODER_FILES)?;
                let mut model = model.clone();
                if model.max_tokens == 0 {
                    let config: SentenceConfig = read_optional(&path.join(SENTENCE_CONFIG))?;
                    model.max_tokens = config.max_seq_length.unwrap_or(0);
                }
                let encoder = self.encoder(&model, path, derived, lock, events, cancel)?;
                Ok(InstalledModel::Encoder(encoder))
            }
        }
    }

    /// Removes what we made of a language model in a directory of the user's, because it cannot be loaded.
    pub fn discard(&self, id: &str) {
        let model = self.catalog().model(id).ok();
        if let Some(path) = model.and_then(|model| model.directory.as_deref()) {
            remove_derived(&self.derived_directory(path));
        }
    }

    /// Removes what we made of models whose directories are gone.
    pub(super) fn remove_orphans(&self) {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        for derived in entries.map(|entry| entry.path()) {
            let stamp = Stamp::read(&derived, &derived);
            let is_orphan = |path: &Path| {
                path.try_exists().is_ok_and(|is_there| !is_there) && self.derived_directory(path) == derived
            };
            if stamp.directory().is_some_and(is_orphan) {
                remove_derived(&derived);
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

/// Returns the names of the files in a directory of the user's that make a model; none where it is not whole.
pub(super) fn names(path: &Path, modality: Modality) -> Vec<String> {
    let names = match modality {
        Modality::Embedding => Ok(ENCODER_FILES.map(str::to_owned).to_vec()),
        Modality::Text => match checkpoint::names(path) {
            Ok(Some(names)) => Ok(names.all.into_iter().collect()),
            Ok(None) => gguf_in(path).map(|gguf| vec![name_of(&gguf)]),
            Err(error) => Err(error),
        },
    };
    names.unwrap_or_default()
}

/// Fails unless a directory holds files of these names.
pub(super) fn check_names<'a>(path: &Path, names: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    match names.into_iter().find(|name| !path.join(name).is_file()) {
        Some(name) => Err(lacks(path, format!("it holds no {name}"))),
        None => Ok(()),
    }
}

/// What was made can be made again, so that nobody needs to hear where it cannot be removed.
fn remove_derived(derived: &Path) {
    let _ = std::fs::remove_dir_all(derived);
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn language_model_in(path: &Path, derived: &Path, model: &CatalogModel) -> Result<InstalledModel, Error> {
    if let Some((source, sha256)) = checkpoint::find(path, derived)? {
        return Ok(language_model(model, source, sha256, derived.to_owned()));
    }
    let gguf = gguf_in(path)?;
    let sha256 = verified_hash(path, derived, &name_of(&gguf))?;
    let source = LanguageModelSource::Gguf(gguf);
    Ok(language_model(model, source, sha256, derived.to_owned()))
}

/// Returns the one GGUF file in a directory.
fn gguf_in(path: &Path) -> Result<PathBuf, Error> {
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
    Ok(gguf)
}
