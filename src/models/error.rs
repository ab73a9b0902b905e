//! Why a model cannot be had.

use std::fmt;
use std::path::{Path, PathBuf};

use super::encoder::InvalidEncoder;
use crate::worker::Stopped;

/// A source that was tried, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The source, in words.
    pub source: String,
    /// Why it did not serve.
    pub reason: String,
}

/// Why a model cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller wants no more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The catalog has no such model.
    #[error("there is no model `{id}` in the catalog; it has {known}")]
    UnknownModel {
        /// The id asked for.
        id: String,
        /// The ids that there are.
        known: String,
    },
    /// A catalog says something that cannot be used.
    #[error("cannot use the model catalog {file}: {reason}")]
    Catalog {
        /// Path of the file.
        file: String,
        /// The key and what is wrong with it.
        reason: String,
    },
    /// Files of the model are not here.
    #[error("the model `{id}` is not installed, {missing} is missing; fetch it with `groundwork models pull {id}`")]
    NotInstalled {
        /// The model.
        id: String,
        /// Its missing files.
        missing: String,
    },
    /// A file is here, but is not the one that the catalog pins.
    #[error(
        "{} has the SHA-256 {found}, the catalog pins {expected}; fetch it again with `groundwork models pull {id}`",
        path.display()
    )]
    WrongHash {
        /// The model.
        id: String,
        /// The file.
        path: PathBuf,
        /// What the catalog says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// No source gave the file.
    #[error("cannot get {file} from any source{}", Attempts(tried))]
    NoSource {
        /// Name of the file.
        file: String,
        /// The sources tried, in order.
        tried: Vec<Attempt>,
    },
    /// ONNX Runtime is not pinned for this machine.
    #[error("the catalog has no ONNX Runtime for {platform}; add `[runtimes.{platform}]` to a catalog of your own")]
    NoRuntime {
        /// System and processor.
        platform: String,
    },
    /// A directory holds no model that can be used.
    #[error("cannot use the model in {}: {reason}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What it lacks.
        reason: String,
    },
    /// The files of an encoder do not fit together.
    #[error("cannot write the ONNX graph of {}", path.display())]
    Encoder {
        /// Directory of the files.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: InvalidEncoder,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Returns a function that turns a failure of the file system into an error.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

struct Attempts<'a>(&'a [Attempt]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(": the catalog names none");
        }
        self.0
            .iter()
            .try_for_each(|attempt| write!(f, "\n  {}: {}", attempt.source, attempt.reason))
    }
}
