//! The vector index on real vectors: build, search, recall, and what a million of them cost.
//!
//! `vectors FILE.f32 [DIMENSIONS]` takes a file of little-endian floats; its first thousand vectors are the queries.
//! `vectors million FILE.f32 [VECTORS [DIRECTORY]]` jitters them to as many as wanted and reports on the way there.
//! `vectors plain FILE.f32 [DIMENSIONS]` puts them into `hnsw_rs` as it comes, with its own distance.
//! `vectors churn FILE.f32` replaces half of them ten times over, and compares the recall with that of a fresh build.
//! `vectors embed TEXTS OUT.f32` makes such a file of the lines of another.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use groundwork::embed::{Embedding, Purpose};
use groundwork::index::{ChunkId, Epoch, Pace, Scored, Upkeep, Vectors};
use groundwork::worker::Cancel;
use hnsw_rs::anndists::dist::distances::DistDot;
use hnsw_rs::hnsw::Hnsw;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::{quantile_ms, report};

const QUERIES: usize = 1_000;
/// Queries that are answered exactly, to know the recall over many vectors.
const SAMPLED_QUERIES: usize = 100;
const DIMENSIONS: usize = 384;
const LIMIT: usize = 10;
/// Rows of one insertion, as many as a full commit has chunks.
const ROWS_AT_ONCE: usize = 512;
/// Texts that are embedded between two writes.
const TEXTS_AT_ONCE: usize = 2_048;
/// Fresh rows beyond which an ingestion would wait for upkeep.
const MOST_FRESH_ROWS: usize = 65_536;
/// How far a jittered vector lies from the real one, as a share of its length.
const JITTER: f32 = 0.6;

pub(crate) fn run(arguments: &[String]) {
    let number = |at: usize, usual: usize| {
        let given = arguments.get(at);
        given.map_or(usual, |given| given.parse().expect("a number"))
    };
    match arguments {
        [mode, texts, out] if mode == "embed" => embed(texts.as_ref(), out.as_ref()),
        [mode, file, ..] if mode == "million" => {
            let vectors = Numbers::read(file.as_ref(), DIMENSIONS);
            let directory = tempfile::tempdir().expect("a directory");
            let path = arguments.get(3).map_or(directory.path(), Path::new);
            million(&vectors, number(2, 1_000_000), &path.join("vectors"));
        }
        [mode, file, ..] if mode == "plain" => plain(&Numbers::read(file.as_ref(), number(2, DIMENSIONS))),
        [mode, file] if mode == "churn" => churn(&Numbers::read(file.as_ref(), DIMENSIONS)),
        [file, ..] => forty_thousand(&Numbers::read(file.as_ref(), number(1, DIMENSIONS))),
        [] => panic!("vectors takes a file of vectors"),
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Vectors one after another: first the queries, then the rest.
struct Numbers {
    dimensions: usize,
    numbers: Vec<f32>,
}

impl Numbers {
    fn read(path: &Path, dimensions: usize) -> Self {
        let bytes = std::fs::read(path).expect("the vectors can be read");
        let numbers = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        Self {
            dimensions,
            numbers: numbers.collect(),
        }
    }

    fn queries(&self) -> Vec<&[f32]> {
        self.numbers.chunks(self.dimensions).take(QUERIES).collect()
    }

    fn rows(&self) -> Vec<&[f32]> {
        self.numbers.chunks(self.dimensions).skip(QUERIES).collect()
    }
}

fn numbered<'a>(rows: &[&'a [f32]], first: usize) -> Vec<(ChunkId, &'a [f32])> {
    let numbers = first as u64..;
    numbers.map(ChunkId).zip(rows.iter().copied()).collect()
}

fn go_on<T>(_: T) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn keep_up(index: &Vectors) {
    let upkeep = || {
        index
            .upkeep(Epoch(1), &|_| true, Pace::UnderLoad, threads(), &mut go_on)
            .expect("upkeep works")
    };
    while upkeep() != Upkeep::Idle {}
}

