//! The integration tests, one binary.

mod embedding;
