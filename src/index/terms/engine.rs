//! The files of the keyword index as tantivy has them open: replaceable as a whole, because a writer of tantivy that has
//! failed stays unable to write.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use tantivy::directory::MmapDirectory;
use tantivy::indexer::IndexWriterOptions;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyError};

use super::{Payload, TermsState, opening, schema};
use crate::index::analyzer::Analyzer;
use crate::index::{Error, Language};

/// Bytes of new rows that the writer gathers before it writes a segment.
pub(super) const WRITER_MEMORY_BYTES: usize = 64 << 20;

/// tantivy's file that names the segments of the last commit.
pub(super) const META_FILE: &str = "meta.json";

/// The files as tantivy has them open.
pub(super) struct Engine {
    pub(super) index: Index,
    pub(super) reader: IndexReader,
    pub(super) writer: Writer,
}

/// Who changes the files.
pub(super) enum Writer {
    Open(Box<IndexWriter>),
    /// It failed, and could not be opened again yet.
    Lost,
    /// There is none: the index is sealed.
    Sealed,
}

impl Engine {
    /// Makes an empty index in `directory`, with a commit that names the language.
    pub(super) fn create(directory: &Path, language: Language, analyzer: &Analyzer) -> Result<Self, Error> {
        let files = MmapDirectory::open(directory).map_err(|source| opening(directory, source.into()))?;
        let (schema, _) = schema::build(analyzer.detects());
        let index = Index::create(files, schema, tantivy::IndexSettings::default())
            .map_err(|source| opening(directory, source))?;
        let mut engine = Self::with_index(directory, index, analyzer)?;
        engine.commit(&Payload::new(language, TermsState::default()))?;
        Ok(engine)
    }

    pub(super) fn with_index(directory: &Path, index: Index, analyzer: &Analyzer) -> Result<Self, Error> {
        let opening = |source| opening(directory, source);
        index.tokenizers().register(schema::ANALYZER_NAME, analyzer.indexing());
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(WRITER_MEMORY_BYTES)
            .build();
        let writer: IndexWriter = index.writer_with_options(options).map_err(opening)?;
        // A commit that a killed process began has left files, whose names the next commit may want.
        if let Err(error) = writer.garbage_collect_files().wait() {
            tracing::warn!(directory = %directory.display(), %error, "cannot remove what an unfinished commit left");
        }
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(opening)?;
        Ok(Self {
            index,
            reader,
            writer: Writer::Open(Box::new(writer)),
        })
    }

    pub(super) fn writer(&self) -> Result<&IndexWriter, Error> {
        match &self.writer {
            Writer::Open(writer) => Ok(writer),
            closed => Err(closed.refusal()),
        }
    }

    pub(super) fn writer_mut(&mut self) -> Result<&mut IndexWriter, Error> {
        match &mut self.writer {
            Writer::Open(writer) => Ok(writer),
            closed => Err(closed.refusal()),
        }
    }

    pub(super) fn commit(&mut self, payload: &Payload) -> Result<(), Error> {
        let failed = |source: TantivyError| Error::terms("commit", source);
        let payload = serde_json::to_string(payload).map_err(|source| Error::terms("describe the commit", source))?;
        let mut commit = self.writer_mut()?.prepare_commit().map_err(failed)?;
        commit.set_payload(&payload);
        commit.commit().map(drop).map_err(failed)
    }
}

impl Writer {
    /// Why there is none.
    pub(super) fn refusal(&self) -> Error {
        let why = match self {
            Self::Sealed => "it is sealed and can only be searched",
            Self::Open(_) | Self::Lost => "its files could not be opened again after a failure",
        };
        Error::terms("be changed", why)
    }
}

/// Opens the files in `directory`, if there is an index.
pub(super) fn open_index(directory: &Path) -> Result<Option<Index>, Error> {
    let files = MmapDirectory::open(directory).map_err(|source| opening(directory, source.into()))?;
    if !Index::exists(&files).map_err(|source| opening(directory, source.into()))? {
        return Ok(None);
    }
    Index::open(files)
        .map(Some)
        .map_err(|source| opening(directory, source))
}

/// Makes a directory that holds nothing, whatever was there.
pub(super) fn wipe(directory: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(directory) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            return Err(Error::io("remove", directory, source));
        }
        _ => {}
    }
    fs::create_dir_all(directory).map_err(|source| Error::io("make the directory", directory, source))
}
