//! Models in memory: loaded when first asked for, shared by everyone, and the catalog that describes them.
//!
//! Always holds: when a model is loaded, all that are in memory fit into the budget of models; the least recently used that
//! nobody uses or pinned make room. What sequences read later takes memory beside, within bounds of its own.

mod memory;
mod shelf;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{Availability, Error, ErrorKind, Groundwork, ModelInfo, Page, PageRequest, Settings, Unloaded, check};
use crate::embed::{self, CachedEmbedder, Embedder};
use crate::generate::{CandleModel, LanguageModel, PrefixCache, PromptTime};
use crate::models::{self, Catalog, CatalogModel, InstalledModel, Modality, ModelStore};
use crate::worker::{Cancel, ComputeGate};
use shelf::{Model, Shelf};

/// Models that are in memory already, beside those of the catalog.
#[derive(Clone, Default)]
pub struct ProvidedModels {
    /// Embedders, by their own ids.
    pub embedders: Vec<Arc<dyn Embedder>>,
    /// Language models, by their own ids.
    pub language_models: Vec<Arc<dyn LanguageModel>>,
}

impl fmt::Debug for ProvidedModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let embedders = self.embedders.iter().map(|embedder| embedder.model_id());
        let language_models = self.language_models.iter().map(|model| model.model_id());
        f.debug_list().entries(embedders).entries(language_models).finish()
    }
}

/// The catalog of models and those of them that are in memory.
pub(super) struct ModelHost {
    store: ModelStore,
    gate: Arc<ComputeGate>,
    threads: usize,
    shelf: Shelf,
    /// What models have read for those who ask alike; it keeps them in memory.
    prefixes: Arc<PrefixCache>,
}

impl fmt::Debug for ModelHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelHost")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Lets the language models give up what prompts left behind when it is dropped: once what is erased can be found no more.
pub(super) struct ForgettingPrompts<'a>(&'a ModelHost);

impl Drop for ForgettingPrompts<'_> {
    fn drop(&mut self) {
        self.0.forget_prompts();
    }
}

impl ModelHost {
    pub(super) fn open(
        settings: &Settings,
        provided: ProvidedModels,
        gate: Arc<ComputeGate>,
        prefixes: Arc<PrefixCache>,
    ) -> Result<Self, Error> {
        let catalog = Catalog::open(settings.model_catalog.as_deref(), &settings.model_dirs)?;
        let store = ModelStore::open(catalog, &settings.models_dir, settings.model_sources.clone())?;
        let threads = compute_threads(settings);
        let ProvidedModels {
            embedders,
            language_models,
        } = provided;
        let embedders = embedders.into_iter();
        let embedders = embedders.map(|model| (model.model_id().to_owned(), Model::Embedder(model)));
        let language_models = language_models.into_iter();
        let language_models = language_models.map(|model| (model.model_id().to_owned(), Model::Language(model)));
        let budget = match settings.max_model_memory {
            0 => memory::default_budget(),
            bytes => bytes as u64,
        };
        Ok(Self {
            store,
            gate,
            threads,
            shelf: Shelf::new(budget, embedders.chain(language_models)),
            prefixes,
        })
    }

    /// Returns an embedder, loading it if need be.
    pub(super) fn embedder(&self, id: &str, cancel: &Cancel) -> Result<Arc<dyn Embedder>, Error> {
        let on_leave = |model: &Model| self.let_go(model);
        let model = self.shelf.get_or_load(Modality::Embedding, id, cancel, &on_leave, || {
            let InstalledModel::Encoder(encoder) = self.store.installed(id)? else {
                return Err(wrong_kind(id, "a language model, not an embedding model"));
            };
            let weights = encoder.source.as_ref().map_or(&encoder.onnx, |source| &source.weights);
            let size = file_bytes(weights) + file_bytes(&encoder.tokenizer);
            let load = || {
                let embedder = embed::open(encoder, self.threads, self.gate.clone());
                let embedder = embedder.map_err(|error| Error::from(error).about("model", id))?;
                Ok(Model::Embedder(Arc::new(CachedEmbedder::new(embedder))))
            };
            Ok((size, load))
        })?;
        match model {
            Model::Embedder(embedder) => Ok(embedder),
            Model::Language(_) => Err(wrong_kind(id, "a language model, not an embedding model")),
        }
    }

