//! Names and settings of knowledge bases. A row here is what makes one exist: its directory is made before the row and
//! removed after it. Both carry a mark until they are done, so that what a kill leaves is told from what a damaged
//! catalog no longer names: the one is swept away when the catalog is opened, the other never.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::checksum::Checksum;
use super::history::{OriginalContent, Retention};
use super::in_place::InPlace;
use super::layout::{self, Layout};
use super::records::values::verify;
use super::sqlite::{self, Schema, from_time, to_time};
use super::{EpochStore, Error};
use crate::chunk::ChunkConfig;
use crate::document::metadata::AttributeType;
use crate::document::schema::{DeclaredAttribute, MetadataSchema};
use crate::worker::Cancel;

const SCHEMA: Schema = Schema {
    create: CREATE,
    migrate: super::migrate::catalog,
};

const CREATE: &str = "
CREATE TABLE knowledge_base (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    embedding_model_id TEXT NOT NULL,
    dimensions INTEGER NOT NULL,
    chunking TEXT NOT NULL,
    language TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    retention TEXT NOT NULL,
    original_content TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    metadata_schema TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE TABLE client_token (
    token TEXT PRIMARY KEY,
    request_hash BLOB NOT NULL,
    knowledge_base_id TEXT NOT NULL REFERENCES knowledge_base(id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
";

/// Place of the checksum in [`COLUMNS`].
const CHECKSUM_COLUMN: usize = 12;
/// Place of the declared attributes; empty when there are none.
const SCHEMA_COLUMN: usize = 13;
const COLUMNS: &str = "
     id, name, description, embedding_model_id, dimensions, chunking, language, tags, created_at, updated_at,
     retention, original_content, checksum, metadata_schema";

/// What the catalog knows of a knowledge base.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseRecord {
    /// Server-made id, sortable by time.
    pub id: String,
    /// The caller's name, unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Embedding model.
    pub embedding_model_id: String,
    /// Dimension of its vectors.
    pub dimensions: usize,
    /// How documents are split.
    pub chunking: ChunkConfig,
    /// Analyzer of the keyword leg.
    pub language: String,
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: SystemTime,
    /// When its description or settings last changed.
    pub updated_at: SystemTime,
    /// Which epochs are kept.
    pub retention: Retention,
    /// Whether the bytes of documents are kept.
    pub original_content: OriginalContent,
    /// Attributes that documents are held to.
    pub metadata_schema: MetadataSchema,
}

/// How a retention is written down.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epochs: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
}

impl From<Retention> for RetentionRecord {
    fn from(retention: Retention) -> Self {
        Self {
            epochs: retention.epochs,
            age_seconds: retention.age.map(|age| age.as_secs()),
        }
    }
}

impl From<RetentionRecord> for Retention {
    fn from(record: RetentionRecord) -> Self {
        Self {
            epochs: record.epochs,
            age: record.age_seconds.map(Duration::from_secs),
        }
    }
}

pub(super) fn from_original_content(rule: OriginalContent) -> &'static str {
    match rule {
        OriginalContent::Keep => "keep",
        OriginalContent::Discard => "discard",
    }
}

pub(super) fn to_original_content(written: &str) -> OriginalContent {
    match written {
        "discard" => OriginalContent::Discard,
        _ => OriginalContent::Keep,
    }
}

/// How declared attributes are written down.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaRecord {
    attributes: Vec<DeclaredRecord>,
    #[serde(default)]
    strict: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredRecord {
    key: String,
    #[serde(rename = "type")]
    kind: TypeRecord,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
struct TypeRecord(AttributeType);

impl From<TypeRecord> for &'static str {
    fn from(record: TypeRecord) -> Self {
        record.0.name()
    }
}

impl TryFrom<String> for TypeRecord {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let kind = AttributeType::named(&name);
        kind.map(Self)
            .ok_or_else(|| format!("`{name}` is no type of attributes"))
    }
}

impl From<&MetadataSchema> for SchemaRecord {
    fn from(schema: &MetadataSchema) -> Self {
        let declared = |attribute: &DeclaredAttribute| DeclaredRecord {
            key: attribute.key.clone(),
            kind: TypeRecord(attribute.kind),
            description: attribute.description.clone(),
        };
        Self {
            attributes: schema.attributes.iter().map(declared).collect(),
            strict: schema.is_strict,
        }
    }
}

