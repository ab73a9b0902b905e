//! What an archive says about itself.
//!
//! The root hash is the SHA-256 of `manifest.json` with zeros in place of its own 64 digits, which stand at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Refusal, STORE_ENTRY, TERMS_PREFIX, VECTORS_PREFIX, tar};
use crate::document::hex;
use crate::index::Epoch;
use crate::store::BaseRecord;
use crate::store::catalog::{
    ChunkingRecord, RetentionRecord, SchemaRecord, from_original_content, to_original_content,
};
use crate::store::sqlite::{from_time, to_time};

/// Name of the first entry.
pub(super) const MANIFEST_ENTRY: &str = "manifest.json";
/// Largest manifest that is read: settings and names of files take some kilobytes.
pub(super) const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// Version of archives. One of a newer version is refused.
const FORMAT_VERSION: u32 = 1;
/// Stands in place of the root hash while it is computed.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What follows the root hash.
const AFTER_HASH: &[u8] = b"\"\n}\n";

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveKind {
    /// One epoch with all retained history, to be restored.
    Backup,
    /// One epoch alone, to be served as it is.
    Bundle,
}

impl ArchiveKind {
    /// Returns its noun.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Bundle => "bundle",
        }
    }
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFile {
    /// Its path in the archive.
    pub path: String,
    /// Its size.
    pub byte_size: u64,
    /// Its SHA-256, in lowercase hexadecimal.
    pub sha256: String,
}

/// A model that a knowledge base depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveModel {
    /// Its id.
    pub model_id: String,
    /// SHA-256 of its weights, in lowercase hexadecimal; empty when not known.
    pub sha256: String,
}

/// What an archive says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// What it is.
    pub kind: ArchiveKind,
    /// Version of its format.
    pub format_version: u32,
    /// Version of the program that made it.
    pub program_version: String,
    /// When it was made; nothing in bundles.
    pub created_at: Option<SystemTime>,
    /// The knowledge base with its settings. Bundles keep neither its id nor its times.
    pub base: BaseRecord,
    /// The epoch that it holds.
    pub epoch: Epoch,
    /// Oldest epoch that every read may name.
    pub oldest_epoch: Epoch,
    /// Documents that the epoch sees.
    pub document_count: u64,
    /// Chunks that the epoch sees.
    pub chunk_count: u64,
    /// Models that searching it needs.
    pub models: Vec<ArchiveModel>,
    /// Its files, in their order.
    pub files: Vec<ArchiveFile>,
    /// SHA-256 over all of this, in lowercase hexadecimal; empty until it is written.
    pub root_hash: String,
}

/// How a manifest is written down.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestRecord {
    groundwork: ArchiveKind,
    format_version: u32,
    program_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at_ms: Option<i64>,
    knowledge_base: BaseInArchive,
    models: Vec<ArchiveModel>,
    files: Vec<ArchiveFile>,
    root_hash: String,
}

/// How a knowledge base is written down in a manifest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BaseInArchive {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    id: String,
    name: String,
    description: String,
    embedding_model_id: String,
    dimensions: usize,
    chunking: ChunkingRecord,
    language: String,
    tags: BTreeMap<String, String>,
    retention: RetentionRecord,
    original_content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata_schema: Option<SchemaRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated_at_ms: Option<i64>,
    epoch: u64,
    oldest_epoch: u64,
    document_count: u64,
    chunk_count: u64,
}

/// What is read of a manifest before anything else.
#[derive(Debug, Deserialize)]
struct Version {
    groundwork: Option<serde_json::Value>,
    format_version: Option<u64>,
}

impl Manifest {
    /// Returns the manifest of an archive of this program and format.
    pub(in crate::store) fn new(kind: ArchiveKind, base: BaseRecord) -> Self {
        Self {
            kind,
            format_version: FORMAT_VERSION,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: None,
            base,
            epoch: Epoch(0),
            oldest_epoch: Epoch(0),
            document_count: 0,
            chunk_count: 0,
            models: Vec::new(),
            files: Vec::new(),
            root_hash: String::new(),
        }
    }

    /// Computes the root hash and returns the bytes of `manifest.json`.
    pub(super) fn seal(&mut self) -> Vec<u8> {
        NO_HASH.clone_into(&mut self.root_hash);
        let record = ManifestRecord::from(&*self);
        let mut bytes = serde_json::to_vec_pretty(&record).expect("our records have string keys and finite numbers");
        bytes.push(b'\n');
        self.root_hash = hex(&Sha256::digest(&bytes));
        let at = hash_place(&bytes);
        bytes[at].copy_from_slice(self.root_hash.as_bytes());
        bytes
    }

    /// Reads `manifest.json`, and checks that it is one of this kind and that an archive can hold what it says.
    pub(super) fn parse(bytes: &[u8], kind: ArchiveKind) -> Result<Self, Refusal> {
        let wrong = |what: &dyn std::fmt::Display| Refusal::Manifest { what: what.to_string() };
        let foreign = |what: &str| Refusal::Foreign {
            kind: kind.noun(),
            what: what.to_owned(),
        };
        let version: Version =
            serde_json::from_slice(bytes).map_err(|_| foreign("its manifest.json cannot be read"))?;
        if version.groundwork.is_none() {
            return Err(foreign("its manifest.json is of another program"));
        }
        match version.format_version {
            Some(found) if found > u64::from(FORMAT_VERSION) => {
                return Err(Refusal::NewerFormat {
                    found,
                    known: FORMAT_VERSION,
                });
            }
            _ => {}
        }
        verify_root_hash(bytes)?;
        let record: ManifestRecord = serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
        if record.groundwork != kind {
            return Err(foreign(&format!("it is a {}", record.groundwork.noun())));
        }
        check_files(&record.files, kind).map_err(|what| wrong(&what))?;
        Ok(record.into())
    }

