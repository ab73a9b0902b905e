//! Writing a bundle: the records of one epoch, numbered anew, and both indexes made from them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::EPOCH;
use crate::index::{ChunkId, Epoch, Lifetime, TermsBundle, Vectors};
use crate::store::archive::{STORE_ENTRY, TERMS_PREFIX, VECTORS_PREFIX, describe};
use crate::store::checksum::Checksum;
use crate::store::commit::{insert_chunk, insert_revision, insert_text, insert_vector};
use crate::store::history::{OriginalContent, Retention};
use crate::store::layout::FORMAT_VERSION;
use crate::store::records::chunk::{ChunkFields, vector_checksum};
use crate::store::records::revision::{self, RevisionFields};
use crate::store::records::values::{missing, verify};
use crate::store::records::{OLDEST_EPOCH, Records, SCHEMA};
use crate::store::sqlite::{from_epoch, to_number};
use crate::store::{Archive, ArchiveKind, ArchiveModel, BaseRecord, EpochStore, Error, Manifest, OpenOptions, recover};
use crate::worker::{Cancel, OnProgress, Progress};

/// The file of the vector index in a bundle.
const VECTORS_FILE: &str = "segment";

impl EpochStore {
    /// Seals one epoch, the published one if none is named. Reads and writes go on.
    pub fn seal(
        &self,
        base: &BaseRecord,
        models: Vec<ArchiveModel>,
        options: OpenOptions,
        as_of: Option<Epoch>,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Archive, Error> {
        let lease = self.lease(as_of)?;
        let directory = self.temporary_directory("bundle-")?;
        let store = directory.path().join(STORE_ENTRY);
        let counted = self.write_records(&store, lease.epoch(), cancel, on_progress)?;
        drop(lease);
        let records = Records::new(&store);
        let mut names = vec![STORE_ENTRY.to_owned()];
        names.extend(write_terms(directory.path(), &records, options, cancel)?);
        names.extend(write_vectors(directory.path(), &records, options, cancel, on_progress)?);
        drop(records);
        let settings = BaseRecord {
            // A bundle keeps what it holds, whatever the knowledge base would have kept.
            retention: Retention::default(),
            original_content: OriginalContent::default(),
            ..base.clone()
        };
        let mut manifest = Manifest::new(ArchiveKind::Bundle, settings);
        (manifest.epoch, manifest.oldest_epoch) = (EPOCH, EPOCH);
        (manifest.document_count, manifest.chunk_count) = counted;
        manifest.models = models;
        let mut files = Vec::new();
        for name in names {
            let (described, file) = describe(&directory.path().join(&name), &name, cancel, on_progress)?;
            manifest.files.push(described);
            files.push(file);
        }
        Ok(Archive::new(manifest, files, directory))
    }

    /// Writes what an epoch sees into a new database, and returns how many documents and chunks that is.
    fn write_records(
        &self,
        path: &Path,
        epoch: Epoch,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<(u64, u64), Error> {
        let in_database = |source| Error::database(path, source);
        let total = self.counts(epoch)?.0;
        let mut target = Connection::open(path).map_err(in_database)?;
        // One transaction without a journal: the file depends on what is inserted, and on nothing else.
        target
            .execute_batch(
                "PRAGMA page_size=4096; PRAGMA auto_vacuum=NONE; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
                 PRAGMA secure_delete=ON;",
            )
            .map_err(in_database)?;
        let transaction = target.transaction().map_err(in_database)?;
        transaction.execute_batch(SCHEMA.create).map_err(in_database)?;
        transaction
            .pragma_update(None, "user_version", FORMAT_VERSION)
            .map_err(in_database)?;
        let mut stopped = None;
        let counted = self.records.read(|source| {
            let mut copy = Copy::new(source, &transaction);
            copy.all(epoch, &mut |done| {
                on_progress(Progress {
                    stage: "sealing documents",
                    done,
                    total,
                });
                stopped = cancel.check().err();
                stopped.is_none()
            })
        })?;
        if let Some(stopped) = stopped {
            return Err(stopped.into());
        }
        transaction.commit().map_err(in_database)?;
        Ok(counted)
    }
}

/// Copies revisions from one database into another, under new numbers.
struct Copy<'a> {
    source: &'a Connection,
    target: &'a Connection,
    revision_id: i64,
    next_chunk: i64,
    contents: BTreeSet<String>,
}

impl<'a> Copy<'a> {
    fn new(source: &'a Connection, target: &'a Connection) -> Self {
        Self {
            source,
            target,
            revision_id: 0,
            next_chunk: 1,
            contents: BTreeSet::new(),
        }
    }

