//! How texts are embedded, off the wire; their vectors onto it.

use super::hit::{metrics, usage};
use super::known;
use crate::embed::Purpose;
use crate::knowledge_base::{EmbedOptions, Embedded, EmbeddedText, Error, ErrorKind, TextEmbedder, Truncation};
use crate::service::pb;
use crate::service::pb::embed_result::Result as Outcome;
use crate::service::status;

/// Returns how texts are to be embedded; `path` is where that stands in the request.
pub(in crate::service) fn embed_options(
    path: &str,
    wire: Option<pb::EmbeddingConfiguration>,
) -> Result<EmbedOptions, Error> {
    let wire = wire.unwrap_or_default();
    Ok(EmbedOptions {
        model_id: wire.model_id,
        purpose: match known(&format!("{path}.purpose"), wire.purpose)? {
            pb::EmbeddingPurpose::Unspecified | pb::EmbeddingPurpose::Passage => Purpose::Passage,
            pb::EmbeddingPurpose::Query => Purpose::Query,
        },
        truncation: match known(&format!("{path}.truncation"), wire.truncation)? {
            pb::EmbeddingTruncation::Unspecified | pb::EmbeddingTruncation::None => Truncation::None,
            pb::EmbeddingTruncation::End => Truncation::End,
        },
        normalize: wire.normalize.unwrap_or(true),
        dimensions: wire.dimensions.map(|dimensions| dimensions as usize),
    })
}

/// Returns the vectors of a call.
pub(in crate::service) fn embedded(embedder: &TextEmbedder, embedded: Embedded<EmbeddedText>) -> pb::EmbedResponse {
    let tokens: usize = embedded.results.iter().map(|text| text.input_tokens).sum();
    pb::EmbedResponse {
        embeddings: embedded.results.into_iter().map(embedding).collect(),
        usage: Some(usage(tokens as u64, 0)),
        metrics: Some(metrics(embedded.times)),
        model_id: embedder.model_id().to_owned(),
        dimensions: embedder.dimensions() as u32,
    }
}

/// Returns what became of a batch of a stream.
pub(in crate::service) fn batch_result(
    index: u64,
    embedded: Embedded<Result<EmbeddedText, Error>>,
) -> pb::EmbedBatchResult {
    let good = embedded.results.iter().flatten();
    let tokens: usize = good.map(|text| text.input_tokens).sum();
    let results = embedded.results.into_iter().map(|result| pb::EmbedResult {
        result: Some(match result {
            Ok(text) => Outcome::Embedding(embedding(text)),
            Err(error) => Outcome::Error(refusal(&error)),
        }),
    });
    pb::EmbedBatchResult {
        index,
        results: results.collect(),
        error: None,
        usage: Some(usage(tokens as u64, 0)),
        metrics: Some(metrics(embedded.times)),
    }
}

/// Returns that a whole batch was refused.
pub(in crate::service) fn refused_batch(index: u64, error: &Error) -> pb::EmbedBatchResult {
    pb::EmbedBatchResult {
        index,
        error: Some(refusal(error)),
        usage: Some(usage(0, 0)),
        ..pb::EmbedBatchResult::default()
    }
}

fn embedding(text: EmbeddedText) -> pb::TextEmbedding {
    pb::TextEmbedding {
        values: text.values,
        input_tokens: u32::try_from(text.input_tokens).unwrap_or(u32::MAX),
        truncated: text.is_truncated,
    }
}

/// Returns an error that is told in its place, and logs it when it is ours to look at.
fn refusal(error: &Error) -> pb::EmbedError {
    if error.kind == ErrorKind::Internal {
        tracing::error!(reason = error.reason, error = %error.with_causes(), "a text could not be embedded");
    }
    pb::EmbedError {
        code: status::code(error.kind).into(),
        message: error.message.clone(),
        reason: error.reason.to_owned(),
        field: error.violations.first().map(|it| it.field.clone()).unwrap_or_default(),
    }
}
