//! Fetching model files with progress: for `models pull`, and before serving.

use std::sync::Arc;

use anyhow::Context as _;
use indicatif::ProgressBar;

use super::exit::Usage;
use super::output::note;
use super::progress;
use super::signal::Interrupt;
use super::text::one_line;
use crate::config::{Config, Key};
use crate::models::{Availability, Catalog, Error, ModelStore, PullEvent};
use crate::worker::{Cancel, Stopped};

/// How fetching ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulled {
    /// All are here.
    All,
    /// The user wished to end.
    Interrupted,
}

/// Opens the store of model files.
pub(super) fn open_store(config: &Config) -> Result<ModelStore, Error> {
    let catalog = Catalog::open(config.model_catalog.as_deref(), &config.model_dirs)?;
    ModelStore::open(catalog, &config.models_dir, config.model_sources.clone())
}

/// Returns the two models that answers need by default.
pub(super) fn default_models(config: &Config) -> [String; 2] {
    [config.embedding_model.clone(), config.language_model.clone()]
}

/// Fetches what is missing of these models; what is here is left alone. Refuses to fetch when the configuration does.
pub(super) async fn pull(config: &Config, ids: Vec<String>, interrupt: &Interrupt) -> anyhow::Result<Pulled> {
    let cancel = Cancel::new();
    let store = Arc::new(open_store(config)?);
    if config.offline {
        let missing = missing(&store, &ids)?;
        if !missing.is_empty() {
            return Err(Usage(format!(
                "not installed: {}; nothing is fetched, because offline is set by {}",
                missing.join(" "),
                config.origin(Key::Offline)
            ))
            .into());
        }
    }
    let mut pulling = tokio::task::spawn_blocking({
        let cancel = cancel.clone();
        move || ids.iter().try_for_each(|id| pull_one(&store, id, &cancel))
    });
    let pulled = tokio::select! {
        pulled = &mut pulling => pulled,
        () = interrupt.wished() => {
            cancel.cancel();
            pulling.await
        }
    };
    match pulled.context("fetching models failed")? {
        Ok(()) => Ok(Pulled::All),
        Err(Error::Stopped(Stopped::Cancelled)) => Ok(Pulled::Interrupted),
        Err(error) => Err(error.into()),
    }
}

/// Makes sure that the default models are here, by fetching them unless the configuration forbids it.
pub(super) async fn prepare(config: &Config, interrupt: &Interrupt) -> anyhow::Result<Pulled> {
    let missing = missing(&open_store(config)?, &default_models(config))?;
    if missing.is_empty() {
        return Ok(Pulled::All);
    }
    if config.offline {
        let ids = missing.join(" ");
        note(format!(
            "warning: not installed and not fetched, because offline is set: {ids}; calls that need them fail"
        ));
        return Ok(Pulled::All);
    }
    pull(config, missing, interrupt).await
}

/// Returns those of the models that are not here, or not whole.
fn missing(store: &ModelStore, ids: &[String]) -> Result<Vec<String>, Error> {
    let mut missing = Vec::new();
    for id in ids {
        if store.availability(id)? == Availability::NotInstalled {
            missing.push(id.clone());
        }
    }
    Ok(missing)
}

fn pull_one(store: &ModelStore, id: &str, cancel: &Cancel) -> Result<(), Error> {
    let mut shown = Shown { bar: None };
    let pulled = store.pull(id, &mut |event| shown.show(event), cancel);
    shown.end();
    pulled.map(|_| ())
}

/// What the terminal shows of a pull: one bar for the file that is coming in.
struct Shown {
    bar: Option<(String, ProgressBar)>,
}

impl Shown {
    fn show(&mut self, event: PullEvent) {
        match event {
            PullEvent::Waiting => note("waiting for another process that fetches into the same directory"),
            PullEvent::Fetching {
                file,
                source,
                bytes_done,
                bytes_total,
            } => self.advance(&file, &source, bytes_done, bytes_total),
            PullEvent::SourceFailed { file, source, reason } => {
                self.end();
                tracing::info!(file, source, reason, "a source did not serve, trying the next");
            }
            PullEvent::Writing { file } => {
                self.end();
                self.bar = Some((file.clone(), progress::spinner(&format!("writing {}", one_line(&file)))));
            }
            PullEvent::Done { file } => {
                self.end();
                note(format!("  {} is in place", one_line(&file)));
            }
        }
    }

    fn advance(&mut self, file: &str, source: &str, done: u64, total: Option<u64>) {
        let name = format!("{file} from {source}");
        if self.bar.as_ref().is_none_or(|(shown, _)| *shown != name) {
            self.end();
            note(format!("fetching {}", one_line(&name)));
            let bar = progress::bytes(&one_line(file), total.unwrap_or(0));
            self.bar = Some((name, bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done);
        }
    }

    fn end(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
