//! Opening after whatever happened: the records say which epoch it is, and both indexes are brought there.

use std::path::Path;
use std::time::Instant;

use super::epoch_store::OpenOptions;
use super::records::Records;
use super::snapshot::Attributes;
use super::{Error, layout};
use crate::document::metadata::Metadata;
use crate::index::{ChunkId, Epoch, TermRow, Terms, Vectors, Visibility};

/// Vectors that are added to the graph at once: enough to build on all cores, little enough to hold.
const VECTOR_BATCH: usize = 4_096;

/// Both indexes at the epoch of the records.
pub(super) struct Recovered {
    pub(super) epoch: Epoch,
    pub(super) terms: Terms,
    pub(super) vectors: Vectors,
    pub(super) visibility: Visibility,
    pub(super) attributes: Attributes,
    pub(super) live_chunks: usize,
}

/// Reads the records and brings both indexes to their epoch.
pub(super) fn recover(directory: &Path, records: &Records, options: OpenOptions) -> Result<Recovered, Error> {
    let started = Instant::now();
    let epoch = records.epoch()?;
    let visibility = Visibility::default();
    let attributes = Attributes::default();
    let (mut chunks, mut live_chunks) = (0_usize, 0_usize);
    records.lifetimes(|chunk| {
        visibility.set(chunk.chunk_id, chunk.lifetime);
        attributes.add(chunk.revision_id, &Metadata::new(), chunk.chunk_id, 1);
        chunks += 1;
        live_chunks += usize::from(chunk.lifetime.contains(epoch));
    })?;
    records.attributes(|revision_id, metadata| attributes.add(revision_id, &metadata, ChunkId(0), 0))?;
    let terms = recover_terms(directory, records, options, epoch, chunks)?;
    let vectors = recover_vectors(directory, records, options)?;
    tracing::info!(
        directory = %directory.display(),
        %epoch,
        chunks,
        millis = started.elapsed().as_millis(),
        "knowledge base opened"
    );
    Ok(Recovered {
        epoch,
        terms,
        vectors,
        visibility,
        attributes,
        live_chunks,
    })
}

fn recover_terms(
    directory: &Path,
    records: &Records,
    options: OpenOptions,
    epoch: Epoch,
    chunks: usize,
) -> Result<Terms, Error> {
    let path = layout::terms(directory);
    match Terms::open(&path, options.language) {
        Ok((terms, found)) => {
            let found = found.unwrap_or_default();
            if found <= epoch {
                replay_terms(&terms, records, found, epoch)?;
                if terms.rows() == chunks as u64 {
                    return Ok(terms);
                }
            }
            tracing::warn!(%found, %epoch, "the keyword index does not fit the records; making it again");
        }
        Err(error) if error.wants_rebuild() => {
            tracing::warn!(error = %error, "the keyword index cannot be used; making it again");
        }
        Err(error) => return Err(Error::Index(error)),
    }
    let terms = Terms::create_anew(&path, options.language).map_err(Error::Index)?;
    replay_terms(&terms, records, Epoch(0), epoch)?;
    Ok(terms)
}

/// Adds the chunks of the epochs after `from` up to `to`.
pub(super) fn replay_terms(terms: &Terms, records: &Records, from: Epoch, to: Epoch) -> Result<(), Error> {
    if from == to {
        return Ok(());
    }
    records.term_records(from, |record| {
        terms
            .add(&TermRow {
                chunk_id: record.chunk_id,
                title: record.title.as_deref().unwrap_or_default(),
                headings: &record.heading_path,
                text: &record.text,
            })
            .map_err(Error::Index)
    })?;
    terms.commit(to).map_err(Error::Index)
}

/// Builds the vector index from the stored vectors.
fn recover_vectors(directory: &Path, records: &Records, options: OpenOptions) -> Result<Vectors, Error> {
    let vectors = Vectors::create_anew(&directory.join("vectors"), options.dimensions).map_err(Error::Index)?;
    insert_vectors(&vectors, records, Epoch(0))?;
    Ok(vectors)
}

/// Adds the vectors of chunks that were added after `after`.
pub(super) fn insert_vectors(vectors: &Vectors, records: &Records, after: Epoch) -> Result<(), Error> {
    let mut batch: Vec<(ChunkId, Vec<f32>)> = Vec::new();
    let mut failed = None;
    let insert = |batch: &mut Vec<(ChunkId, Vec<f32>)>| {
        let rows: Vec<_> = batch.iter().map(|(id, vector)| (*id, vector.as_slice())).collect();
        let inserted = vectors.insert(&rows).map_err(Error::Index);
        batch.clear();
        inserted
    };
    records.embeddings(after, |chunk_id, vector| {
        batch.push((chunk_id, vector));
        if batch.len() == VECTOR_BATCH && failed.is_none() {
            failed = insert(&mut batch).err();
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    insert(&mut batch)
}
