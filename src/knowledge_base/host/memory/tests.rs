//! Tests of who leaves.

use proptest::prelude::*;

use super::*;

fn holding(id: &str, bytes: u64, used: u64, kept_by: Option<Keeper>) -> Holding {
    Holding {
        id: id.to_owned(),
        bytes,
        kept_by,
        used,
    }
}

fn check(bytes: u64, budget: u64, holdings: &[Holding], expected: Option<&[&str]>) {
    let found = leaving(bytes, budget, holdings);
    let found = found.map(|places| {
        places
            .into_iter()
            .map(|at| holdings[at].id.as_str())
            .collect::<Vec<_>>()
    });
    assert_eq!(found.as_deref(), expected, "{bytes} of {budget} beside {holdings:?}");
}

#[test]
fn the_least_recently_used_make_room() {
    let (old, older) = (holding("old", 40, 7, None), holding("older", 30, 3, None));
    let pinned = holding("pinned", 20, 1, Some(Keeper::Pin));
    let all = [old.clone(), older.clone(), pinned.clone()];
    check(10, 100, &all, Some(&[]));
    check(11, 100, &all, Some(&["older"]));
    check(41, 100, &all, Some(&["older", "old"]));
    check(80, 100, &all, Some(&["older", "old"]));
    check(81, 100, &all, None);
    check(u64::MAX, 100, &all, None);
    for keeper in [Keeper::Users, Keeper::Loading, Keeper::Process] {
        check(50, 100, &[holding("kept", 60, 0, Some(keeper))], None);
    }
    check(100, 100, &[], Some(&[]));
    check(90, 100, &[holding("nothing", 0, 0, None), older], Some(&["older"]));
}

#[test]
fn refusals_name_need_budget_and_holders() {
    let holdings = [
        holding("a", 60 << 20, 1, Some(Keeper::Users)),
        holding("b", 5 << 20, 2, None),
        holding("c", 1, 2, Some(Keeper::Pin)),
    ];
    let error = exhausted("new", 50 << 20, 100 << 20, &holdings);
    assert_eq!(
        (error.kind, error.reason),
        (ErrorKind::Overloaded, "MODEL_MEMORY_EXHAUSTED")
    );
    for part in [
        "`new` needs 50 MiB",
        "100 MiB",
        "`a` 60 MiB (in use)",
        "`c` 1 MiB (pinned)",
    ] {
        assert!(error.message.contains(part), "{error}");
    }
    assert!(error.retry_after.is_some(), "`a` is in use for some time only");
    let pinned = [holding("a", 60 << 20, 1, Some(Keeper::Pin))];
    assert_eq!(exhausted("new", 50 << 20, 100 << 20, &pinned).retry_after, None);
    assert!(
        !error.message.contains("`b`"),
        "what could leave is in nobody's way: {error}"
    );
}

#[test]
fn machines_tell_their_memory() {
    assert_eq!(total_of("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
    assert_eq!(total_of("MemFree: 1 kB\n"), None);
    assert!(default_budget() > 0);
}

proptest! {
    #[test]
    fn what_stays_fits_and_no_kept_one_leaves(
        bytes in 0..200_u64,
        budget in 0..300_u64,
        held in proptest::collection::vec((0..80_u64, 0..9_u64, any::<bool>()), 0..8),
    ) {
        let holdings: Vec<Holding> = held.iter().enumerate().map(|(at, (bytes, used, kept))| {
            holding(&at.to_string(), *bytes, *used, kept.then_some(Keeper::Users))
        }).collect();
        let kept: u64 = holdings.iter().filter(|it| it.kept_by.is_some()).map(|it| it.bytes).sum();
        match leaving(bytes, budget, &holdings) {
            None => prop_assert!(kept + bytes > budget),
            Some(places) => {
                prop_assert!(places.iter().all(|at| holdings[*at].kept_by.is_none()));
                let gone: u64 = places.iter().map(|at| holdings[*at].bytes).sum();
                let all: u64 = holdings.iter().map(|it| it.bytes).sum();
                prop_assert!(all - gone + bytes <= budget);
                // One fewer would not have been enough.
                if let Some(last) = places.last() {
                    prop_assert!(all - gone + holdings[*last].bytes + bytes > budget);
                }
            }
        }
    }
}
