//! What a search gives back.

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
}
