//! Files of the Hugging Face hub. The only place that names hf-hub.
//!
//! `HF_HOME`, `HF_ENDPOINT` and the user's token count as they do for other programs of the hub.

use std::path::PathBuf;
use std::time::Instant;

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use super::super::catalog::CatalogFile;
use super::{Failure, Fetcher, PullEvent, REPORT_EVERY};

impl Fetcher<'_> {
    /// Returns where the file is after it was downloaded, or in the cache that the user has of the hub.
    pub(super) fn hub_file(
        &mut self,
        repository: &str,
        path: &str,
        revision: &str,
        file: &CatalogFile,
    ) -> Result<PathBuf, Failure> {
        let repo = || Repo::with_revision(repository.to_owned(), RepoType::Model, revision.to_owned());
        if let Some(cached) = Cache::from_env().repo(repo()).get(path) {
            return Ok(cached);
        }
        if let Some(reason) = &self.hub_down {
            return Err(reason.clone().into());
        }
        let api = ApiBuilder::from_env()
            .with_cache_dir(self.temporary.path().join("hub"))
            .with_progress(false)
            .build()
            .map_err(|error| error.to_string())?;
        let progress = Report {
            events: self.events,
            file: file.name.clone(),
            source: format!("Hugging Face hub, {repository}"),
            done: 0,
            total: 0,
            last: Instant::now(),
        };
        api.repo(repo())
            .download_with_progress(path, progress)
            .map_err(|error| {
                let reason = describe(&error);
                if is_unreachable(&error) {
                    self.hub_down = Some(reason.clone());
                }
                Failure::Unusable(reason)
            })
    }
}

/// Whether no other file of the hub could be had either: the request got no answer, not even a refusal.
fn is_unreachable(error: &ApiError) -> bool {
    matches!(error, ApiError::RequestError(error) if !error.to_string().starts_with("http status"))
}

fn describe(error: &ApiError) -> String {
    error.to_string().trim_end().to_owned()
}

struct Report<'a> {
    events: &'a mut dyn FnMut(PullEvent),
    file: String,
    source: String,
    done: u64,
    total: u64,
    last: Instant,
}

impl Report<'_> {
    fn send(&mut self) {
        self.last = Instant::now();
        (self.events)(PullEvent::Fetching {
            file: self.file.clone(),
            source: self.source.clone(),
            bytes_done: self.done,
            bytes_total: Some(self.total).filter(|total| *total > 0),
        });
    }
}

impl Progress for Report<'_> {
    fn init(&mut self, size: usize, _filename: &str) {
        self.total = size as u64;
        self.send();
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        if self.last.elapsed() >= REPORT_EVERY {
            self.send();
        }
    }

    fn finish(&mut self) {
        self.send();
    }
}
