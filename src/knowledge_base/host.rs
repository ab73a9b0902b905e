//! Models in memory: loaded when first asked for, shared by everyone, and the catalog that describes them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Availability, Error, ErrorKind, Groundwork, ModelInfo, Page, PageRequest, Settings, check};
use crate::embed::{self, CachedEmbedder, Embedder};
use crate::generate::{CandleModel, LanguageModel, PromptTime};
use crate::models::{self, Catalog, CatalogModel, InstalledModel, Modality, ModelStore};
use crate::worker::ComputeGate;

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
    embedders: Shelf<dyn Embedder>,
    language_models: Shelf<dyn LanguageModel>,
}

impl fmt::Debug for ModelHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelHost")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Loaded models of one kind. The outer lock is held for a look, the inner one while a model is loaded.
struct Shelf<M: ?Sized> {
    loaded: Mutex<HashMap<String, Arc<M>>>,
    loading: Mutex<()>,
}

impl<M: ?Sized> Shelf<M> {
    fn new(provided: impl Iterator<Item = (String, Arc<M>)>) -> Self {
        Self {
            loaded: Mutex::new(provided.collect()),
            loading: Mutex::default(),
        }
    }

    fn get(&self, id: &str) -> Option<Arc<M>> {
        self.loaded.lock().get(id).cloned()
    }

    fn all(&self) -> Vec<Arc<M>> {
        self.loaded.lock().values().cloned().collect()
    }

    fn get_or_load(&self, id: &str, load: impl FnOnce() -> Result<Arc<M>, Error>) -> Result<Arc<M>, Error> {
        if let Some(model) = self.get(id) {
            return Ok(model);
        }
        let _loading = self.loading.lock();
        // Somebody else may have loaded it while we waited.
        if let Some(model) = self.get(id) {
            return Ok(model);
        }
        let model = load()?;
        self.loaded.lock().insert(id.to_owned(), model.clone());
        Ok(model)
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
    pub(super) fn open(settings: &Settings, provided: ProvidedModels, gate: Arc<ComputeGate>) -> Result<Self, Error> {
        let catalog = Catalog::open(settings.model_catalog.as_deref(), &settings.model_dirs)?;
        let store = ModelStore::open(catalog, &settings.models_dir, settings.model_sources.clone())?;
        let threads = compute_threads(settings);
        let ProvidedModels {
            embedders,
            language_models,
        } = provided;
        Ok(Self {
            store,
            gate,
            threads,
            embedders: Shelf::new(embedders.into_iter().map(|model| (model.model_id().to_owned(), model))),
            language_models: Shelf::new(
                language_models
                    .into_iter()
                    .map(|model| (model.model_id().to_owned(), model)),
            ),
        })
    }

    /// Returns an embedder, loading it if need be.
    pub(super) fn embedder(&self, id: &str) -> Result<Arc<dyn Embedder>, Error> {
        self.embedders.get_or_load(id, || match self.store.installed(id)? {
            InstalledModel::Encoder(encoder) => {
                let embedder = embed::open(encoder, self.threads, self.gate.clone())?;
                Ok(Arc::new(CachedEmbedder::new(embedder)))
            }
            InstalledModel::LanguageModel(_) => Err(wrong_kind(id, "a language model, not an embedding model")),
        })
    }

    /// Returns a language model, loading it if need be.
    pub(super) fn language_model(&self, id: &str) -> Result<Arc<dyn LanguageModel>, Error> {
        self.language_models
            .get_or_load(id, || match self.store.installed(id)? {
                InstalledModel::LanguageModel(installed) => {
                    let model = CandleModel::open(&installed, self.threads, self.gate.clone())?;
                    Ok(Arc::new(model))
                }
                InstalledModel::Encoder(_) => Err(wrong_kind(id, "an embedding model, not a language model")),
            })
    }

    /// Returns the time of a language model; that of one which is not loaded keeps nothing.
    pub(super) fn prompt_time(&self, id: &str) -> PromptTime {
        let model = self.language_models.get(id);
        model.map_or_else(PromptTime::default, |model| model.prompt_time())
    }

    /// Lets the language models give up what prompts left behind, now and when what is returned is dropped.
    pub(super) fn forgetting_prompts(&self) -> ForgettingPrompts<'_> {
        self.forget_prompts();
        ForgettingPrompts(self)
    }

