//! The keyword index: writing it, and which commit of it is current.
//!
//! Comes in: chunks with their headings. Goes out: a [`TermsSnapshot`] to search in.
//! Always holds: the payload of each commit names its epoch, the language and the version of what is written, so that
//! an index is either current or asks to be made again; readers see whole commits only.
//! Not here: positions and texts; tantivy keeps terms, their frequencies and chunk ids, nothing else.

mod bundle;
mod schema;
mod snapshot;

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tantivy::directory::MmapDirectory;
use tantivy::directory::error::OpenReadError;
use tantivy::indexer::IndexWriterOptions;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyError, Term};

use super::analyzer::{ANALYZER_VERSION, Analyzer};
use super::{ChunkId, Epoch, Error, Language};
pub use bundle::TermsBundle;
use schema::Fields;
pub use snapshot::TermsSnapshot;

/// Bytes of new rows that the writer gathers before it writes a segment.
const WRITER_MEMORY_BYTES: usize = 64 << 20;

/// Times that a purge reads the list of segments again before it gives up.
const PURGE_ATTEMPTS: u32 = 100;

/// What is indexed of a chunk.
#[derive(Debug, Clone, Copy)]
pub struct TermRow<'a> {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its document's title; empty when there is none.
    pub title: &'a str,
    /// Headings above it.
    pub headings: &'a [String],
    /// Its text.
    pub text: &'a str,
}

/// How far a keyword index is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TermsState {
    /// Epoch of its last commit; nothing before the first.
    pub epoch: Option<Epoch>,
    /// Number of the last removal that is in it; 0 before the first.
    pub removal: u64,
}

/// What each commit says about itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Payload {
    schema_version: u32,
    analyzer_version: u32,
    language: String,
    epoch: Option<u64>,
    /// Number of the last removal that is in it.
    #[serde(default)]
    removal: u64,
}

impl Payload {
    fn new(language: Language, state: TermsState) -> Self {
        Self {
            schema_version: schema::SCHEMA_VERSION,
            analyzer_version: ANALYZER_VERSION,
            language: language.code().to_owned(),
            epoch: state.epoch.map(|epoch| epoch.0),
            removal: state.removal,
        }
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            schema_version,
            analyzer_version,
            language,
            ..
        } = self;
        write!(
            f,
            "schema {schema_version}, analyzer {analyzer_version}, language `{language}`"
        )
    }
}

/// The keyword index of one knowledge base.
pub struct Terms {
    directory: PathBuf,
    language: Language,
    fields: Fields,
    analyzer: Arc<Analyzer>,
    // Adding needs the writer shared, committing needs it alone. A sealed index has none.
    writer: Option<RwLock<IndexWriter>>,
    index: Index,
    reader: IndexReader,
    current: RwLock<TermsSnapshot>,
    refreshing: Mutex<()>,
}

impl Terms {
    /// Opens the index in `directory`, making it when there is none; tells how far it is.
    ///
    /// Reads every file once to compare checksums, so that later reads can trust them. Where
    /// [`Error::wants_rebuild`] holds, [`Terms::create_anew`] is the answer.
    pub fn open(directory: &Path, language: Language) -> Result<(Self, TermsState), Error> {
        fs::create_dir_all(directory).map_err(|source| Error::io("make the directory", directory, source))?;
        let files = MmapDirectory::open(directory).map_err(|source| opening(directory, source.into()))?;
        let exists = Index::exists(&files).map_err(|source| opening(directory, source.into()))?;
        if !exists {
            return Self::create(directory, files, language).map(|terms| (terms, TermsState::default()));
        }
        let index = Index::open(files).map_err(|source| opening(directory, source))?;
        let state = check_payload(directory, &index, language)?;
        let damaged = index.validate_checksum().map_err(|source| opening(directory, source))?;
        if let Some(file) = damaged.iter().min() {
            return Err(Error::damaged(
                directory,
                format!("checksum of {} differs", file.display()),
            ));
        }
        Ok((Self::with_index(directory, &index, language)?, state))
    }

