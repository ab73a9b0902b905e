//! Configuration: file, environment and flags become one checked `Config`.
//!
//! Comes in: a TOML file, `GROUNDWORK_*` variables, flags; the later ones win. Goes out: values that are right by type,
//! each with its `Origin`, so that a message can say who set it.
//! Always holds: an unknown key of the file or of a flag is refused; relative paths of a file count from its directory.
//! Not here: acting on the values. Only this module and [`crate::cli`] read the environment.

mod key;
mod layer;
mod platform;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::knowledge_base::Settings;
use crate::service::ServiceConfig;

pub use key::{Key, VARIABLE_PREFIX};
pub use layer::Layers;
pub use platform::{default_models_dir, demo_dir};

/// Who set a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody: it is the default.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(&'static str),
    /// A flag of the command line, as it is written there.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not valid TOML: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// There is no setting of this name.
    #[error("`{name}` in {origin} is not a setting{}; the settings are {}", nearest(.name), names())]
    UnknownKey {
        /// The name.
        name: String,
        /// Where it stands.
        origin: Origin,
    },
    /// A value does not fit.
    #[error("{key} from {origin}: expected {expected}, found {found}")]
    Invalid {
        /// The setting.
        key: &'static str,
        /// Who set it.
        origin: Origin,
        /// What fits.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The platform names no directory to put things in by default.
    #[error("no home directory to keep {key} in by default: set it with {flag} or {variable}")]
    NoHome {
        /// The setting.
        key: &'static str,
        /// The flag that sets it.
        flag: &'static str,
        /// The variable that sets it.
        variable: &'static str,
    },
}

fn nearest(name: &str) -> String {
    key::nearest(name).map_or_else(String::new, |key| format!(" (did you mean `{}`?)", key.name()))
}

fn names() -> String {
    Key::ALL.map(Key::name).join(", ")
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// A setting as it was resolved, for showing.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The setting.
    pub key: Key,
    /// Its value; null when it is not set and has no default.
    pub value: serde_json::Value,
    /// Who set it.
    pub origin: Origin,
}

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where knowledge bases live.
    pub data_dir: PathBuf,
    /// Where model files live.
    pub models_dir: PathBuf,
    /// The user's own catalog of models.
    pub model_catalog: Option<PathBuf>,
    /// Directories to look for model files in before anything is fetched.
    pub model_sources: Vec<PathBuf>,
    /// Directories that each hold a model.
    pub model_dirs: Vec<PathBuf>,
    /// Embedding model of new knowledge bases.
    pub embedding_model: String,
    /// Language model of answers.
    pub language_model: String,
    /// Address to serve on, as `host:port`.
    pub listen: String,
    /// Running server that commands speak to, if not to one of their own.
    pub server: Option<String>,
    /// Whether model files are never fetched.
    pub offline: bool,
    /// Largest document in bytes.
    pub max_document_bytes: usize,
    /// Answers of all tenants that may wait; 0 takes eight times those of one.
    pub max_queued_answers_in_all: usize,
    /// Answers of one tenant that may wait.
    pub max_queued_answers: usize,
    /// Tokens that all answers that are being made may hold.
    pub max_running_tokens: usize,
    /// Bytes that models in memory may take together; 0 takes three quarters of the machine's memory.
    pub max_model_memory: usize,
    /// Threads of heavy compute; 0 takes one for each core.
    pub compute_threads: usize,
    /// Calls that are served at once.
    pub max_concurrent_calls: usize,
    /// Time that running calls have to end at shutdown.
    pub grace_period: Duration,
    /// Directory that backups are written to and restored from by name.
    pub backup_dir: Option<PathBuf>,
    /// Sealed bundles that are served.
    pub bundles: Vec<PathBuf>,
    /// Bytes in which results of searches are kept; 0 keeps none.
    pub result_cache_bytes: usize,
    /// Share of the walks over graphs whose recall is measured, 0 to 1.
    pub live_recall_share: f64,
    /// Which log lines are written; nothing takes what fits the command.
    pub log: Option<String>,
    /// How log lines are written.
    pub log_format: LogFormat,
    resolved: BTreeMap<Key, Resolved>,
}

impl Config {
    /// Checks what the layers say and returns the configuration.
    pub fn resolve(layers: &Layers) -> Result<Self, Error> {
        resolve::resolve(layers)
    }

    /// Returns who set a value.
    pub fn origin(&self, key: Key) -> &Origin {
        self.resolved.get(&key).map_or(&Origin::Default, |value| &value.origin)
    }

    /// Returns every setting with its value and origin, in the order of [`Key::ALL`].
    pub fn resolved(&self) -> impl Iterator<Item = &Resolved> {
        self.resolved.values()
    }

    /// Returns the settings of the facade. `pdf_reader` is the program that reads PDFs in a child process.
    pub fn settings(&self, pdf_reader: Option<PathBuf>) -> Settings {
        Settings {
            data_dir: self.data_dir.clone(),
            models_dir: self.models_dir.clone(),
            model_catalog: self.model_catalog.clone(),
            model_sources: self.model_sources.clone(),
            model_dirs: self.model_dirs.clone(),
            embedding_model_id: self.embedding_model.clone(),
            language_model_id: self.language_model.clone(),
            pdf_reader,
            max_document_bytes: self.max_document_bytes,
            max_queued_answers_in_all: self.max_queued_answers_in_all,
            max_queued_answers: self.max_queued_answers,
            max_running_tokens: self.max_running_tokens,
            max_model_memory: self.max_model_memory,
            compute_threads: self.compute_threads,
            backup_dir: self.backup_dir.clone(),
            bundles: self.bundles.clone(),
            result_cache_bytes: self.result_cache_bytes,
            live_recall_share: self.live_recall_share,
        }
    }

    /// Returns how calls are served.
    pub fn service(&self) -> ServiceConfig {
        ServiceConfig {
            max_concurrent_calls: self.max_concurrent_calls,
            max_document_bytes: self.max_document_bytes,
            grace_period: self.grace_period,
            ..ServiceConfig::default()
        }
    }
}