impl From<SchemaRecord> for MetadataSchema {
    fn from(record: SchemaRecord) -> Self {
        let declared = |attribute: DeclaredRecord| DeclaredAttribute {
            key: attribute.key,
            kind: attribute.kind.0,
            description: attribute.description,
        };
        Self {
            attributes: record.attributes.into_iter().map(declared).collect(),
            is_strict: record.strict,
        }
    }
}

fn from_schema(schema: &MetadataSchema) -> String {
    if schema.is_empty() {
        String::new()
    } else {
        to_json(&SchemaRecord::from(schema))
    }
}

/// How a chunking is written down.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ChunkingRecord {
    FixedSize { max_tokens: usize, overlap_tokens: usize },
    None,
}

impl From<ChunkConfig> for ChunkingRecord {
    fn from(config: ChunkConfig) -> Self {
        match config {
            ChunkConfig::FixedSize {
                max_tokens,
                overlap_tokens,
            } => Self::FixedSize {
                max_tokens,
                overlap_tokens,
            },
            ChunkConfig::None => Self::None,
        }
    }
}

impl From<ChunkingRecord> for ChunkConfig {
    fn from(record: ChunkingRecord) -> Self {
        match record {
            ChunkingRecord::FixedSize {
                max_tokens,
                overlap_tokens,
            } => Self::FixedSize {
                max_tokens,
                overlap_tokens,
            },
            ChunkingRecord::None => Self::None,
        }
    }
}

/// The catalog of a data directory.
#[derive(Debug)]
pub struct Catalog {
    layout: Layout,
    path: PathBuf,
    in_place: InPlace,
    connection: Mutex<Connection>,
}

impl Catalog {
    /// Opens the catalog, or makes it, and sweeps away directories that no row names.
    pub fn open(layout: Layout) -> Result<Self, Error> {
        let directory = layout.knowledge_bases();
        std::fs::create_dir_all(&directory).map_err(|source| Error::file(&directory, source))?;
        let path = layout.catalog();
        // A catalog that is gone while knowledge bases are there is not new: what it does not name would be swept away.
        let mut entries = std::fs::read_dir(&directory).map_err(|source| Error::file(&directory, source))?;
        let connection = Mutex::new(if entries.next().is_none() {
            layout::sync_names(&directory)?;
            sqlite::create(&path, &SCHEMA)?
        } else {
            sqlite::open_writer(&path, &SCHEMA)?
        });
        let catalog = Self {
            layout,
            in_place: InPlace::new(&path),
            path,
            connection,
        };
        // A name that only an index has lost would look like a knowledge base that was never there.
        sqlite::verify_structure(&catalog.path, &Cancel::new())?;
        catalog.sweep()?;
        Ok(catalog)
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The connection, to write with: what went into a file that is no longer in its place would be lost.
    fn writer(&self) -> Result<MutexGuard<'_, Connection>, Error> {
        let connection = self.connection.lock();
        match self.in_place.check() {
            Ok(()) => Ok(connection),
            Err(error) => {
                sqlite::save_log(&connection);
                Err(error)
            }
        }
    }

    /// Removes what creations and deletions left that were cut off. What carries no mark of theirs and has records is
    /// not theirs: then the catalog lost its row.
    fn sweep(&self) -> Result<(), Error> {
        let known: Vec<String> = self.list()?.into_iter().map(|record| record.id).collect();
        let directory = self.layout.knowledge_bases();
        let in_directory = |source| Error::file(&directory, source);
        for entry in std::fs::read_dir(&directory).map_err(in_directory)? {
            let path = entry.map_err(in_directory)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let is_known = name.is_some_and(|name| known.iter().any(|id| id == name));
            let mark = layout::unfinished(&path);
            if is_known {
                remove_mark(&mark)?;
            } else if mark.is_file() || !layout::records(&path).is_file() {
                tracing::info!(directory = %path.display(), "removing what is left of a deleted knowledge base");
                std::fs::remove_dir_all(&path).map_err(|source| Error::file(&path, source))?;
            } else {
                return Err(Error::Damaged {
                    path: self.path.clone(),
                    what: format!(
                        "it does not name the knowledge base in {}; put back the file and its -wal, or move that directory away",
                        path.display()
                    ),
                });
            }
        }
        Ok(())
    }

