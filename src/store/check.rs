//! Verifying the store, both indexes and the kept contents against each other, while all of them serve.
//!
//! What is derived (both indexes, the table of visibility) can be made again from the records; what the records
//! themselves hold can only be restored from a backup, and the findings say so.

use std::path::Path;

use rusqlite::Connection;

use super::checksum::Checksum;
use super::records::chunk::{self, ChunkFields, vector_checksum};
use super::records::{ChunkRange, revision};
use super::sqlite::{from_epoch, to_number};
use super::{EpochStore, Error, layout};
use crate::index::{ChunkId, Epoch};
use crate::worker::{Cancel, OnProgress, Progress};

/// Rows between two looks at whether the caller is still there.
const STEP_ROWS: u64 = 1_024;
/// Most findings of one kind that are told one by one.
const MAX_ALIKE: u64 = 100;
const RESTORE: &str = "restore the knowledge base from a backup, or erase the document and ingest it again";
/// Most documents that one finding names.
const MAX_NAMED: usize = 5;
const WRITES_STOPPED: &str = "mend what stops the writes (make room on the disk, put files back), and check again";
const REBUILD: &str = "check again with repair: it is made again from the store";

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: &'static str,
    /// File that it is in, below the knowledge base's directory; empty when in none.
    pub path: String,
    /// What is wrong.
    pub description: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether it was repaired.
    pub repaired: bool,
}

/// What was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Epoch that was checked.
    pub epoch: Epoch,
    /// Documents.
    pub documents: u64,
    /// Revisions, earlier ones included.
    pub revisions: u64,
    /// Chunks, retired ones included.
    pub chunks: u64,
    /// Kept contents.
    pub contents: u64,
    /// Findings in all.
    pub findings: u64,
    /// Findings that were repaired.
    pub repaired: u64,
}

/// One run of a check.
struct Check<'a, 'b> {
    store: &'a EpochStore,
    repair: bool,
    cancel: &'a Cancel,
    on_progress: &'a mut OnProgress<'b>,
    on_finding: &'a mut dyn FnMut(Finding),
    checked: Checked,
}

impl EpochStore {
    /// Verifies everything against everything; `repair` makes anew what is damaged and can be made from the records.
    pub fn check(
        &self,
        repair: bool,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
        on_finding: &mut dyn FnMut(Finding),
    ) -> Result<Checked, Error> {
        let mut check = Check {
            store: self,
            repair,
            cancel,
            on_progress,
            on_finding,
            checked: Checked {
                epoch: self.epoch(),
                ..Checked::default()
            },
        };
        check.database()?;
        check.rows()?;
        check.links()?;
        check.contents()?;
        check.indexes()?;
        Ok(check.checked)
    }
}

impl Check<'_, '_> {
    fn found(&mut self, place: &'static str, path: &Path, description: String, remedy: &str, repaired: bool) {
        self.checked.findings += 1;
        self.checked.repaired += u64::from(repaired);
        let path = path.strip_prefix(&self.store.directory).unwrap_or(path);
        (self.on_finding)(Finding {
            place,
            path: path.display().to_string(),
            description,
            remedy: remedy.to_owned(),
            repaired,
        });
    }

    fn damaged_record(&mut self, description: String) {
        let path = self.store.records.path().to_owned();
        self.found("store", &path, description, RESTORE, false);
    }

    fn tell(&mut self, stage: &'static str, done: u64, total: u64) -> Result<(), Error> {
        (self.on_progress)(Progress { stage, done, total });
        Ok(self.cancel.check()?)
    }

    /// The structure of the database, as it sees it itself.
    fn database(&mut self) -> Result<(), Error> {
        self.tell("checking the structure of the database", 0, 0)?;
        let complaints: Vec<String> = self.store.records.read(|connection| {
            let mut statement = connection.prepare("PRAGMA integrity_check(100)")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect()
        })?;
        for complaint in complaints.into_iter().filter(|complaint| complaint != "ok") {
            self.damaged_record(format!("the database says: {complaint}"));
        }
        Ok(())
    }