    /// Wipes `directory` and makes an empty index there.
    pub fn create_anew(directory: &Path, language: Language) -> Result<Self, Error> {
        match fs::remove_dir_all(directory) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove", directory, source));
            }
            _ => {}
        }
        fs::create_dir_all(directory).map_err(|source| Error::io("make the directory", directory, source))?;
        let files = MmapDirectory::open(directory).map_err(|source| opening(directory, source.into()))?;
        Self::create(directory, files, language)
    }

    fn create(directory: &Path, files: MmapDirectory, language: Language) -> Result<Self, Error> {
        let (schema, _) = schema::build();
        let index = Index::create(files, schema, tantivy::IndexSettings::default())
            .map_err(|source| opening(directory, source))?;
        let terms = Self::with_index(directory, &index, language)?;
        // An empty commit, so that the language is known from the beginning.
        terms.commit_payload(&Payload::new(language, TermsState::default()))?;
        Ok(terms)
    }

    fn with_index(directory: &Path, index: &Index, language: Language) -> Result<Self, Error> {
        let opening = |source| opening(directory, source);
        let fields = Fields::of(&index.schema()).ok_or_else(|| mismatch(directory, language, "another schema"))?;
        let analyzer = Arc::new(Analyzer::new(language));
        index.tokenizers().register(schema::ANALYZER_NAME, analyzer.indexing());
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(WRITER_MEMORY_BYTES)
            .build();
        let writer: IndexWriter = index.writer_with_options(options).map_err(opening)?;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(opening)?;
        let snapshot = TermsSnapshot::new(reader.searcher(), fields, Arc::clone(&analyzer)).map_err(opening)?;
        Ok(Self {
            directory: directory.to_owned(),
            language,
            fields,
            analyzer,
            writer: Some(RwLock::new(writer)),
            index: index.clone(),
            reader,
            current: RwLock::new(snapshot),
            refreshing: Mutex::default(),
        })
    }

    fn writer(&self) -> Result<&RwLock<IndexWriter>, Error> {
        let sealed = || Error::terms("be changed", "it is sealed and can only be searched");
        self.writer.as_ref().ok_or_else(sealed)
    }

    /// Adds a chunk; it is found after the next commit. A chunk is added once: adding it again counts it twice.
    pub fn add(&self, row: &TermRow<'_>) -> Result<(), Error> {
        let added = self.writer()?.read().add_document(self.fields.document(row));
        added.map(drop).map_err(|source| Error::terms("add a chunk", source))
    }

    /// Removes chunks; they are gone after the next commit.
    pub fn remove(&self, chunk_ids: &[ChunkId]) -> Result<(), Error> {
        let writer = self.writer()?.read();
        for chunk_id in chunk_ids {
            writer.delete_term(Term::from_field_u64(self.fields.chunk_id, chunk_id.0));
        }
        Ok(())
    }

    /// Removes all chunks; they are gone after the next commit, and so are the files that held them.
    pub fn remove_all(&self) -> Result<(), Error> {
        let removed = self.writer()?.read().delete_all_documents();
        removed
            .map(drop)
            .map_err(|source| Error::terms("remove all chunks", source))
    }

    /// Makes what was added and removed durable and visible, under this epoch and number of the last removal.
    pub fn commit(&self, epoch: Epoch, removal: u64) -> Result<(), Error> {
        let state = TermsState {
            epoch: Some(epoch),
            removal,
        };
        self.commit_payload(&Payload::new(self.language, state))
    }

    /// Rewrites every segment that holds removed chunks, and deletes the old files. What was removed is gone from the
    /// directory when this returns, but for files that a reader still holds.
    pub fn purge(&self) -> Result<(), Error> {
        let failed = |source: TantivyError| Error::terms("be purged", source);
        let mut writer = self.writer()?.write();
        for attempt in 1.. {
            let segments = self.index.searchable_segment_metas().map_err(failed)?;
            let stale: Vec<_> = segments
                .iter()
                .filter(|segment| segment.has_deletes())
                .map(tantivy::SegmentMeta::id)
                .collect();
            if stale.is_empty() {
                break;
            }
            for segment in stale {
                // A merge in the background may have taken the segment meanwhile: then the list is read again.
                match writer.merge(&[segment]).wait() {
                    Err(error) if attempt >= PURGE_ATTEMPTS => return Err(failed(error)),
                    Err(error) => tracing::debug!(error = %error, "a segment was merged by another"),
                    Ok(_) => {}
                }
            }
        }
        drop(writer);
        self.refresh()?;
        let writer = self.writer()?.read();
        writer.garbage_collect_files().wait().map(drop).map_err(failed)
    }

    /// Returns the number of segments.
    pub fn segments(&self) -> usize {
        self.current.read().segment_count()
    }

    /// Compares the checksums of all files with their content and returns those that differ.
    pub fn verify(&self) -> Result<Vec<PathBuf>, Error> {
        let damaged = self
            .index
            .validate_checksum()
            .map_err(|source| Error::terms("be verified", source))?;
        Ok(damaged.into_iter().collect())
    }

    /// Returns how far the last commit on disk is.
    pub fn state(&self) -> Result<TermsState, Error> {
        check_payload(&self.directory, &self.index, self.language)
    }

    /// Forgets what was added and removed since the last commit.
    pub fn rollback(&self) -> Result<(), Error> {
        let rolled_back = self.writer()?.write().rollback();
        rolled_back
            .map(drop)
            .map_err(|source| Error::terms("roll back", source))
    }

    fn commit_payload(&self, payload: &Payload) -> Result<(), Error> {
        let failed = |source: TantivyError| Error::terms("commit", source);
        let payload = serde_json::to_string(payload).map_err(|source| Error::terms("describe the commit", source))?;
        let mut writer = self.writer()?.write();
        let mut commit = writer.prepare_commit().map_err(failed)?;
        commit.set_payload(&payload);
        commit.commit().map_err(failed)?;
        drop(writer);
        self.refresh()
    }

    /// Returns whether merges in the background have made segments that readers do not see yet.
    pub fn wants_refresh(&self) -> bool {
        let shown = self.current.read().segment_count();
        self.index
            .searchable_segment_ids()
            .is_ok_and(|segments| segments.len() != shown)
    }

    /// Shows readers the segments that merges in the background have made since the last commit.
    pub fn refresh(&self) -> Result<(), Error> {
        // One after another, so that an older state never takes the place of a newer one.
        let _alone = self.refreshing.lock();
        let failed = |source: TantivyError| Error::terms("be read", source);
        self.reader.reload().map_err(failed)?;
        let snapshot =
            TermsSnapshot::new(self.reader.searcher(), self.fields, Arc::clone(&self.analyzer)).map_err(failed)?;
        *self.current.write() = snapshot;
        Ok(())
    }

    /// Returns how many chunks the last commit holds.
    pub fn rows(&self) -> u64 {
        self.current.read().rows()
    }

    /// Returns the index as the last commit left it.
    pub fn snapshot(&self) -> TermsSnapshot {
        self.current.read().clone()
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms")
            .field("language", &self.language)
            .field("rows", &self.rows())
            .finish_non_exhaustive()
    }
}

