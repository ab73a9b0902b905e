//! The cache of model files.
//!
//! Comes in: a catalog, a directory of our own, directories of the user's. Goes out: [`InstalledModel`]s.
//! Always holds: what is handed out was verified; what is there and verified is not fetched again, and costs no
//! connection and no child process; two processes that fetch into one directory take turns.
//! Not here: where files come from; how a graph is written.
//!
//! ```text
//! <directory>/.lock                       held by whoever fetches
//! <directory>/.fetch-*/                   downloads under way
//! <directory>/<model id>/<file>           as the catalog names it
//! <directory>/<model id>/model.int8.onnx  written by us
//! <directory>/<model id>/stamp.json       what was verified
//! <directory>/onnxruntime-<version>/      the runtime's library and its stamp
//! <directory>/local-<hash>/               what we made of a model in a directory of the user's, while that is there
//! ```

mod checkpoint;
mod directory;
mod graph;
mod lock;

use std::path::{Path, PathBuf};

use super::catalog::{Catalog, CatalogFile, CatalogModel};
use super::encoder::{EncoderConfig, InvalidEncoder};
use super::fetch::Fetcher;
use super::stamp::{FileState, Stamp};
use super::{
    EncoderSource, Error, InstalledEncoder, InstalledLanguageModel, InstalledModel, LanguageModelSource, Modality,
    PullEvent,
};
use crate::worker::Cancel;
use graph::Graph;
use lock::Lock;

/// Weights of an encoder that we write the graph of.
const WEIGHTS: &str = "model.safetensors";
/// Its shape.
const CONFIG: &str = "config.json";
/// Its tokenizer.
const TOKENIZER: &str = "tokenizer.json";

/// Whether a model's files are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// In the catalog only, or some file is missing or damaged.
    NotInstalled,
    /// Here and verified.
    Installed,
}

/// What became of checking one file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Its path.
    pub path: PathBuf,
    /// What it is.
    pub state: FileState,
}

/// Files that belong into one directory.
struct Unit<'a> {
    directory: PathBuf,
    files: Vec<&'a CatalogFile>,
}

/// The cache of model files.
#[derive(Debug)]
pub struct ModelStore {
    catalog: Catalog,
    directory: PathBuf,
    sources: Vec<PathBuf>,
}

impl ModelStore {
    /// Opens the cache in `directory`, or makes it. Files are looked for in `sources` before anything is fetched.
    pub fn open(catalog: Catalog, directory: impl Into<PathBuf>, sources: Vec<PathBuf>) -> Result<Self, Error> {
        let directory = directory.into();
        std::fs::create_dir_all(&directory).map_err(Error::io("create", &directory))?;
        let store = Self {
            catalog,
            directory,
            sources,
        };
        store.remove_orphans();
        Ok(store)
    }

    /// Returns the catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Returns where the files are kept.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Lists the models with what is here of each, ordered by id.
    pub fn list(&self) -> Vec<(&CatalogModel, Availability)> {
        let models = self.catalog.models();
        models.map(|model| (model, self.availability_of(model))).collect()
    }

    /// Returns the files of a model: what the catalog names, with their sizes where it leaves them open and they are here, or
    /// what is in its directory.
    pub fn files(&self, model: &CatalogModel) -> Vec<CatalogFile> {
        let size = |path: PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
        if let Some(path) = &model.directory {
            let file = |name: String| CatalogFile {
                size_bytes: size(path.join(&name)),
                name,
                sha256: None,
                sources: Vec::new(),
            };
            return directory::names(path, model.modality).into_iter().map(file).collect();
        }
        let mut files = model.files.clone();
        for file in files.iter_mut().filter(|file| file.size_bytes == 0) {
            file.size_bytes = size(self.model_directory(model).join(&file.name));
        }
        files
    }