    /// Returns a language model, loading it if need be.
    pub(super) fn language_model(&self, id: &str, cancel: &Cancel) -> Result<Arc<dyn LanguageModel>, Error> {
        let on_leave = |model: &Model| self.let_go(model);
        let model = self.shelf.get_or_load(Modality::Text, id, cancel, &on_leave, || {
            let InstalledModel::LanguageModel(installed) = self.store.installed(id)? else {
                return Err(wrong_kind(id, "an embedding model, not a language model"));
            };
            let size = installed.source.weight_bytes();
            let load = move || {
                let model = CandleModel::open(&installed, self.threads, self.gate.clone());
                let model = model.map_err(|error| {
                    self.store.discard(id);
                    Error::from(error).about("model", id)
                })?;
                Ok(Model::Language(Arc::new(model)))
            };
            Ok((size, load))
        })?;
        match model {
            Model::Language(model) => Ok(model),
            Model::Embedder(_) => Err(wrong_kind(id, "an embedding model, not a language model")),
        }
    }

    /// Looks at a language model that is in memory.
    fn peek<T>(&self, id: &str, look: impl FnOnce(&dyn LanguageModel) -> T) -> Option<T> {
        let looked = self.shelf.peek(Modality::Text, id, |model| match model {
            Model::Language(model) => Some(look(&**model)),
            Model::Embedder(_) => None,
        });
        looked.flatten()
    }

    /// Gives up what keeps a model in memory that is to leave.
    fn let_go(&self, model: &Model) {
        if let Model::Language(model) = model {
            self.prefixes.forget(model.model_hash());
        }
    }

    /// Returns how many bytes models may take together, and how many they take.
    pub(super) fn memory(&self) -> (u64, u64) {
        self.shelf.memory()
    }

    /// Returns how many tokens a sequence of a language model may have; as many as can be where the catalog leaves that to
    /// the model's file, and that is not loaded.
    pub(super) fn context_tokens(&self, id: &str) -> usize {
        if let Some(tokens) = self.peek(id, |model| model.context_tokens()) {
            return tokens;
        }
        let known = self.store.catalog().model(id).map(|model| model.max_tokens);
        known.ok().filter(|tokens| *tokens > 0).unwrap_or(usize::MAX)
    }

    /// Returns the time of a language model; that of one which is not loaded keeps nothing.
    pub(super) fn prompt_time(&self, id: &str) -> PromptTime {
        self.peek(id, |model| model.prompt_time()).unwrap_or_default()
    }

    /// Lets the language models give up what prompts left behind, now and when what is returned is dropped.
    pub(super) fn forgetting_prompts(&self) -> ForgettingPrompts<'_> {
        self.forget_prompts();
        ForgettingPrompts(self)
    }

    fn forget_prompts(&self) {
        self.shelf.each(|model| {
            if let Model::Language(model) = model {
                model.forget_prompts();
            }
        });
    }

    /// Checks that a language model can be had, without loading it.
    pub(super) fn check_language_model(&self, id: &str) -> Result<(), Error> {
        if self.peek(id, |_| ()).is_some() {
            return Ok(());
        }
        match self.store.installed(id)? {
            InstalledModel::LanguageModel(_) => Ok(()),
            InstalledModel::Encoder(_) => Err(wrong_kind(id, "an embedding model, not a language model")),
        }
    }

    /// Returns the dimensions of an embedding model, 0 where they show only once it is loaded; nothing when there is no
    /// such model.
    pub(super) fn dimensions(&self, id: &str) -> Option<usize> {
        let known = self.shelf.peek(Modality::Embedding, id, |model| match model {
            Model::Embedder(embedder) => Some(embedder.dimensions()),
            Model::Language(_) => None,
        });
        if let Some(dimensions) = known.flatten() {
            return Some(dimensions);
        }
        let model = self.store.catalog().model(id).ok()?;
        (model.modality == Modality::Embedding).then_some(model.dimensions)
    }

    /// Returns the SHA-256 of an embedding model's weights, empty for one that came without files; nothing when it is
    /// not here.
    pub(super) fn weights_sha256(&self, id: &str) -> Option<String> {
        match self.store.installed(id) {
            Ok(InstalledModel::Encoder(encoder)) => Some(encoder.weights_sha256),
            _ => self.shelf.peek(Modality::Embedding, id, |_| String::new()),
        }
    }

    fn describe(&self, model: &CatalogModel, settings: &Settings) -> ModelInfo {
        let loaded = self.shelf.described(model.modality, &model.id);
        let (is_pinned, memory_bytes) = loaded.unwrap_or_default();
        // A model of a directory tells its shape once it is loaded.
        let known = self.shelf.peek(model.modality, &model.id, |model| match model {
            Model::Embedder(embedder) => (embedder.dimensions(), embedder.max_tokens()),
            Model::Language(model) => (0, model.context_tokens()),
        });
        let default_id = match model.modality {
            Modality::Embedding => &settings.embedding_model_id,
            Modality::Text => &settings.language_model_id,
        };
        let availability = match self.store.availability(&model.id) {
            _ if loaded.is_some() => Availability::Loaded,
            Ok(models::Availability::Installed) => Availability::Installed,
            Ok(models::Availability::NotInstalled) | Err(_) => Availability::NotInstalled,
        };
        let file = |file: models::CatalogFile| (file.name, file.sha256.unwrap_or_default(), file.size_bytes);
        ModelInfo {
            id: model.id.clone(),
            name: model.name.clone(),
            provider: model.provider.clone(),
            license: model.license.clone(),
            modality: model.modality,
            dimensions: known.map_or(model.dimensions, |(dimensions, _)| dimensions),
            max_input_tokens: known.map_or(model.max_tokens, |(_, tokens)| tokens),
            availability,
            files: self.store.files(model).into_iter().map(file).collect(),
            is_default: model.id == *default_id,
            memory_bytes,
            serving: None,
            is_pinned,
        }
    }
}