    /// The content of every row against its checksum.
    fn rows(&mut self) -> Result<(), Error> {
        let revisions = format!("SELECT {} FROM revision r", revision::COLUMNS);
        self.checked.revisions = self.each("revision", "checking revisions", &revisions, |row| {
            let number: i64 = row.get(0)?;
            let complaint = |error| format!("revision {number} of document {}: {error}", document_of(row, 1));
            Ok(revision::read(row, 0).err().map(complaint))
        })?;
        let texts = "SELECT t.revision_id, t.text, t.checksum, r.document_id
                     FROM revision_text t LEFT JOIN revision r USING (revision_id)";
        self.each("revision_text", "checking texts", texts, |row| {
            let computed = Checksum::default().bytes(row.get_ref(1)?.as_blob()?).finish();
            let number: i64 = row.get(0)?;
            Ok((computed != row.get::<_, i64>(2)?).then(|| {
                let document = document_of(row, 3);
                format!("the text of revision {number} of document {document} differs from its checksum")
            }))
        })?;
        let chunks = format!(
            "SELECT c.chunk_id, c.revision_id, c.span_start, c.span_end, c.code_point_start, c.heading_path, c.page,
                    CAST({} AS BLOB), c.checksum, r.document_id
             FROM chunk c JOIN revision_text t USING (revision_id) LEFT JOIN revision r USING (revision_id)",
            chunk::TEXT
        );
        self.checked.chunks = self.each("chunk", "checking chunks", &chunks, |row| {
            let chunk_id: i64 = row.get(0)?;
            let fields = ChunkFields {
                chunk_id,
                revision_id: row.get(1)?,
                span_start: row.get(2)?,
                span_end: row.get(3)?,
                code_point_start: row.get(4)?,
                heading_path: row.get_ref(5)?.as_str()?,
                page: row.get(6)?,
                text: std::str::from_utf8(row.get_ref(7)?.as_blob()?).unwrap_or_default(),
            };
            Ok((fields.checksum() != row.get::<_, i64>(8)?).then(|| {
                let document = document_of(row, 9);
                format!("chunk {chunk_id} of document {document} differs from its checksum")
            }))
        })?;
        let vectors = "SELECT e.chunk_id, e.vector, e.checksum, r.document_id
                       FROM embedding e LEFT JOIN chunk c USING (chunk_id) LEFT JOIN revision r USING (revision_id)";
        self.each("embedding", "checking vectors", vectors, |row| {
            let chunk_id: i64 = row.get(0)?;
            let computed = vector_checksum(chunk_id, row.get_ref(1)?.as_blob()?);
            Ok((computed != row.get::<_, i64>(2)?).then(|| {
                let document = document_of(row, 3);
                format!("the vector of chunk {chunk_id} of document {document} differs from its checksum")
            }))
        })?;
        Ok(())
    }