    /// Returns whether a model's files are here.
    pub fn availability(&self, id: &str) -> Result<Availability, Error> {
        Ok(self.availability_of(self.catalog.model(id)?))
    }

    /// Returns a model whose files are here. Writes an encoder's graph anew if an older version wrote it.
    pub fn installed(&self, id: &str) -> Result<InstalledModel, Error> {
        let model = self.catalog.model(id)?;
        for report in self.check(model, false)? {
            match report.state {
                FileState::Verified { .. } => {}
                FileState::Missing => {
                    return Err(Error::NotInstalled {
                        id: id.to_owned(),
                        missing: report.path.display().to_string(),
                    });
                }
                FileState::Damaged { found, expected } => {
                    return Err(Error::WrongHash {
                        id: id.to_owned(),
                        path: report.path,
                        expected,
                        found,
                    });
                }
            }
        }
        self.assemble(model, None, &mut |_| {}, &Cancel::new())
    }

    /// Fetches what is not here of a model, and the runtime if it is an encoder.
    pub fn pull(&self, id: &str, events: &mut dyn FnMut(PullEvent), cancel: &Cancel) -> Result<InstalledModel, Error> {
        let model = self.catalog.model(id)?;
        if self.is_complete(model)? {
            return self.assemble(model, None, events, cancel);
        }
        let lock = Lock::acquire(&self.directory, events, cancel)?;
        self.fetch_missing(model, events, cancel)?;
        self.assemble(model, Some(&lock), events, cancel)
    }

    /// Reads every file of a model again and says what each is.
    pub fn verify(&self, id: &str) -> Result<Vec<FileReport>, Error> {
        let model = self.catalog.model(id)?;
        let mut reports = self.check(model, true)?;
        if let Some((directory, name)) = self.graph_of(model) {
            let state = Stamp::read(&directory, &directory).check(&name, None, true)?;
            reports.push(FileReport {
                path: directory.join(name),
                state,
            });
        }
        Ok(reports)
    }

