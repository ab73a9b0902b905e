//! Benchmarks: each prints our side and, where there is one in the process, the other side of the same run.
//!
//! `cargo bench -- [embed] [ingest] [retrieve] [generate] [golden]`; without names all of them run.
//! Retrieval quality is measured by `groundwork eval retrieval DIR --json` on collections in BEIR's form.
//! `vectors`, alone, takes a file of vectors; see `vectors.rs`.
//! `store` and `filters` take texts and vectors of their own: see there.
//! `served DIRECTORY TEXTS` asks over gRPC what `store TEXTS VECTORS 384 40000 DIRECTORY` wrote.
//! `decoder [MODEL.gguf] [--llama-cpp PYTHON]` measures the language model by itself, `ahead` what reading ahead saves,
//! `perplexity [MODEL.gguf] [TEXT...]` what types of weights lose.
//! `--verbose` prints every golden answer. Figures hold for the machine they were taken on; only sides of one run compare.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

/// As the program has it, so that what is told of memory is true of the program.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

mod ahead;
mod decoder;
mod embed;
mod filters;
mod generate;
mod golden;
mod handbook;
mod ingest;
mod perplexity;
mod retrieve;
mod store;
mod vectors;

use std::time::Duration;

use groundwork::retrieve::EmbeddedQuery;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if arguments
        .first()
        .is_some_and(|argument| argument == embed::RAW_ARGUMENT)
    {
        return embed::run_raw();
    }
    if arguments
        .first()
        .is_some_and(|argument| argument == decoder::SPIN_ARGUMENT)
    {
        return decoder::spin();
    }
    if arguments.first().is_some_and(|argument| argument == "decoder") {
        return decoder::run(&arguments[1..]);
    }
    if arguments.first().is_some_and(|argument| argument == "ahead") {
        return ahead::run();
    }
    if arguments.first().is_some_and(|argument| argument == "perplexity") {
        return perplexity::run(&arguments[1..]);
    }
    if arguments.first().is_some_and(|argument| argument == "store") {
        return store::run(&arguments[1..]);
    }
    if arguments.first().is_some_and(|argument| argument == "filters") {
        return filters::run(&arguments[1..]);
    }
    if arguments.first().is_some_and(|argument| argument == "vectors") {
        return vectors::run(&arguments[1..]);
    }
    if arguments.first().is_some_and(|argument| argument == "served") {
        return retrieve::run(&arguments[1..]);
    }
    let wants = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    println!(
        "groundwork {} on {} threads",
        env!("CARGO_PKG_VERSION"),
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    if wants("embed") {
        embed::run();
    }
    if wants("ingest") {
        ingest::run();
    }
    if wants("retrieve") {
        retrieve::run(&[]);
    }
    if wants("generate") {
        generate::run();
    }
    if wants("golden") {
        golden::run();
    }
}

/// Returns the query that a vector is of.
fn embedded(vector: &[f32]) -> EmbeddedQuery<'_> {
    EmbeddedQuery { vector, coverage: None }
}

/// Prints one figure.
fn report(name: &str, figure: f64, unit: &str) {
    let decimals = if unit.is_empty() { 4 } else { 2 };
    println!("{name:<58} {figure:>12.decimals$} {unit}");
}

/// The `share` quantile of times, in milliseconds.
fn quantile_ms(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let at = ((times.len() - 1) as f64 * share).round() as usize;
    times[at].as_secs_f64() * 1e3
}

/// The middle one of an odd number of figures.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
