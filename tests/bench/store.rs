//! The store with texts and vectors given: passages acknowledged a second, each batch synced; when all is indexed and
//! sealed; from a restart to the first answer.
//!
//! `cargo bench -- store TEXTS VECTORS.f32 DIMENSIONS` takes one passage a line and their little-endian vectors, as the
//! peers' scripts do; the first 1,000 are queries.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use groundwork::chunk::{Chunk, ChunkConfig};
use groundwork::document::{ByteSpan, DocumentId, content_hash, hex};
use groundwork::embed::Embedding;
use groundwork::index::Language;
use groundwork::retrieve::{Legs, Query, search};
use groundwork::store::{
    BaseRecord, Catalog, Change, EpochStore, KeptContent, Layout, NewChunk, NewRevision, OpenOptions, OriginalContent,
    Retention, UpkeepTurn,
};
use groundwork::worker::{Cancel, ComputeGate};

use crate::{quantile_ms, report};

/// Passages of a batch, each a document of one chunk.
const BATCH: usize = 500;
/// Passages that are queries.
const QUERIES: usize = 1_000;
/// Queries that are timed after a restart.
const TIMED: usize = 1_000;

/// Runs the benchmark.
pub(crate) fn run(arguments: &[String]) {
    let [texts, vectors, dimensions] = arguments else {
        panic!("store takes a file of passages, a file of their vectors and the dimensions");
    };
    let dimensions: usize = dimensions.parse().expect("dimensions are a number");
    let texts = std::fs::read_to_string(texts).expect("the passages can be read");
    let texts: Vec<&str> = texts.lines().collect();
    let bytes = std::fs::read(vectors).expect("the vectors can be read");
    let vectors: Vec<Embedding> = bytes
        .chunks_exact(dimensions * 4)
        .map(|row| {
            let numbers = row.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number));
            Embedding::normalized(numbers.collect()).expect("a vector that is not zero")
        })
        .collect();
    let rows = texts.len().min(vectors.len());
    let home = tempfile::tempdir().expect("a temporary directory");
    let options = OpenOptions {
        language: Language::parse("en").expect("a known language"),
        dimensions,
    };
    let directory = create(home.path(), dimensions);
    let batches: Vec<Vec<Change>> = (QUERIES..rows)
        .collect::<Vec<_>>()
        .chunks(BATCH)
        .map(|batch| batch.iter().map(|at| change(*at, texts[*at], &vectors[*at])).collect())
        .collect();
    let count = rows - QUERIES;
    report("passages", count as f64, "");
    fill(&directory, options, batches, count);
    restart(&directory, options, &texts[..QUERIES], &vectors[..QUERIES]);
}

fn create(home: &Path, dimensions: usize) -> std::path::PathBuf {
    let layout = Layout::new(home);
    let catalog = Catalog::open(layout.clone()).expect("a new catalog");
    let record = BaseRecord {
        id: "bench".to_owned(),
        name: "bench".to_owned(),
        description: String::new(),
        embedding_model_id: "given".to_owned(),
        dimensions,
        chunking: ChunkConfig::None,
        language: "en".to_owned(),
        tags: std::collections::BTreeMap::new(),
        created_at: SystemTime::now(),
        updated_at: SystemTime::now(),
        retention: Retention::default(),
        original_content: OriginalContent::Keep,
    };
    catalog.insert(&record, None).expect("a new knowledge base");
    layout.knowledge_base("bench")
}

fn change(at: usize, text: &str, vector: &Embedding) -> Change {
    Change::Put(Box::new(NewRevision {
        document_id: DocumentId::parse(format!("passage-{at:08}")).expect("a document id"),
        content_hash: hex(&content_hash(text.as_bytes())),
        settings_hash: String::new(),
        title: None,
        media_type: "text/plain".to_owned(),
        source_name: String::new(),
        metadata: groundwork::document::metadata::Metadata::new(),
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

/// Writes all batches; one thread settles and one seals meanwhile, as in the server.
fn fill(directory: &Path, options: OpenOptions, batches: Vec<Vec<Change>>, count: usize) {
    let store = EpochStore::open(directory, options).expect("the store opens");
    let (gate, done, cancel) = (ComputeGate::default(), Cancel::new(), Cancel::new());
    let turn = UpkeepTurn {
        gate: &gate,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        cancel: &cancel,
    };
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
        for batch in batches {
            last = store.commit_durable(batch, "bench").expect("a commit").epoch;
            let _ = behind.try_send(last);
        }
        report(
            "passages/s to acknowledged, each batch synced",
            count as f64 / started.elapsed().as_secs_f64(),
            "/s",
        );
        store.settle(last).expect("the commit reaches the indexes");
        report("all found by both legs after", started.elapsed().as_secs_f64(), "s");
        done.cancel();
    });
    while store.storage().fresh_chunks >= 4_096 {
        store.keep_up(&turn).expect("vectors can be sealed");
    }
    report(
        "all but a last few thousand vectors sealed after",
        started.elapsed().as_secs_f64(),
        "s",
    );
    report("segments of vectors", f64::from(store.storage().vectors_segments), "");
    report("segments of terms", f64::from(store.storage().terms_segments), "");
}

fn restart(directory: &Path, options: OpenOptions, texts: &[&str], vectors: &[Embedding]) {
    let started = Instant::now();
    let store = EpochStore::open(directory, options).expect("the store opens");
    let answer = |text: &str, vector: &Embedding| {
        let lease = store.lease(None).expect("the epoch can be read");
        let candidates = {
            let snapshot = store.snapshot(&lease);
            let legs = Legs {
                terms: snapshot.terms(),
                vectors: snapshot.vectors(),
            };
            let query = Query::new(text.to_owned());
            let accepted = snapshot.chunk_count();
            search(
                &legs,
                &query,
                Some(vector.as_slice()),
                &|id| snapshot.contains(id),
                accepted,
            )
            .expect("it works")
        };
        let ids: Vec<_> = candidates.iter().map(|candidate| candidate.chunk_id).collect();
        store.chunks(&ids).expect("the records are there").len()
    };
    let hits = answer(texts[0], &vectors[0]);
    report("restart to first answer", started.elapsed().as_secs_f64() * 1e3, "ms");
    assert!(hits > 0, "the first answer has hits");
    let mut times: Vec<Duration> = texts
        .iter()
        .zip(vectors)
        .take(TIMED)
        .map(|(text, vector)| {
            let started = Instant::now();
            answer(text, vector);
            started.elapsed()
        })
        .collect();
    report("hybrid with texts, p50", quantile_ms(&mut times, 0.5), "ms");
    report("hybrid with texts, p99", quantile_ms(&mut times, 0.99), "ms");
}