    /// Removes a model's files from the cache. The runtime stays, other models need it.
    pub fn remove(&self, id: &str, cancel: &Cancel) -> Result<(), Error> {
        let model = self.catalog.model(id)?;
        let _lock = Lock::acquire(&self.directory, &mut |_| {}, cancel)?;
        let directory = self.model_directory(model);
        match std::fs::remove_dir_all(&directory) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &directory)(source))
            }
            _ => Ok(()),
        }
    }

    fn availability_of(&self, model: &CatalogModel) -> Availability {
        match self.is_complete(model) {
            Ok(true) => Availability::Installed,
            // What cannot be read cannot be used either; `installed` and `verify` say why.
            Ok(false) | Err(_) => Availability::NotInstalled,
        }
    }

    fn is_complete(&self, model: &CatalogModel) -> Result<bool, Error> {
        let reports = self.check(model, false)?;
        let verified = |report: &FileReport| matches!(report.state, FileState::Verified { .. });
        Ok(reports.iter().all(verified))
    }

    fn model_directory(&self, model: &CatalogModel) -> PathBuf {
        self.directory.join(&model.id)
    }

    fn units<'a>(&'a self, model: &'a CatalogModel) -> Result<Vec<Unit<'a>>, Error> {
        let mut units = vec![Unit {
            directory: self.model_directory(model),
            files: model.files.iter().collect(),
        }];
        if model.modality == Modality::Embedding {
            units.push(self.runtime_unit()?);
        }
        Ok(units)
    }

    fn runtime_unit(&self) -> Result<Unit<'_>, Error> {
        let runtime = self.catalog.runtime()?;
        Ok(Unit {
            directory: self.directory.join(format!("onnxruntime-{}", runtime.version)),
            files: vec![&runtime.library],
        })
    }

    fn runtime_library(&self) -> Result<PathBuf, Error> {
        let unit = self.runtime_unit()?;
        let names = unit.files.iter().map(|file| &file.name);
        Ok(names.fold(unit.directory.clone(), |path, name| path.join(name)))
    }

    /// Checks every file that the catalog names for a model.
    fn check(&self, model: &CatalogModel, rehash: bool) -> Result<Vec<FileReport>, Error> {
        let mut reports = Vec::new();
        for unit in self.units(model)? {
            reports.extend(check_unit(&unit, rehash)?);
        }
        Ok(reports)
    }

    /// Fetches every file that is missing or damaged. The caller holds the lock.
    fn fetch_missing(
        &self,
        model: &CatalogModel,
        events: &mut dyn FnMut(PullEvent),
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let mut fetcher = Fetcher::new(&self.sources, &self.directory, events, cancel)?;
        for unit in self.units(model)? {
            fetch_unit(&mut fetcher, &model.id, &unit)?;
        }
        Ok(())
    }

    /// Makes an [`InstalledModel`] of files that were verified. Takes the lock if a graph must be written and the
    /// caller has not got it.
    fn assemble(
        &self,
        model: &CatalogModel,
        lock: Option<&Lock>,
        events: &mut dyn FnMut(PullEvent),
        cancel: &Cancel,
    ) -> Result<InstalledModel, Error> {
        if let Some(path) = &model.directory {
            return self.assemble_directory(path, model, lock, events, cancel);
        }
        let directory = self.model_directory(model);
        match model.modality {
            Modality::Text => fetched_language_model(model, directory),
            Modality::Embedding => {
                let encoder = self.encoder(model, &directory, &directory, lock, events, cancel)?;
                Ok(InstalledModel::Encoder(encoder))
            }
        }
    }

    /// Makes an encoder of the files in `files`; its graph is kept in `directory`.
    fn encoder(
        &self,
        model: &CatalogModel,
        files: &Path,
        directory: &Path,
        lock: Option<&Lock>,
        events: &mut dyn FnMut(PullEvent),
        cancel: &Cancel,
    ) -> Result<InstalledEncoder, Error> {
        let encoder = |onnx, weights_sha256, (pooling, source), dimensions, max_tokens| -> Result<_, Error> {
            Ok(InstalledEncoder {
                model_id: model.id.clone(),
                weights_sha256,
                onnx,
                tokenizer: files.join(TOKENIZER),
                runtime_library: self.runtime_library()?,
                pooling,
                dimensions,
                max_tokens,
                passage_prefix: model.passage_prefix.clone(),
                query_prefix: model.query_prefix.clone(),
                source,
            })
        };
        if let Some(graph) = &model.graph {
            let sha256 = verified_hash(files, directory, graph)?;
            let pooling = (Some(model.pooling), None);
            return encoder(files.join(graph), sha256, pooling, model.dimensions, model.max_tokens);
        }
        let path = files.join(CONFIG);
        let json = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let invalid = |source| Error::Encoder {
            path: files.to_owned(),
            source,
        };
        let config = EncoderConfig::parse(&json).map_err(invalid)?;
        if model.dimensions != 0 && model.dimensions != config.hidden_size {
            let reason = format!(
                "config.json: `hidden_size` is {}, the catalog says {} dimensions",
                config.hidden_size, model.dimensions
            );
            return Err(invalid(InvalidEncoder(reason)));
        }
        let max_tokens = match model.max_tokens {
            0 => config.max_positions,
            wanted => wanted.min(config.max_positions),
        };
        let weights_sha256 = verified_hash(files, directory, WEIGHTS)?;
        let graph = Graph {
            model,
            files,
            directory,
            config: &config,
            made_from: graph::made_from(model, &weights_sha256, &json),
        };
        graph.ensure(&self.directory, lock, events, cancel)?;
        let onnx = directory.join(model.precision.file_name());
        let source = EncoderSource {
            config: path,
            weights: files.join(WEIGHTS),
            pooling: model.pooling,
            precision: model.precision,
        };
        encoder(
            onnx,
            weights_sha256,
            (None, Some(source)),
            config.hidden_size,
            max_tokens,
        )
    }

    /// Returns where a model's own graph is, if it has one that we write.
    fn graph_of(&self, model: &CatalogModel) -> Option<(PathBuf, String)> {
        let written = model.modality == Modality::Embedding && model.graph.is_none();
        let directory = match &model.directory {
            Some(path) => self.derived_directory(path),
            None => self.model_directory(model),
        };
        written.then(|| (directory, model.precision.file_name().to_owned()))
    }
}

