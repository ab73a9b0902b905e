//! The settings by name. A setting has one name in the file, in its variable, and after `--set`.

/// What the name of every variable begins with.
pub const VARIABLE_PREFIX: &str = "GROUNDWORK_";

/// Variables of this prefix belong to the tests and are no settings.
pub(super) const TEST_PREFIX: &str = "GROUNDWORK_TEST_";

/// Names the configuration file itself, so it is no setting.
pub(super) const FILE_VARIABLE: &str = "GROUNDWORK_CONFIG";

macro_rules! keys {
    ($($key:ident, $name:literal, $variable:literal, $help:literal;)+) => {
        /// A setting.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Key {
            $(#[doc = $help] $key,)+
        }

        impl Key {
            /// All settings, in the order that they are shown in.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$key),+];

            /// Returns its name in the configuration file.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$key => $name,)+ }
            }

            /// Returns the variable that sets it.
            pub const fn variable(self) -> &'static str {
                match self { $(Self::$key => $variable,)+ }
            }

            /// Returns what it is for.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$key => $help,)+ }
            }
        }
    };
}

keys! {
    DataDir, "data_dir", "GROUNDWORK_DATA_DIR", "Where knowledge bases live.";
    ModelsDir, "models_dir", "GROUNDWORK_MODELS", "Where model files live.";
    ModelCatalog, "model_catalog", "GROUNDWORK_MODEL_CATALOG", "A catalog of models over the built-in one.";
    ModelSources, "model_sources", "GROUNDWORK_MODEL_SOURCES", "Directories to look for model files in before fetching.";
    ModelDirs, "model_dirs", "GROUNDWORK_MODEL_DIRS", "Directories that each hold a model, used under the directory's name.";
    EmbeddingModel, "embedding_model", "GROUNDWORK_EMBEDDING_MODEL", "Embedding model of new knowledge bases.";
    LanguageModel, "language_model", "GROUNDWORK_LANGUAGE_MODEL", "Language model of answers.";
    Listen, "listen", "GROUNDWORK_LISTEN", "Address to serve on, as host:port.";
    Server, "server", "GROUNDWORK_SERVER", "Running server to speak to, as host:port.";
    Offline, "offline", "GROUNDWORK_OFFLINE", "Whether model files are never fetched.";
    MaxDocumentBytes, "max_document_bytes", "GROUNDWORK_MAX_DOCUMENT_BYTES", "Largest document in bytes.";
    MaxQueuedAnswersInAll, "max_queued_answers_in_all", "GROUNDWORK_MAX_QUEUED_ANSWERS_IN_ALL", "Answers of all tenants that may wait; 0 takes eight times those of one.";
    MaxQueuedAnswers, "max_queued_answers", "GROUNDWORK_MAX_QUEUED_ANSWERS", "Answers of one tenant that may wait for the language model.";
    MaxRunningTokens, "max_running_tokens", "GROUNDWORK_MAX_RUNNING_TOKENS", "Tokens of prompts and answers that all that are being made may hold.";
    MaxModelMemoryMegabytes, "max_model_memory_mb", "GROUNDWORK_MAX_MODEL_MEMORY_MB", "Memory that models may take together, in MiB; 0 takes three quarters of the machine's.";
    ComputeThreads, "compute_threads", "GROUNDWORK_COMPUTE_THREADS", "Threads of heavy compute; 0 takes one for each core.";
    MaxConcurrentCalls, "max_concurrent_calls", "GROUNDWORK_MAX_CONCURRENT_CALLS", "Calls that are served at once.";
    GracePeriodSeconds, "grace_period_seconds", "GROUNDWORK_GRACE_PERIOD_SECONDS", "Time that running calls have to end at shutdown.";
    BackupDir, "backup_dir", "GROUNDWORK_BACKUP_DIR", "Directory of the server that backups are written to and restored from by name.";
    Bundles, "bundles", "GROUNDWORK_BUNDLES", "Sealed bundles that are served beside the knowledge bases of the data directory.";
    ResultCacheMegabytes, "result_cache_mb", "GROUNDWORK_RESULT_CACHE_MB", "Memory for results of searches that may be asked for again, in MiB; 0 keeps none.";
    LiveRecallShare, "live_recall_share", "GROUNDWORK_LIVE_RECALL_SHARE", "Share of the walks over vector graphs whose recall is measured in the background, 0 to 1.";
    Log, "log", "GROUNDWORK_LOG", "Which log lines are written, such as info or groundwork=debug.";
    LogFormat, "log_format", "GROUNDWORK_LOG_FORMAT", "How log lines are written: text or json.";
}

impl Key {
    /// Returns the setting of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Returns the flag that sets it.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::DataDir => "--data-dir",
            Self::ModelsDir => "--models-dir",
            Self::ModelDirs => "--model-dir",
            Self::Listen => "--listen",
            Self::Server => "--server",
            Self::Offline => "--offline",
            Self::Log => "--log",
            Self::Bundles => "--bundle",
            Self::LiveRecallShare => "--live-recall-share",
            Self::ResultCacheMegabytes => "--result-cache-mb",
            _ => "--set",
        }
    }

    pub(super) fn of_variable(variable: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.variable() == variable)
    }
}

/// Returns the setting whose name is so close that the name is likely a slip of it.
pub(super) fn nearest(name: &str) -> Option<Key> {
    let wanted = name.to_lowercase().replace('-', "_");
    Key::ALL
        .into_iter()
        .map(|key| (edits(&wanted, key.name()), key))
        .filter(|(edits, key)| *edits <= key.name().len() / 3)
        .min()
        .map(|(_, key)| key)
}

/// Returns the Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
