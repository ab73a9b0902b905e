//! Tests of slots: who gets one, who is told what, and what is counted.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::generate::ScriptedModel;
use crate::knowledge_base::ServiceTier;

const MODEL: &str = "groundwork.scripted";

fn scheduler(slots: usize, max_waiting: usize) -> Scheduler {
    let bounds = Bounds {
        slots,
        max_waiting,
        max_waiting_per_tenant: max_waiting,
        max_tokens: 10_000,
    };
    Scheduler::bounded(bounds)
}

fn wanted(prompt_bytes: usize) -> Wanted<'static> {
    Wanted {
        model_id: MODEL,
        prompt_bytes,
        max_tokens: 100,
        context_tokens: 100_000,
    }
}

fn of_tenant(name: &str) -> Cancel {
    Cancel::new().with_claim(Claim {
        tenant: Some(Arc::from(name)),
        ..Claim::default()
    })
}

fn fact(error: &Error, name: &str) -> u64 {
    let fact = error.facts.iter().find(|(known, _)| *known == name);
    let (_, value) = fact.unwrap_or_else(|| panic!("no {name} in {:?}", error.facts));
    value.parse().expect("a number")
}

#[test]
fn a_full_queue_refuses_at_once_and_says_when_to_return() {
    let scheduler = scheduler(1, 0);
    let slot = scheduler
        .enter(wanted(0), &Cancel::new())
        .expect("the first gets a slot");
    let refused = scheduler
        .enter(wanted(0), &Cancel::new())
        .expect_err("there is no room");
    assert_eq!(
        (refused.kind, refused.reason),
        (ErrorKind::Overloaded, "ANSWER_QUEUE_FULL")
    );
    // What is known of no model takes five seconds for half of a hundred tokens.
    let retry_after = refused.retry_after.expect("a time");
    assert!(
        retry_after > Duration::from_secs(4) && retry_after <= Duration::from_secs(6),
        "{retry_after:?}"
    );
    slot.finish(None);
    drop(slot);
    scheduler
        .enter(wanted(0), &Cancel::new())
        .expect("the slot is free again");
    let serving = scheduler.serving(MODEL);
    assert_eq!((serving.running, serving.finished, serving.failed), (0, 1, 1));
    assert_eq!(serving.refused, BTreeMap::from([("ANSWER_QUEUE_FULL", 1)]));
}

#[test]
fn waiting_calls_get_the_freed_slot_or_leave() {
    let scheduler = scheduler(1, 2);
    let slot = scheduler
        .enter(wanted(0), &Cancel::new())
        .expect("the first gets a slot");
    let left = Cancel::new().with_tier(ServiceTier::Flex);
    let got_slot = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let leaving = scope.spawn(|| scheduler.enter(wanted(0), &left).map(drop));
        let staying = scope.spawn(|| {
            let slot = scheduler.enter(wanted(0), &Cancel::new());
            got_slot.store(true, Ordering::SeqCst);
            slot.map(drop)
        });
        while scheduler.serving(MODEL).waiting != [0, 1, 1] {
            std::thread::yield_now();
        }
        left.cancel();
        let error = leaving.join().expect("no panic").expect_err("it left");
        assert_eq!(error.kind, ErrorKind::Cancelled);
        assert!(!got_slot.load(Ordering::SeqCst), "the slot is still taken");
        drop(slot);
        staying.join().expect("no panic").expect("it got the slot");
    });
    let serving = scheduler.serving(MODEL);
    assert_eq!((serving.waiting, serving.cancelled), ([0, 0, 0], 1));
}

#[test]
fn tenants_have_places_of_their_own() {
    let bounds = Bounds {
        slots: 1,
        max_waiting: 3,
        max_waiting_per_tenant: 1,
        max_tokens: 10_000,
    };
    let scheduler = Scheduler::bounded(bounds);
    let slot = scheduler.enter(wanted(0), &of_tenant("a")).expect("a slot");
    std::thread::scope(|scope| {
        let waiting = ["a", "b"].map(|tenant| {
            let scheduler = &scheduler;
            scope.spawn(move || scheduler.enter(wanted(0), &of_tenant(tenant)).map(drop))
        });
        while scheduler.serving(MODEL).waiting != [0, 2, 0] {
            std::thread::yield_now();
        }
        let refused = scheduler
            .enter(wanted(0), &of_tenant("a"))
            .expect_err("one of it waits");
        assert_eq!(refused.reason, "ANSWER_QUEUE_FULL");
        assert!(refused.message.contains("the tenant `a`"), "{refused}");
        assert_eq!(refused.resource.map(|resource| resource.name), Some("a".to_owned()));
        drop(slot);
        for waiting in waiting {
            waiting.join().expect("no panic").expect("it got a slot");
        }
    });
}