fn forty_thousand(vectors: &Numbers) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("vectors");
    let index = Vectors::create_anew(&path, vectors.dimensions).expect("made");
    let rows = vectors.rows();
    println!("\nvectors: {} of {} dimensions", rows.len(), vectors.dimensions);
    let mut times = Vec::new();
    for (at, part) in rows.chunks(ROWS_AT_ONCE).enumerate() {
        let part = numbered(part, 1 + at * ROWS_AT_ONCE);
        let begun = Instant::now();
        index.insert(&part).expect("inserted");
        times.push(begun.elapsed());
    }
    report("vectors, insert of 512, p50", quantile_ms(&mut times, 0.5), "ms");
    report("vectors, insert of 512, largest", quantile_ms(&mut times, 1.0), "ms");
    let begun = Instant::now();
    keep_up(&index);
    let rate = rows.len() as f64 / begun.elapsed().as_secs_f64();
    report(&format!("vectors, sealed on {} threads", threads()), rate, "vectors/s");
    let mut times: Vec<Duration> = (0..5)
        .map(|_| timed(|| Vectors::open(&path, vectors.dimensions)).1)
        .collect();
    report("vectors, open", quantile_ms(&mut times, 0.5), "ms");
    let queries = vectors.queries();
    let exact = exact(&index, &queries, "vectors");
    for limit in [LIMIT, 50, 100] {
        search(&index, &queries, &exact, limit);
    }
    for one_of in [100, 10, 2] {
        let accept = |chunk_id: ChunkId| chunk_id.0.is_multiple_of(one_of);
        let (found, taken) = timed(|| {
            let found = queries
                .iter()
                .map(|query| index.search(query, LIMIT, &accept, rows.len() / one_of as usize));
            found.collect::<Result<Vec<_>, _>>().expect("found")
        });
        let exact = queries.iter().map(|query| index.search_exact(query, LIMIT, &accept));
        let exact: Vec<_> = exact.collect::<Result<_, _>>().expect("found");
        let name = format!("vectors, one of {one_of} accepted");
        report(&format!("{name}, recall@10"), recall(&found, &exact), "");
        report(&name, queries.len() as f64 / taken.as_secs_f64(), "queries/s");
    }
}

/// The same graph in `hnsw_rs`, with 16 links and `ef_construction` 200, searched by one thread.
fn plain(vectors: &Numbers) {
    let (rows, queries) = (vectors.rows(), vectors.queries());
    let graph: Hnsw<'_, f32, DistDot> = Hnsw::new(16, rows.len(), 16, 200, DistDot {});
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads() {
            let (graph, rows) = (&graph, &rows);
            scope.spawn(move || {
                for at in (thread..rows.len()).step_by(threads()) {
                    graph.insert_slice((rows[at], at));
                }
            });
        }
    });
    let rate = rows.len() as f64 / begun.elapsed().as_secs_f64();
    report(&format!("hnsw_rs, built on {} threads", threads()), rate, "vectors/s");
    let nearest = |query: &&[f32]| -> Vec<usize> {
        let dot = |row: &&[f32]| -> f32 { row.iter().zip(*query).map(|(left, right)| left * right).sum() };
        let mut scored: Vec<(f32, usize)> = rows.iter().map(dot).zip(0..).collect();
        scored.sort_by(|left, right| right.0.total_cmp(&left.0));
        scored.truncate(LIMIT);
        scored.into_iter().map(|(_, at)| at).collect()
    };
    let exact: Vec<Vec<usize>> = queries.iter().map(nearest).collect();
    for ef in [32, 64, 96, 128, 160] {
        let (found, taken) = timed(|| {
            let found = queries.iter().map(|query| graph.search(query, LIMIT, ef));
            found.collect::<Vec<_>>()
        });
        let right: usize = found
            .iter()
            .zip(&exact)
            .map(|(found, exact)| found.iter().filter(|hit| exact.contains(&hit.d_id)).count())
            .sum();
        let share = right as f64 / (LIMIT * queries.len()) as f64;
        report(&format!("hnsw_rs, ef {ef}, recall@10"), share, "");
        let rate = queries.len() as f64 / taken.as_secs_f64();
        report(&format!("hnsw_rs, ef {ef}, one thread"), rate, "queries/s");
    }
}

