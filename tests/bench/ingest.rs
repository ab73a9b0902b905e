//! Ingestion: documents through the whole path, each acknowledged one on disk and in both indexes.

use std::time::Instant;

use groundwork::knowledge_base::{Groundwork, ReadAt};
use groundwork::worker::Cancel;

use crate::{handbook, report};

const COPIES: usize = 4;

pub(crate) fn run() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = Groundwork::open(handbook::settings(home.path())).expect("it opens");
    groundwork.warm_up().expect("the models load");
    let documents: Vec<_> = (0..COPIES)
        .flat_map(|copy| handbook::documents(&format!("{copy}/")))
        .collect();
    let bytes: usize = documents.iter().map(|document| document.bytes.len()).sum();
    println!(
        "\ningest: the handbook {COPIES} times, {} documents, {bytes} bytes",
        documents.len()
    );
    let begun = Instant::now();
    let (summary, chunks) = handbook::ingest(&groundwork, "copies", documents);
    let seconds = begun.elapsed().as_secs_f64();
    report("ingest, documents", summary.new as f64 / seconds, "documents/s");
    report("ingest, chunks", chunks as f64 / seconds, "chunks/s");
    drop(groundwork);
    let begun = Instant::now();
    let groundwork = Groundwork::open(handbook::settings(home.path())).expect("it opens");
    groundwork
        .knowledge_base("copies", ReadAt::default(), &Cancel::new())
        .expect("it is there");
    report("reopen, models aside", begun.elapsed().as_secs_f64() * 1e3, "ms");
}
