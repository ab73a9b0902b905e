//! Removing every trace of documents, and looking for what is left.
//!
//! An erasure first deletes the documents (an epoch of its own), waits for those who read an earlier one, and then
//! removes all revisions from the records, where deleted bytes are overwritten; it rewrites the parts of both indexes
//! that held them, gives free pages back and empties the write-ahead log. It leaves fingerprints behind: hashes, under
//! a seed of its own, of windows of the text, from which the text cannot be read, but by which it can be looked for.

mod fingerprint;
mod search;

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

use super::commit::Change;
use super::sqlite::{from_epoch, from_number, from_time};
use super::vacuum::{Doomed, RemovedRows, remove};
use super::{EpochStore, Error};
use crate::document::DocumentId;
use crate::index::Epoch;
use crate::worker::{Cancel, OnProgress, Progress};
use fingerprint::Fingerprints;
pub use search::Wanted;

/// How long an erasure waits for those who read an earlier epoch; a search takes milliseconds.
const LONGEST_READ: Duration = Duration::from_secs(30);
/// How often it looks.
const WAIT_STEP: Duration = Duration::from_millis(5);

/// What was removed from one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasedPlace {
    /// The place.
    pub place: &'static str,
    /// Entries removed from it.
    pub count: u64,
}

/// What an erasure removed, or would remove.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erasure {
    /// Epoch that no longer sees the documents.
    pub epoch: Epoch,
    /// Documents erased.
    pub documents: u64,
    /// Counts for each place.
    pub places: Vec<ErasedPlace>,
    /// Ids that no retained revision has.
    pub not_found: Vec<String>,
}

/// Something that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remainder {
    /// The place.
    pub place: &'static str,
    /// The file, below the knowledge base's directory; empty for tables.
    pub path: String,
    /// Byte offset in the file, or number of the entry in the table.
    pub offset: u64,
    /// What was found, without its words.
    pub description: String,
    /// Another document that holds the same words and so explains them.
    pub also_in: Option<String>,
}

/// What one place was searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchedPlace {
    /// The place.
    pub place: &'static str,
    /// Entries that were looked at.
    pub entries: u64,
    /// Bytes that were looked at.
    pub bytes: u64,
}

/// Certifies that nothing is left, or names what is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificate {
    /// Epoch that was searched.
    pub epoch: Epoch,
    /// What was searched.
    pub searched: Vec<SearchedPlace>,
    /// What is left, up to [`MAX_REMAINDERS`].
    pub remainders: Vec<Remainder>,
    /// Fingerprints that were looked for.
    pub fingerprints: u64,
}

impl Certificate {
    /// Returns whether nothing is left that no other document explains.
    pub fn is_erased(&self) -> bool {
        self.remainders.iter().all(|remainder| remainder.also_in.is_some())
    }
}

/// Most remainders that a certificate names.
pub const MAX_REMAINDERS: usize = 1_000;

impl EpochStore {
    /// Removes every trace of documents. Refused while a pinned epoch sees one, unless `include_pinned`; `dry_run` only
    /// counts.
    pub fn erase(
        &self,
        ids: &[DocumentId],
        dry_run: bool,
        include_pinned: bool,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Erasure, Error> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let ids = &ids[..];
        let found = self.find_doomed(ids)?;
        let pins = self.pins_that_see(&found.revisions)?;
        if !pins.is_empty() && !include_pinned && !dry_run {
            return Err(Error::Pinned { pins });
        }
        let pinned = pins.len() as u64;
        if dry_run {
            let counted = self.count(&found.revisions)?;
            return Ok(found.erasure(self.epoch(), places(counted, pinned)));
        }
        let tell = |stage: &'static str, on_progress: &mut OnProgress<'_>| {
            on_progress(Progress {
                stage,
                ..Progress::default()
            });
        };
        let changes: Vec<Change> = ids.iter().cloned().map(Change::Delete).collect();
        let epoch = self.commit(changes, "erase")?.epoch;
        tell("waiting for readers of earlier epochs", on_progress);
        self.wait_for_readers(epoch, cancel)?;
        tell("removing records", on_progress);
        let (epoch, removed) = self.remove_for_good(ids, epoch)?;
        tell("rewriting indexes", on_progress);
        self.purge_indexes(cancel, on_progress)?;
        tell("giving free pages back", on_progress);
        // What is removed stays removed: the rest is not to be cut short by an impatient caller.
        self.give_back(&Cancel::new(), on_progress)?;
        while !self.truncate_log()? {
            cancel.check()?;
            std::thread::sleep(WAIT_STEP);
        }
        Ok(found.erasure(epoch, places(removed, pinned)))
    }

