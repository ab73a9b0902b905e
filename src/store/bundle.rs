//! Bundles: one epoch of a knowledge base in one file that never changes and is served as it is.
//!
//! Comes in: an epoch, or a file. Goes out: an archive, or an [`EpochStore`] that refuses writes.
//! Always holds: the same documents with the same vectors give the same bytes, whenever and in whatever order they came.
//! So revisions and chunks are numbered by document id, the one epoch is 1, and no time is kept; a file is served only
//! after all of its hashes were compared.
//! Not here: the container (see `archive`), and which bundles are served (see [`crate::knowledge_base`]).

mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::archive::{STORE_ENTRY, TERMS_PREFIX, VECTORS_PREFIX};
use super::layout::{FORMAT_VERSION, OLDEST_BUNDLE_FORMAT};
use super::records::{Records, TakenBytes};
use super::recover::{self, Recovered};
use super::{ArchiveKind, ArchiveReader, EpochStore, Error, Manifest, OpenOptions, Refusal};
use crate::index::{Epoch, Terms, Vectors, Visibility};
use crate::worker::Cancel;

/// The only epoch of a bundle.
const EPOCH: Epoch = Epoch(1);
/// Bytes of a bundle that are read at once while it is verified.
const READ_BYTES: usize = 1 << 20;

/// A bundle whose hashes were all compared.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    file: File,
    manifest: Manifest,
    places: Vec<Range<u64>>,
}

impl Bundle {
    /// Fails when a file does not begin as bundles do. What it holds is not verified.
    pub fn look(path: &Path) -> Result<(), Error> {
        let file = File::open(path).map_err(|source| Error::file(path, source))?;
        match ArchiveReader::open(&mut BufReader::new(file), ArchiveKind::Bundle) {
            // Damage behind such a beginning is for those who verify the whole.
            Err(Error::Refused(refusal)) if !matches!(refusal, Refusal::Foreign { .. }) => Ok(()),
            looked => looked.map(drop),
        }
    }

    /// Reads and verifies a bundle.
    pub fn verify(path: &Path, cancel: &Cancel) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::file(path, source))?;
        let mut reader = BufReader::with_capacity(READ_BYTES, &file);
        let (manifest, places) = ArchiveReader::open(&mut reader, ArchiveKind::Bundle)?.verify(cancel)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            manifest,
            places,
        })
    }

    /// Returns what the bundle says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Opens the knowledge base in it, for reading only. The file stays mapped until the process ends, and must not be
    /// changed before; replacing it by another of its name is fine.
    pub fn open(self, options: OpenOptions) -> Result<EpochStore, Error> {
        let bytes = map(&self.file).map_err(|source| Error::file(&self.path, source))?;
        let mut files = BTreeMap::new();
        for (file, place) in self.manifest.files.iter().zip(&self.places) {
            let slice = bytes.get(place.start as usize..place.end as usize).unwrap_or_default();
            files.insert(file.path.as_str(), (slice, place.clone()));
        }
        let database = files.get(STORE_ENTRY).map_or(&[][..], |(slice, _)| *slice);
        let below = |prefix: &str| -> u64 {
            let named = files.iter().filter(|(name, _)| name.starts_with(prefix));
            named.map(|(_, (slice, _))| slice.len() as u64).sum()
        };
        let taken = TakenBytes {
            all: bytes.len() as u64,
            terms: below(TERMS_PREFIX),
            vectors: below(VECTORS_PREFIX),
        };
        let records = Records::sealed(&self.path, database, taken);
        self.check_format(&records)?;
        let visibility = Visibility::default();
        let counted = recover::read_visibility(&visibility, &records, EPOCH)?;
        let terms = self.open_terms(&files, options, counted.chunks)?;
        let vectors = self.open_vectors(&files, options, &visibility)?;
        let epoch = records.epoch()?;
        let recovered = Recovered {
            epoch,
            removal: 0,
            terms,
            vectors,
            visibility,
            live_chunks: counted.live_chunks,
        };
        // Nobody ever writes through it.
        let connection = Connection::open_in_memory().map_err(|source| Error::database(&self.path, source))?;
        let store = EpochStore::assemble(&self.path, records, recovered, connection)?;
        let (documents, chunks) = store.counts(epoch)?;
        self.compare("epoch", self.manifest.epoch.0, epoch.0)?;
        self.compare("documents", self.manifest.document_count, documents)?;
        self.compare("chunks", self.manifest.chunk_count, chunks)?;
        Ok(store)
    }

    fn check_format(&self, records: &Records) -> Result<(), Error> {
        let found: i64 =
            records.read(|connection| connection.query_row("PRAGMA user_version", [], |row| row.get(0)))?;
        if !(OLDEST_BUNDLE_FORMAT..=FORMAT_VERSION).contains(&found) {
            return Err(Error::OtherFormat {
                path: self.path.clone(),
                found,
                known: FORMAT_VERSION,
            });
        }
        Ok(())
    }

    fn open_terms(
        &self,
        files: &BTreeMap<&str, (&'static [u8], Range<u64>)>,
        options: OpenOptions,
        chunks: usize,
    ) -> Result<Terms, Error> {
        let named = files.iter().filter_map(|(name, (slice, _))| {
            let name = name.strip_prefix(TERMS_PREFIX)?;
            Some((name.to_owned(), *slice))
        });
        let (terms, state) = Terms::open_bundle(&self.path, named.collect(), options.language).map_err(Error::Index)?;
        self.compare("epoch of the keyword index", EPOCH.0, state.epoch.unwrap_or_default().0)?;
        self.compare("chunks of the keyword index", chunks as u64, terms.rows())?;
        Ok(terms)
    }

    fn open_vectors(
        &self,
        files: &BTreeMap<&str, (&'static [u8], Range<u64>)>,
        options: OpenOptions,
        visibility: &Visibility,
    ) -> Result<Vectors, Error> {
        let place = files
            .iter()
            .find_map(|(name, (_, place))| name.starts_with(VECTORS_PREFIX).then(|| place.clone()));
        let vectors = match place {
            Some(place) => Vectors::open_bundle(&self.path, place, options.dimensions).map_err(Error::Index)?,
            None => Vectors::empty_bundle(options.dimensions),
        };
        let existing = visibility.existing().into_iter().filter(|exists| *exists).count();
        self.compare("chunks of the vector index", existing as u64, vectors.len() as u64)?;
        Ok(vectors)
    }

    fn compare(&self, what: &'static str, expected: u64, found: u64) -> Result<(), Error> {
        if expected == found {
            return Ok(());
        }
        Err(Refusal::OtherContent {
            entry: self.path.display().to_string(),
            what,
            expected,
            found,
        }
        .into())
    }
}

/// Maps a file for as long as the process lives: what is read from it is borrowed without an end.
#[expect(unsafe_code, reason = "a file is mapped")]
fn map(file: &File) -> std::io::Result<&'static [u8]> {
    // SAFETY: a bundle is written once and then only read. That nobody changes the file while it is served is the
    // operator's to see to, as with any program file; the documentation says so.
    let map = unsafe { memmap2::Mmap::map(file) }?;
    Ok(Box::leak(Box::new(map)))
}