/// Finds the language model among files that were fetched: a GGUF file, or else files of safetensors.
fn fetched_language_model(model: &CatalogModel, directory: PathBuf) -> Result<InstalledModel, Error> {
    let is_gguf = |file: &&CatalogFile| has_extension(Path::new(&file.name), "gguf");
    if let Some(file) = model.files.iter().find(is_gguf) {
        let sha256 = verified_hash(&directory, &directory, &file.name)?;
        let source = LanguageModelSource::Gguf(directory.join(&file.name));
        return Ok(language_model(model, source, sha256, directory));
    }
    let Some((source, sha256)) = checkpoint::find(&directory, &directory)? else {
        return Err(Error::Directory {
            path: directory,
            reason: format!(
                "the catalog names neither a .gguf file for `{}` nor a config.json of a language model",
                model.id
            ),
        });
    };
    Ok(language_model(model, source, sha256, directory))
}

fn language_model(
    model: &CatalogModel,
    source: LanguageModelSource,
    sha256: String,
    directory: PathBuf,
) -> InstalledModel {
    InstalledModel::LanguageModel(InstalledLanguageModel {
        model_id: model.id.clone(),
        sha256,
        source,
        directory,
        context_tokens: Some(model.max_tokens).filter(|tokens| *tokens > 0),
        answer_style: model.answer_style,
    })
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension()
        .is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// Returns the hash of a file, remembered or computed.
fn verified_hash(files: &Path, stamp_directory: &Path, name: &str) -> Result<String, Error> {
    let mut stamp = Stamp::read(files, stamp_directory);
    let state = stamp.check(name, None, false)?;
    stamp.save()?;
    match state {
        FileState::Verified { sha256 } => Ok(sha256),
        // Nothing pins the file: it is what it is now.
        FileState::Damaged { found, .. } => {
            stamp.forget(name);
            stamp.remember(name, found.clone(), None)?;
            stamp.save()?;
            Ok(found)
        }
        FileState::Missing => Err(Error::Directory {
            path: files.to_owned(),
            reason: format!("it holds no {name}"),
        }),
    }
}

fn check_unit(unit: &Unit<'_>, rehash: bool) -> Result<Vec<FileReport>, Error> {
    let mut stamp = Stamp::read(&unit.directory, &unit.directory);
    let mut reports = Vec::new();
    for file in &unit.files {
        reports.push(FileReport {
            path: unit.directory.join(&file.name),
            state: stamp.check(&file.name, file.sha256.as_deref(), rehash)?,
        });
    }
    // A cache that others own may be read-only: then each start hashes, and nothing is lost.
    let _ = stamp.save();
    Ok(reports)
}

fn fetch_unit(fetcher: &mut Fetcher<'_>, id: &str, unit: &Unit<'_>) -> Result<(), Error> {
    let reports = check_unit(unit, false)?;
    for (file, report) in unit.files.iter().zip(reports) {
        if matches!(report.state, FileState::Verified { .. }) {
            continue;
        }
        std::fs::create_dir_all(&unit.directory).map_err(Error::io("create", &unit.directory))?;
        let sha256 = fetcher.fetch(id, file, &report.path)?;
        let mut stamp = Stamp::read(&unit.directory, &unit.directory);
        stamp.remember(&file.name, sha256, None)?;
        stamp.save()?;
    }
    Ok(())
}
