//! Epochs and revisions: what was, what is kept of it, and how two epochs differ.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use rusqlite::params;

use super::sqlite::{from_epoch, from_time};
use super::{EpochStore, Error, Lease};
use crate::document::access::AccessList;
use crate::document::metadata::Metadata;
use crate::document::{DocumentId, content_hash, hex};
use crate::index::{ChunkId, Epoch};
use crate::worker::Cancel;

/// Time for which epochs are kept when nothing else is said.
pub const DEFAULT_RETENTION: Duration = Duration::from_hours(7 * 24);

/// Level of zstd: what a writer hardly notices.
const COMPRESSION_LEVEL: i32 = 3;

/// Which epochs are kept beside the published and the pinned ones. An epoch goes when neither limit keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Keeps this many of the newest.
    pub epochs: Option<u64>,
    /// Keeps those that were the published one within this time.
    pub age: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            epochs: None,
            age: Some(DEFAULT_RETENTION),
        }
    }
}

/// Whether the bytes of documents are kept as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OriginalContent {
    /// Kept once for each content, compressed.
    #[default]
    Keep,
    /// Only the extracted text is kept.
    Discard,
}

/// An epoch, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochInfo {
    /// Its number.
    pub epoch: Epoch,
    /// When it was committed.
    pub committed_at: SystemTime,
    /// What made it, for people.
    pub cause: String,
    /// Documents that it sees.
    pub document_count: u64,
    /// Chunks that it sees.
    pub chunk_count: u64,
    /// Names that keep it, sorted.
    pub pins: Vec<String>,
}

/// A revision, described.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionInfo {
    /// Its number.
    pub revision_id: u64,
    /// Its document.
    pub document_id: DocumentId,
    /// SHA-256 of its content, in lowercase hexadecimal.
    pub content_hash: String,
    /// Title.
    pub title: Option<String>,
    /// Media type that it was read as.
    pub media_type: String,
    /// Where it came from.
    pub source_name: String,
    /// Attributes.
    pub metadata: Metadata,
    /// Who may find it.
    pub access: AccessList,
    /// Size of its content.
    pub byte_size: u64,
    /// Size of its extracted text.
    pub text_bytes: u64,
    /// Its chunks.
    pub chunk_count: u32,
    /// First epoch that sees it.
    pub added: Epoch,
    /// First epoch that no longer sees it; nothing while it is seen.
    pub retired: Option<Epoch>,
    /// When it was indexed.
    pub created_at: SystemTime,
    /// Whether its bytes are kept.
    pub has_content: bool,
    /// Whether its text is its bytes, so that they are not kept twice.
    pub text_is_content: bool,
}

/// How something differs between two epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// Only the later sees it.
    Added,
    /// Both see it, in different revisions.
    Changed,
    /// Only the earlier sees it.
    Removed,
}

/// A chunk whose text only one of two epochs sees in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkDifference {
    /// Added or removed.
    pub kind: DifferenceKind,
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its text.
    pub text: String,
}

/// A document that two epochs see differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentDifference {
    /// The document.
    pub document_id: DocumentId,
    /// How it differs.
    pub kind: DifferenceKind,
    /// Content that the earlier epoch sees; empty when it sees none.
    pub from_content_hash: String,
    /// Content that the later epoch sees; empty when it sees none.
    pub to_content_hash: String,
    /// Added and removed chunks.
    pub chunks: Vec<ChunkDifference>,
    /// Chunks whose text both see.
    pub unchanged_chunks: u32,
}

/// What a rollback did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RolledBack {
    /// The new epoch; the published one when nothing changed.
    pub epoch: Epoch,
    /// Documents that came back or changed back.
    pub restored_documents: u64,
    /// Documents that are gone.
    pub removed_documents: u64,
}

impl EpochStore {
    /// Returns the oldest epoch that every read may name.
    pub fn oldest_epoch(&self) -> Epoch {
        self.retained.oldest()
    }

    /// Returns the epoch that was the published one at `time`.
    pub fn epoch_at(&self, time: SystemTime) -> Result<Epoch, Error> {
        let oldest = self.oldest_epoch();
        match self.records.epoch_at(time, self.epoch())? {
            Some(epoch) => Ok(epoch),
            None if oldest == Epoch(0) => Ok(Epoch(0)),
            None => Err(Error::TimeNotRetained { oldest }),
        }
    }

    /// Lists up to `limit` epochs below `below` that reads may name, newest first.
    pub fn epochs(&self, below: Epoch, limit: usize, pinned_only: bool) -> Result<Vec<EpochInfo>, Error> {
        let (pins, oldest, published) = (self.retained.pins(), self.oldest_epoch(), self.epoch());
        let is_pinned = |epoch| pins.values().any(|pinned| *pinned == epoch);
        let wanted = |epoch| epoch <= published && (is_pinned(epoch) || (!pinned_only && epoch >= oldest));
        let mut epochs = self.records.epochs(below, limit, wanted)?;
        for info in &mut epochs {
            info.pins = names_of(&pins, info.epoch);
        }
        Ok(epochs)
    }