    /// Adds a knowledge base, its directory first. `token` is the caller's client token with the hash of the request.
    pub fn insert(&self, record: &BaseRecord, token: Option<(&str, &[u8])>) -> Result<(), Error> {
        // Before anything is made where the data directory may no longer be.
        drop(self.writer()?);
        let directory = self.layout.knowledge_base(&record.id);
        std::fs::create_dir_all(&directory).map_err(|source| Error::file(&directory, source))?;
        let made = mark_unfinished(&directory)
            .and_then(|()| EpochStore::create(&directory))
            .and_then(|()| self.insert_row(record, token));
        if made.is_err()
            && let Ok(None) = self.find(&record.id)
            && let Err(error) = std::fs::remove_dir_all(&directory)
        {
            // The next opening of the data directory sweeps it away.
            tracing::warn!(directory = %directory.display(), %error, "cannot remove what is left of a creation");
        }
        made
    }

    /// Adds the row that makes a knowledge base exist, and takes the mark off its directory.
    pub(super) fn insert_row(&self, record: &BaseRecord, token: Option<(&str, &[u8])>) -> Result<(), Error> {
        let in_database = |source| Error::database(&self.path, source);
        let mut connection = self.writer()?;
        let transaction = connection.transaction().map_err(in_database)?;
        transaction
            .execute(
                &format!(
                    "INSERT INTO knowledge_base ({COLUMNS}) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,0,?13)"
                ),
                params![
                    record.id,
                    record.name,
                    record.description,
                    record.embedding_model_id,
                    sqlite::from_size(record.dimensions),
                    to_json(&ChunkingRecord::from(record.chunking)),
                    record.language,
                    to_json(&record.tags),
                    from_time(record.created_at),
                    from_time(record.updated_at),
                    to_json(&RetentionRecord::from(record.retention)),
                    from_original_content(record.original_content),
                    from_schema(&record.metadata_schema),
                ],
            )
            .map_err(in_database)?;
        write_checksum(&transaction, &record.id).map_err(in_database)?;
        if let Some((token, request_hash)) = token {
            transaction
                .execute(
                    "INSERT INTO client_token VALUES (?1,?2,?3)",
                    params![token, request_hash, record.id],
                )
                .map_err(in_database)?;
        }
        transaction.commit().map_err(in_database)?;
        remove_mark(&layout::unfinished(&self.layout.knowledge_base(&record.id)))
    }

    /// Finds what an earlier call with this client token made, with the hash of that call's request.
    pub fn by_client_token(&self, token: &str) -> Result<Option<(Vec<u8>, BaseRecord)>, Error> {
        let found: Option<(Vec<u8>, String)> = self
            .connection
            .lock()
            .query_row(
                "SELECT request_hash, knowledge_base_id FROM client_token WHERE token = ?1",
                [token],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(|source| Error::database(&self.path, source))?;
        let Some((request_hash, id)) = found else {
            return Ok(None);
        };
        Ok(self.find(&id)?.map(|record| (request_hash, record)))
    }

    /// Finds a knowledge base by id or name.
    pub fn find(&self, id_or_name: &str) -> Result<Option<BaseRecord>, Error> {
        self.connection
            .lock()
            .query_row(
                &format!(
                    "SELECT {COLUMNS} FROM knowledge_base WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 1"
                ),
                [id_or_name],
                read,
            )
            .optional()
            .map_err(|source| Error::database(&self.path, source))
    }

    /// Lists knowledge bases, oldest first.
    pub fn list(&self) -> Result<Vec<BaseRecord>, Error> {
        self.page("", i64::MAX as usize)
    }

    /// Lists up to `limit` knowledge bases with an id after `after`, oldest first.
    pub fn page(&self, after: &str, limit: usize) -> Result<Vec<BaseRecord>, Error> {
        let in_database = |source| Error::database(&self.path, source);
        let connection = self.connection.lock();
        let mut statement = connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM knowledge_base WHERE id > ?1 ORDER BY id LIMIT ?2"
            ))
            .map_err(in_database)?;
        let rows = statement
            .query_map(params![after, sqlite::from_size(limit)], read)
            .map_err(in_database)?;
        rows.collect::<Result<_, _>>().map_err(in_database)
    }

    /// Writes name, description, tags, settings and time of change.
    pub fn update(&self, record: &BaseRecord) -> Result<(), Error> {
        let in_database = |source| Error::database(&self.path, source);
        let mut connection = self.writer()?;
        let transaction = connection.transaction().map_err(in_database)?;
        transaction
            .execute(
                "UPDATE knowledge_base SET name = ?2, description = ?3, tags = ?4, updated_at = ?5, retention = ?6,
                     original_content = ?7, metadata_schema = ?8 WHERE id = ?1",
                params![
                    record.id,
                    record.name,
                    record.description,
                    to_json(&record.tags),
                    from_time(record.updated_at),
                    to_json(&RetentionRecord::from(record.retention)),
                    from_original_content(record.original_content),
                    from_schema(&record.metadata_schema),
                ],
            )
            .map_err(in_database)?;
        write_checksum(&transaction, &record.id).map_err(in_database)?;
        transaction.commit().map_err(in_database)
    }

    /// Removes a knowledge base: the row, and then its directory.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        let connection = self.writer()?;
        let directory = self.layout.knowledge_base(id);
        if directory.is_dir() {
            mark_unfinished(&directory)?;
        }
        connection
            .execute("DELETE FROM knowledge_base WHERE id = ?1", [id])
            .map_err(|source| Error::database(&self.path, source))?;
        drop(connection);
        match std::fs::remove_dir_all(&directory) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::file(&directory, source)),
            _ => Ok(()),
        }
    }
}