/// Every row is replaced time and again, and what was replaced no longer exists, as after a vacuum.
fn churn(vectors: &Numbers) {
    let rows = vectors.rows();
    let rows = &rows[..rows.len() / 2];
    let queries = vectors.queries();
    for (name, rounds) in [("fresh build", 0_u64), ("replaced ten times", 10)] {
        let directory = tempfile::tempdir().expect("a directory");
        let index = Vectors::create_anew(&directory.path().join("vectors"), vectors.dimensions).expect("made");
        for round in 0..=rounds {
            for (at, part) in rows.chunks(ROWS_AT_ONCE).enumerate() {
                let replaced = round.saturating_sub(1) * rows.len() as u64 + (at * ROWS_AT_ONCE) as u64;
                let first = round as usize * rows.len() + 1 + at * ROWS_AT_ONCE;
                index.insert(&numbered(part, first)).expect("inserted");
                let exists = |chunk_id: ChunkId| round == 0 || chunk_id.0 > replaced;
                while index
                    .upkeep(Epoch(1), &exists, Pace::UnderLoad, threads(), &mut go_on)
                    .expect("upkeep works")
                    != Upkeep::Idle
                {}
            }
        }
        let accept = |chunk_id: ChunkId| chunk_id.0 > rounds * rows.len() as u64;
        let found = |exact: bool| -> Vec<Vec<Scored>> {
            let search = |query: &&[f32]| {
                if exact {
                    return index.search_exact(query, LIMIT, &accept);
                }
                index.search(query, LIMIT, &accept, rows.len())
            };
            queries.iter().map(|query| search(query).expect("searched")).collect()
        };
        let (exact, walked) = (found(true), found(false));
        report(&format!("vectors, {name}, rows that are held"), index.len() as f64, "");
        report(&format!("vectors, {name}, recall@10"), recall(&walked, &exact), "");
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = work();
    (done, begun.elapsed())
}

fn exact(index: &Vectors, queries: &[&[f32]], name: &str) -> Vec<Vec<Scored>> {
    let (found, taken) = timed(|| {
        let found = queries.iter().map(|query| index.search_exact(query, LIMIT, &|_| true));
        found.collect::<Result<Vec<_>, _>>().expect("found")
    });
    let rate = queries.len() as f64 / taken.as_secs_f64();
    report(&format!("{name}, exact scan"), rate, "queries/s");
    found
}

/// Searches thrice, and reports the best rate and the recall among the first ten.
fn search(index: &Vectors, queries: &[&[f32]], exact: &[Vec<Scored>], limit: usize) {
    let (mut found, mut best) = (Vec::new(), Duration::MAX);
    for _ in 0..3 {
        let (round, taken) = timed(|| {
            let found = queries
                .iter()
                .map(|query| index.search(query, limit, &|_| true, index.len()));
            found.collect::<Result<Vec<_>, _>>().expect("found")
        });
        (found, best) = (round, best.min(taken));
    }
    report(&format!("vectors, limit {limit}, recall@10"), recall(&found, exact), "");
    let rate = queries.len() as f64 / best.as_secs_f64();
    report(&format!("vectors, limit {limit}, one thread"), rate, "queries/s");
}

fn recall(found: &[Vec<Scored>], exact: &[Vec<Scored>]) -> f64 {
    let (mut right, mut all) = (0, 0);
    for (found, exact) in found.iter().zip(exact) {
        let first = &found[..found.len().min(LIMIT)];
        let is_found = |scored: &&Scored| first.iter().any(|found| found.chunk_id == scored.chunk_id);
        right += exact.iter().filter(is_found).count();
        all += exact.len();
    }
    right as f64 / all as f64
}

fn million(vectors: &Numbers, count: usize, path: &Path) {
    let mut index = Vectors::create_anew(path, vectors.dimensions).expect("made");
    let (queries, rows) = (vectors.queries(), vectors.rows());
    println!("\nvectors: {} jittered to {count}", rows.len());
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut inserted = 0;
    for tenth in 1..=10 {
        let until = count * tenth / 10;
        let (before, begun) = (inserted, Instant::now());
        let mut jittering = Duration::ZERO;
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Acquire) {
                    keep_up(&index);
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            while inserted < until {
                let begun = Instant::now();
                let end = (inserted + ROWS_AT_ONCE).min(until);
                let originals = (inserted..end).map(|at| rows[at % rows.len()]);
                let part: Vec<Vec<f32>> = originals.map(|row| jittered(row, &mut random)).collect();
                jittering += begun.elapsed();
                let part: Vec<&[f32]> = part.iter().map(Vec::as_slice).collect();
                index.insert(&numbered(&part, inserted + 1)).expect("inserted");
                inserted = end;
                while index.figures().fresh_rows > MOST_FRESH_ROWS {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            is_done.store(true, Ordering::Release);
        });
        keep_up(&index);
        let taken = begun.elapsed().saturating_sub(jittering);
        println!("-- {inserted} vectors: {:?}", index.figures());
        let rate = (inserted - before) as f64 / taken.as_secs_f64();
        report("million, inserted and sealed", rate, "vectors/s");
        memory("million, with what building left");
        drop(index);
        let (opened, taken) = timed(|| Vectors::open(path, vectors.dimensions).expect("it opens"));
        index = opened;
        report("million, open (warm cache)", taken.as_secs_f64() * 1e3, "ms");
        memory("million, after opening");
        search(&index, &queries, &[], LIMIT);
        memory("million, after a thousand queries");
        index.release_memory();
        memory("million, a moment later");
        let sampled = &queries[..SAMPLED_QUERIES];
        let exact = exact(&index, sampled, "million");
        search(&index, sampled, &exact, LIMIT);
        // The rows that were not sealed are gone with the process that held them: the store would insert them again.
        inserted = inserted.min(index.sealed_through().0 as usize);
    }
}

/// A unit vector near another.
pub(crate) fn jittered(row: &[f32], random: &mut ChaCha8Rng) -> Vec<f32> {
    // A number drawn between -1 and 1 has a variance of a third.
    let width = JITTER * (3.0 / row.len() as f32).sqrt();
    let moved = row
        .iter()
        .map(|number| number + width * random.random_range(-1.0_f32..1.0));
    let moved: Vec<f32> = moved.collect();
    let norm = moved.iter().map(|number| number * number).sum::<f32>().sqrt();
    moved.iter().map(|number| number / norm).collect()
}

/// Reports what this process holds in memory, as the kernel counts it.
pub(crate) fn memory(when: &str) {
    for name in ["VmRSS", "RssAnon", "RssFile"] {
        report(&format!("{name}, {when}"), mebibytes(name), "MiB");
    }
}

/// Returns a line of the kernel's account of this process.
pub(crate) fn mebibytes(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1_024.0
}

/// Embeds the lines of a file, so that the other modes have real vectors.
fn embed(texts: &Path, out: &Path) {
    use std::io::Write as _;

    let embedder = crate::embed::open(&crate::embed::encoder(None), threads());
    let texts = std::fs::read_to_string(texts).expect("the texts can be read");
    let texts: Vec<&str> = texts.lines().collect();
    let mut file = std::io::BufWriter::new(std::fs::File::create(out).expect("the file can be made"));
    for part in texts.chunks(TEXTS_AT_ONCE) {
        let embeddings = embedder
            .embed(part, Purpose::Passage, &Cancel::new())
            .expect("it embeds");
        for number in embeddings.iter().flat_map(Embedding::as_slice) {
            file.write_all(&number.to_le_bytes()).expect("the file takes it");
        }
    }
    file.flush().expect("the file takes it");
}
