//! Looking for what is left of a document: in the tables, in both indexes, and in the bytes of all files.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use aho_corasick::AhoCorasick;
use rusqlite::params;

use super::{Certificate, MAX_REMAINDERS, Remainder, SearchedPlace, digest, fingerprint::Fingerprints};
use crate::document::DocumentId;
use crate::index::ChunkId;
use crate::store::sqlite::to_number;
use crate::store::{EpochStore, Error, layout};
use crate::worker::{Cancel, OnProgress, Progress};

/// Bytes of a file that are looked at together.
const BLOCK: usize = 4 << 20;
/// Shortest id that is looked for in the bytes of files; a shorter one stands everywhere.
const MIN_ID_BYTES: usize = 6;

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted<'a> {
    /// The document.
    pub document_id: Option<&'a DocumentId>,
    /// SHA-256 of the content, in lowercase hexadecimal.
    pub content_hash: Option<&'a str>,
    /// Phrases.
    pub phrases: &'a [String],
}

/// Gathers what is found.
struct Finder<'a> {
    store: &'a EpochStore,
    certificate: Certificate,
    /// Who else holds these bytes.
    explained: HashMap<Vec<u8>, Option<String>>,
}

impl EpochStore {
    /// Looks for what is left of a document.
    pub fn verify_erasure(
        &self,
        wanted: &Wanted<'_>,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Certificate, Error> {
        let mut finder = Finder {
            store: self,
            certificate: Certificate {
                epoch: self.epoch(),
                ..Certificate::default()
            },
            explained: HashMap::new(),
        };
        finder.search_tables(wanted)?;
        finder.search_indexes();
        finder.search_files(wanted, cancel, on_progress)?;
        Ok(finder.certificate)
    }
}

