//! Hits for the tests of this module.

use super::Reference;
use crate::document::metadata::Metadata;
use crate::document::{ByteSpan, DocumentId};
use crate::index::ChunkId;
use crate::retrieve::Hit;

/// Returns a hit of a document, which begins at `start` there.
pub(super) fn hit(document: &str, start: usize, text: &str) -> Hit {
    Hit {
        chunk_id: ChunkId(1),
        revision_id: 1,
        document_id: DocumentId::parse(document).expect("tests use valid ids"),
        content_hash: String::new(),
        title: None,
        source_name: String::new(),
        heading_path: Vec::new(),
        page: None,
        span: ByteSpan::new(start, start + text.len()),
        code_point_start: start,
        text: text.to_owned(),
        metadata: Metadata::new(),
        score: 1.0,
        bm25: None,
        cosine: None,
        context: None,
        folded: Vec::new(),
        highlights: Vec::new(),
        explanation: None,
    }
}

/// Returns passages, numbered from 1, each 100 bytes into its document.
pub(super) fn references(texts: &[&str]) -> Vec<Reference> {
    (1..)
        .zip(texts)
        .map(|(number, text)| Reference {
            number,
            hit: hit(&format!("document-{number}"), 100, text),
        })
        .collect()
}
