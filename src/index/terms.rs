//! The keyword index: writing it, and which commit of it is current.
//!
//! Comes in: chunks with their headings. Goes out: a [`TermsSnapshot`] to search in.
//! Always holds: the payload of each commit names its epoch, the language and the version of what is written, so that
//! an index is either current or asks to be made again; readers see whole commits only.
//! Not here: texts; tantivy keeps terms, where they stand, and chunk ids, nothing else.

mod asked;
mod bundle;
mod consolidation;
mod engine;
mod listing;
mod order;
mod passage;
mod schema;
mod snapshot;

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tantivy::directory::error::OpenReadError;
use tantivy::{FutureResult, Index, SegmentMeta, TantivyError, Term};

use super::analyzer::{ANALYZER_VERSION, Analyzer};
use super::{ChunkId, Epoch, Error, Language};
pub use asked::AskedTerms;
pub use bundle::TermsBundle;
use engine::{Engine, META_FILE, Writer};
pub use passage::PassageScore;
use schema::Fields;
pub use snapshot::{TermField, TermPart, TermsSnapshot};

/// Ending of tantivy's files that say which rows were removed; old ones go at any time.
const DELETES_SUFFIX: &str = ".del";

/// Times that a purge reads the list of segments again before it gives up.
const PURGE_ATTEMPTS: u32 = 100;

/// What is indexed of a chunk.
#[derive(Debug, Clone, Copy)]
pub struct TermRow<'a> {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its place in its revision, from 0.
    pub ordinal: u32,
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
    // Adding needs it shared, committing needs it alone.
    engine: RwLock<Engine>,
    current: RwLock<TermsSnapshot>,
    refreshing: Mutex<()>,
    /// The merge that was asked for, and not heard of since.
    merging: Mutex<Option<FutureResult<Option<SegmentMeta>>>>,
}

impl Terms {
    /// Opens the index in `directory`, making it when there is none; tells how far it is.
    ///
    /// Reads every file once to compare checksums, so that later reads can trust them. Where
    /// [`Error::wants_rebuild`] holds, [`Terms::create_anew`] is the answer.
    pub fn open(directory: &Path, language: Language) -> Result<(Self, TermsState), Error> {
        fs::create_dir_all(directory).map_err(|source| Error::io("make the directory", directory, source))?;
        let analyzer = Analyzer::new(language);
        let Some(index) = engine::open_index(directory)? else {
            let engine = Engine::create(directory, language, &analyzer)?;
            let terms = Self::with_engine(directory, language, analyzer, engine)?;
            return Ok((terms, TermsState::default()));
        };
        let state = check_payload(directory, &index, language, schema::SCHEMA_VERSION)?;
        let damaged = index.validate_checksum().map_err(|source| opening(directory, source))?;
        if let Some(file) = damaged.iter().min() {
            return Err(Error::damaged(
                directory,
                format!("checksum of {} differs", file.display()),
            ));
        }
        let engine = Engine::with_index(directory, index, &analyzer)?;
        Ok((Self::with_engine(directory, language, analyzer, engine)?, state))
    }

    /// Wipes `directory` and makes an empty index there.
    pub fn create_anew(directory: &Path, language: Language) -> Result<Self, Error> {
        engine::wipe(directory)?;
        let analyzer = Analyzer::new(language);
        let engine = Engine::create(directory, language, &analyzer)?;
        Self::with_engine(directory, language, analyzer, engine)
    }

    fn with_engine(directory: &Path, language: Language, analyzer: Analyzer, engine: Engine) -> Result<Self, Error> {
        let fields =
            Fields::of(&engine.index.schema()).ok_or_else(|| mismatch(directory, language, "another schema"))?;
        let analyzer = Arc::new(analyzer);
        let snapshot = TermsSnapshot::new(engine.reader.searcher(), fields, Arc::clone(&analyzer), None)
            .map_err(|source| opening(directory, source))?;
        Ok(Self {
            directory: directory.to_owned(),
            language,
            fields,
            analyzer,
            engine: RwLock::new(engine),
            current: RwLock::new(snapshot),
            refreshing: Mutex::default(),
            merging: Mutex::default(),
        })
    }

    /// Wipes the directory and makes an empty index there, in place of this one. Readers see the last commit until the
    /// next.
    pub fn renew(&self) -> Result<(), Error> {
        *self.merging.lock() = None;
        let mut engine = self.engine.write();
        if matches!(engine.writer, Writer::Sealed) {
            return Err(engine.writer.refusal());
        }
        // Its lock on the directory and its threads go first.
        engine.writer = Writer::Lost;
        engine::wipe(&self.directory)?;
        *engine = Engine::create(&self.directory, self.language, &self.analyzer)?;
        Ok(())
    }

    /// Returns whether the file that names all others is still there.
    pub fn is_in_place(&self) -> bool {
        let is_sealed = matches!(self.engine.read().writer, Writer::Sealed);
        is_sealed || self.directory.join(META_FILE).is_file()
    }

    /// Adds a chunk; it is found after the next commit. A chunk is added once: adding it again counts it twice.
    pub fn add(&self, row: &TermRow<'_>) -> Result<(), Error> {
        let added = self
            .engine
            .read()
            .writer()?
            .add_document(self.fields.document(row, &self.analyzer));
        added.map(drop).map_err(|source| Error::terms("add a chunk", source))
    }

    /// Removes chunks; they are gone after the next commit.
    pub fn remove(&self, chunk_ids: &[ChunkId]) -> Result<(), Error> {
        let engine = self.engine.read();
        let writer = engine.writer()?;
        for chunk_id in chunk_ids {
            writer.delete_term(Term::from_field_u64(self.fields.chunk_id, chunk_id.0));
        }
        Ok(())
    }

