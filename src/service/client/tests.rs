//! Tests of client.

use std::time::Duration;

use tonic::Status;

use super::{ConnectError, Failure, connect};
use crate::knowledge_base::{Error, ErrorKind};
use crate::service::status;

#[test]
fn failure_tells_what_the_error_said() {
    let error = Error::invalid("page_size", "must be 1 to 1000, is 2000");
    let failure = Failure::from(status::of(&error, "call-1"));
    assert_eq!(
        (failure.kind, failure.reason.as_str(), failure.message.as_str()),
        (ErrorKind::InvalidRequest, "INVALID_FIELD", error.message.as_str())
    );
    assert_eq!(failure.violations, error.violations);
    assert_eq!(failure.request_id, "call-1");
    assert_eq!(failure.to_string(), "page_size: must be 1 to 1000, is 2000");
}

#[test]
fn failure_says_when_to_retry() {
    let error =
        Error::new(ErrorKind::Overloaded, "QUEUE_FULL", "the queue is full").retry_after(Duration::from_secs(2));
    let failure = Failure::from(status::of(&error, "call-1"));
    assert_eq!(failure.retry_after, Some(Duration::from_secs(2)));
    assert_eq!(failure.to_string(), "the queue is full (try again in 2s)");
}

#[test]
fn bare_status_is_still_readable() {
    let failure = Failure::from(Status::unimplemented(""));
    assert_eq!(failure.kind, ErrorKind::Internal);
    assert_eq!(failure.to_string(), "the server answered Unimplemented");
}

#[tokio::test]
async fn unusable_address_is_explained() {
    let table = [
        ("https://localhost:1", "asks for TLS"),
        ("not an address", "is not an address"),
        // Port 1 belongs to nobody on a machine that runs tests.
        ("127.0.0.1:1", "no server answers"),
    ];
    for (endpoint, expected) in table {
        let error: ConnectError = connect(endpoint).await.expect_err("there is no server");
        assert!(error.to_string().contains(expected), "{error}");
    }
}
