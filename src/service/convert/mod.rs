//! Between messages of the wire and nouns of the border.
//!
//! Comes in: messages that decoded. Goes out: requests whose ids parse, whose enums are known and whose numbers are in
//! bounds, or an error with the path of the field; and on the way back, messages.
//! Always holds: nothing here blocks or looks at the state of the server.
//! Not here: what only the facade can know, such as whether a name is taken.

mod access;
mod answer;
mod archive;
mod conversation;
mod document;
mod embedding;
mod epoch;
mod erasure;
mod explanation;
mod filter;
mod hit;
mod implicit;
mod inference;
mod invocation;
mod knowledge_base;
mod limits;
mod metadata;
mod model;
mod options;
mod plan;
mod query;
mod rerank;
mod revision;
mod schema;
mod serving;
mod structured;
mod upkeep;

use crate::knowledge_base::{Error, MAX_PAGE_SIZE, PageRequest};

pub(super) use access::caller;
pub(super) use answer::{AnswerMessages, question};
pub(super) use archive::{manifest, restored};
pub(super) use conversation::{ConverseMessages, WholeMessage, conversation, counted, token_count};
pub(super) use document::{
    acknowledgement, delete_response, document, document_id, header, outcome, status_filter, summary,
};
pub(super) use embedding::{batch_result, embed_options, embedded, refused_batch};
pub(super) use epoch::{
    difference, difference_request, difference_summary, epoch, epoch_info, read_at, rollback_target, rolled_back,
};
pub(super) use erasure::{certificate, erasure_query};
pub(super) use explanation::{missing, missing_question};
pub(super) use filter::selection;
pub(super) use hit::{batch, retrieval};
pub(super) use inference::MAX_TOKENS;
pub(super) use invocation::{Invocation, chunk, invocation, invoked, last_chunks, of_body, vector};
pub(super) use knowledge_base::{change, knowledge_base, new_knowledge_base};
pub(super) use limits::limits;
pub(super) use model::{may_list, modality_filter, model};
pub(super) use query::{batch_query, query};
pub(super) use rerank::{rerank_question, reranked};
pub(super) use revision::{content_messages, content_request, revision};
pub(super) use serving::service_tier;
pub(super) use upkeep::progress;

#[cfg(test)]
mod tests;

/// Returns a required text, or says that it is missing.
pub(super) fn required(field: &str, text: String) -> Result<String, Error> {
    if text.is_empty() {
        return Err(Error::invalid(field, "is required, but empty"));
    }
    Ok(text)
}

/// Returns which page is wanted.
pub(super) fn page(size: u32, token: String) -> Result<PageRequest, Error> {
    let size = size as usize;
    if size > MAX_PAGE_SIZE {
        return Err(Error::invalid(
            "page_size",
            format!("must be 1 to {MAX_PAGE_SIZE}, or 0 for the default, is {size}"),
        ));
    }
    Ok(PageRequest { size, token })
}

/// Returns the enum value of this number, or says that this server knows none.
fn known<T: TryFrom<i32>>(field: &str, number: i32) -> Result<T, Error> {
    T::try_from(number).map_err(|_| Error::invalid(field, format!("{number} is not a value that this server knows")))
}