    /// Removes all chunks; they are gone after the next commit, and so are the files that held them.
    pub fn remove_all(&self) -> Result<(), Error> {
        let removed = self.engine.read().writer()?.delete_all_documents();
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
        self.engine.write().commit(&Payload::new(self.language, state))?;
        self.refresh()
    }

    /// Rewrites every segment that holds removed chunks, and deletes the old files. What was removed is gone from the
    /// directory when this returns, but for files that a reader still holds.
    pub fn purge(&self) -> Result<(), Error> {
        let failed = |source: TantivyError| Error::terms("be purged", source);
        let mut engine = self.engine.write();
        for attempt in 1.. {
            let segments = engine.index.searchable_segment_metas().map_err(failed)?;
            let stale: Vec<_> = segments
                .iter()
                .filter(|segment| segment.has_deletes())
                .map(SegmentMeta::id)
                .collect();
            if stale.is_empty() {
                break;
            }
            for segment in stale {
                // A merge in the background may have taken the segment meanwhile: then the list is read again.
                match engine.writer_mut()?.merge(&[segment]).wait() {
                    Err(error) if attempt >= PURGE_ATTEMPTS => return Err(failed(error)),
                    Err(error) => tracing::debug!(error = %error, "a segment was merged by another"),
                    Ok(_) => {}
                }
            }
        }
        drop(engine);
        self.refresh()?;
        let engine = self.engine.read();
        let collected = engine.writer()?.garbage_collect_files().wait();
        collected.map(drop).map_err(failed)
    }

    /// Returns the number of segments.
    pub fn segments(&self) -> usize {
        self.current.read().segment_count()
    }

    /// Compares the checksums of all files with their content, and returns those that differ or are gone.
    pub fn verify(&self) -> Result<Vec<PathBuf>, Error> {
        let failed = |source: TantivyError| Error::terms("be verified", source);
        let index = self.index();
        let mut damaged = index.validate_checksum().map_err(failed)?;
        // A file that is open can be read after its name is gone, and the next opening misses it.
        let segments = index.searchable_segment_ids().map_err(failed)?;
        let is_needed = |path: &Path| {
            let name = path.to_string_lossy();
            let of_segment = segments.iter().any(|id| name.starts_with(&id.uuid_string()));
            of_segment && !name.ends_with(DELETES_SUFFIX)
        };
        let files = index.directory().list_managed_files().into_iter();
        damaged.extend(files.filter(|path| is_needed(path) && !self.directory.join(path).is_file()));
        Ok(damaged.into_iter().collect())
    }

    /// Returns how far the last commit on disk is.
    pub fn state(&self) -> Result<TermsState, Error> {
        check_payload(&self.directory, &self.index(), self.language, schema::SCHEMA_VERSION)
    }

    /// Forgets what was added and removed since the last commit, and opens the files again, whatever happened to those
    /// that were open. Where [`Error::wants_rebuild`] holds, [`Terms::renew`] is the answer.
    pub fn rollback(&self) -> Result<(), Error> {
        *self.merging.lock() = None;
        let mut engine = self.engine.write();
        if matches!(engine.writer, Writer::Sealed) {
            return Err(engine.writer.refusal());
        }
        engine.writer = Writer::Lost;
        let gone = || Error::damaged(&self.directory, "its files are gone");
        if !self.directory.join(META_FILE).is_file() {
            return Err(gone());
        }
        let index = engine::open_index(&self.directory)?.ok_or_else(gone)?;
        *engine = Engine::with_index(&self.directory, index, &self.analyzer)?;
        Ok(())
    }

    /// The files, to be read without holding up who changes them.
    fn index(&self) -> Index {
        self.engine.read().index.clone()
    }

    /// Returns whether merges in the background have made segments that readers do not see yet.
    pub fn wants_refresh(&self) -> bool {
        let shown = self.current.read().segment_count();
        self.index()
            .searchable_segment_ids()
            .is_ok_and(|segments| segments.len() != shown)
    }

    /// Shows readers the segments that merges in the background have made since the last commit.
    pub fn refresh(&self) -> Result<(), Error> {
        // One after another, so that an older state never takes the place of a newer one.
        let _alone = self.refreshing.lock();
        let failed = |source: TantivyError| Error::terms("be read", source);
        let reader = self.engine.read().reader.clone();
        reader.reload().map_err(failed)?;
        let before = self.snapshot();
        let snapshot = TermsSnapshot::new(
            reader.searcher(),
            self.fields,
            Arc::clone(&self.analyzer),
            Some(&before),
        )
        .map_err(failed)?;
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

fn check_payload(directory: &Path, index: &Index, language: Language, oldest_schema: u32) -> Result<TermsState, Error> {
    let metas = index.load_metas().map_err(|source| opening(directory, source))?;
    let Some(payload) = metas.payload else {
        // Made, but its first commit never came.
        return if metas.segments.is_empty() {
            Err(mismatch(directory, language, "no settings"))
        } else {
            Err(Error::damaged(directory, "the commit does not name its epoch"))
        };
    };
    let mut found: Payload = serde_json::from_str(&payload).map_err(|source| Error::damaged(directory, source))?;
    let state = TermsState {
        epoch: found.epoch.map(Epoch),
        removal: found.removal,
    };
    if (oldest_schema..schema::SCHEMA_VERSION).contains(&found.schema_version) {
        found.schema_version = schema::SCHEMA_VERSION;
    }
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
