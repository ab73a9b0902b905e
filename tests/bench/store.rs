//! The store with texts and vectors given: passages acknowledged a second, each batch synced; when all is indexed and
//! sealed; then, in a process of its own, from a restart to the first answer, and what each kind of search takes.
//!
//! `cargo bench -- store TEXTS VECTORS.f32 DIMENSIONS [PASSAGES [DIRECTORY]]` takes one passage a line and their
//! little-endian vectors, as the peers' scripts do; the first 1,000 are queries. With more passages wanted than there
//! are, two texts make a further one, and its vector lies near a real one.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use groundwork::chunk::{Chunk, ChunkConfig};
use groundwork::document::access::AccessList;
use groundwork::document::metadata::{Metadata, MetadataValue};
use groundwork::document::schema::MetadataSchema;
use groundwork::document::{ByteSpan, DocumentId, content_hash, hex};
use groundwork::embed::Embedding;
use groundwork::index::{Accepted, Language};
use groundwork::retrieve::{Filter, Legs, Query, SearchType, search};
use groundwork::store::{
    BaseRecord, Catalog, Change, EpochStore, Error, KeptContent, Layout, NewChunk, NewRevision, OpenOptions,
    OriginalContent, Retention, UpkeepTurn,
};
use groundwork::worker::{Cancel, ComputeGate};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::vectors::{jittered, mebibytes, memory};
use crate::{quantile_ms, report};

/// Passages of a batch, each a document of one chunk.
const BATCH: usize = 500;
/// Passages that are queries.
pub(crate) const QUERIES: usize = 1_000;
/// Queries whose nearest vectors are also found exactly.
const SAMPLED_QUERIES: usize = 100;
const LIMIT: usize = 10;
/// Who ask at the same time.
const CALLERS: usize = 4;
/// How often a server gives memory back.
const RELEASE_EVERY: Duration = Duration::from_secs(1);
/// Where a further passage finds its second text.
const STRIDE: usize = 7_919;
/// Fresh vectors beyond which the writer waits, so that the load does not run ahead of the keeper.
const MOST_FRESH: u64 = 65_536;

/// What all passages are made from.
pub(crate) struct Given {
    pub(crate) texts: Vec<String>,
    pub(crate) vectors: Vec<Embedding>,
    /// What is said of the passage at a place.
    attributes: fn(usize) -> Metadata,
}

impl Given {
    /// Reads up to `rows` passages.
    pub(crate) fn read(texts: &str, vectors: &str, dimensions: usize, rows: usize) -> Self {
        let texts = std::fs::read_to_string(texts).expect("the passages can be read");
        let file = std::fs::File::open(vectors).expect("the vectors can be read");
        let mut bytes = Vec::new();
        file.take((rows as u64).saturating_mul(dimensions as u64 * 4))
            .read_to_end(&mut bytes)
            .expect("the vectors can be read");
        let vectors: Vec<Embedding> = bytes
            .chunks_exact(dimensions * 4)
            .map(|row| {
                let numbers = row.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number));
                Embedding::normalized(numbers.collect()).expect("a vector that is not zero")
            })
            .collect();
        let texts = texts.lines().take(vectors.len()).map(str::to_owned).collect();
        Self {
            texts,
            vectors,
            attributes: |at| {
                let source = MetadataValue::String(format!("s{}", at % 100));
                Metadata::from([("source".to_owned(), source)])
            },
        }
    }

    /// The passages that are no queries.
    pub(crate) fn passages(&self) -> usize {
        self.texts.len() - QUERIES
    }

    fn change(&self, at: usize, random: &mut ChaCha8Rng) -> Change {
        let first = QUERIES + at % self.passages();
        let (text, vector) = (&self.texts[first], &self.vectors[first]);
        if at < self.passages() {
            return change(at, text, vector, (self.attributes)(at));
        }
        let second = &self.texts[QUERIES + at.wrapping_mul(STRIDE) % self.passages()];
        let moved = jittered(vector.as_slice(), random);
        let vector = Embedding::normalized(moved).expect("a vector that is not zero");
        change(at, &format!("{text} {second}"), &vector, (self.attributes)(at))
    }
}

