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
    /// The vector index was made by another version or with other settings.
    #[error("the vector index at {} was made with {found}, this knowledge base needs {expected}: rebuild it", path.display())]
    VectorsMismatch {
        /// Where it is.
        path: PathBuf,
        /// What the knowledge base needs.
        expected: String,
        /// What it was made with.
        found: String,
    },
    /// A file of the vector index is not what was written.
    #[error("the vector index is damaged at {}: {what}; rebuild it", path.display())]
    VectorsDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is no vector index yet.
    #[error("there is no vector index at {}: make one", path.display())]
    NoVectors {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A chunk comes after one with a larger id, so that the index cannot take it any more.
    #[error("{chunk_id} comes after {last}, which the vector index has: rebuild it")]
    OutOfOrder {
        /// The chunk.
        chunk_id: super::ChunkId,
        /// The largest that was there.
        last: super::ChunkId,
    },
    /// A segment of the vector index would be too large.
    #[error("a segment of the vector index holds at most {limit} vectors")]
    TooManyVectors {
        /// Vectors of a segment.
        limit: usize,
    },
    /// The vector index is a sealed file and cannot be changed.
    #[error("the vector index is sealed: it can only be searched")]
    Sealed,
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
        matches!(
            self,
            Self::Mismatch { .. }
                | Self::Damaged { .. }
                | Self::VectorsMismatch { .. }
                | Self::VectorsDamaged { .. }
                | Self::NoVectors { .. }
                | Self::OutOfOrder { .. }
        )
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