impl Groundwork {
    /// Lists models, ordered by id.
    pub fn models(
        &self,
        modality: Option<Modality>,
        provider: &str,
        page: &PageRequest,
    ) -> Result<Page<ModelInfo>, Error> {
        let (size, after) = check::page(page)?;
        let infos: Vec<ModelInfo> = self
            .models
            .store
            .catalog()
            .models()
            .filter(|model| model.id.as_str() > after)
            .filter(|model| modality.is_none_or(|wanted| model.modality == wanted))
            .filter(|model| provider.is_empty() || model.provider.eq_ignore_ascii_case(provider))
            .take(size + 1)
            .map(|model| self.describe_model(model))
            .collect();
        Ok(check::paged(infos, size, |info: &ModelInfo| &info.id))
    }

    /// Describes a model.
    pub fn model(&self, id: &str) -> Result<ModelInfo, Error> {
        if id.is_empty() {
            return Err(Error::invalid("model_id", "is required: the id of a model"));
        }
        let model = self.models.store.catalog().model(id)?;
        Ok(self.describe_model(model))
    }

    fn describe_model(&self, model: &CatalogModel) -> ModelInfo {
        let serves = model.modality == Modality::Text;
        ModelInfo {
            serving: serves.then(|| self.answers.serving(&model.id)),
            ..self.models.describe(model, &self.settings)
        }
    }

    /// Loads a model, and tells whether it was in memory before. One that is pinned stays until it is unloaded.
    pub fn load_model(&self, id: &str, is_pinned: bool, cancel: &Cancel) -> Result<(ModelInfo, bool), Error> {
        let before = self.model(id)?;
        // Held until it is pinned, so that nobody else makes it leave.
        let model = match before.modality {
            Modality::Embedding => Model::Embedder(self.models.embedder(id, cancel)?),
            Modality::Text => Model::Language(self.models.language_model(id, cancel)?),
        };
        if is_pinned {
            self.models.shelf.pin(before.modality, id);
        }
        drop(model);
        Ok((self.model(id)?, before.availability == Availability::Loaded))
    }

    /// Removes a model from memory, pinned or not. Who uses it keeps it until they end; who needs it next loads it again.
    pub fn unload_model(&self, id: &str) -> Result<Unloaded, Error> {
        let before = self.model(id)?;
        // A model that could not be loaded again stays.
        self.models.store.installed(id)?;
        let taken = self.models.shelf.take(before.modality, id);
        let was_loaded = taken.is_some();
        if let Some(model) = taken {
            self.models.let_go(&model);
        }
        Ok(Unloaded {
            model: self.model(id)?,
            was_loaded,
            is_in_use: self.models.shelf.is_leaving(before.modality, id),
        })
    }

    /// Returns how many bytes models may take together, and how many they take.
    pub fn model_memory(&self) -> (u64, u64) {
        self.models.memory()
    }
}

/// Returns the size of a file; 0 where it cannot be told, which loading it will say.
fn file_bytes(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

fn wrong_kind(id: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        "WRONG_MODALITY",
        format!("the model `{id}` is {what}"),
    )
    .about("model", id)
}

impl From<models::Error> for Error {
    fn from(error: models::Error) -> Self {
        let (kind, reason, id) = match &error {
            models::Error::Stopped(stopped) => return (*stopped).into(),
            models::Error::UnknownModel { id, .. } => (ErrorKind::NotFound, "UNKNOWN_MODEL", id.clone()),
            models::Error::NotInstalled { id, .. } => {
                (ErrorKind::FailedPrecondition, "MODEL_NOT_INSTALLED", id.clone())
            }
            models::Error::WrongHash { id, .. } => (ErrorKind::FailedPrecondition, "MODEL_DAMAGED", id.clone()),
            _ => return Self::unusable(error),
        };
        Self::new(kind, reason, error.to_string())
            .because(error)
            .about("model", id)
    }
}

/// Returns the threads of heavy compute.
pub(super) fn compute_threads(settings: &Settings) -> usize {
    match settings.compute_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}
