//! Tests of caches: bounds, order, and what is forgotten.

use proptest::prelude::*;

use super::*;

#[test]
fn least_recently_asked_entries_go_first() {
    let mut kept: Bounded<String, u32> = Bounded::new(3 * (ENTRY_BYTES + 10));
    let there = |kept: &Bounded<String, u32>| {
        let mut keys: Vec<String> = kept.iter().map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys.concat()
    };
    for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
        kept.put(key.to_owned(), value, 10);
    }
    assert_eq!(kept.get("a"), Some(&1));
    // Looking changes nothing: `b` was not asked for longest.
    assert_eq!(kept.peek("b"), Some(&2));
    kept.put("d".to_owned(), 4, 10);
    assert_eq!((there(&kept).as_str(), kept.get("b")), ("acd", None));
    kept.put("large".to_owned(), 5, 3 * (ENTRY_BYTES + 10));
    assert_eq!(there(&kept), "acd", "what cannot fit drives nothing out");
    kept.put("e".to_owned(), 6, ENTRY_BYTES + 20);
    assert_eq!(there(&kept), "de", "a larger one takes the room of two");
    assert_eq!(kept.retain(|key| key != "d"), 1);
    assert_eq!(kept.bytes(), 2 * ENTRY_BYTES + 20);
}

#[test]
fn nothing_is_kept_without_room() {
    let cache: Cache<u32, u32> = Cache::new(0);
    let part = cache.of("kb");
    part.keep(&1, &1, 0);
    assert_eq!((part.get(&1), cache.bytes(), cache.is_on()), (None, 0, false));
}

#[test]
fn forgotten_owners_start_anew() {
    let cache: Cache<u32, u32> = Cache::new(1 << 20);
    let (part, other) = (cache.of("kb"), cache.of("other"));
    part.keep(&1, &1, 4);
    other.keep(&1, &2, 4);
    assert_eq!(cache.forget("kb"), 1);
    assert_eq!((part.get(&1), other.get(&1)), (None, Some(2)));
    // What was worked out before it was forgotten.
    part.keep(&1, &1, 4);
    assert_eq!(part.get(&1), None);
    cache.of("kb").keep(&1, &3, 4);
    assert_eq!(cache.of("kb").get(&1), Some(3));
}

#[test]
fn closed_owners_keep_nothing() {
    let cache: Cache<u32, u32> = Cache::new(1 << 20);
    cache.of("kb").keep(&1, &1, 4);
    let closed = cache.close("kb");
    assert_eq!(closed.dropped(), 1);
    let during = cache.of("kb");
    during.keep(&2, &2, 4);
    cache.of("other").keep(&2, &2, 4);
    let mut seen = Vec::new();
    cache.each("kb", |key, _| seen.push(*key));
    assert_eq!(seen, [0; 0]);
    drop(closed);
    during.keep(&3, &3, 4);
    assert_eq!(during.get(&3), None, "it may have seen what is gone");
    cache.of("kb").keep(&4, &4, 4);
    cache.each("kb", |key, _| seen.push(*key));
    assert_eq!((seen, cache.of("other").get(&2)), (vec![4], Some(2)));
}

proptest! {
    #[test]
    fn entries_stay_within_their_bound(
        puts in proptest::collection::vec((0_u8..20, 0_usize..400), 0..200),
        max_bytes in 0_usize..4_000,
    ) {
        let mut kept: Bounded<u8, usize> = Bounded::new(max_bytes);
        for (key, bytes) in puts {
            kept.put(key, bytes, bytes);
            prop_assert!(kept.bytes() <= max_bytes);
            let summed: usize = kept.iter().map(|(_, bytes)| bytes + ENTRY_BYTES).sum();
            prop_assert_eq!(kept.bytes(), summed);
        }
    }
}
