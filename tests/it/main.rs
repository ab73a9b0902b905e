//! The integration tests, one binary. Files are behaviours; the border is tested with data, the wire with real clients.

mod structured_output;
mod support;

mod access;
mod backup;
mod bundle;
mod conversation;
mod crash_recovery;
mod decomposition;
mod embedding;
mod epochs;
mod evaluation;
mod faults;
mod filters;
mod golden_questions;
mod grounded_answers;
mod grpcurl_session;
mod implicit_filter;
mod ingest;
mod knowledge_bases;
mod language_model;
mod live_recall;
mod missing;
mod model_service;
mod old_formats;
mod pdf_isolation;
mod replace_and_delete;
mod reranking;
mod result_cache;
mod rewriting;
mod scheduling;
mod scoring;
mod service;
mod terminal;
mod text_embedding;
mod tidy;