    /// Names an epoch, the published one if none is given. A name that stands for this epoch already stays.
    pub fn pin(&self, name: &str, epoch: Option<Epoch>) -> Result<EpochInfo, Error> {
        let writer = self.begin_write()?;
        let lease = self.lease(epoch)?;
        let epoch = lease.epoch();
        match self.retained.pins().get(name) {
            Some(pinned) if *pinned == epoch => {}
            Some(pinned) => {
                return Err(Error::PinNameTaken {
                    name: name.to_owned(),
                    epoch: *pinned,
                });
            }
            None => {
                writer
                    .connection
                    .execute(
                        "INSERT INTO pin VALUES (?1, ?2, ?3)",
                        params![name, from_epoch(epoch), from_time(SystemTime::now())],
                    )
                    .map_err(|source| Error::database(self.records.path(), source))?;
                self.retained.pin(name.to_owned(), epoch);
            }
        }
        let info = self.records.epoch_info(epoch)?;
        // The empty knowledge base before the first commit has no row.
        let mut info = info.unwrap_or_else(|| EpochInfo {
            epoch,
            committed_at: SystemTime::UNIX_EPOCH,
            cause: String::new(),
            document_count: 0,
            chunk_count: 0,
            pins: Vec::new(),
        });
        info.pins = names_of(&self.retained.pins(), epoch);
        Ok(info)
    }

    /// Removes a name and returns the epoch that it stood for.
    pub fn unpin(&self, name: &str) -> Result<Epoch, Error> {
        let writer = self.begin_write()?;
        let Some(epoch) = self.retained.pins().get(name).copied() else {
            return Err(Error::UnknownPin { name: name.to_owned() });
        };
        writer
            .connection
            .execute("DELETE FROM pin WHERE name = ?1", [name])
            .map_err(|source| Error::database(self.records.path(), source))?;
        self.retained.unpin(name);
        Ok(epoch)
    }

    /// Returns the epoch that a pin stands for.
    pub fn pinned(&self, name: &str) -> Result<Epoch, Error> {
        let pins = self.retained.pins();
        pins.get(name)
            .copied()
            .ok_or_else(|| Error::UnknownPin { name: name.to_owned() })
    }

    /// Makes a new epoch that sees what `to` saw; `dry_run` only counts.
    pub fn roll_back(&self, to: Epoch, dry_run: bool) -> Result<RolledBack, Error> {
        // The empty knowledge base is always known.
        let _lease = if to == Epoch(0) {
            None
        } else {
            Some(self.lease(Some(to))?)
        };
        if dry_run {
            let mut counted = RolledBack {
                epoch: self.epoch(),
                ..RolledBack::default()
            };
            self.records
                .differences(counted.epoch, to, "", usize::MAX, &mut |(_, from, to)| {
                    counted.restored_documents += u64::from(to.is_some());
                    counted.removed_documents += u64::from(from.is_some() && to.is_none());
                    Ok(())
                })?;
            return Ok(counted);
        }
        let (committed, documents) = self.commit_rollback(to)?;
        Ok(RolledBack {
            epoch: committed.epoch,
            restored_documents: documents.restored,
            removed_documents: documents.removed,
        })
    }

    /// Tells `each` of up to `limit` documents with an id after `after` that the two epochs see differently, by id.
    /// Returns whether there are no more.
    pub fn difference(
        &self,
        (from, to): (Epoch, Epoch),
        after: &str,
        limit: usize,
        cancel: &Cancel,
        each: &mut dyn FnMut(DocumentDifference),
    ) -> Result<bool, Error> {
        let lease = |epoch| match epoch {
            Epoch(0) => Ok(None),
            epoch => self.lease(Some(epoch)).map(Some),
        };
        let _leases = (lease(from)?, lease(to)?);
        let mut told = 0;
        let mut is_end = true;
        self.records
            .differences(from, to, after, limit.saturating_add(1), &mut |(
                document_id,
                from,
                to,
            )| {
                cancel.check()?;
                if told == limit {
                    is_end = false;
                    return Ok(());
                }
                told += 1;
                each(self.describe_difference(document_id, from.as_ref(), to.as_ref())?);
                Ok(())
            })?;
        Ok(is_end)
    }