fn check_payload(directory: &Path, index: &Index, language: Language) -> Result<TermsState, Error> {
    let metas = index.load_metas().map_err(|source| opening(directory, source))?;
    let Some(payload) = metas.payload else {
        // Made, but its first commit never came.
        return if metas.segments.is_empty() {
            Err(mismatch(directory, language, "no settings"))
        } else {
            Err(Error::damaged(directory, "the commit does not name its epoch"))
        };
    };
    let found: Payload = serde_json::from_str(&payload).map_err(|source| Error::damaged(directory, source))?;
    let state = TermsState {
        epoch: found.epoch.map(Epoch),
        removal: found.removal,
    };
    if found != Payload::new(language, state) {
        return Err(mismatch(directory, language, found));
    }
    Ok(state)
}

fn mismatch(directory: &Path, language: Language, found: impl fmt::Display) -> Error {
    Error::Mismatch {
        path: PathBuf::from(directory),
        expected: Payload::new(language, TermsState::default()).to_string(),
        found: found.to_string(),
    }
}

/// Tells damage, which a rebuild mends, from trouble that it would not mend: a lock, missing rights, a full disk.
fn opening(directory: &Path, source: TantivyError) -> Error {
    let damaged = match &source {
        TantivyError::OpenReadError(OpenReadError::IoError { io_error, .. }) | TantivyError::IoError(io_error) => {
            matches!(io_error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
        }
        TantivyError::OpenReadError(_)
        | TantivyError::DataCorruption(_)
        | TantivyError::SchemaError(_)
        | TantivyError::DeserializeError(_)
        | TantivyError::InternalError(_)
        | TantivyError::IncompatibleIndex(_) => true,
        _ => false,
    };
    if damaged {
        Error::damaged(directory, source)
    } else {
        Error::terms("be opened", source)
    }
}

#[cfg(test)]
mod tests;