/// Runs the benchmark.
pub(crate) fn run(arguments: &[String]) {
    let number = |text: &String| text.parse::<usize>().expect("a number");
    match arguments {
        [mode, directory, texts, vectors, dimensions] if mode == "open" => {
            let dimensions = number(dimensions);
            let given = Given::read(texts, vectors, dimensions, QUERIES);
            restart(directory.as_ref(), options(dimensions), &given);
        }
        [texts, vectors, dimensions, more @ ..] => {
            let given = Given::read(texts, vectors, number(dimensions), usize::MAX);
            let count = more.first().map_or(given.passages(), number);
            let home = tempfile::tempdir().expect("a temporary directory");
            let home = more
                .get(1)
                .map_or(home.path(), |directory| Path::new(directory.as_str()));
            let directory = create(home, number(dimensions));
            report("passages", count as f64, "");
            fill(&directory, options(number(dimensions)), &given, count);
            let program = std::env::current_exe().expect("the program has a path");
            let opened = std::process::Command::new(program)
                .args(["store", "open"])
                .arg(&directory)
                .args([texts, vectors, dimensions])
                .status();
            assert!(opened.is_ok_and(|status| status.success()), "another process opens it");
        }
        _ => panic!("store takes a file of passages, a file of their vectors and the dimensions"),
    }
}

fn options(dimensions: usize) -> OpenOptions {
    OpenOptions {
        language: Language::parse("en").expect("a known language"),
        dimensions,
    }
}

fn create(home: &Path, dimensions: usize) -> std::path::PathBuf {
    let layout = Layout::new(home);
    let catalog = Catalog::open(layout.clone()).expect("a new catalog");
    let record = BaseRecord {
        id: "bench".to_owned(),
        name: "bench".to_owned(),
        description: String::new(),
        embedding_model_id: crate::handbook::EMBEDDING_MODEL.to_owned(),
        dimensions,
        chunking: ChunkConfig::None,
        language: "en".to_owned(),
        tags: std::collections::BTreeMap::new(),
        created_at: SystemTime::now(),
        updated_at: SystemTime::now(),
        retention: Retention::default(),
        original_content: OriginalContent::Keep,
        metadata_schema: MetadataSchema::default(),
    };
    catalog.insert(&record, None).expect("a new knowledge base");
    layout.knowledge_base("bench")
}

fn change(at: usize, text: &str, vector: &Embedding, metadata: Metadata) -> Change {
    Change::Put(Box::new(NewRevision {
        document_id: DocumentId::parse(format!("passage-{at:08}")).expect("a document id"),
        content_hash: hex(&content_hash(text.as_bytes())),
        settings_hash: String::new(),
        title: None,
        media_type: "text/plain".to_owned(),
        source_name: String::new(),
        metadata,
        access: AccessList::default(),
        byte_size: text.len() as u64,
        content: KeptContent::Text,
        text: text.to_owned(),
        chunks: vec![NewChunk {
            chunk: Chunk {
                ordinal: 0,
                span: ByteSpan::new(0, text.len()),
                heading_path: Vec::new(),
                page: None,
                token_count: 0,
            },
            embedding: vector.clone(),
        }],
    }))
}

/// Makes a store of passages with attributes, all sealed, and opens it.
pub(crate) fn filled(home: &Path, dimensions: usize, given: Given, count: usize) -> (EpochStore, Given) {
    let given = Given {
        attributes: crate::filters::attributes,
        ..given
    };
    let directory = create(home, dimensions);
    fill(&directory, options(dimensions), &given, count);
    let store = EpochStore::open(&directory, options(dimensions)).expect("the store opens");
    (store, given)
}

