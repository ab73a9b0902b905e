//! How attributes and checked rows look in the tables.

use std::collections::BTreeMap;

use rusqlite::Row;
use rusqlite::types::Type;
use serde::{Deserialize, Serialize};

use crate::document::access::AccessList;
use crate::document::metadata::{Metadata, MetadataValue};
use crate::document::{Date, DocumentId};
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
    /// Seconds since 1970, and nanoseconds.
    Date(i64, u32),
    NumberList(Vec<f64>),
}

impl From<&MetadataValue> for ValueRecord {
    fn from(value: &MetadataValue) -> Self {
        match value {
            MetadataValue::String(string) => Self::String(string.clone()),
            MetadataValue::Number(number) => Self::Number(*number),
            MetadataValue::Boolean(boolean) => Self::Boolean(*boolean),
            MetadataValue::StringList(list) => Self::StringList(list.clone()),
            MetadataValue::Date(date) => Self::Date(date.seconds(), date.nanos()),
            MetadataValue::NumberList(list) => Self::NumberList(list.clone()),
        }
    }
}

/// A date that no calendar has.
#[derive(Debug, thiserror::Error)]
#[error("an attribute is no date of the years 1 to 9999")]
struct NoDate;

impl TryFrom<ValueRecord> for MetadataValue {
    type Error = NoDate;

    fn try_from(record: ValueRecord) -> Result<Self, NoDate> {
        Ok(match record {
            ValueRecord::String(string) => Self::String(string),
            ValueRecord::Number(number) => Self::Number(number),
            ValueRecord::Boolean(boolean) => Self::Boolean(boolean),
            ValueRecord::StringList(list) => Self::StringList(list),
            ValueRecord::Date(seconds, nanos) => Self::Date(Date::new(seconds, nanos).ok_or(NoDate)?),
            ValueRecord::NumberList(list) => Self::NumberList(list),
        })
    }
}

pub(in crate::store) fn metadata_to_json(metadata: &Metadata) -> String {
    let records: BTreeMap<&String, ValueRecord> = metadata.iter().map(|(key, value)| (key, value.into())).collect();
    to_json(&records)
}

pub(super) fn metadata_from_json(row: &Row<'_>, column: usize) -> rusqlite::Result<Metadata> {
    let records: BTreeMap<String, ValueRecord> = from_json(row, column)?;
    let entry = |(key, record): (String, ValueRecord)| Ok((key, record.try_into()?));
    let metadata: Result<Metadata, NoDate> = records.into_iter().map(entry).collect();
    metadata.map_err(|source| damaged(column, source))
}

/// How an access list is written down.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AccessRecord {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_users: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_groups: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny_users: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny_groups: Vec<String>,
}

/// Writes an access list; one that is open to all is the empty text.
pub(in crate::store) fn access_to_json(access: &AccessList) -> String {
    if access.is_open() {
        return String::new();
    }
    to_json(&AccessRecord {
        allow_users: access.allow_users.clone(),
        allow_groups: access.allow_groups.clone(),
        deny_users: access.deny_users.clone(),
        deny_groups: access.deny_groups.clone(),
    })
}

pub(super) fn access_from_json(row: &Row<'_>, column: usize) -> rusqlite::Result<AccessList> {
    if row.get_ref(column)?.as_str()?.is_empty() {
        return Ok(AccessList::default());
    }
    let record: AccessRecord = from_json(row, column)?;
    Ok(AccessList {
        allow_users: record.allow_users,
        allow_groups: record.allow_groups,
        deny_users: record.deny_users,
        deny_groups: record.deny_groups,
    })
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