#[test]
fn deadline_that_cannot_be_met_is_refused_before_it_starts() {
    let scheduler = scheduler(1, 4);
    {
        let mut state = scheduler.state.lock();
        let rates = &mut state.figures(MODEL, 1).rates;
        for _ in 0..8 {
            rates.learn(rates::Done {
                read: 100,
                reading: Duration::from_secs(10),
                written: 10,
                writing: Duration::from_secs(10),
                beside: 1,
            });
            rates.learn_length(50, 100);
        }
    }
    // Twice as fast, half as long: twelve and a half seconds.
    let soon = |seconds: u64| Cancel::with_deadline(Instant::now().checked_add(Duration::from_secs(seconds)));
    let refused = scheduler.enter(wanted(0), &soon(5)).expect_err("it is too late");
    assert_eq!(
        (refused.kind, refused.reason),
        (ErrorKind::DeadlineExceeded, "DEADLINE_UNREACHABLE")
    );
    assert_eq!(fact(&refused, "predicted_ms"), 12_500);
    assert!(
        (4_900..=5_000).contains(&fact(&refused, "left_ms")) && refused.retry_after.is_none(),
        "{refused:?}"
    );
    // The first word of a stream may come in time.
    let claim = Claim {
        is_streamed: true,
        ..Claim::default()
    };
    let slot = scheduler
        .enter(wanted(0), &soon(5).with_claim(claim.clone()))
        .expect("it may");
    let behind = scheduler.enter(wanted(0), &soon(20)).expect_err("it would come second");
    assert_eq!(fact(&behind, "predicted_ms") / 100, 249);
    assert!(behind.retry_after.is_some(), "alone it would be in time");
    // Its prompt turns out to be long, and to be known but for some tokens.
    let model = ScriptedModel::new(["yes"]);
    let metered = slot.metered(&model);
    let started = metered.start_with(&[1; 200], PromptTime::default());
    let error = slot.fail(started.map(drop).expect_err("reading takes ten seconds"));
    assert_eq!(error.reason, "DEADLINE_UNREACHABLE");
    drop(slot);
    assert_eq!(
        scheduler.serving(MODEL).refused,
        BTreeMap::from([("DEADLINE_UNREACHABLE", 3)])
    );
}

#[test]
fn prompts_are_settled_once_they_are_known() {
    let scheduler = scheduler(2, 4);
    // As long as it can be, it takes all there is.
    let slot = scheduler
        .enter(wanted(1 << 20), &Cancel::new())
        .expect("it may have all");
    assert_eq!(scheduler.serving(MODEL).running_tokens, 10_000);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| scheduler.enter(wanted(0), &Cancel::new()).map(drop));
        while scheduler.serving(MODEL).waiting != [0, 1, 0] {
            std::thread::yield_now();
        }
        let model = ScriptedModel::new(["yes"]);
        let metered = slot.metered(&model);
        let (mut sequence, _) = metered.start_with(&[1; 50], PromptTime::default()).expect("it fits");
        second.join().expect("no panic").expect("what is left is for it");
        for tokens in [&[1_u32; 50][..], &[2], &[2]] {
            sequence.feed(tokens, &Cancel::new()).expect("it reads");
        }
        drop(sequence);
        let error = metered.start_with(&vec![1; 9_950], PromptTime::default()).map(drop);
        let error = slot.fail(error.expect_err("there is no room"));
        assert_eq!(
            (error.kind, error.reason),
            (ErrorKind::FailedPrecondition, "TOO_MANY_TOKENS")
        );
        assert_eq!(
            (fact(&error, "tokens"), fact(&error, "max_running_tokens")),
            (10_050, 10_000)
        );
    });
    drop(slot);
    let serving = scheduler.serving(MODEL);
    assert_eq!((serving.running, serving.running_tokens), (0, 0));
    assert_eq!((serving.input_tokens, serving.refused["TOO_MANY_TOKENS"]), (50, 1));
}

#[test]
fn freed_slots_tell_how_long_they_took() {
    let scheduler = scheduler(1, 0);
    let cancel = Cancel::new();
    let slot = scheduler.enter(wanted(0), &cancel).expect("a slot");
    let model = ScriptedModel::new(["one two three"]);
    let metered = slot.metered(&model);
    let (mut sequence, _) = metered.start_with(&[1, 1], PromptTime::default()).expect("it begins");
    sequence.feed(&[1, 1], &cancel).expect("it reads");
    // What is asked of it with no wish to stop ends after the wish.
    cancel.cancel();
    let stopped = sequence.feed(&[1], &cancel).expect_err("nobody wants it");
    let error = slot.fail(stopped);
    assert_eq!(error.kind, ErrorKind::Cancelled);
    drop(slot);
    let serving = scheduler.serving(MODEL);
    assert_eq!((serving.cancelled, serving.cancellations.count), (1, 1));
    assert_eq!(serving.cancellations.most_tokens, 0);
    let times = serving.cancellations;
    assert!(times.last > Duration::ZERO && times.last == times.longest && times.mean() == times.last);
    // One that was not wanted any more, but ended by itself, is none.
    let slot = scheduler.enter(wanted(0), &Cancel::new()).expect("the slot is free");
    slot.finish(Some(3));
    drop(slot);
    let serving = scheduler.serving(MODEL);
    assert_eq!(
        (serving.finished, serving.output_tokens, serving.cancellations.count),
        (1, 3, 1)
    );
}

#[test]
fn many_threads_share_the_slots() {
    let scheduler = scheduler(3, 1_000);
    let (inside, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..12_usize {
            let (scheduler, inside, most, done) = (&scheduler, &inside, &most, &done);
            scope.spawn(move || {
                let tier = ServiceTier::ALL[thread % 3];
                let cancel = of_tenant(["a", "b", "c", "d"][thread % 4]).with_tier(tier);
                for _ in 0..40 {
                    let slot = scheduler.enter(wanted(thread * 100), &cancel).expect("a slot in time");
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    slot.finish(Some(1));
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!(done.into_inner(), 12 * 40);
    let serving = scheduler.serving(MODEL);
    assert_eq!(
        (serving.running, serving.waiting, serving.finished),
        (0, [0, 0, 0], 480)
    );
    assert!(scheduler.state.lock().verdicts.is_empty());
}
