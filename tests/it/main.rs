//! The integration tests, one binary. Files are behaviours; the border is tested with data, the wire with real clients.

mod support;

mod crash_recovery;
mod filters;
mod golden_questions;
mod grpcurl_session;
mod grounded_answers;
mod ingest;
mod knowledge_bases;
mod pdf_isolation;
mod replace_and_delete;
mod service;
mod tidy;
