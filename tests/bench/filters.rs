//! Filters: what the set of accepted chunks costs, and what a filtered search finds and costs at every selectivity.
//!
//! `cargo bench -- filters TEXTS VECTORS.f32 DIMENSIONS [PASSAGES]` takes what `store` takes. Accepted chunks are
//! scattered over all, or lie together as those of a source or a month do.

use std::time::{Duration, Instant};

use groundwork::document::Date;
use groundwork::document::access::AccessList;
use groundwork::document::metadata::{Metadata, MetadataValue};
use groundwork::index::{Accepted, AttributeIndex, ChunkId, ChunkSet, Epoch, Lifetime, Visibility};
use groundwork::retrieve::{Filter, Legs, Query, search};
use groundwork::store::{EpochStore, Error};

use crate::store::{Given, QUERIES, filled};
use crate::{quantile_ms, report};

/// Shares of all chunks that are accepted.
const SHARES: [f64; 12] = [0.0001, 0.001, 0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 0.95, 1.0];
const LIMIT: usize = 10;
/// Share of the exactly nearest that must be found, whatever is accepted.
const LEAST_RECALL: f64 = 0.98;
/// Queries of each line of the table.
const ASKED: usize = 200;
/// Documents and chunks of each for which the set alone is measured.
const DOCUMENTS: usize = 100_000;
const CHUNKS_EACH: usize = 10;
/// Times that each set is made.
const ROUNDS: usize = 21;

