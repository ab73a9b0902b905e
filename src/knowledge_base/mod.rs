//! The border: what callers can ask for.
//!
//! Comes in: requests in our own nouns. Goes out: results, or an [`Error`] that says whose turn it is.
//! Always holds: every read sees one published epoch, whole; a write is answered once it is on disk.
//! Not here: the wire (see [`crate::service`]), the terminal (see [`crate::cli`]).
//!
//! All calls block; callers on an async runtime put them on blocking threads.

mod answer;
mod archive;
mod base;
mod bundles;
mod check;
mod context;
mod conversation;
mod documents;
mod embedding;
mod epochs;
mod error;
mod host;
mod keeper;
mod knowledge_bases;
mod live_recall;
mod missing;
mod request;
mod reranking;
mod result_cache;
mod results;
mod scheduler;
mod structured;
#[cfg(test)]
mod tests;
mod transformation;
mod upkeep;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::document::PdfReader;
use crate::generate::PrefixCache;
use crate::retrieve::rerank::TokenCache;
use crate::store::{Catalog, DirectoryLock, Layout};
use crate::worker::{Cancel, ComputeGate};
use base::OpenBases;
use bundles::Bundles;
pub use bundles::check_bundle_file;
use host::ModelHost;
use keeper::{Keeper, Kept};
use live_recall::LiveRecall;
use result_cache::ResultCache;
use scheduler::Scheduler;

pub use conversation::{MAX_CACHE_POINTS, MAX_DOCUMENT_NAME_CHARS};
pub use embedding::{MAX_EMBED_BYTES, MAX_EMBED_TEXTS, TRUNCATION_HINT, TextEmbedder};
pub use error::{Error, ErrorKind, FieldViolation, Resource};
pub use host::ProvidedModels;
pub use request::*;
pub use reranking::{MAX_RERANK_BYTES, MAX_RERANK_SOURCE_CHARS, MAX_RERANK_SOURCES};
pub use scheduler::{DEFAULT_AGES_AFTER, FLEX_AGES_AFTER};
pub use structured::{MAX_PATTERN_BYTES, MAX_TOOL_DESCRIPTION_BYTES, MAX_TOOLS};

/// Answers and messages of conversations that are made at once. They share the steps of the language model, so that a short
/// one is not held up by a long one.
pub const CONCURRENT_ANSWERS: usize = 8;

/// A data directory that is open: its knowledge bases and the models that serve them.
#[derive(Debug)]
pub struct Groundwork {
    // First: nothing is kept up or measured any more while all else is closed.
    _keeper: Keeper,
    live_recall: Option<LiveRecall>,
    settings: Settings,
    catalog: Arc<Catalog>,
    /// Held while a knowledge base is created, renamed or removed.
    catalog_change: Mutex<()>,
    bases: Arc<OpenBases>,
    bundles: Bundles,
    models: ModelHost,
    tokens: TokenCache,
    results: Arc<ResultCache>,
    prefixes: Arc<PrefixCache>,
    pdf: PdfReader,
    answers: Scheduler,
    // Last: the directory stays ours until all else is closed.
    _lock: DirectoryLock,
}

impl Groundwork {
    /// Opens the data directory, or makes it. Only one process can hold it.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        Self::open_with(settings, ProvidedModels::default())
    }

    /// Opens the data directory with models that are in memory already, beside those of the catalog.
    pub fn open_with(settings: Settings, provided: ProvidedModels) -> Result<Self, Error> {
        let layout = Layout::new(&settings.data_dir);
        std::fs::create_dir_all(layout.root()).map_err(|source| {
            let path = layout.root().to_owned();
            Error::from(crate::store::Error::File { path, source })
        })?;
        let lock = DirectoryLock::acquire(&layout.lock())?;
        let catalog = Arc::new(Catalog::open(layout.clone())?);
        let mut bundles = Bundles::open(&settings.bundles, &catalog);
        let bases = Arc::new(OpenBases::new(layout, std::mem::take(&mut bundles.opened)));
        let gate = Arc::new(ComputeGate::default());
        let prefixes = Arc::new(PrefixCache::default());
        let models = ModelHost::open(&settings, provided, gate.clone(), Arc::clone(&prefixes))?;
        let pdf = PdfReader {
            program: settings.pdf_reader.clone(),
            ..PdfReader::default()
        };
        let results = Arc::new(ResultCache::new(settings.result_cache_bytes));
        let keeper = Keeper::start(Kept {
            results: Arc::clone(&results),
            bases: Arc::clone(&bases),
            catalog: Arc::clone(&catalog),
            gate,
            threads: host::compute_threads(&settings),
        })
        .map_err(|source| Error::internal("NO_THREAD", "cannot start the thread that keeps the indexes", source))?;
        let share = settings.live_recall_share;
        let live_recall = (share > 0.0).then(|| LiveRecall::start(share, Arc::clone(&bases)));
        let live_recall = live_recall
            .transpose()
            .map_err(|source| Error::internal("NO_THREAD", "cannot start the thread that measures recall", source))?;
        Ok(Self {
            answers: Scheduler::new(CONCURRENT_ANSWERS, &settings),
            _keeper: keeper,
            live_recall,
            bases,
            bundles,
            catalog_change: Mutex::default(),
            settings,
            catalog,
            models,
            tokens: TokenCache::new(reranking::TOKEN_CACHE_BYTES),
            results,
            prefixes,
            pdf,
            _lock: lock,
        })
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Loads the default models, so that the first question does not wait for them.
    pub fn warm_up(&self) -> Result<(), Error> {
        self.models
            .embedder(&self.settings.embedding_model_id, &Cancel::new())?;
        self.models
            .language_model(&self.settings.language_model_id, &Cancel::new())?;
        Ok(())
    }
}
