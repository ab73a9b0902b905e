//! Why a document cannot be read.

use super::format::{KNOWN_MEDIA_TYPES, READABLE};
use super::pdf::PdfError;
use crate::worker::Stopped;

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The caller wants no more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// No reader is for this media type.
    #[error("media type `{media_type}` is not read, give one of {KNOWN_MEDIA_TYPES}, or none to have it recognised")]
    UnknownMediaType {
        /// The media type as given.
        media_type: String,
    },
    /// The charset of the media type has no decoder.
    #[error("charset `{charset}` of the media type is not known, leave it out to have it recognised")]
    UnknownCharset {
        /// The charset as given.
        charset: String,
    },
    /// The bytes are of a format that is not read.
    #[error("the content looks like {what}, which is not read; convert it to {READABLE}")]
    LooksLike {
        /// What the bytes look like, with its article.
        what: &'static str,
    },
    /// The bytes are of another format than the media type says.
    #[error("the media type says {declared}, but the content looks like {what}")]
    Mismatch {
        /// The media type that was given.
        declared: &'static str,
        /// What the bytes look like, with its article.
        what: &'static str,
    },
    /// There is nothing to index.
    #[error("the document holds no text ({bytes} bytes of white space or markup)")]
    Empty {
        /// Its size in bytes.
        bytes: usize,
    },
    /// The PDF reader failed.
    #[error(transparent)]
    Pdf(#[from] PdfError),
}
