//! Bytes to [`Document`].
//!
//! Comes in: the bytes of a file and what the caller knows of them. Goes out: one extracted text with its structure.
//! Always holds: every block's span lies in the text, blocks are in order and do not overlap.
//! Not here: splitting (see [`crate::chunk`]), storage.

pub mod access;
mod date;
mod encoding;
mod error;
mod format;
mod hash;
mod html;
mod markdown;
pub mod metadata;
mod pdf;
mod plain;
pub mod schema;
mod span;

use std::fmt;

pub use date::Date;
pub use error::ReadError;
pub use hash::{content_hash, hex};
pub use pdf::{CHILD_COMMAND, DEFAULT_MAX_MEMORY_BYTES, DEFAULT_TIMEOUT, PdfError, PdfReader, run_child};
pub use span::ByteSpan;

use crate::worker::Cancel;

/// Longest document id in bytes.
pub const MAX_DOCUMENT_ID_BYTES: usize = 2_048;

/// The caller's own id of a document: 1 to [`MAX_DOCUMENT_ID_BYTES`] bytes without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentId(String);

/// Why a text is not a document id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDocumentId {
    /// It is empty.
    #[error("a document id cannot be empty")]
    Empty,
    /// It is too long.
    #[error("a document id has at most {MAX_DOCUMENT_ID_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It holds a control character.
    #[error("a document id cannot hold control characters, this one has one at byte {at}")]
    ControlCharacter {
        /// Where the first one stands.
        at: usize,
    },
}

impl DocumentId {
    /// Checks the text and returns the id.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidDocumentId> {
        let text = text.into();
        if text.is_empty() {
            return Err(InvalidDocumentId::Empty);
        }
        if text.len() > MAX_DOCUMENT_ID_BYTES {
            return Err(InvalidDocumentId::TooLong { bytes: text.len() });
        }
        if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(InvalidDocumentId::ControlCharacter { at });
        }
        Ok(Self(text))
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `text/plain`.
    PlainText,
    /// `text/markdown`.
    Markdown,
    /// `text/html`.
    Html,
    /// `application/pdf`.
    Pdf,
}

impl Format {
    /// Returns its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::PlainText => "text/plain",
            Self::Markdown => "text/markdown",
            Self::Html => "text/html",
            Self::Pdf => "application/pdf",
        }
    }
}

/// What a block of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// A heading of level 1 to 6.
    Heading(u8),
    /// Running text.
    Paragraph,
    /// An item of a list, with everything under it.
    ListItem,
    /// Code or other preformatted text: cut at lines, not at sentences.
    Code,
    /// A table: cut at lines.
    Table,
}

/// One block: a heading, a paragraph, a list item, a code block, a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its range in [`Document::text`].
    pub span: ByteSpan,
    /// What it is.
    pub kind: BlockKind,
    /// For a heading, its text without markup; empty for all others.
    pub heading: String,
    /// Page that it begins on, from 1, where the format has pages.
    pub page: Option<u32>,
}

/// A document as read: one text and its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it was read as.
    pub format: Format,
    /// Title found in the content.
    pub title: Option<String>,
    /// The extracted text, UTF-8; for plain text and Markdown the decoded source itself.
    pub text: String,
    /// Its blocks, in order, not overlapping.
    pub blocks: Vec<Block>,
}

/// What the caller knows of a document's bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Media type, with or without a charset; `None` to recognise the format.
    pub media_type: Option<String>,
    /// File name or address that the bytes came from; empty when there is none.
    pub source_name: String,
}

/// Reads a document: recognises its format and encoding, and extracts its text and structure.
///
/// Looks at `cancel` before it starts and, for PDFs, all the time.
pub fn read(bytes: &[u8], hints: &Hints, pdf: &PdfReader, cancel: &Cancel) -> Result<Document, ReadError> {
    cancel.check()?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ReadError::Empty { bytes: bytes.len() });
    }
    let recognised = format::recognise(bytes, hints)?;
    if recognised.format == Format::Pdf {
        return pdf.read(bytes, cancel);
    }
    let is_html = recognised.format == Format::Html;
    let text = encoding::decode(bytes, recognised.charset, is_html)?;
    if text.chars().all(char::is_whitespace) {
        return Err(ReadError::Empty { bytes: bytes.len() });
    }
    let format = if recognised.sniff_text {
        format::of_text(&text)
    } else {
        recognised.format
    };
    let document = match format {
        Format::Html => html::read(&text),
        Format::Markdown => markdown::read(text),
        Format::PlainText | Format::Pdf => plain::read(text),
    };
    if document.blocks.is_empty() {
        return Err(ReadError::Empty { bytes: bytes.len() });
    }
    Ok(document)
}

#[cfg(test)]
mod tests;
