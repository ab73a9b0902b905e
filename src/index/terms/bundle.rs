//! A keyword index of one segment that never changes: written once, the same bytes for the same rows, and read from
//! slices of a larger file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, OwnedBytes, WatchCallback, WatchHandle, WritePtr,
};
use tantivy::tokenizer::TokenizerManager;
use tantivy::{Index, ReloadPolicy, SingleSegmentIndexWriter, TantivyError};

use super::engine::{Engine, META_FILE, WRITER_MEMORY_BYTES, Writer};
use super::{Payload, TermRow, Terms, TermsState, check_payload, opening, schema};
use crate::index::analyzer::Analyzer;
use crate::index::{Epoch, Error, Language};
use schema::Fields;

/// The file that names the segment.
/// Takes the place of the random id that a segment is born with.
const SEGMENT_ID: &str = "00000000-0000-0000-0000-000000000001";

/// A sealed keyword index in the making.
pub struct TermsBundle {
    directory: PathBuf,
    language: Language,
    analyzer: Analyzer,
    fields: Fields,
    writer: SingleSegmentIndexWriter,
    rows: u64,
}

impl fmt::Debug for TermsBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TermsBundle")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl TermsBundle {
    /// Begins one in `directory`, which is made.
    pub fn create(directory: &Path, language: Language) -> Result<Self, Error> {
        fs::create_dir_all(directory).map_err(|source| Error::io("make the directory", directory, source))?;
        let files = MmapDirectory::open(directory).map_err(|source| opening(directory, source.into()))?;
        let analyzer = Analyzer::new(language);
        let (schema, fields) = schema::build(analyzer.detects());
        let tokenizers = TokenizerManager::default();
        tokenizers.register(schema::ANALYZER_NAME, analyzer.indexing());
        let writer = Index::builder()
            .schema(schema)
            .tokenizers(tokenizers)
            .single_segment_index_writer(files, WRITER_MEMORY_BYTES)
            .map_err(|source| opening(directory, source))?;
        Ok(Self {
            directory: directory.to_owned(),
            language,
            analyzer,
            fields,
            writer,
            rows: 0,
        })
    }

    /// Adds a chunk.
    pub fn add(&mut self, row: &TermRow<'_>) -> Result<(), Error> {
        self.rows += 1;
        let added = self.writer.add_document(self.fields.document(row, &self.analyzer));
        added.map_err(|source| Error::terms("add a chunk", source))
    }

    /// Writes all that was added under this epoch, and returns the names of the files in the directory, sorted.
    pub fn finish(self, epoch: Epoch) -> Result<Vec<String>, Error> {
        let Self {
            directory,
            language,
            writer,
            rows,
            ..
        } = self;
        let failed = |source: TantivyError| Error::terms("be sealed", source);
        let index = writer.finalize().map_err(failed)?;
        let segments = index.searchable_segment_metas().map_err(failed)?;
        drop(index);
        let mut names = Vec::new();
        for segment in segments.iter().filter(|_| rows > 0) {
            names.extend(rename(&directory, &segment.id().uuid_string())?);
        }
        let state = TermsState {
            epoch: Some(epoch),
            removal: 0,
        };
        write_meta(&directory, &Payload::new(language, state), rows)?;
        names.push(META_FILE.to_owned());
        names.sort();
        Ok(names)
    }
}

/// Puts the fixed id in place of the random one in the names of a segment's files, and returns them.
fn rename(directory: &Path, random: &str) -> Result<Vec<String>, Error> {
    let in_directory = |source| Error::io("read", directory, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(in_directory)? {
        let from = entry.map_err(in_directory)?.path();
        let name = from.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(kind) = name.strip_prefix(random) {
            let name = format!("{}{kind}", SEGMENT_ID.replace('-', ""));
            fs::rename(&from, directory.join(&name)).map_err(|source| Error::io("rename", &from, source))?;
            names.push(name);
        }
    }
    Ok(names)
}

/// Gives the one segment its fixed id, and the index its payload. Without rows there is no segment.
fn write_meta(directory: &Path, payload: &Payload, rows: u64) -> Result<(), Error> {
    let path = directory.join(META_FILE);
    let described = |source| Error::terms("describe the commit", source);
    let bytes = fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
    let mut meta: serde_json::Value = serde_json::from_slice(&bytes).map_err(described)?;
    if rows == 0 {
        meta["segments"] = serde_json::json!([]);
    } else {
        meta["segments"][0]["segment_id"] = SEGMENT_ID.into();
    }
    meta["opstamp"] = 0.into();
    meta["payload"] = serde_json::to_string(payload).map_err(described)?.into();
    let mut bytes = serde_json::to_vec_pretty(&meta).map_err(described)?;
    bytes.push(b'\n');
    fs::write(&path, bytes).map_err(|source| Error::io("write", &path, source))
}

impl Terms {
    /// Opens a sealed index whose files are these, for searching only. `path` names it in messages.
    pub fn open_bundle(
        path: &Path,
        files: BTreeMap<String, &'static [u8]>,
        language: Language,
    ) -> Result<(Self, TermsState), Error> {
        let failed = |source| opening(path, source);
        let index = Index::open(Sealed(Arc::new(files))).map_err(failed)?;
        let state = check_payload(path, &index, language, schema::FIRST_SCHEMA_VERSION)?;
        let analyzer = Analyzer::new(language);
        index.tokenizers().register(schema::ANALYZER_NAME, analyzer.indexing());
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(failed)?;
        let engine = Engine {
            index,
            reader,
            writer: Writer::Sealed,
        };
        Ok((Self::with_engine(path, language, analyzer, engine)?, state))
    }
}

/// A directory of files that lie in memory, or in a map of a larger file, and never change.
#[derive(Debug, Clone)]
struct Sealed(Arc<BTreeMap<String, &'static [u8]>>);

impl Sealed {
    fn bytes(&self, path: &Path) -> Result<&'static [u8], OpenReadError> {
        let found = path.to_str().and_then(|name| self.0.get(name));
        found
            .copied()
            .ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the keyword index is sealed")
}

impl Directory for Sealed {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        Ok(Arc::new(OwnedBytes::new(self.bytes(path)?)))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError {
            io_error: Arc::new(refused()),
            filepath: path.to_owned(),
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.bytes(path).is_ok())
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(refused(), path.to_owned()))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.bytes(path).map(<[u8]>::to_vec)
    }

    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(refused())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        // Nobody writes, so that there is nobody to be kept out.
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
