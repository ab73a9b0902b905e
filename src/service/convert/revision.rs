//! Revisions of documents and their contents, both ways.

use super::access::wire_access_list;
use super::metadata::wire_attributes;
use super::{document_id, read_at};
use crate::index::Epoch;
use crate::knowledge_base::{ContentRequest, Error, RevisionInfo};
use crate::service::pb;

/// Digits of a SHA-256 in hexadecimal.
const HASH_DIGITS: usize = 64;

/// Returns the hash of a content.
fn content_hash(field: &str, text: String) -> Result<String, Error> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != HASH_DIGITS || !text.bytes().all(is_digit) {
        let reason = format!("must be a SHA-256 in {HASH_DIGITS} lowercase hexadecimal digits");
        return Err(Error::invalid(field, reason));
    }
    Ok(text)
}

/// Returns which content is wanted: that of a document at an epoch, or that of a hash.
pub(in crate::service) fn content_request(request: pb::GetDocumentContentRequest) -> Result<ContentRequest, Error> {
    let at = read_at(request.min_epoch, request.as_of_epoch, request.as_of_time)?;
    if request.content_hash.is_empty() {
        if request.document_id.is_empty() {
            return Err(Error::invalid(
                "document_id",
                "exactly one of document_id and content_hash is required, none is set",
            ));
        }
        let id = document_id("document_id", request.document_id)?;
        return Ok(ContentRequest::Document(id, at));
    }
    let others = [
        ("document_id", !request.document_id.is_empty()),
        ("min_epoch", at.min_epoch.is_some()),
        ("as_of_epoch", request.as_of_epoch > 0),
        ("as_of_time", request.as_of_time.is_some()),
    ];
    if let Some((field, _)) = others.into_iter().find(|(_, is_set)| *is_set) {
        let reason = "must be absent beside content_hash, which names the content whichever epoch sees it";
        return Err(Error::invalid(field, reason));
    }
    content_hash("content_hash", request.content_hash).map(ContentRequest::Hash)
}

/// Returns a revision for the wire.
pub(in crate::service) fn revision(info: RevisionInfo) -> pb::Revision {
    pb::Revision {
        revision_id: info.revision_id,
        content_hash: info.content_hash,
        title: info.title.unwrap_or_default(),
        mime_type: info.media_type,
        source_name: info.source_name,
        metadata: wire_attributes(info.metadata),
        byte_size: info.byte_size,
        text_bytes: info.text_bytes,
        chunk_count: info.chunk_count,
        added_epoch: info.added.0,
        retired_epoch: info.retired.map_or(0, |Epoch(number)| number),
        created_at: Some(info.created_at.into()),
        has_content: info.has_content,
        access: wire_access_list(info.access),
    }
}

/// Returns the messages of a content, the first of which says what it is.
pub(in crate::service) fn content_messages(
    info: RevisionInfo,
    epoch: Epoch,
    bytes: &[u8],
    part_bytes: usize,
) -> impl Iterator<Item = pb::GetDocumentContentResponse> {
    let mut head = Some((revision(info), epoch.0));
    // An empty content is one empty part.
    let parts = bytes.chunks(part_bytes).chain(bytes.is_empty().then_some(bytes));
    parts.map(move |part| {
        let (revision, epoch) = head.take().unzip();
        pb::GetDocumentContentResponse {
            revision,
            part: part.to_vec(),
            epoch: epoch.unwrap_or_default(),
        }
    })
}