    /// Copies what `epoch` sees, by document id. Ends when `goes_on` says so, which is told how many documents are done.
    fn all(&mut self, epoch: Epoch, goes_on: &mut dyn FnMut(u64) -> bool) -> rusqlite::Result<(u64, u64)> {
        let mut statement = self.source.prepare(&format!(
            "SELECT {} FROM revision r WHERE {} ORDER BY r.document_id",
            revision::COLUMNS,
            revision::seen_at("?1")
        ))?;
        let mut rows = statement.query([from_epoch(epoch)])?;
        while let Some(row) = rows.next()? {
            if !goes_on(to_number(self.revision_id)) {
                return Ok((0, 0));
            }
            self.revision(row)?;
        }
        self.contents()?;
        let (documents, chunks) = (self.revision_id, self.next_chunk - 1);
        self.target.execute(
            "INSERT INTO state VALUES (?1, ?2)",
            params![OLDEST_EPOCH, from_epoch(EPOCH)],
        )?;
        self.target.execute(
            "INSERT INTO epoch VALUES (?1, 0, 'bundle', ?2, ?3)",
            params![from_epoch(EPOCH), documents, chunks],
        )?;
        Ok((to_number(documents), to_number(chunks)))
    }

    fn revision(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        // Compares the row with its checksum.
        revision::read(row, 0)?;
        let text = |column: usize| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        self.revision_id += 1;
        let (old_id, old_first): (i64, i64) = (row.get(0)?, row.get(11)?);
        let fields = RevisionFields {
            revision_id: self.revision_id,
            document_id: text(1)?,
            content_hash: text(2)?,
            settings_hash: text(3)?,
            title: row.get_ref(4)?.as_str_or_null()?,
            media_type: text(5)?,
            source_name: text(6)?,
            metadata: text(7)?,
            byte_size: row.get(8)?,
            text_bytes: row.get(9)?,
            text_is_content: row.get(10)?,
            has_content: row.get(17)?,
            first_chunk: self.next_chunk,
            chunk_count: row.get(12)?,
            created_at: 0,
            access: text(18)?,
        };
        self.target
            .prepare_cached("INSERT INTO document VALUES (?1, 'indexed', '', ?2, 0, 0)")?
            .execute(params![fields.document_id, fields.revision_id])?;
        insert_revision(self.target, &fields, EPOCH, Lifetime::NEVER)?;
        if fields.has_content && !fields.text_is_content {
            self.contents.insert(fields.content_hash.to_owned());
        }
        let text = self.text(old_id)?;
        insert_text(self.target, self.revision_id, &text)?;
        self.chunks(old_id, old_first, fields.chunk_count, &text)
    }

    fn text(&self, old_id: i64) -> rusqlite::Result<String> {
        self.source
            .prepare_cached("SELECT CAST(text AS TEXT), checksum FROM revision_text WHERE revision_id = ?1")?
            .query_row([old_id], |row| {
                let text: String = row.get(0)?;
                let computed = Checksum::default().text(&text).finish();
                verify("the text of revision", old_id, row.get(1)?, computed)?;
                Ok(text)
            })
    }

