//! Backups that become knowledge bases.

use super::knowledge_base::KnowledgeBaseInfo;
use crate::store::Manifest;

/// How a backup is restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restoration {
    /// Name of the new knowledge base; empty takes that of the one that was backed up.
    pub name: String,
    /// Verifies everything, and makes nothing.
    pub dry_run: bool,
}

/// What a restoration made, or would make.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// The new knowledge base.
    pub knowledge_base: KnowledgeBaseInfo,
    /// What the archive said about itself.
    pub manifest: Manifest,
    /// What keeps it from being used as it is.
    pub warnings: Vec<String>,
}
