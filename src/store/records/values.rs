//! How attributes and checked rows look in the tables.

use rusqlite::Row;
use rusqlite::types::Type;
use serde::{Deserialize, Serialize};

use crate::document::DocumentId;
use crate::document::metadata::{Metadata, MetadataValue};
use crate::store::DocumentStatus;
use crate::store::catalog::{from_json, to_json};

/// How metadata is written down.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ValueRecord {
    String(String),
    Number(f64),
    Boolean(bool),
    StringList(Vec<String>),
}

/// Metadata of a revision that has none.
pub(in crate::store) const NO_METADATA: &str = "{}";

pub(in crate::store) fn metadata_to_json(metadata: &Metadata) -> String {
    let records: std::collections::BTreeMap<&String, ValueRecord> = metadata
        .iter()
        .map(|(key, value)| {
            let record = match value {
                MetadataValue::String(string) => ValueRecord::String(string.clone()),
                MetadataValue::Number(number) => ValueRecord::Number(*number),
                MetadataValue::Boolean(boolean) => ValueRecord::Boolean(*boolean),
                MetadataValue::StringList(list) => ValueRecord::StringList(list.clone()),
            };
            (key, record)
        })
        .collect();
    to_json(&records)
}

pub(super) fn metadata_from_json(row: &Row<'_>, column: usize) -> rusqlite::Result<Metadata> {
    let records: std::collections::BTreeMap<String, ValueRecord> = from_json(row, column)?;
    let value = |record| match record {
        ValueRecord::String(string) => MetadataValue::String(string),
        ValueRecord::Number(number) => MetadataValue::Number(number),
        ValueRecord::Boolean(boolean) => MetadataValue::Boolean(boolean),
        ValueRecord::StringList(list) => MetadataValue::StringList(list),
    };
    Ok(records.into_iter().map(|(key, record)| (key, value(record))).collect())
}

pub(in crate::store) fn document_id(row: &Row<'_>, column: usize) -> rusqlite::Result<DocumentId> {
    DocumentId::parse(row.get::<_, String>(column)?).map_err(|source| damaged(column, source))
}

pub(super) fn status_from(name: &str) -> DocumentStatus {
    match name {
        "failed" => DocumentStatus::Failed,
        "deleted" => DocumentStatus::Deleted,
        _ => DocumentStatus::Indexed,
    }
}

/// A row whose content is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("the checksum of {what} differs from its content")]
struct ChecksumMismatch {
    what: String,
}

/// Compares a row's checksum with the one that it carries.
pub(in crate::store) fn verify(
    what: &str,
    name: impl std::fmt::Display,
    stored: i64,
    computed: i64,
) -> rusqlite::Result<()> {
    if stored == computed {
        return Ok(());
    }
    let what = format!("{what} {name}");
    Err(damaged(0, ChecksumMismatch { what }))
}

/// A row that another names and that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{what} is missing")]
struct MissingRow {
    what: String,
}

/// Says that a row is missing.
pub(in crate::store) fn missing(what: String) -> rusqlite::Error {
    damaged(0, MissingRow { what })
}

fn damaged(column: usize, source: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(source))
}
