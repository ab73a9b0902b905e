//! Tests of the order in which generations run, in played time.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds {
    slots: 2,
    max_waiting: 200,
    max_waiting_per_tenant: 100,
    max_tokens: 1_000,
};

fn cost(seconds: f64) -> Cost {
    Cost {
        expected: seconds,
        least: seconds / 2.0,
        due: seconds / 2.0,
    }
}

fn demand(tenant: &str, tier: ServiceTier) -> Demand {
    Demand {
        tenant: Arc::from(tenant),
        tier,
        model: Arc::from("model"),
        tokens: 10,
        cost: cost(1.0),
        deadline: None,
    }
}

/// Lets generations take as long as they cost, and notes in which order they start.
struct Play {
    queue: Queue,
    start: Instant,
    now: Duration,
    /// Ends of those who run.
    running: Vec<(Duration, Ticket, f64)>,
    names: BTreeMap<Ticket, String>,
    started: Vec<(Duration, String)>,
}

impl Play {
    fn new(bounds: Bounds) -> Self {
        Self {
            queue: Queue::new(bounds),
            start: Instant::now(),
            now: Duration::ZERO,
            running: Vec::new(),
            names: BTreeMap::new(),
            started: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        self.start + self.now
    }

    /// Lets a generation come whose length is what it costs, times a factor.
    fn join(&mut self, demand: Demand, factor: f64) -> Result<Ticket, Full> {
        let now = self.now();
        let name = format!("{}", demand.tenant);
        let seconds = demand.cost.expected * factor;
        let ticket = self.queue.join(demand, now)?;
        self.names.insert(ticket, name);
        self.begin(seconds);
        Ok(ticket)
    }

    fn begin(&mut self, seconds: f64) {
        for ticket in self.queue.start(self.now()) {
            let end = self.now + Duration::from_secs_f64(seconds);
            self.running.push((end, ticket, seconds));
            self.started.push((self.now, self.names[&ticket].clone()));
        }
    }

    /// Goes on to when somebody ends, or so far; others begin then, each for so many seconds.
    fn step(&mut self, until: Duration, seconds: f64) -> bool {
        let Some(next) = self
            .running
            .iter()
            .map(|(end, ..)| *end)
            .min()
            .filter(|end| *end <= until)
        else {
            self.now = until;
            return false;
        };
        self.now = next;
        let at = self.running.iter().position(|(end, ..)| *end == next).expect("it ends");
        let (_, ticket, took) = self.running.remove(at);
        self.queue.leave(ticket, took);
        self.begin(seconds);
        true
    }

    fn order(&self) -> Vec<&str> {
        self.started.iter().map(|(_, name)| name.as_str()).collect()
    }
}

const END: Duration = Duration::from_hours(1);

#[test]
fn one_tenant_does_not_delay_another() {
    for factor in [0.05, 1.0, 3.0] {
        let mut play = Play::new(BOUNDS);
        for _ in 0..100 {
            play.join(demand("many", ServiceTier::Default), factor)
                .expect("there is room");
        }
        for _ in 0..20 {
            play.step(END, factor);
        }
        let before = play.started.len();
        play.join(demand("one", ServiceTier::Default), factor)
            .expect("there is room");
        while play.step(END, factor) {}
        let order = play.order();
        let at = order.iter().position(|name| *name == "one").expect("it runs");
        assert!(
            at - before < BOUNDS.slots,
            "factor {factor}: {} came between",
            at - before
        );
        assert_eq!(order.len(), 101);
    }
}

#[test]
fn tenants_share_the_time_and_not_the_turns() {
    // Those of one take four times as long as was predicted, those of the other as long.
    let mut play = Play::new(Bounds { slots: 1, ..BOUNDS });
    for _ in 0..50 {
        for tenant in ["long", "short"] {
            let now = play.now();
            let ticket = play
                .queue
                .join(demand(tenant, ServiceTier::Default), now)
                .expect("there is room");
            play.names.insert(ticket, tenant.to_owned());
        }
    }
    let mut had = BTreeMap::from([("long", 0.0), ("short", 0.0)]);
    for _ in 0..50 {
        let started = play.queue.start(play.now());
        let ticket = started[0];
        let took = if play.names[&ticket] == "long" { 4.0 } else { 1.0 };
        *had.get_mut(play.names[&ticket].as_str()).expect("known") += took;
        play.now += Duration::from_secs_f64(took);
        play.queue.leave(ticket, took);
    }
    let (long, short) = (had["long"], had["short"]);
    assert!((long - short).abs() <= 5.0, "{long} {short}");
}

#[test]
fn time_that_passed_is_no_claim() {
    let mut play = Play::new(Bounds { slots: 1, ..BOUNDS });
    for _ in 0..60 {
        play.join(demand("early", ServiceTier::Default), 1.0)
            .expect("there is room");
    }
    for _ in 0..30 {
        play.step(END, 1.0);
    }
    for _ in 0..20 {
        play.join(demand("late", ServiceTier::Default), 1.0)
            .expect("there is room");
    }
    let before = play.started.len();
    while play.step(END, 1.0) {}
    let first: Vec<&str> = play.order()[before..before + 10].to_vec();
    let late = first.iter().filter(|name| **name == "late").count();
    assert!((4..=6).contains(&late), "{first:?}");
    assert!(
        play.queue.classes.iter().all(|class| class.accounts.is_empty()),
        "nobody is left"
    );
}

#[test]
fn higher_tiers_go_first() {
    let mut play = Play::new(Bounds { slots: 1, ..BOUNDS });
    play.join(demand("first", ServiceTier::Flex), 1.0).expect("it starts");
    for tier in [
        ServiceTier::Flex,
        ServiceTier::Default,
        ServiceTier::Priority,
        ServiceTier::Default,
    ] {
        play.join(demand(&format!("{tier:?}"), tier), 1.0)
            .expect("there is room");
    }
    while play.step(END, 1.0) {}
    assert_eq!(play.order(), ["first", "Priority", "Default", "Default", "Flex"]);
}

#[test]
fn who_waits_for_long_moves_up() {
    // Two of the higher tier always wait, and all takes a second.
    let check = |low: ServiceTier, high: ServiceTier, within: Duration| {
        let mut play = Play::new(Bounds { slots: 1, ..BOUNDS });
        for _ in 0..3 {
            play.join(demand("high", high), 1.0).expect("there is room");
        }
        play.join(demand("low", low), 1.0).expect("there is room");
        while !play.order().contains(&"low") {
            assert!(play.now <= within, "{low:?} waits for ever");
            play.step(END, 1.0);
            play.join(demand("high", high), 1.0).expect("there is room");
        }
        play.now
    };
    let slack = Duration::from_secs(2);
    let waited = check(ServiceTier::Flex, ServiceTier::Default, FLEX_AGES_AFTER + slack);
    assert!(waited >= FLEX_AGES_AFTER, "{waited:?}");
    let waited = check(ServiceTier::Default, ServiceTier::Priority, DEFAULT_AGES_AFTER + slack);
    assert!(waited >= DEFAULT_AGES_AFTER, "{waited:?}");
    let both = FLEX_AGES_AFTER + DEFAULT_AGES_AFTER;
    let waited = check(ServiceTier::Flex, ServiceTier::Priority, both + slack);
    assert!(waited >= both, "{waited:?}");
}

#[test]
fn full_queues_refuse() {
    let mut play = Play::new(Bounds {
        slots: 1,
        max_waiting: 3,
        max_waiting_per_tenant: 2,
        ..BOUNDS
    });
    let mut join = |tenant: &str| play.join(demand(tenant, ServiceTier::Default), 1.0);
    for _ in 0..3 {
        join("a").expect("one runs, two wait");
    }
    assert_eq!(join("a"), Err(Full::Tenant(2)));
    join("b").expect("there is room for another tenant");
    assert_eq!(join("b"), Err(Full::Queue(3)));
    assert_eq!(join("c"), Err(Full::Queue(3)));
    let now = play.now();
    assert_eq!(play.queue.place_free_in(None, now), Duration::from_secs(1));
    // The other tenant goes before it, once.
    assert_eq!(play.queue.place_free_in(Some("a"), now), Duration::from_secs(2));
    // A queue without places still lets those start who can.
    let mut none = Play::new(Bounds {
        max_waiting: 0,
        ..BOUNDS
    });
    for _ in 0..BOUNDS.slots {
        none.join(demand("a", ServiceTier::Default), 1.0)
            .expect("a slot is free");
    }
    assert_eq!(none.join(demand("a", ServiceTier::Default), 1.0), Err(Full::Queue(0)));
}

#[test]
fn tokens_bound_who_runs() {
    let mut play = Play::new(Bounds { slots: 8, ..BOUNDS });
    let large = |tokens: u64| Demand {
        tokens,
        ..demand("a", ServiceTier::Default)
    };
    let first = play.join(large(600), 1.0).expect("it starts");
    play.join(large(500), 1.0).expect("it waits");
    // A smaller one does not pass it: else it might wait for ever.
    play.join(large(10), 1.0).expect("it waits");
    assert_eq!((play.queue.all_running(), play.queue.tokens()), (1, 600));
    let now = play.now();
    assert_eq!(play.queue.revise(first, 1_001, cost(1.0)), Err(1_000));
    play.queue.revise(first, 400, cost(1.0)).expect("it shrinks");
    assert_eq!(play.queue.start(now).len(), 2);
    assert_eq!(play.queue.tokens(), 910);
    assert_eq!(
        play.queue.revise(first, 500, cost(1.0)),
        Err(490),
        "the others hold the rest"
    );
    assert_eq!(play.queue.tokens(), 910);
}

#[test]
fn the_hopeless_leave_at_once() {
    let mut play = Play::new(Bounds { slots: 1, ..BOUNDS });
    let by = |play: &Play, seconds: u64| Demand {
        deadline: Some(play.now() + Duration::from_secs(seconds)),
        cost: cost(4.0),
        ..demand("a", ServiceTier::Default)
    };
    let hopeless = |play: &mut Play| {
        let now = play.now();
        play.queue.take_hopeless(now)
    };
    // Alone it would take two seconds at best.
    play.queue.join(by(&play, 1), play.start).expect("there is room");
    let found = hopeless(&mut play);
    assert_eq!(found.len(), 1);
    assert!(found[0].due > found[0].left && found[0].wait.is_zero(), "{found:?}");
    let running = play.join(by(&play, 3), 1.0).expect("it can be in time");
    assert!(hopeless(&mut play).is_empty());
    assert_eq!(play.queue.all_running(), 1);
    // Behind it, another would end after four seconds at best.
    let late = play.queue.join(by(&play, 3), play.start).expect("there is room");
    let waits = play.queue.join(by(&play, 5), play.start).expect("there is room");
    let found = hopeless(&mut play);
    assert_eq!(found.iter().map(|it| it.ticket).collect::<Vec<_>>(), [late]);
    assert!(
        found[0].due <= found[0].left && found[0].wait == Duration::from_secs(2),
        "{found:?}"
    );
    assert_eq!(found[0].expected_wait, Duration::from_secs(4));
    assert!(hopeless(&mut play).is_empty(), "it is gone");
    // It becomes hopeless while it waits, because the one before it takes longer than it did at best.
    play.now = Duration::from_secs(4);
    let found = hopeless(&mut play);
    assert_eq!(
        found.iter().map(|it| (it.ticket, it.waited)).collect::<Vec<_>>(),
        [(waits, play.now)]
    );
    play.queue.leave(running, 4.0);
    assert_eq!(play.queue.waiting("model"), [0, 0, 0]);
}

#[test]
fn idle_tenants_are_forgotten() {
    let mut queue = Queue::new(Bounds {
        slots: usize::MAX,
        ..BOUNDS
    });
    let now = Instant::now();
    let small = |tenant: &str| Demand {
        tokens: 0,
        ..demand(tenant, ServiceTier::Default)
    };
    // Somebody is always at work, so that those who end are remembered.
    queue.join(small("stays"), now).expect("it starts");
    queue.start(now);
    for at in 0..3 * MAX_IDLE_TENANTS {
        let ticket = queue.join(small(&format!("t{at}")), now).expect("it starts");
        queue.start(now);
        queue.leave(ticket, 1.0);
    }
    let accounts = queue.classes.iter().map(|class| class.accounts.len()).sum::<usize>();
    assert!(accounts <= MAX_IDLE_TENANTS + 1, "{accounts}");
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    Join {
        tenant: u8,
        tier: usize,
        tokens: u64,
        seconds: f64,
        deadline: Option<u64>,
    },
    Leave(usize, f64),
    Withdraw(usize),
    Revise(usize, u64, f64),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let join = (
        0..4_u8,
        0..3_usize,
        0..1_200_u64,
        0.0..20.0,
        proptest::option::of(0..60_u64),
    );
    prop_oneof![
        4 => join.prop_map(|(tenant, tier, tokens, seconds, deadline)| Event::Join {
            tenant,
            tier,
            tokens: tokens.min(BOUNDS.max_tokens),
            seconds,
            deadline,
        }),
        2 => (any::<prop::sample::Index>(), 0.0..40.0).prop_map(|(at, took)| Event::Leave(at.index(64), took)),
        1 => (0..64_usize).prop_map(Event::Withdraw),
        1 => (0..64_usize, 0..1_200_u64, 0.0..20.0).prop_map(|(at, tokens, took)| Event::Revise(at, tokens, took)),
        1 => (0..30_u64).prop_map(Event::Wait),
    ]
}

proptest! {
    #[test]
    fn nobody_is_lost_and_no_more_run_than_may(events in proptest::collection::vec(event(), 1..120)) {
        let bounds = Bounds { slots: 3, max_waiting: 12, max_waiting_per_tenant: 6, ..BOUNDS };
        let mut queue = Queue::new(bounds);
        let mut now = Instant::now();
        let (mut waiting, mut running) = (BTreeSet::new(), BTreeSet::new());
        for event in events {
            match event {
                Event::Join { tenant, tier, tokens, seconds, deadline } => {
                    let demand = Demand {
                        tokens,
                        cost: cost(seconds),
                        deadline: deadline.map(|seconds| now + Duration::from_secs(seconds)),
                        ..demand(&tenant.to_string(), ServiceTier::ALL[tier])
                    };
                    match queue.join(demand, now) {
                        Ok(ticket) => prop_assert!(waiting.insert(ticket)),
                        Err(Full::Queue(count)) => prop_assert_eq!(count, bounds.max_waiting),
                        Err(Full::Tenant(count)) => prop_assert_eq!(count, bounds.max_waiting_per_tenant),
                    }
                }
                Event::Leave(at, took) => {
                    if let Some(ticket) = running.iter().nth(at % running.len().max(1)).copied() {
                        running.remove(&ticket);
                        queue.leave(ticket, took);
                    }
                }
                Event::Withdraw(at) => {
                    if let Some(ticket) = waiting.iter().nth(at % waiting.len().max(1)).copied() {
                        waiting.remove(&ticket);
                        queue.withdraw(ticket);
                    }
                }
                Event::Revise(at, tokens, took) => {
                    if let Some(ticket) = running.iter().nth(at % running.len().max(1)) {
                        let _ = queue.revise(*ticket, tokens, cost(took));
                    }
                }
                Event::Wait(seconds) => now += Duration::from_secs(seconds),
            }
            for hopeless in queue.take_hopeless(now) {
                prop_assert!(waiting.remove(&hopeless.ticket));
                prop_assert!(hopeless.wait + hopeless.due > hopeless.left);
            }
            for ticket in queue.start(now) {
                prop_assert!(waiting.remove(&ticket));
                prop_assert!(running.insert(ticket));
            }
            prop_assert!(running.len() <= bounds.slots);
            prop_assert!(queue.tokens() <= bounds.max_tokens);
            prop_assert_eq!(queue.all_running(), running.len());
            prop_assert_eq!(queue.waiting("model").iter().sum::<usize>(), waiting.len());
            prop_assert_eq!(queue.order(now).len(), waiting.len());
            // Slots stay free only where tokens do not fit.
            prop_assert!(waiting.is_empty() || running.len() == bounds.slots || queue.tokens() > 0);
        }
        // All who wait run in the end.
        while let Some(ticket) = running.pop_first() {
            queue.leave(ticket, 1.0);
            for ticket in queue.start(now) {
                prop_assert!(waiting.remove(&ticket));
                running.insert(ticket);
            }
        }
        prop_assert!(waiting.is_empty(), "{:?} never ran", waiting);
        prop_assert!(queue.classes.iter().all(|class| class.accounts.is_empty()));
    }
}