    fn describe_difference(
        &self,
        document_id: DocumentId,
        from: Option<&RevisionInfo>,
        to: Option<&RevisionInfo>,
    ) -> Result<DocumentDifference, Error> {
        let chunks = |revision: Option<&RevisionInfo>| match revision {
            Some(revision) => self.records.chunk_texts(revision.revision_id),
            None => Ok(Vec::new()),
        };
        let (old, new) = (chunks(from)?, chunks(to)?);
        let mut left: HashMap<&str, usize> = HashMap::new();
        for (_, text) in &old {
            *left.entry(text).or_default() += 1;
        }
        let mut differences = Vec::new();
        for (chunk_id, text) in &new {
            match left.get_mut(text.as_str()) {
                Some(count) if *count > 0 => *count -= 1,
                _ => differences.push((DifferenceKind::Added, *chunk_id, text)),
            }
        }
        let unchanged = new.len() - differences.len();
        // What is left over of each text was removed, last ones first.
        for (chunk_id, text) in old.iter().rev() {
            if let Some(count) = left.get_mut(text.as_str())
                && *count > 0
            {
                *count -= 1;
                differences.push((DifferenceKind::Removed, *chunk_id, text));
            }
        }
        let hash = |revision: Option<&RevisionInfo>| {
            revision.map_or_else(String::new, |revision| revision.content_hash.clone())
        };
        Ok(DocumentDifference {
            document_id,
            kind: match (from, to) {
                (None, _) => DifferenceKind::Added,
                (Some(_), None) => DifferenceKind::Removed,
                (Some(_), Some(_)) => DifferenceKind::Changed,
            },
            from_content_hash: hash(from),
            to_content_hash: hash(to),
            chunks: differences
                .into_iter()
                .map(|(kind, chunk_id, text)| ChunkDifference {
                    kind,
                    chunk_id,
                    text: text.clone(),
                })
                .collect(),
            unchanged_chunks: unchanged as u32,
        })
    }

    /// Lists up to `limit` revisions of a document with a number below `below` that a retained epoch may see.
    pub fn revisions(&self, id: &DocumentId, below: u64, limit: usize) -> Result<Vec<RevisionInfo>, Error> {
        self.records.revisions(id, below, limit)
    }

    /// Returns the revision of a document that the lease's epoch sees.
    pub fn revision(&self, id: &DocumentId, lease: &Lease<'_>) -> Result<Option<RevisionInfo>, Error> {
        self.records.revision(id, lease.epoch())
    }

    /// Returns the newest revision with this content.
    pub fn revision_of_content(&self, content_hash: &str) -> Result<Option<RevisionInfo>, Error> {
        self.records.revision_of_content(content_hash)
    }

    /// Calls `each` for every revision that the lease's epoch sees, by document id.
    pub fn revisions_at(&self, lease: &Lease<'_>, each: impl FnMut(RevisionInfo)) -> Result<(), Error> {
        self.records.revisions_at(lease.epoch(), each)
    }

    /// Calls `each` for every revision, by document id.
    pub fn all_revisions(&self, each: impl FnMut(RevisionInfo)) -> Result<(), Error> {
        self.records.all_revisions(each)
    }

    /// Returns the extracted text of a revision; nothing when there is no such revision, because it was erased.
    pub fn text(&self, revision_id: u64) -> Result<Option<String>, Error> {
        let text = self.records.text(revision_id)?;
        if text.is_none() && self.records.has_revision(revision_id)? {
            return Err(self.records.missing(&format!("the text of revision {revision_id}")));
        }
        Ok(text)
    }

    /// Returns the bytes of a revision as they came; nothing when they were not kept.
    pub fn content(&self, revision: &RevisionInfo) -> Result<Option<Vec<u8>>, Error> {
        let damaged = |what: String| Error::Damaged {
            path: self.records.path().to_owned(),
            what,
        };
        if !revision.has_content {
            return Ok(None);
        }
        let hash = &revision.content_hash;
        let bytes = if revision.text_is_content {
            let text = self.records.text(revision.revision_id)?;
            text.map(String::into_bytes)
        } else {
            let decompress = |compressed: Vec<u8>| {
                zstd::bulk::decompress(&compressed, revision.byte_size as usize)
                    .map_err(|source| damaged(format!("the content {hash} ({source})")))
            };
            self.records.compressed_content(hash)?.map(decompress).transpose()?
        };
        let bytes = bytes.ok_or_else(|| damaged(format!("the content {hash} is missing")))?;
        if hex(&content_hash(&bytes)) != *hash {
            return Err(damaged(format!("the content {hash} has another hash")));
        }
        Ok(Some(bytes))
    }
}

/// Compresses a content for [`super::KeptContent::Compressed`].
pub fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, COMPRESSION_LEVEL)
}

fn names_of(pins: &BTreeMap<String, Epoch>, epoch: Epoch) -> Vec<String> {
    let names = pins.iter().filter(|(_, pinned)| **pinned == epoch);
    names.map(|(name, _)| name.clone()).collect()
}