impl Finder<'_> {
    fn found(&mut self, place: &'static str, path: &str, offset: u64, description: &str, also_in: Option<String>) {
        if self.certificate.remainders.len() < MAX_REMAINDERS {
            self.certificate.remainders.push(Remainder {
                place,
                path: path.to_owned(),
                offset,
                description: description.to_owned(),
                also_in,
            });
        }
    }

    fn searched(&mut self, place: &'static str, entries: u64, bytes: u64) {
        self.certificate.searched.push(SearchedPlace { place, entries, bytes });
    }

    /// Looks in every table, also for rows that hang on nothing.
    fn search_tables(&mut self, wanted: &Wanted<'_>) -> Result<(), Error> {
        let id = wanted.document_id.map(DocumentId::as_str);
        let hash = wanted.content_hash;
        let tables: [(&'static str, &str, &str); 6] = [
            (
                "documents",
                "document",
                "SELECT 0, 'the document is known' FROM document WHERE document_id = ?1 AND ?2 IS ?2",
            ),
            (
                "revisions",
                "revision",
                "SELECT revision_id, 'a revision is kept' FROM revision WHERE document_id = ?1 OR content_hash = ?2",
            ),
            (
                "texts",
                "revision_text",
                "SELECT revision_id, 'a text belongs to no revision' FROM revision_text
                 WHERE revision_id NOT IN (SELECT revision_id FROM revision) AND ?1 IS ?1 AND ?2 IS ?2",
            ),
            (
                "chunks",
                "chunk",
                "SELECT chunk_id, 'a chunk belongs to no revision' FROM chunk
                 WHERE revision_id NOT IN (SELECT revision_id FROM revision) AND ?1 IS ?1 AND ?2 IS ?2",
            ),
            (
                "embeddings",
                "embedding",
                "SELECT chunk_id, 'a vector belongs to no chunk' FROM embedding
                 WHERE chunk_id NOT IN (SELECT chunk_id FROM chunk) AND ?1 IS ?1 AND ?2 IS ?2",
            ),
            (
                "contents",
                "content",
                "SELECT 0, 'the content is kept' FROM content WHERE content_hash = ?2 OR
                 (content_hash NOT IN (SELECT content_hash FROM revision) AND ?1 IS ?1)",
            ),
        ];
        for (place, table, query) in tables {
            let (rows, found) = self.store.records.read(|connection| {
                let rows: i64 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
                let mut statement = connection.prepare(query)?;
                let found = statement.query_map(params![id, hash], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
                })?;
                Ok((rows, found.collect::<rusqlite::Result<Vec<_>>>()?))
            })?;
            self.searched(place, to_number(rows), 0);
            for (number, description) in found {
                self.found(place, "", to_number(number), &description, None);
            }
        }
        Ok(())
    }

    /// Looks for chunks in the indexes that the records do not have.
    fn search_indexes(&mut self) {
        let existing = self.store.visibility.existing();
        let exists = |chunk_id: ChunkId| existing.get(chunk_id.0 as usize).copied().unwrap_or(false);
        let in_terms = self.store.terms.snapshot().held_chunks();
        let in_vectors = self.store.vectors.held_chunks();
        for (place, held) in [("terms", in_terms), ("vectors", in_vectors)] {
            self.searched(place, held.len() as u64, 0);
            for chunk_id in held {
                // A commit may have added chunks since the table was read.
                if !exists(chunk_id) && !self.store.visibility.has(chunk_id) {
                    self.found(place, "", chunk_id.0, "a chunk that the records do not have", None);
                }
            }
        }
    }

    fn search_files(
        &mut self,
        wanted: &Wanted<'_>,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<(), Error> {
        let records = self.recorded_fingerprints(wanted)?;
        self.certificate.fingerprints = records.iter().map(|fingerprints| fingerprints.len() as u64).sum();
        let id = wanted.document_id.map(DocumentId::as_str);
        let mut patterns: Vec<(&str, &'static str)> = Vec::new();
        patterns.extend(
            id.filter(|id| id.len() >= MIN_ID_BYTES)
                .map(|id| (id, "the document's id")),
        );
        patterns.extend(wanted.content_hash.map(|hash| (hash, "the content's hash")));
        patterns.extend(
            wanted
                .phrases
                .iter()
                .map(|phrase| (phrase.as_str(), "a phrase of the caller")),
        );
        let exact = AhoCorasick::new(patterns.iter().map(|(pattern, _)| pattern)).ok();
        let files = layout::files(&self.store.directory);
        let mut searched = (0, 0);
        for (at, path) in files.iter().enumerate() {
            on_progress(Progress {
                stage: "searching files",
                done: at as u64,
                total: files.len() as u64,
            });
            let name = path
                .strip_prefix(&self.store.directory)
                .unwrap_or(path)
                .display()
                .to_string();
            let mut hits = Vec::new();
            let mut read = 0;
            let scanned = blocks(path, cancel, |start, block| {
                read = start + block.len() as u64;
                for matched in exact.iter().flat_map(|exact| matches(exact, block)) {
                    let (pattern, description) = patterns[matched.0];
                    hits.push((start + matched.1 as u64, description, pattern.as_bytes().to_vec()));
                }
                for fingerprints in &records {
                    fingerprints.find(block, |offset| {
                        let bytes = block[offset..offset + fingerprints.window()].to_vec();
                        hits.push((start + offset as u64, "a piece of the text", bytes));
                    });
                }
                hits.truncate(MAX_REMAINDERS);
            });
            match scanned {
                Ok(()) => {}
                Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            searched = (searched.0 + 1, searched.1 + read);
            hits.sort();
            hits.dedup_by_key(|(offset, description, _)| (*offset, *description));
            // Pieces that follow each other and have one explanation are one remainder.
            let mut before: Option<(u64, &'static str, Option<String>)> = None;
            for (offset, description, bytes) in hits {
                let also_in = self.explain(&bytes, id)?;
                let end = offset + bytes.len() as u64;
                let goes_on = before.as_ref().is_some_and(|(until, described, explained)| {
                    offset <= *until && *described == description && *explained == also_in
                });
                before = Some((end, description, also_in.clone()));
                if !goes_on {
                    self.found("files", &name, offset, description, also_in);
                }
            }
        }
        self.searched("files", searched.0, searched.1);
        Ok(())
    }

    fn recorded_fingerprints(&self, wanted: &Wanted<'_>) -> Result<Vec<Fingerprints>, Error> {
        let document = wanted.document_id.map(|id| digest(id.as_str()));
        let content = wanted.content_hash.map(digest);
        self.store.records.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT DISTINCT seed, fingerprints FROM erasure WHERE document_digest = ?1 OR content_digest = ?2",
            )?;
            let rows = statement.query_map(params![document, content], |row| {
                let seed: i64 = row.get(0)?;
                Ok(Fingerprints::from_bytes(
                    seed.cast_unsigned(),
                    row.get_ref(1)?.as_blob()?,
                ))
            })?;
            rows.collect()
        })
    }

    /// Returns another document that holds the bytes and so explains them.
    fn explain(&mut self, bytes: &[u8], id: Option<&str>) -> Result<Option<String>, Error> {
        if let Some(known) = self.explained.get(bytes) {
            return Ok(known.clone());
        }
        let holder = self.store.records.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT r.document_id FROM revision r JOIN revision_text t USING (revision_id)
                 WHERE r.document_id IS NOT ?2 AND (
                     instr(t.text, ?1) OR instr(CAST(r.document_id AS BLOB), ?1) OR instr(CAST(r.title AS BLOB), ?1)
                     OR instr(CAST(r.source_name AS BLOB), ?1) OR instr(CAST(r.metadata AS BLOB), ?1)
                     OR instr(CAST(r.content_hash AS BLOB), ?1)) LIMIT 1",
            )?;
            let mut rows = statement.query(params![bytes, id])?;
            rows.next()?.map(|row| row.get::<_, String>(0)).transpose()
        })?;
        self.explained.insert(bytes.to_vec(), holder.clone());
        Ok(holder)
    }
}

/// Longest pattern, of a phrase or an id: blocks overlap by as much.
const OVERLAP: usize = 4_096;

/// Calls `each` with the blocks of a file and where they begin; each but the first repeats the end of the one before.
fn blocks(path: &Path, cancel: &Cancel, mut each: impl FnMut(u64, &[u8])) -> Result<(), Error> {
    let in_file = |source| Error::file(path, source);
    let mut file = File::open(path).map_err(in_file)?;
    let mut block = Vec::with_capacity(BLOCK + OVERLAP);
    let mut start = 0;
    loop {
        cancel.check()?;
        let before = block.len();
        let read = (&mut file)
            .take(BLOCK as u64)
            .read_to_end(&mut block)
            .map_err(in_file)?;
        if read == 0 {
            return Ok(());
        }
        each(start, &block);
        let kept = block.len().min(OVERLAP);
        start += (block.len() - kept) as u64;
        block.drain(..block.len() - kept);
        debug_assert!(before <= OVERLAP);
    }
}

/// Finds all patterns, those that overlap too: which, and where.
fn matches(exact: &AhoCorasick, bytes: &[u8]) -> Vec<(usize, usize)> {
    let Ok(found) = exact.try_find_overlapping_iter(bytes) else {
        return Vec::new();
    };
    found.map(|found| (found.pattern().as_usize(), found.start())).collect()
}