    /// Asks about every row of a query; what is wrong with one is a finding. Returns how many rows there are.
    fn each(
        &mut self,
        table: &str,
        stage: &'static str,
        query: &str,
        complaint: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<Option<String>>,
    ) -> Result<u64, Error> {
        let store = self.store;
        let mut complaints = Vec::new();
        let mut done = 0;
        let mut stopped = None;
        store.records.read(|connection| {
            let count = format!("SELECT count(*) FROM {table}");
            let total = connection.query_row(&count, [], |row| Ok(to_number(row.get(0)?)))?;
            let mut statement = connection.prepare(query)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                done += 1;
                // A cell of another type than it must have is damage too.
                let complained = complaint(row).unwrap_or_else(|error| Some(format!("a row of {table}: {error}")));
                if complaints.len() < MAX_ALIKE as usize {
                    complaints.extend(complained);
                }
                if done % STEP_ROWS == 0
                    && let Err(error) = self.tell(stage, done, total)
                {
                    stopped = Some(error);
                    break;
                }
            }
            Ok(())
        })?;
        if let Some(error) = stopped {
            return Err(error);
        }
        for complaint in complaints {
            self.damaged_record(complaint);
        }
        Ok(done)
    }

    /// What rows say of each other.
    fn links(&mut self) -> Result<(), Error> {
        self.tell("checking what rows say of each other", 0, 0)?;
        let epoch = self.checked.epoch;
        let count = |connection: &Connection, query: &str| -> rusqlite::Result<u64> {
            connection.query_row(query, [], |row| Ok(to_number(row.get(0)?)))
        };
        let seen = revision::seen_at(&from_epoch(epoch).to_string());
        let (documents, chunks, complaints) = self.store.records.read(|connection| {
            let wrong = [
                (
                    "revisions have another number of chunks than they say",
                    "SELECT r.document_id FROM revision r WHERE chunk_count != (SELECT count(*) FROM chunk c
                     WHERE c.chunk_id BETWEEN r.first_chunk AND r.first_chunk + r.chunk_count - 1
                     AND c.revision_id = r.revision_id)",
                ),
                (
                    "chunks have no vector",
                    "SELECT r.document_id FROM chunk c LEFT JOIN revision r USING (revision_id)
                     WHERE c.chunk_id NOT IN (SELECT chunk_id FROM embedding)",
                ),
                (
                    "revisions have no text",
                    "SELECT document_id FROM revision WHERE revision_id NOT IN (SELECT revision_id FROM revision_text)",
                ),
                (
                    "revisions belong to no known document",
                    "SELECT document_id FROM revision WHERE document_id NOT IN (SELECT document_id FROM document)",
                ),
                (
                    "documents name a revision that is not theirs",
                    "SELECT document_id FROM document d WHERE revision_id NOTNULL AND NOT EXISTS (
                     SELECT 1 FROM revision r WHERE r.revision_id = d.revision_id AND r.document_id = d.document_id)",
                ),
                (
                    "revisions are seen that their document does not name",
                    "SELECT document_id FROM revision r WHERE retired_epoch = 9223372036854775807
                     AND revision_id IS NOT (SELECT revision_id FROM document d WHERE d.document_id = r.document_id)",
                ),
            ];
            let mut complaints = Vec::new();
            for (complaint, query) in wrong {
                let (rows, documents) = documents_of(connection, query)?;
                if rows > 0 {
                    complaints.push(format!("{rows} {complaint}: {documents}"));
                }
            }
            let documents = count(connection, &format!("SELECT count(*) FROM revision r WHERE {seen}"))?;
            let chunks = count(
                connection,
                &format!("SELECT coalesce(sum(chunk_count), 0) FROM revision r WHERE {seen}"),
            )?;
            Ok((documents, chunks, complaints))
        })?;
        self.checked.documents = documents;
        for complaint in complaints {
            self.damaged_record(complaint);
        }
        let counted = self.store.counts(epoch)?;
        if epoch > Epoch(0) && counted != (documents, chunks) {
            self.damaged_record(format!(
                "epoch {epoch} counts {} documents and {} chunks, there are {documents} and {chunks}",
                counted.0, counted.1
            ));
        }
        Ok(())
    }

    /// Every kept content against its hash.
    fn contents(&mut self) -> Result<(), Error> {
        // Revisions that cannot be read were told of already.
        let kept = self.store.records.readable_revisions()?;
        let kept: Vec<_> = kept.into_iter().filter(|revision| revision.has_content).collect();
        let total = kept.len() as u64;
        for (at, revision) in kept.into_iter().enumerate() {
            self.tell("checking kept contents", at as u64, total)?;
            self.checked.contents += 1;
            match self.store.content(&revision) {
                Ok(_) => {}
                Err(error @ (Error::Damaged { .. } | Error::Database { .. })) => {
                    // The revision may have been vacuumed since the list was made.
                    if self
                        .store
                        .records
                        .text(revision.revision_id)
                        .is_ok_and(|text| text.is_some())
                    {
                        let path = self.store.records.path().to_owned();
                        let error = match error {
                            Error::Damaged { what, .. } => what,
                            other => crate::worker::with_causes(&other),
                        };
                        let what = format!(
                            "revision {} of document `{}`: {error}",
                            revision.revision_id, revision.document_id
                        );
                        self.found("contents", &path, what, RESTORE, false);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Both indexes and the table of visibility against the records. The writer waits meanwhile, so that all speak of
    /// one epoch.
    fn indexes(&mut self) -> Result<(), Error> {
        self.tell("checking the indexes", 0, 0)?;
        let store = self.store;
        let mut writer = match store.begin_write_settled() {
            Ok(writer) => writer,
            Err(error @ (Error::Removed | Error::ReadOnly | Error::Stopped(_))) => return Err(error),
            // Nobody brings the indexes up now, so that they may lack what the records have: that says nothing of them.
            Err(error) => {
                let path = store.records.path().to_owned();
                let error = crate::worker::with_causes(&error);
                let what = format!("the indexes were not compared, because writes are stopped: {error}");
                self.found("store", &path, what, WRITES_STOPPED, false);
                return Ok(());
            }
        };
        self.checked.epoch = store.epoch();
        let mut expected: Vec<ChunkRange> = Vec::new();
        store.records.lifetimes(|revision| expected.push(revision.chunks))?;
        expected.sort_unstable_by_key(|range| range.first);
        let expected: Vec<ChunkId> = expected.into_iter().flat_map(ChunkRange::ids).collect();

        let (visible, hidden) = store.visibility_differences()?;
        if visible + hidden > 0 {
            if self.repair {
                store.read_visibility_again()?;
            }
            let what = format!(
                "{} chunks have another lifetime in memory than in the store",
                visible + hidden
            );
            self.found("visibility", Path::new(""), what, REBUILD, self.repair);
        }

        let terms = layout::terms(&store.directory);
        let mut complaints = Vec::new();
        match store.terms.verify() {
            Ok(damaged) => complaints.extend(
                damaged
                    .into_iter()
                    .map(|file| (terms.join(file), "the checksum of the file differs".to_owned())),
            ),
            Err(error) => complaints.push((terms.clone(), crate::worker::with_causes(&error))),
        }
        let mut held = store.terms.snapshot().alive_chunks();
        held.sort_unstable();
        if held != expected {
            let what = format!("the index holds {} chunks, the store {}", held.len(), expected.len());
            complaints.push((terms, what));
        }
        let repaired = !complaints.is_empty() && self.repair;
        if repaired {
            store.rebuild_terms(&mut writer)?;
        }
        for (path, what) in complaints {
            self.found("terms", &path, what, REBUILD, repaired);
        }
        self.vectors(&expected)
    }

    fn vectors(&mut self, expected: &[ChunkId]) -> Result<(), Error> {
        let store = self.store;
        let directory = layout::vectors(&store.directory);
        let mut complaints: Vec<_> = store
            .vectors
            .verify()
            .map_err(Error::Index)?
            .into_iter()
            .map(|damaged| (damaged.path, damaged.error.to_string()))
            .collect();
        let missing = expected
            .iter()
            .filter(|chunk_id| !store.vectors.contains(**chunk_id))
            .count();
        if missing > 0 {
            complaints.push((directory, format!("{missing} chunks of the store are not in the index")));
        }
        let mut repaired = !complaints.is_empty() && self.repair;
        if repaired {
            store.rebuild_vectors()?;
            // Vectors that the store lost too cannot be made again.
            repaired = expected.iter().all(|chunk_id| store.vectors.contains(*chunk_id));
        }
        for (path, what) in complaints {
            self.found("vectors", &path, what, REBUILD, repaired);
        }
        Ok(())
    }
}

/// Counts the rows of a query for document ids, and names the first documents.
fn documents_of(connection: &Connection, query: &str) -> rusqlite::Result<(u64, String)> {
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query([])?;
    let (mut count, mut named) = (0, Vec::new());
    while let Some(row) = rows.next()? {
        count += 1;
        let name = document_of(row, 0);
        if named.len() < MAX_NAMED && !named.contains(&name) {
            named.push(name);
        }
    }
    Ok((count, named.join(", ")))
}

/// Names the document of a row, as far as it can be read.
fn document_of(row: &rusqlite::Row<'_>, column: usize) -> String {
    let name = row.get::<_, Option<String>>(column).ok().flatten();
    name.map_or_else(|| "that is not known".to_owned(), |name| format!("`{name}`"))
}
