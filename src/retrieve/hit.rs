//! What a search gives back.

use super::Explanation;
use crate::document::metadata::Metadata;
use crate::document::{ByteSpan, DocumentId};
use crate::index::ChunkId;

/// One leg's part in a hit's score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LegScore {
    /// Rank in the leg's own list, from 1; nothing when the score was completed afterwards.
    pub rank: Option<u32>,
    /// The leg's own score: cosine similarity, or BM25.
    pub raw: f64,
    /// The score as fused.
    pub normalized: f64,
}

/// The text around a chunk, the chunk included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its byte range in the document's text.
    pub span: ByteSpan,
    /// Code points before it in the document's text.
    pub code_point_start: usize,
    /// The text.
    pub text: String,
}

/// What is read of a hit: its context, or else its own text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage<'a> {
    /// Its byte range in the document's text.
    pub span: ByteSpan,
    /// Code points before it in the document's text.
    pub code_point_start: usize,
    /// The text.
    pub text: &'a str,
}

/// A chunk of another document that was folded into a hit.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldedHit {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its document.
    pub document_id: DocumentId,
    /// Its score.
    pub score: f64,
    /// How similar it is to the hit.
    pub similarity: f64,
}

/// A chunk that fits the query.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Number of its revision.
    pub revision_id: u64,
    /// Its document.
    pub document_id: DocumentId,
    /// SHA-256 of the document's content, in lowercase hexadecimal.
    pub content_hash: String,
    /// The document's title.
    pub title: Option<String>,
    /// Where the document came from.
    pub source_name: String,
    /// Headings above the chunk, outermost first.
    pub heading_path: Vec<String>,
    /// Page that it begins on, from 1.
    pub page: Option<u32>,
    /// Its byte range in the document's text.
    pub span: ByteSpan,
    /// Code points before `span.start` in the document's text.
    pub code_point_start: usize,
    /// Its text.
    pub text: String,
    /// Attributes of the document.
    pub metadata: Metadata,
    /// What hits are ordered by.
    pub score: f64,
    /// The keyword leg's part, if it took part.
    pub bm25: Option<LegScore>,
    /// The dense leg's part, if it took part.
    pub cosine: Option<LegScore>,
    /// The text around it, where that was asked for.
    pub context: Option<Context>,
    /// Chunks that were folded into it, best first.
    pub folded: Vec<FoldedHit>,
    /// Where words of the query stand in it: byte ranges in the document's text, in order.
    pub highlights: Vec<ByteSpan>,
    /// How its score came about, where that was asked for.
    pub explanation: Option<Box<Explanation>>,
}

impl Hit {
    /// Returns what is read of it.
    pub fn passage(&self) -> Passage<'_> {
        match &self.context {
            Some(context) => Passage {
                span: context.span,
                code_point_start: context.code_point_start,
                text: &context.text,
            },
            None => Passage {
                span: self.span,
                code_point_start: self.code_point_start,
                text: &self.text,
            },
        }
    }
}