    fn find_doomed(&self, ids: &[DocumentId]) -> Result<Found, Error> {
        self.records.read(|connection| {
            let mut found = Found::default();
            let mut revisions = connection.prepare_cached(&format!(
                "SELECT {} FROM revision r WHERE r.document_id = ?1 ORDER BY r.revision_id",
                Doomed::COLUMNS
            ))?;
            let mut known =
                connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM document WHERE document_id = ?1)")?;
            for id in ids {
                let before = found.revisions.len();
                for revision in revisions.query_map([id.as_str()], Doomed::read)? {
                    found.revisions.push(revision?);
                }
                let is_known = found.revisions.len() > before || known.query_row([id.as_str()], |row| row.get(0))?;
                if is_known {
                    found.documents += 1;
                } else {
                    found.missing.push(id.to_string());
                }
            }
            Ok(found)
        })
    }

    /// Names the pins whose epochs see one of the revisions.
    fn pins_that_see(&self, doomed: &[Doomed]) -> Result<Vec<String>, Error> {
        let pins = self.retained.pins();
        let mut seeing = Vec::new();
        for (name, epoch) in pins {
            let sees = self.records.read(|connection| {
                let mut statement = connection.prepare_cached(&format!(
                    "SELECT EXISTS (SELECT 1 FROM revision r WHERE r.revision_id = ?2 AND {})",
                    super::records::revision::seen_at("?1")
                ))?;
                for revision in doomed {
                    if statement.query_row(params![from_epoch(epoch), revision.revision_id], |row| row.get(0))? {
                        return Ok(true);
                    }
                }
                Ok(false)
            })?;
            if sees {
                seeing.push(format!("{name} ({epoch})"));
            }
        }
        Ok(seeing)
    }

    fn count(&self, doomed: &[Doomed]) -> Result<RemovedRows, Error> {
        self.records.read(|connection| {
            let mut counted = RemovedRows::default();
            let mut contents = connection.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM content WHERE content_hash = ?1) AND NOT EXISTS (
                     SELECT 1 FROM revision r WHERE r.content_hash = ?1 AND r.document_id != ?2)",
            )?;
            let mut seen = std::collections::HashSet::new();
            for revision in doomed {
                counted.revisions += 1;
                counted.texts += 1;
                counted.chunks += revision.chunks.count;
                counted.embeddings += revision.chunks.count;
                if seen.insert(&revision.content_hash) {
                    counted.contents += u64::from(
                        contents.query_row([&revision.content_hash, &revision.document_id], |row| {
                            row.get::<_, bool>(0)
                        })?,
                    );
                }
            }
            Ok(counted)
        })
    }

    fn wait_for_readers(&self, epoch: Epoch, cancel: &Cancel) -> Result<(), Error> {
        let started = std::time::Instant::now();
        while self.retained.is_read_below(epoch) && started.elapsed() < LONGEST_READ {
            cancel.check()?;
            std::thread::sleep(WAIT_STEP);
        }
        Ok(())
    }

    /// Removes all revisions of the documents from the records, and notes their fingerprints. `epoch` is that of their
    /// deletion; a later one is returned when they came back meanwhile and were deleted again.
    fn remove_for_good(&self, ids: &[DocumentId], epoch: Epoch) -> Result<(Epoch, RemovedRows), Error> {
        let mut writer = self.begin_write_settled()?;
        let changes = ids.iter().cloned().map(Change::Delete).collect();
        let deleted = self.write_held(&mut writer, changes, "erase")?;
        self.settle(deleted.epoch)?;
        let epoch = if deleted.retired_chunks() > 0 {
            deleted.epoch
        } else {
            epoch
        };
        let doomed = &self.find_doomed(ids)?.revisions[..];
        let mut fingerprints = Vec::with_capacity(doomed.len());
        for revision in doomed {
            let text = self
                .records
                .text(revision.revision_id.unsigned_abs())?
                .unwrap_or_default();
            fingerprints.push(Fingerprints::of(text.as_bytes()));
        }
        let now = from_time(SystemTime::now());
        let removed = self.in_transaction(&mut writer, |connection| {
            for (revision, fingerprints) in doomed.iter().zip(&fingerprints) {
                connection
                    .prepare_cached(
                        "INSERT INTO erasure (erased_at, document_digest, content_digest, seed, fingerprints)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![
                        now,
                        digest(&revision.document_id),
                        digest(&revision.content_hash),
                        fingerprints.seed.cast_signed(),
                        fingerprints.to_bytes(),
                    ])?;
                forget_in_counts(connection, revision)?;
            }
            let mut removed = remove(connection, doomed)?;
            removed.documents += remove_left_documents(connection, doomed)?;
            Ok(removed)
        })?;
        self.remove_from_indexes(&mut writer, doomed)?;
        Ok((epoch, removed))
    }

    /// Rewrites what still holds removed chunks in both indexes.
    fn purge_indexes(&self, cancel: &Cancel, on_progress: &mut OnProgress<'_>) -> Result<(), Error> {
        self.terms.purge().map_err(Error::Index)?;
        self.purge_vectors(cancel, on_progress)
    }
}

