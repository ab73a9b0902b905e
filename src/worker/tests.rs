//! Tests of cancellation.

use super::*;

#[test]
fn lead_comes_before_the_deadline() {
    let lead = Duration::from_millis(100);
    assert_eq!(Cancel::new().with_lead(lead, 10).deadline(), None);
    for left in [Duration::from_mins(1), Duration::from_millis(400)] {
        let deadline = Instant::now() + left;
        let cancel = Cancel::with_deadline(Some(deadline));
        let early = cancel.with_lead(lead, 10);
        let ahead = deadline - early.deadline().expect("it has one");
        assert!(ahead > Duration::ZERO && ahead <= lead.min(left / 10), "{ahead:?}");
        assert_eq!(early.check(), Ok(()));
        cancel.cancel();
        assert_eq!(early.check(), Err(Stopped::Cancelled), "the wish is shared");
    }
    let passed = Cancel::with_deadline(Some(Instant::now()));
    assert_eq!(passed.with_lead(lead, 10).check(), Err(Stopped::DeadlineExceeded));
}

#[test]
fn wish_to_stop_is_dated_once() {
    let cancel = Cancel::new();
    assert_eq!(cancel.unwanted_since(), None);
    let claimed = cancel.with_tier(ServiceTier::Flex);
    assert_eq!(
        (claimed.claim().tier, cancel.claim().tier),
        (ServiceTier::Flex, ServiceTier::Default)
    );
    let before = Instant::now();
    claimed.cancel();
    let since = cancel.unwanted_since().expect("the wish is shared");
    assert!(since >= before && since <= Instant::now());
    cancel.cancel();
    assert_eq!(claimed.unwanted_since(), Some(since));
    let passed = before.checked_sub(Duration::from_millis(1)).unwrap_or(before);
    let late = Cancel::with_deadline(Some(passed));
    late.cancel();
    assert_eq!(late.unwanted_since(), Some(passed), "the deadline came first");
}
