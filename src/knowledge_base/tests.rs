//! Tests of the border's own parts: pages, errors.

use super::*;

#[test]
fn pages_say_where_the_next_begins() {
    let page = |size: usize, token: &str| PageRequest {
        size,
        token: token.to_owned(),
    };
    let names = |count: usize| (0..count).map(|at| format!("n{at}")).collect::<Vec<_>>();
    let first = check::paged(names(3), 2, String::as_str);
    assert_eq!((first.items.len(), first.next_token.as_str()), (2, "after:n1"));
    assert_eq!(
        check::page(&page(0, "after:n1")).expect("it is a token"),
        (DEFAULT_PAGE_SIZE, "n1")
    );
    let last = check::paged(names(2), 2, String::as_str);
    assert_eq!((last.items.len(), last.next_token.as_str()), (2, ""));
    assert!(check::page(&page(MAX_PAGE_SIZE + 1, "")).is_err());
    assert!(check::page(&page(1, "n1")).is_err());
}

#[test]
fn errors_keep_their_causes_for_the_log() {
    let cause = std::io::Error::other("the cable is out");
    let error = Error::internal("STORE_FAILED", "cannot read", cause);
    assert_eq!(error.to_string(), "cannot read");
    assert_eq!(error.with_causes(), "cannot read: the cable is out");
    let renamed = Error::invalid("retrieval_query.text", "is empty").renamed("retrieval_query.text", "input.text");
    assert_eq!(renamed.violations[0].field, "input.text");
    assert_eq!(renamed.message, "input.text: is empty");
}