/// Attributes of the passage at `at`: two numbers to choose shares by, and what documents usually have.
pub(crate) fn attributes(at: usize) -> Metadata {
    // Spread over all numbers by a multiplier without small factors (Knuth).
    let scattered = (at as u32).wrapping_mul(2_654_435_761);
    let entries = [
        (
            "scattered",
            MetadataValue::Number(f64::from(scattered) / 4_294_967_296.0),
        ),
        ("place", MetadataValue::Number(at as f64)),
        ("shelf", MetadataValue::String(format!("shelf-{}", scattered % 100))),
        ("published", date(at)),
        (
            "topics",
            MetadataValue::StringList(vec![
                format!("topic-{}", scattered % 17),
                format!("topic-{}", scattered % 23),
            ]),
        ),
    ];
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// The date of the passage at `at`: ten minutes after the one before.
fn date(at: usize) -> MetadataValue {
    let seconds = i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(600);
    MetadataValue::Date(Date::new(seconds, 0).expect("it lies in a year of four digits"))
}

fn below(key: &str, bound: f64) -> Filter {
    Filter::LessThan(key.to_owned(), MetadataValue::Number(bound))
}

/// Runs the benchmark.
pub(crate) fn run(arguments: &[String]) {
    sets();
    let [texts, vectors, dimensions, more @ ..] = arguments else {
        return;
    };
    let dimensions = dimensions.parse().expect("a number");
    let given = Given::read(texts, vectors, dimensions, usize::MAX);
    let count = more
        .first()
        .map_or(given.passages(), |count| count.parse().expect("a number"));
    let home = tempfile::tempdir().expect("a temporary directory");
    let (store, given) = filled(home.path(), dimensions, given, count);
    println!("\nfilters over {count} passages, {ASKED} queries a line");
    println!(
        "{:<10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  dense mode",
        "accepted", "chunks", "recall", "dense ms", "exact ms", "hybrid ms", "p99 ms"
    );
    for (key, scale) in [("scattered", 1.0), ("place", count as f64)] {
        println!("-- {key}");
        for share in SHARES {
            line(&store, &given, share, &below(key, share * scale));
        }
    }
}

/// Prints one line of the table.
fn line(store: &EpochStore, given: &Given, share: f64, filter: &Filter) {
    let lease = store.lease(None).expect("the epoch can be read");
    let set = {
        let snapshot = store.snapshot(&lease);
        let (set, _) = snapshot
            .choose::<Error>(&format!("{filter:?}"), |index| Ok(filter.rows(index)))
            .expect("the filter is known");
        set
    };
    if set.is_empty() {
        return;
    }
    let (mut right, mut all, mut modes) = (0, 0, Vec::new());
    let (mut dense, mut exact, mut hybrid) = (Vec::new(), Vec::new(), Vec::new());
    for (text, vector) in given.texts.iter().zip(&given.vectors).take(ASKED.min(QUERIES)) {
        let snapshot = store.snapshot(&lease);
        let vectors = snapshot.vectors();
        let (found, taken) = timed(|| vectors.search_accepted(vector.as_slice(), LIMIT, Accepted::Set(&set)));
        let (found, work) = found.expect("it works");
        dense.push(taken);
        modes.push(format!("{:?}", work.mode));
        let (best, taken) = timed(|| vectors.scan_accepted(vector.as_slice(), LIMIT, Accepted::Set(&set)));
        let (best, _) = best.expect("it works");
        exact.push(taken);
        assert_eq!(found.len(), LIMIT.min(set.len()), "never fewer than exist");
        right += best
            .iter()
            .filter(|one| found.iter().any(|hit| hit.chunk_id == one.chunk_id))
            .count();
        all += best.len();
        drop(snapshot);
        let ((), taken) = timed(|| {
            let candidates = {
                let snapshot = store.snapshot(&lease);
                let (set, _) = snapshot
                    .choose::<Error>(&format!("{filter:?}"), |index| Ok(filter.rows(index)))
                    .expect("the filter is known");
                let legs = Legs {
                    terms: snapshot.terms(),
                    vectors: snapshot.vectors(),
                };
                let query = Query::new(text.clone());
                let found = search(
                    &legs,
                    &query,
                    Some(super::embedded(vector.as_slice())),
                    Accepted::Set(&set),
                );
                found.expect("it works")
            };
            let ids: Vec<_> = candidates.iter().map(|candidate| candidate.chunk_id).collect();
            store.chunks(&ids).expect("the records are there");
        });
        hybrid.push(taken);
    }
    modes.sort();
    modes.dedup();
    let recall = right as f64 / all as f64;
    println!(
        "{:<10} {:>9} {:>9.4} {:>9.3} {:>9.3} {:>9.3} {:>9.3}  {}",
        format!("{} %", share * 100.0),
        set.len(),
        recall,
        quantile_ms(&mut dense, 0.5),
        quantile_ms(&mut exact, 0.5),
        quantile_ms(&mut hybrid, 0.5),
        quantile_ms(&mut hybrid, 0.99),
        modes.join(", ")
    );
    assert!(recall >= LEAST_RECALL, "the recall is {recall}");
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = work();
    (done, begun.elapsed())
}

/// What a set costs when it is made, over a million chunks.
fn sets() {
    let (visibility, mut index) = (Visibility::default(), AttributeIndex::default());
    let lifetime = Lifetime {
        added: Epoch(1),
        retired: Lifetime::NEVER,
    };
    let filling = Instant::now();
    for at in 0..DOCUMENTS {
        let first = (at * CHUNKS_EACH + 1) as u64;
        visibility.set((first..first + CHUNKS_EACH as u64).map(ChunkId), lifetime);
        index.add(
            ChunkId(first),
            CHUNKS_EACH as u32,
            &attributes(at),
            &AccessList::default(),
        );
    }
    println!("\nfilters: sets over {DOCUMENTS} documents of {CHUNKS_EACH} chunks");
    report(
        "attributes in memory",
        index.bytes() as f64 / DOCUMENTS as f64,
        "bytes/document",
    );
    report(
        "attributes added",
        filling.elapsed().as_secs_f64() * 1e6 / DOCUMENTS as f64,
        "us/document",
    );
    let text = |text: &str| MetadataValue::String(text.to_owned());
    let filters = [
        ("number below (1 %)", below("scattered", 0.01)),
        ("number below (50 %)", below("scattered", 0.5)),
        (
            "string equals (1 %)",
            Filter::Equals("shelf".to_owned(), text("shelf-7")),
        ),
        (
            "string differs (99 %)",
            Filter::NotEquals("shelf".to_owned(), text("shelf-7")),
        ),
        (
            "string starts with (11 %)",
            Filter::StartsWith("shelf".to_owned(), text("shelf-7")),
        ),
        (
            "list contains (6 %)",
            Filter::ListContains("topics".to_owned(), text("topic-7")),
        ),
        (
            "dates from and to (1 %)",
            Filter::AndAll(vec![
                Filter::GreaterThanOrEquals("published".to_owned(), date(5_000)),
                Filter::LessThan("published".to_owned(), date(6_000)),
            ]),
        ),
    ];
    for (name, filter) in filters {
        let mut times = Vec::new();
        let mut chunks = 0;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let visible = visibility.at(Epoch(1));
            let rows = filter.rows(&index);
            let mut set = ChunkSet::default();
            for (first, count) in index.chunks(&rows) {
                if visible.contains(first) {
                    set.insert(first, count);
                }
            }
            times.push(begun.elapsed());
            chunks = set.len();
        }
        report(&format!("{name}, {chunks} chunks"), quantile_ms(&mut times, 0.5), "ms");
    }
}
