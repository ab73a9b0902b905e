//! Errors to statuses of the wire, and only here.
//!
//! Comes in: an [`Error`] of the border and the id of the call. Goes out: a status with `google.rpc` details.
//! Always holds: a client is told the message and the request id; the chain of causes goes to the log alone.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::knowledge_base::{Error, ErrorKind};

#[cfg(test)]
mod tests;

/// Who names the reasons in `ErrorInfo`.
pub const DOMAIN: &str = "groundwork";

/// Longest text in a status. Statuses travel in headers, and many clients take 8 KiB of those at most.
const MAX_TEXT_BYTES: usize = 512;
/// Most field violations in a status, for the same reason.
const MAX_VIOLATIONS: usize = 8;

/// Returns the code that says whose turn it is.
pub(super) fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidRequest => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::Overloaded => Code::ResourceExhausted,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Corrupted => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

/// Returns whose turn a code says it is; what no server of ours sends counts as [`ErrorKind::Internal`].
pub(super) fn kind(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument => ErrorKind::InvalidRequest,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::FailedPrecondition => ErrorKind::FailedPrecondition,
        Code::ResourceExhausted => ErrorKind::Overloaded,
        Code::Cancelled => ErrorKind::Cancelled,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::DataLoss => ErrorKind::Corrupted,
        _ => ErrorKind::Internal,
    }
}

/// Returns the status of an error, and logs it when it is ours to look at.
pub(super) fn of(error: &Error, request_id: &str) -> Status {
    if matches!(error.kind, ErrorKind::Internal | ErrorKind::Corrupted) {
        tracing::error!(request_id, reason = error.reason, error = %error.with_causes(), "the call failed");
    }
    let message = clip(&error.message);
    Status::with_error_details(code(error.kind), message, details(error, request_id))
}

fn details(error: &Error, request_id: &str) -> ErrorDetails {
    let mut details = ErrorDetails::new();
    details.set_error_info(error.reason, DOMAIN, metadata(error, request_id));
    details.set_request_info(request_id, "");
    for violation in error.violations.iter().take(MAX_VIOLATIONS) {
        details.add_bad_request_violation(clip(&violation.field), clip(&violation.description));
    }
    let subject = error.resource.as_ref().map_or("", |resource| resource.name.as_str());
    if let Some(resource) = &error.resource {
        details.set_resource_info(resource.kind, clip(&resource.name), "", clip(&error.message));
    }
    match error.kind {
        ErrorKind::Overloaded => {
            details.add_quota_failure_violation(clip(subject), clip(&error.message));
        }
        ErrorKind::FailedPrecondition => {
            details.add_precondition_failure_violation(error.reason, clip(subject), clip(&error.message));
        }
        _ => {}
    }
    if let Some(delay) = error.retry_after {
        details.set_retry_info(Some(delay.max(Duration::from_millis(1))));
    }
    details
}

fn metadata(error: &Error, request_id: &str) -> HashMap<String, String> {
    let mut metadata = HashMap::from([("request_id".to_owned(), request_id.to_owned())]);
    if let Some(resource) = &error.resource {
        metadata.insert(resource.kind.to_owned(), clip(&resource.name));
    }
    let facts = error.facts.iter();
    metadata.extend(facts.map(|(name, value)| ((*name).to_owned(), clip(value))));
    metadata
}

/// Cuts a text at a character boundary where it would overfill the headers.
fn clip(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    format!("{}...", &text[..end])
}