    fn chunks(&mut self, old_revision: i64, old_first: i64, count: i64, text: &str) -> rusqlite::Result<()> {
        let mut statement = self.source.prepare_cached(
            "SELECT c.chunk_id, c.span_start, c.span_end, c.code_point_start, c.heading_path, c.page, c.ordinal,
                    c.token_count, c.checksum, e.vector, e.checksum
             FROM chunk c JOIN embedding e USING (chunk_id) WHERE ?1 <= chunk_id AND chunk_id < ?2 ORDER BY chunk_id",
        )?;
        let mut rows = statement.query([old_first, old_first + count])?;
        while let Some(row) = rows.next()? {
            let old_chunk: i64 = row.get(0)?;
            let (start, end): (i64, i64) = (row.get(1)?, row.get(2)?);
            let span = to_number(start) as usize..to_number(end) as usize;
            let mut fields = ChunkFields {
                chunk_id: old_chunk,
                revision_id: old_revision,
                span_start: start,
                span_end: end,
                code_point_start: row.get(3)?,
                heading_path: row.get_ref(4)?.as_str()?,
                page: row.get(5)?,
                text: text.get(span).unwrap_or_default(),
            };
            verify("chunk", old_chunk, row.get(8)?, fields.checksum())?;
            let vector = row.get_ref(9)?.as_blob()?;
            verify(
                "the vector of chunk",
                old_chunk,
                row.get(10)?,
                vector_checksum(old_chunk, vector),
            )?;
            (fields.chunk_id, fields.revision_id) = (self.next_chunk, self.revision_id);
            insert_chunk(self.target, &fields, row.get(6)?, row.get(7)?)?;
            insert_vector(self.target, self.next_chunk, vector)?;
            self.next_chunk += 1;
        }
        Ok(())
    }

    /// Copies the kept contents, by hash.
    fn contents(&self) -> rusqlite::Result<()> {
        for hash in &self.contents {
            let compressed: Option<Vec<u8>> = self
                .source
                .prepare_cached("SELECT compressed FROM content WHERE content_hash = ?1")?
                .query_row([hash], |row| row.get(0))
                .optional()?;
            let compressed = compressed.ok_or_else(|| missing(format!("the content {hash}")))?;
            self.target
                .prepare_cached("INSERT INTO content VALUES (?1, ?2)")?
                .execute(params![hash, compressed])?;
        }
        Ok(())
    }
}

/// Writes the keyword index, and returns the names of its files in the bundle.
fn write_terms(
    directory: &Path,
    records: &Records,
    options: OpenOptions,
    cancel: &Cancel,
) -> Result<Vec<String>, Error> {
    let mut terms = TermsBundle::create(&directory.join(TERMS_PREFIX), options.language).map_err(Error::Index)?;
    records.term_records(Epoch(0), EPOCH, |record| {
        cancel.check()?;
        terms.add(&record.row()).map_err(Error::Index)
    })?;
    let names = terms.finish(EPOCH).map_err(Error::Index)?;
    Ok(names.into_iter().map(|name| format!("{TERMS_PREFIX}{name}")).collect())
}

/// Writes the vector index, and returns the name of its file in the bundle, if there are vectors.
fn write_vectors(
    directory: &Path,
    records: &Records,
    options: OpenOptions,
    cancel: &Cancel,
    on_progress: &mut OnProgress<'_>,
) -> Result<Option<String>, Error> {
    let gathering: PathBuf = directory.join("gathering");
    let vectors = Vectors::create_anew(&gathering, options.dimensions).map_err(Error::Index)?;
    recover::insert_vectors(&vectors, records)?;
    let parent = directory.join(VECTORS_PREFIX);
    std::fs::create_dir_all(&parent).map_err(|source| Error::file(&parent, source))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut stopped = None;
    let mut pause = |now: crate::index::Progress| {
        on_progress(Progress {
            stage: "sealing vectors",
            done: now.done as u64,
            total: now.total as u64,
        });
        stopped = cancel.check().err();
        match stopped {
            Some(_) => std::ops::ControlFlow::Break(()),
            None => std::ops::ControlFlow::Continue(()),
        }
    };
    let all = |_: ChunkId| true;
    let written = vectors
        .write_bundle(&parent.join(VECTORS_FILE), &all, threads, &mut pause)
        .map_err(Error::Index)?;
    match stopped {
        Some(stopped) => Err(stopped.into()),
        None => Ok(written.map(|_| format!("{VECTORS_PREFIX}{VECTORS_FILE}"))),
    }
}