/// Takes a revision out of the counts of the epochs that saw it.
fn forget_in_counts(connection: &Connection, revision: &Doomed) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE epoch SET document_count = epoch.document_count - 1, chunk_count = epoch.chunk_count - ?2
             FROM revision r WHERE r.revision_id = ?1 AND r.added_epoch <= epoch.epoch AND epoch.epoch < r.retired_epoch
             AND NOT EXISTS (SELECT 1 FROM revision_lapse l WHERE l.revision_id = ?1
                             AND l.from_epoch <= epoch.epoch AND epoch.epoch < l.until_epoch)",
        )?
        .execute(params![revision.revision_id, from_number(revision.chunks.count)])
        .map(drop)
}

/// Removes rows of documents that have no revision left, such as those of failed attempts.
fn remove_left_documents(connection: &Connection, doomed: &[Doomed]) -> rusqlite::Result<u64> {
    let mut removed = 0;
    for revision in doomed {
        removed += connection
            .prepare_cached(
                "DELETE FROM document WHERE document_id = ?1
                 AND NOT EXISTS (SELECT 1 FROM revision r WHERE r.document_id = ?1)",
            )?
            .execute([&revision.document_id])? as u64;
    }
    Ok(removed)
}

/// What an erasure is about.
#[derive(Debug, Default)]
struct Found {
    documents: u64,
    revisions: Vec<Doomed>,
    missing: Vec<String>,
}

impl Found {
    fn erasure(self, epoch: Epoch, places: Vec<ErasedPlace>) -> Erasure {
        Erasure {
            epoch,
            documents: self.documents,
            places,
            not_found: self.missing,
        }
    }
}

fn places(removed: RemovedRows, pinned: u64) -> Vec<ErasedPlace> {
    let place = |place, count| ErasedPlace { place, count };
    vec![
        place("documents", removed.documents),
        place("revisions", removed.revisions),
        place("texts", removed.texts),
        place("chunks", removed.chunks),
        place("embeddings", removed.embeddings),
        place("contents", removed.contents),
        place("terms", removed.chunks),
        place("vectors", removed.chunks),
        place("pinned epochs", pinned),
    ]
}

/// Returns the digest under which an erasure is found again.
fn digest(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}