    fn forget_prompts(&self) {
        for model in self.language_models.all() {
            model.forget_prompts();
        }
    }

    /// Checks that a language model can be had, without loading it.
    pub(super) fn check_language_model(&self, id: &str) -> Result<(), Error> {
        if self.language_models.get(id).is_some() {
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
        if let Some(embedder) = self.embedders.get(id) {
            return Some(embedder.dimensions());
        }
        let model = self.store.catalog().model(id).ok()?;
        (model.modality == Modality::Embedding).then_some(model.dimensions)
    }

    /// Returns the SHA-256 of an embedding model's weights, empty for one that came without files; nothing when it is
    /// not here.
    pub(super) fn weights_sha256(&self, id: &str) -> Option<String> {
        match self.store.installed(id) {
            Ok(InstalledModel::Encoder(encoder)) => Some(encoder.weights_sha256),
            _ => self.embedders.get(id).map(|_| String::new()),
        }
    }

    fn describe(&self, model: &CatalogModel, settings: &Settings) -> ModelInfo {
        let (is_loaded, default_id) = match model.modality {
            Modality::Embedding => (self.embedders.get(&model.id).is_some(), &settings.embedding_model_id),
            Modality::Text => (
                self.language_models.get(&model.id).is_some(),
                &settings.language_model_id,
            ),
        };
        let availability = match self.store.availability(&model.id) {
            _ if is_loaded => Availability::Loaded,
            Ok(models::Availability::Installed) => Availability::Installed,
            Ok(models::Availability::NotInstalled) | Err(_) => Availability::NotInstalled,
        };
        let file = |file: &models::CatalogFile| {
            let sha256 = file.sha256.clone().unwrap_or_default();
            (file.name.clone(), sha256, file.size_bytes)
        };
        ModelInfo {
            id: model.id.clone(),
            name: model.name.clone(),
            provider: model.provider.clone(),
            license: model.license.clone(),
            modality: model.modality,
            dimensions: model.dimensions,
            max_input_tokens: model.max_tokens,
            availability,
            files: model.files.iter().map(file).collect(),
            is_default: model.id == *default_id,
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
            .map(|model| self.models.describe(model, &self.settings))
            .collect();
        Ok(check::paged(infos, size, |info: &ModelInfo| &info.id))
    }

    /// Describes a model.
    pub fn model(&self, id: &str) -> Result<ModelInfo, Error> {
        if id.is_empty() {
            return Err(Error::invalid("model_id", "is required: the id of a model"));
        }
        let model = self.models.store.catalog().model(id)?;
        Ok(self.models.describe(model, &self.settings))
    }
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
        let message = error.to_string();
        let (kind, reason, id) = match &error {
            models::Error::Stopped(stopped) => return (*stopped).into(),
            models::Error::UnknownModel { id, .. } => (ErrorKind::NotFound, "UNKNOWN_MODEL", Some(id.clone())),
            models::Error::NotInstalled { id, .. } => {
                (ErrorKind::FailedPrecondition, "MODEL_NOT_INSTALLED", Some(id.clone()))
            }
            models::Error::WrongHash { id, .. } => (ErrorKind::FailedPrecondition, "MODEL_DAMAGED", Some(id.clone())),
            _ => (ErrorKind::FailedPrecondition, "MODEL_UNUSABLE", None),
        };
        let ours = Self::new(kind, reason, message).because(error);
        match id {
            Some(id) => ours.about("model", id),
            None => ours,
        }
    }
}

/// Returns the threads of heavy compute.
pub(super) fn compute_threads(settings: &Settings) -> usize {
    match settings.compute_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}
