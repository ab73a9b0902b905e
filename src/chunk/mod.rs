//! [`Document`](crate::document::Document) to [`Chunk`]s.
//!
//! Comes in: a document and sizes. Goes out: chunks in order, each an exact byte range of the document's text.
//! Always holds: every character of the text that is not white space lies in at least one chunk.
//! Not here: I/O, clocks, embedding.

mod boundary;
mod budget;
mod embedded;
mod split;

pub use embedded::embedded_text;
pub use split::split;

use crate::document::ByteSpan;

/// Default of `max_tokens` of [`ChunkConfig::FixedSize`].
pub const DEFAULT_MAX_TOKENS: usize = 160;
/// Default of `overlap_tokens` of [`ChunkConfig::FixedSize`].
pub const DEFAULT_OVERLAP_TOKENS: usize = 20;

/// How documents are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkConfig {
    /// Chunks of bounded size, cut at headings, paragraphs and sentences.
    FixedSize {
        /// Largest size in tokens of the embedder.
        max_tokens: usize,
        /// Tokens of the end of a chunk that the next one repeats.
        overlap_tokens: usize,
    },
    /// One chunk a document.
    None,
}

impl Default for ChunkConfig {
    fn default() -> Self {
        Self::FixedSize {
            max_tokens: DEFAULT_MAX_TOKENS,
            overlap_tokens: DEFAULT_OVERLAP_TOKENS,
        }
    }
}

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Position in the document, from 0.
    pub ordinal: u32,
    /// Its range in the document's text, without white space at either end.
    pub span: ByteSpan,
    /// Headings above it, outermost first, without markup.
    pub heading_path: Vec<String>,
    /// Page that it begins on, from 1, where the format has pages.
    pub page: Option<u32>,
    /// Its size in tokens of the embedder, context line not counted.
    pub token_count: u32,
}

#[cfg(test)]
mod tests;
