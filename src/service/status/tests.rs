//! Tests of status.

use std::time::Duration;

use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{DOMAIN, MAX_TEXT_BYTES, MAX_VIOLATIONS, code, kind, of};
use crate::knowledge_base::{Error, ErrorKind, FieldViolation};

fn check(error: &Error, expected: Code) -> ErrorDetails {
    let status = of(error, "call-1");
    assert_eq!(status.code(), expected);
    let details = status.check_error_details().expect("details decode");
    let info = details.error_info().expect("every error has a reason");
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        (error.reason, DOMAIN),
        "{error}"
    );
    assert_eq!(info.metadata.get("request_id").map(String::as_str), Some("call-1"));
    details
}

#[test]
fn every_kind_maps_to_one_code() {
    let table = [
        (ErrorKind::InvalidRequest, Code::InvalidArgument),
        (ErrorKind::NotFound, Code::NotFound),
        (ErrorKind::AlreadyExists, Code::AlreadyExists),
        (ErrorKind::FailedPrecondition, Code::FailedPrecondition),
        (ErrorKind::Overloaded, Code::ResourceExhausted),
        (ErrorKind::Cancelled, Code::Cancelled),
        (ErrorKind::DeadlineExceeded, Code::DeadlineExceeded),
        (ErrorKind::Unavailable, Code::Unavailable),
        (ErrorKind::Corrupted, Code::DataLoss),
        (ErrorKind::Internal, Code::Internal),
    ];
    for (error_kind, expected) in table {
        assert_eq!(code(error_kind), expected);
        assert_eq!(kind(expected), error_kind, "the way back");
        check(&Error::new(error_kind, "SOME_REASON", "something is so"), expected);
    }
}

#[test]
fn invalid_field_travels_as_violation() {
    let details = check(
        &Error::invalid("retrieval_query.text", "must have 1 to 20000 characters, has 0"),
        Code::InvalidArgument,
    );
    let violations = &details.bad_request().expect("a bad request").field_violations;
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].field, "retrieval_query.text");
    assert_eq!(violations[0].description, "must have 1 to 20000 characters, has 0");
}

#[test]
fn missing_resource_is_named_in_details() {
    let details = check(&Error::not_found("knowledge_base", "manuals"), Code::NotFound);
    let resource = details.resource_info().expect("a resource");
    assert_eq!(
        (resource.resource_type.as_str(), resource.resource_name.as_str()),
        ("knowledge_base", "manuals")
    );
}

#[test]
fn full_queue_says_when_to_retry() {
    let error = Error::new(ErrorKind::Overloaded, "ANSWER_QUEUE_FULL", "16 answers wait already");
    let details = check(&error.retry_after(Duration::from_secs(2)), Code::ResourceExhausted);
    assert_eq!(
        details.retry_info().and_then(|retry| retry.retry_delay),
        Some(Duration::from_secs(2))
    );
    assert_eq!(
        details.quota_failure().expect("a quota").violations[0].description,
        "16 answers wait already"
    );
}

#[test]
fn limit_without_retry_gives_no_hint() {
    let error = Error::new(ErrorKind::Overloaded, "MESSAGE_TOO_LARGE", "the message is too large");
    assert!(check(&error, Code::ResourceExhausted).retry_info().is_none());
}

#[test]
fn wrong_state_names_the_precondition() {
    let error = Error::new(ErrorKind::FailedPrecondition, "NOT_ACTIVE", "it is being removed");
    let details = check(&error.about("knowledge_base", "manuals"), Code::FailedPrecondition);
    let violation = &details.precondition_failure().expect("a precondition").violations[0];
    assert_eq!(
        (violation.r#type.as_str(), violation.subject.as_str()),
        ("NOT_ACTIVE", "manuals")
    );
}

#[test]
fn causes_stay_out_of_the_status() {
    let cause = std::io::Error::other("/secret/path is gone");
    let error = Error::internal("STORE_FAILED", "the store failed", cause);
    let status = of(&error, "call-1");
    assert_eq!(status.message(), "the store failed");
    let details = String::from_utf8_lossy(status.details()).into_owned();
    assert!(!details.contains("secret"), "{details}");
    assert_eq!(error.with_causes(), "the store failed: /secret/path is gone");
}

#[test]
fn long_texts_fit_into_headers() {
    let mut error = Error::invalid("name", "ä".repeat(100_000));
    error.violations = vec![
        FieldViolation {
            field: "f".repeat(5_000),
            description: "d".repeat(5_000)
        };
        100
    ];
    let status = of(&error, "call-1");
    assert!(status.message().len() <= MAX_TEXT_BYTES + 3);
    assert!(status.message().ends_with("..."));
    let details = status.get_error_details();
    assert_eq!(
        details.bad_request().expect("a bad request").field_violations.len(),
        MAX_VIOLATIONS
    );
}
