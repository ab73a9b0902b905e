//! Models, described.

use super::Serving;
use crate::models::Modality;

/// Whether a model's files are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// In the catalog only.
    NotInstalled,
    /// Here and verified.
    Installed,
    /// In memory.
    Loaded,
}

/// A model, described.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// Id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Who made it.
    pub provider: String,
    /// SPDX id of its licence.
    pub license: String,
    /// What it makes.
    pub modality: Modality,
    /// Dimension of its vectors; 0 for language models.
    pub dimensions: usize,
    /// Tokens that it reads at most.
    pub max_input_tokens: usize,
    /// Whether its files are here.
    pub availability: Availability,
    /// Files: name, SHA-256, size in bytes (0 when not known).
    pub files: Vec<(String, String, u64)>,
    /// Whether it is the server's default for what it makes.
    pub is_default: bool,
    /// What it takes in memory, with what it keeps of prompts; 0 when it is not loaded.
    pub memory_bytes: u64,
    /// Whether it stays in memory until it is unloaded.
    pub is_pinned: bool,
    /// How it serves; nothing for embedding models.
    pub serving: Option<Serving>,
}

/// What became of a model that was to leave the memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Unloaded {
    /// The model.
    pub model: ModelInfo,
    /// Whether it was in memory.
    pub was_loaded: bool,
    /// Whether calls still use it.
    pub is_in_use: bool,
}