/// Marks a directory that may be swept away as long as no row names it.
pub(super) fn mark_unfinished(directory: &Path) -> Result<(), Error> {
    let mark = layout::unfinished(directory);
    std::fs::write(&mark, []).map_err(|source| Error::file(&mark, source))?;
    layout::sync_names(&mark)
}

fn remove_mark(mark: &Path) -> Result<(), Error> {
    match std::fs::remove_file(mark) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::file(mark, source)),
        _ => Ok(()),
    }
}

/// Computes the checksum of a row of [`COLUMNS`].
fn checksum(row: &Row<'_>) -> rusqlite::Result<i64> {
    let mut checksum = Checksum::default();
    // Rows that declare nothing keep the checksum that they had before there was something to declare.
    let declares = !row.get_ref(SCHEMA_COLUMN)?.as_str()?.is_empty();
    for column in (0..CHECKSUM_COLUMN).chain(declares.then_some(SCHEMA_COLUMN)) {
        checksum = match row.get_ref(column)? {
            ValueRef::Integer(number) => checksum.number(number),
            value => checksum.bytes(value.as_bytes()?),
        };
    }
    Ok(checksum.finish())
}

/// Brings the checksum of a knowledge base's row up to what the row says.
pub(super) fn write_checksum(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    let row = format!("SELECT {COLUMNS} FROM knowledge_base WHERE id = ?1");
    let computed = connection.query_row(&row, [id], checksum)?;
    connection
        .execute(
            "UPDATE knowledge_base SET checksum = ?2 WHERE id = ?1",
            params![id, computed],
        )
        .map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<BaseRecord> {
    let id: String = row.get(0)?;
    verify("knowledge base", &id, row.get(CHECKSUM_COLUMN)?, checksum(row)?)?;
    Ok(BaseRecord {
        id,
        name: row.get(1)?,
        description: row.get(2)?,
        embedding_model_id: row.get(3)?,
        dimensions: sqlite::to_size(row.get(4)?),
        chunking: from_json::<ChunkingRecord>(row, 5)?.into(),
        language: row.get(6)?,
        tags: from_json(row, 7)?,
        created_at: to_time(row.get(8)?),
        updated_at: to_time(row.get(9)?),
        retention: from_json::<RetentionRecord>(row, 10)?.into(),
        original_content: to_original_content(row.get_ref(11)?.as_str()?),
        metadata_schema: match row.get_ref(SCHEMA_COLUMN)?.as_str()? {
            "" => MetadataSchema::default(),
            _ => from_json::<SchemaRecord>(row, SCHEMA_COLUMN)?.into(),
        },
    })
}

/// Writes a record of ours as JSON.
pub(super) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our records have string keys and finite numbers")
}

/// Reads a JSON column.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|source| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(source))
    })
}
