//! Why an index cannot be opened, changed or asked.

use std::path::{Path, PathBuf};

/// What went wrong in an index. Both indexes can be made again from the store, so none of this loses documents.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory holds an index that this version cannot read or that was made with other settings.
    #[error("the keyword index at {} was made with {found}, this knowledge base needs {expected}: rebuild it", path.display())]
    Mismatch {
        /// Where it is.
        path: PathBuf,
        /// What the knowledge base needs.
        expected: String,
        /// What it was made with.
        found: String,
    },
    /// Files are missing or their content is not what was written.
    #[error("the keyword index at {} is damaged: rebuild it", path.display())]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What was found.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The keyword index could not do its work.
    #[error("the keyword index could not {action}")]
    Terms {
        /// What it was asked to do.
        action: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file or directory could not be read or written.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A vector has another length than the others.
    #[error("vectors of this knowledge base have {expected} dimensions, this one has {found}")]
    DimensionMismatch {
        /// Dimensions of the index.
        expected: usize,
        /// Dimensions of the vector.
        found: usize,
    },
    /// A vector holds something that is not a finite number.
    #[error("the vector of {chunk_id} is not finite: embed the chunk again")]
    NotFinite {
        /// Whose vector it is.
        chunk_id: super::ChunkId,
    },
    /// The dense leg was asked without a vector.
    #[error("searching by vector needs the embedding of the query")]
    NoEmbedding,
}

impl Error {
    /// Returns whether making the index again from the store is the answer.
    pub fn wants_rebuild(&self) -> bool {
        matches!(self, Self::Mismatch { .. } | Self::Damaged { .. })
    }

    pub(super) fn terms(action: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Terms {
            action,
            source: source.into(),
        }
    }

    pub(super) fn damaged(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            source: Some(source.into()),
        }
    }

    pub(super) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