/// Writes all passages; one thread settles and one seals meanwhile, as in the server.
fn fill(directory: &Path, options: OpenOptions, given: &Given, count: usize) {
    let store = EpochStore::open(directory, options).expect("the store opens");
    let (gate, done, cancel) = (ComputeGate::default(), Cancel::new(), Cancel::new());
    let turn = UpkeepTurn {
        gate: &gate,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        cancel: &cancel,
    };
    let mut random = ChaCha8Rng::seed_from_u64(1);
    // Making passages is not the store's work: it stays out of its time.
    let mut making = Duration::ZERO;
    let started = Instant::now();
    std::thread::scope(|scope| {
        let (behind, epochs) = std::sync::mpsc::sync_channel(1);
        let (store, done, turn) = (&store, &done, &turn);
        scope.spawn(move || {
            for epoch in epochs {
                store.settle(epoch).expect("the commit reaches the indexes");
            }
        });
        scope.spawn(move || {
            while !done.is_cancelled() {
                store.keep_up(turn).expect("vectors can be sealed");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let mut last = store.epoch();
        let (mut written, mut told) = (0, Duration::ZERO);
        for tenth in 1..=10 {
            let until = count * tenth / 10;
            let before = written;
            while written < until {
                let begun = Instant::now();
                let end = (written + BATCH).min(until);
                let batch: Vec<Change> = (written..end).map(|at| given.change(at, &mut random)).collect();
                making += begun.elapsed();
                last = store.commit_durable(batch, "bench").expect("a commit").epoch;
                let _ = behind.try_send(last);
                written = end;
                while store.fresh_chunks() > MOST_FRESH {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            let taken = started.elapsed().saturating_sub(making);
            if count > given.passages() {
                let rate = (written - before) as f64 / taken.saturating_sub(told).as_secs_f64();
                report(
                    &format!("{written} passages, acknowledged since the last line"),
                    rate,
                    "/s",
                );
                memory("store");
            }
            told = taken;
        }
        let taken = started.elapsed().saturating_sub(making).as_secs_f64();
        report(
            "passages/s to acknowledged, each batch synced",
            count as f64 / taken,
            "/s",
        );
        store.settle(last).expect("the commit reaches the indexes");
        let taken = started.elapsed().saturating_sub(making).as_secs_f64();
        report("all found by both legs after", taken, "s");
        done.cancel();
    });
    while store.storage().fresh_chunks >= 4_096 {
        store.keep_up(&turn).expect("vectors can be sealed");
    }
    let taken = started.elapsed().saturating_sub(making).as_secs_f64();
    report("all but a last few thousand vectors sealed after", taken, "s");
    while !store.is_consolidated() {
        store.keep_up(&turn).expect("the indexes can be merged");
        std::thread::sleep(Duration::from_millis(50));
    }
    let taken = started.elapsed().saturating_sub(making).as_secs_f64();
    report("as few segments as a rest makes after", taken, "s");
    let storage = store.storage();
    report("segments of vectors", f64::from(storage.vectors_segments), "");
    report("segments of terms", f64::from(storage.terms_segments), "");
    for (name, bytes) in [
        ("store", storage.store_bytes),
        ("terms", storage.terms_bytes),
        ("vectors", storage.vectors_bytes),
    ] {
        report(&format!("{name} on disk"), bytes as f64 / f64::from(1 << 20), "MiB");
    }
}

fn restart(directory: &Path, options: OpenOptions, given: &Given) {
    let started = Instant::now();
    let store = EpochStore::open(directory, options).expect("the store opens");
    report("opened after", started.elapsed().as_secs_f64() * 1e3, "ms");
    let hits = answer(&store, &Query::new(given.texts[0].clone()), &given.vectors[0]);
    report("restart to first answer", started.elapsed().as_secs_f64() * 1e3, "ms");
    assert!(hits > 0, "the first answer has hits");
    memory("store, after opening");
    let one_percent = Filter::Equals("source".to_owned(), MetadataValue::String("s7".to_owned()));
    let asked: [(&str, SearchType, Option<Filter>); 4] = [
        ("dense", SearchType::Semantic, None),
        ("keyword", SearchType::Keyword, None),
        ("hybrid", SearchType::Hybrid, None),
        ("hybrid, 1 % filter", SearchType::Hybrid, Some(one_percent)),
    ];
    let mut peak = 0.0_f64;
    for (name, search_type, filter) in asked {
        let query = |text: &String| Query {
            search_type,
            filter: filter.clone(),
            ..Query::new(text.clone())
        };
        let mut times = one_caller(&store, given, query, &mut peak);
        report(&format!("{name}, with texts, p50"), quantile_ms(&mut times, 0.5), "ms");
        report(&format!("{name}, with texts, p99"), quantile_ms(&mut times, 0.99), "ms");
    }
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| one_caller(&store, given, |text| Query::new(text.clone()), &mut 0.0));
        }
    });
    let rate = (CALLERS * QUERIES) as f64 / begun.elapsed().as_secs_f64();
    report(&format!("hybrid, with texts, {CALLERS} callers"), rate, "queries/s");
    report("VmRSS at its highest, over these queries", peak, "MiB");
    store.release_memory();
    memory("store, a moment later");
    report("recall@10 of the dense leg", recall(&store, given), "");
}

/// Puts all queries one after another, and gives memory back meanwhile as the keeper of a server does.
fn one_caller(store: &EpochStore, given: &Given, query: impl Fn(&String) -> Query, peak: &mut f64) -> Vec<Duration> {
    let mut released = Instant::now();
    let queries = given.texts.iter().zip(&given.vectors).take(QUERIES);
    let times = queries.map(|(text, vector)| {
        let query = query(text);
        let started = Instant::now();
        answer(store, &query, vector);
        let taken = started.elapsed();
        if released.elapsed() >= RELEASE_EVERY {
            *peak = peak.max(mebibytes("VmRSS"));
            store.release_memory();
            released = Instant::now();
        }
        taken
    });
    let times = times.collect();
    *peak = peak.max(mebibytes("VmRSS"));
    times
}

/// Returns how many hits a query has; their texts are read.
fn answer(store: &EpochStore, query: &Query, vector: &Embedding) -> usize {
    let lease = store.lease(None).expect("the epoch can be read");
    let candidates = {
        let snapshot = store.snapshot(&lease);
        let legs = Legs {
            terms: snapshot.terms(),
            vectors: snapshot.vectors(),
        };
        let chosen = query.filter.as_ref().map(|filter| {
            let chosen = snapshot.choose::<Error>(&format!("{filter:?}"), |index| Ok(filter.rows(index)));
            chosen.expect("the filter is known").0
        });
        let is_visible = |id| snapshot.contains(id);
        let accepted = match &chosen {
            Some(set) => Accepted::Set(set),
            None => Accepted::Test(&is_visible, snapshot.chunk_count()),
        };
        search(&legs, query, Some(super::embedded(vector.as_slice())), accepted).expect("it works")
    };
    let ids: Vec<_> = candidates.iter().map(|candidate| candidate.chunk_id).collect();
    store.chunks(&ids).expect("the records are there").len()
}

/// The share of the exactly nearest chunks that the dense leg finds.
fn recall(store: &EpochStore, given: &Given) -> f64 {
    let lease = store.lease(None).expect("the epoch can be read");
    let snapshot = store.snapshot(&lease);
    let accept = |id| snapshot.contains(id);
    let mut found = 0;
    for vector in &given.vectors[..SAMPLED_QUERIES] {
        let vectors = snapshot.vectors();
        let exact = vectors.search_exact(vector.as_slice(), LIMIT, &accept);
        let exact = exact.expect("it works");
        let hits = vectors.search(vector.as_slice(), LIMIT, &accept, snapshot.chunk_count());
        let hits = hits.expect("it works");
        found += exact
            .iter()
            .filter(|one| hits.iter().any(|hit| hit.chunk_id == one.chunk_id))
            .count();
    }
    found as f64 / (SAMPLED_QUERIES * LIMIT) as f64
}
