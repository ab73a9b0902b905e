//! Groundwork: a retrieval-augmented knowledge base in one process.
//!
//! Bytes become a [`document`], a document becomes [`chunk`]s, chunks become embeddings ([`embed`]) and terms, and one
//! commit to the [`store`] makes them searchable in both legs of the [`index`] at one epoch ([`ingest`]). A question
//! becomes a query, the query becomes hits ([`retrieve`]), hits become a prompt, and a language model's tokens become a
//! cited answer ([`generate`]). [`knowledge_base`] is the border that everything outside goes through: the gRPC
//! [`service`] and the command line ([`cli`]) are two of its callers.
#![doc = include_str!("../ARCHITECTURE.md")]

// Each line stands alone so that the order is the order of the flow; the number is the module's rank.
// 0. Cancellation and the gate before the cores.
pub mod worker;

// 0. What was worked out already.
pub mod cache;

// 0. Numbers on this machine's vector instructions.
#[cfg(target_arch = "x86_64")]
mod compute;

// 1. The catalog of models and their files.
pub mod models;

// 1. Bytes to [`document::Document`].
pub mod document;

// 2. Document to [`chunk::Chunk`]s.
pub mod chunk;

// 2. Text to [`embed::Embedding`].
pub mod embed;

// 3. Terms and vectors.
pub mod index;

// 4. What is durable, and which epoch is current.
pub mod store;

// 5. Documents to a committed epoch.
pub mod ingest;

// 5. Query to hits.
pub mod retrieve;

// 6. Hits to an answer.
pub mod generate;

// 7. The border: what callers can ask for.
pub mod knowledge_base;

// 8. gRPC.
pub mod service;

// 8. Rankings to measures.
pub mod evaluate;

// 9. Configuration.
pub mod config;

// 10. The command line.
pub mod cli;
