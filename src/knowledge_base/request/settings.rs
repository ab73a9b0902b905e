//! How the process is set up.

use std::path::PathBuf;

/// How the process is set up. Valid once built.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where knowledge bases live.
    pub data_dir: PathBuf,
    /// Where model files live.
    pub models_dir: PathBuf,
    /// A user's own catalog of models, over the built-in one.
    pub model_catalog: Option<PathBuf>,
    /// Directories to look for model files in before anything is fetched.
    pub model_sources: Vec<PathBuf>,
    /// Directories that each hold a model: an encoder, or a language model as one GGUF file or as
    /// files of safetensors with `config.json` and `tokenizer.json`, used under the directory's name.
    pub model_dirs: Vec<PathBuf>,
    /// Embedding model of new knowledge bases.
    pub embedding_model_id: String,
    /// Language model of answers.
    pub language_model_id: String,
    /// Program that reads PDFs in a child process: this very binary. Without one they are read in the process.
    pub pdf_reader: Option<PathBuf>,
    /// Largest document in bytes.
    pub max_document_bytes: usize,
    /// Answers of one tenant that may wait for the language model.
    pub max_queued_answers: usize,
    /// Answers of all tenants that may wait; 0 takes eight times those of one.
    pub max_queued_answers_in_all: usize,
    /// Tokens of prompts and answers that all that are being made may hold.
    pub max_running_tokens: usize,
    /// Bytes that models in memory may take together; 0 takes three quarters of the machine's memory.
    pub max_model_memory: usize,
    /// Threads of heavy compute; 0 takes one for each core.
    pub compute_threads: usize,
    /// Directory that backups are written to and read from by file name; without one they only stream.
    pub backup_dir: Option<PathBuf>,
    /// Sealed bundles that are served beside the knowledge bases of the data directory.
    pub bundles: Vec<PathBuf>,
    /// Bytes of memory in which results of searches are kept; 0 keeps none.
    pub result_cache_bytes: usize,
    /// Share of the walks over graphs whose recall is measured, 0 to 1; 0 measures none.
    pub live_recall_share: f64,
}

/// Tenants whose queues may be full at the same time when nobody says otherwise.
const FULL_TENANTS: usize = 8;

impl Settings {
    /// Returns how many answers of all tenants may wait.
    pub fn queued_answers_in_all(&self) -> usize {
        match self.max_queued_answers_in_all {
            0 => self.max_queued_answers.saturating_mul(FULL_TENANTS),
            count => count,
        }
    }
}