    /// Returns the bytes of all files.
    pub(super) fn byte_size(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum: u64, file| sum.saturating_add(file.byte_size))
    }
}

/// Returns where the digits of the root hash stand.
fn hash_place(bytes: &[u8]) -> std::ops::Range<usize> {
    let end = bytes.len().saturating_sub(AFTER_HASH.len());
    end.saturating_sub(NO_HASH.len())..end
}

fn verify_root_hash(bytes: &[u8]) -> Result<(), Refusal> {
    let place = hash_place(bytes);
    let expected = bytes.get(place.clone()).unwrap_or_default();
    if !bytes.ends_with(AFTER_HASH) || expected.len() != NO_HASH.len() {
        return Err(Refusal::Manifest {
            what: "it does not end with the root hash".to_owned(),
        });
    }
    let mut hash = Sha256::new();
    hash.update(&bytes[..place.start]);
    hash.update(NO_HASH);
    hash.update(AFTER_HASH);
    let found = hex(&hash.finalize());
    if found.as_bytes() != expected {
        return Err(Refusal::WrongRootHash {
            expected: String::from_utf8_lossy(expected).escape_debug().to_string(),
            found,
        });
    }
    Ok(())
}

/// Checks the names of files: each goes to a place of its own below the directory that is unpacked into.
fn check_files(files: &[ArchiveFile], kind: ArchiveKind) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for file in files {
        let path = &file.path;
        if !is_plain(path, kind) {
            return Err(format!(
                "`{}` is not the name of a file in an archive",
                path.escape_debug()
            ));
        }
        if !seen.insert(path) {
            return Err(format!("`{path}` is named twice"));
        }
    }
    match files.first() {
        Some(first) if first.path == STORE_ENTRY => Ok(()),
        _ => Err(format!("its first file is not {STORE_ENTRY}")),
    }
}

/// Returns whether a name is one of ours: no way leads out of the directory, and none to another file of it.
fn is_plain(path: &str, kind: ArchiveKind) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with('.')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    let terms = (kind == ArchiveKind::Bundle)
        .then(|| path.strip_prefix(TERMS_PREFIX))
        .flatten();
    let inner = path.strip_prefix(VECTORS_PREFIX).or(terms);
    path.len() <= tar::MAX_NAME_BYTES && (path == STORE_ENTRY || inner.is_some_and(is_name))
}

impl From<&Manifest> for ManifestRecord {
    fn from(manifest: &Manifest) -> Self {
        let base = &manifest.base;
        // A bundle is the same whenever and wherever it is made.
        let is_kept = manifest.kind == ArchiveKind::Backup;
        Self {
            groundwork: manifest.kind,
            format_version: manifest.format_version,
            program_version: manifest.program_version.clone(),
            created_at_ms: manifest.created_at.map(from_time),
            knowledge_base: BaseInArchive {
                id: if is_kept { base.id.clone() } else { String::new() },
                name: base.name.clone(),
                description: base.description.clone(),
                embedding_model_id: base.embedding_model_id.clone(),
                dimensions: base.dimensions,
                chunking: base.chunking.into(),
                language: base.language.clone(),
                tags: base.tags.clone(),
                retention: base.retention.into(),
                original_content: from_original_content(base.original_content).to_owned(),
                metadata_schema: (!base.metadata_schema.is_empty()).then(|| (&base.metadata_schema).into()),
                created_at_ms: is_kept.then(|| from_time(base.created_at)),
                updated_at_ms: is_kept.then(|| from_time(base.updated_at)),
                epoch: manifest.epoch.0,
                oldest_epoch: manifest.oldest_epoch.0,
                document_count: manifest.document_count,
                chunk_count: manifest.chunk_count,
            },
            models: manifest.models.clone(),
            files: manifest.files.clone(),
            root_hash: manifest.root_hash.clone(),
        }
    }
}

impl From<ManifestRecord> for Manifest {
    fn from(record: ManifestRecord) -> Self {
        let base = record.knowledge_base;
        let time = |stored: Option<i64>| stored.map_or(SystemTime::UNIX_EPOCH, to_time);
        Self {
            kind: record.groundwork,
            format_version: record.format_version,
            program_version: record.program_version,
            created_at: record.created_at_ms.map(to_time),
            epoch: Epoch(base.epoch),
            oldest_epoch: Epoch(base.oldest_epoch),
            document_count: base.document_count,
            chunk_count: base.chunk_count,
            base: BaseRecord {
                id: base.id,
                name: base.name,
                description: base.description,
                embedding_model_id: base.embedding_model_id,
                dimensions: base.dimensions,
                chunking: base.chunking.into(),
                language: base.language,
                tags: base.tags,
                created_at: time(base.created_at_ms),
                updated_at: time(base.updated_at_ms),
                retention: base.retention.into(),
                original_content: to_original_content(&base.original_content),
                metadata_schema: base.metadata_schema.map(Into::into).unwrap_or_default(),
            },
            models: record.models,
            files: record.files,
            root_hash: record.root_hash,
        }
    }
}
