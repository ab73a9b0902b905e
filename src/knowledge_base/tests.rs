//! Tests of the border's own parts: slots, pages, errors.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::admission::Admission;
use super::*;
use crate::worker::Cancel;

#[test]
fn a_full_queue_refuses_at_once_and_says_when_to_return() {
    let admission = Admission::new(1, 0);
    let slot = admission.enter(&Cancel::new()).expect("the first gets a slot");
    let refused = admission.enter(&Cancel::new()).expect_err("there is no room");
    assert_eq!(
        (refused.kind, refused.reason),
        (ErrorKind::Overloaded, "ANSWER_QUEUE_FULL")
    );
    assert!(refused.retry_after.is_some());
    drop(slot);
    admission.enter(&Cancel::new()).expect("the slot is free again");
}

#[test]
fn waiting_calls_get_the_freed_slot_or_leave() {
    let admission = Admission::new(1, 2);
    let slot = admission.enter(&Cancel::new()).expect("the first gets a slot");
    let left = Cancel::new();
    let got_slot = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let leaving = scope.spawn(|| admission.enter(&left).map(drop));
        let staying = scope.spawn(|| {
            let slot = admission.enter(&Cancel::new());
            got_slot.store(true, Ordering::SeqCst);
            slot.map(drop)
        });
        left.cancel();
        let error = leaving.join().expect("no panic").expect_err("it left");
        assert_eq!(error.kind, ErrorKind::Cancelled);
        std::thread::sleep(Duration::from_millis(50));
        assert!(!got_slot.load(Ordering::SeqCst), "the slot is still taken");
        drop(slot);
        staying.join().expect("no panic").expect("it got the slot");
    });
}

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
