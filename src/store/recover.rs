//! Opening after whatever happened: the records say which epoch it is, and both indexes are brought there.

use std::path::Path;
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use super::epoch_store::OpenOptions;
use super::records::Records;
use super::{Error, layout};
use crate::index::{ChunkId, Epoch, Terms, Vectors, Visibility};

/// Vectors that are read and added at once.
const VECTOR_BATCH: usize = 4_096;

/// Both indexes at the epoch of the records.
pub(super) struct Recovered {
    pub(super) epoch: Epoch,
    pub(super) removal: u64,
    pub(super) terms: Terms,
    pub(super) vectors: Vectors,
    pub(super) visibility: Visibility,
    pub(super) live_chunks: usize,
}

/// Chunks that were read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) chunks: usize,
    pub(super) live_documents: usize,
    pub(super) live_chunks: usize,
}

/// Reads the records and brings both indexes to their epoch.
pub(super) fn recover(directory: &Path, records: &Records, options: OpenOptions) -> Result<Recovered, Error> {
    // The vector index is by far the largest of what is read from end to end.
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| Vectors::open(&layout::vectors(directory), options.dimensions));
        recover_beside(opening, directory, records, options)
    })
}

fn recover_beside(
    opening: ScopedJoinHandle<'_, Result<Vectors, crate::index::Error>>,
    directory: &Path,
    records: &Records,
    options: OpenOptions,
) -> Result<Recovered, Error> {
    let started = Instant::now();
    let epoch = records.epoch()?;
    let visibility = Visibility::default();
    let counted = read_visibility(&visibility, records, epoch)?;
    check_counts(records, epoch, counted)?;
    let removal = records.removal()?;
    let terms = recover_terms(directory, records, options, epoch, removal, counted.chunks)?;
    let opened = opening.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let vectors = recover_vectors(directory, opened, records, options, epoch, &visibility)?;
    tracing::info!(
        directory = %directory.display(),
        %epoch,
        chunks = counted.chunks,
        millis = started.elapsed().as_millis(),
        "knowledge base opened"
    );
    Ok(Recovered {
        epoch,
        removal,
        terms,
        vectors,
        visibility,
        live_chunks: counted.live_chunks,
    })
}

/// Revisions that were lost, or whose lifetimes are not what was written, would make documents vanish without a word.
fn check_counts(records: &Records, epoch: Epoch, counted: Counted) -> Result<(), Error> {
    let (documents, chunks) = records.counts(epoch)?;
    let (live_documents, live_chunks) = (counted.live_documents, counted.live_chunks);
    if (documents, chunks) == (live_documents as u64, live_chunks as u64) {
        return Ok(());
    }
    Err(Error::Damaged {
        path: records.path().to_owned(),
        what: format!(
            "epoch {epoch} counts {documents} documents and {chunks} chunks, and {live_documents} and {live_chunks} are there"
        ),
    })
}

/// Reads all lifetimes and counts the chunks.
pub(super) fn read_visibility(visibility: &Visibility, records: &Records, epoch: Epoch) -> Result<Counted, Error> {
    let mut counted = Counted::default();
    let mut lapses = Vec::new();
    records.lapses(|chunks, from, until| lapses.push((chunks, from, until)))?;
    records.lifetimes(|revision| {
        visibility.set(revision.chunks.ids(), revision.lifetime);
        let count = revision.chunks.count as usize;
        counted.chunks += count;
        // The last epoch lies in no lapse: a lapse ends with the rollback that made it.
        if revision.lifetime.contains(epoch) {
            counted.live_documents += 1;
            counted.live_chunks += count;
        }
    })?;
    for (chunks, from, until) in lapses {
        visibility.add_lapse(chunks.ids(), from, until);
    }
    Ok(counted)
}

fn recover_terms(
    directory: &Path,
    records: &Records,
    options: OpenOptions,
    epoch: Epoch,
    removal: u64,
    chunks: usize,
) -> Result<Terms, Error> {
    let path = layout::terms(directory);
    match Terms::open(&path, options.language) {
        Ok((terms, found)) => {
            let found_epoch = found.epoch.unwrap_or_default();
            check_seen(records, epoch, found_epoch)?;
            if found.removal <= removal {
                if found.removal < removal {
                    records.removals(found.removal, |chunks| {
                        let removed: Vec<ChunkId> = chunks.ids().collect();
                        terms.remove(&removed).map_err(Error::Index)
                    })?;
                    terms.commit(found_epoch, removal).map_err(Error::Index)?;
                }
                if found_epoch < epoch {
                    replay_terms(&terms, records, found_epoch, epoch, removal)?;
                }
                if terms.rows() == chunks as u64 {
                    return Ok(terms);
                }
            }
            tracing::warn!(found = %found_epoch, %epoch, "the keyword index does not fit the records; making it again");
        }
        Err(error) if error.wants_rebuild() => {
            tracing::warn!(error = %error, "the keyword index cannot be used; making it again");
        }
        Err(error) => return Err(Error::Index(error)),
    }
    let terms = Terms::create_anew(&path, options.language).map_err(Error::Index)?;
    replay_terms(&terms, records, Epoch(0), epoch, removal)?;
    Ok(terms)
}

/// An index follows the records, so that an epoch which only the index has seen was lost: making the index again would
/// hide it.
fn check_seen(records: &Records, epoch: Epoch, seen: Epoch) -> Result<(), Error> {
    if seen <= epoch {
        return Ok(());
    }
    Err(Error::LostCommits {
        path: records.path().to_owned(),
        epoch,
        seen,
    })
}

/// Adds the chunks of the epochs after `from` up to `to`.
pub(super) fn replay_terms(
    terms: &Terms,
    records: &Records,
    from: Epoch,
    to: Epoch,
    removal: u64,
) -> Result<(), Error> {
    records.term_records(from, to, |record| terms.add(&record.row()).map_err(Error::Index))?;
    terms.commit(to, removal).map_err(Error::Index)
}

/// Adds what an opened vector index lacks; one that does not fit the records is made again.
fn recover_vectors(
    directory: &Path,
    opened: Result<Vectors, crate::index::Error>,
    records: &Records,
    options: OpenOptions,
    epoch: Epoch,
    visibility: &Visibility,
) -> Result<Vectors, Error> {
    let path = layout::vectors(directory);
    match opened {
        Ok(vectors) => {
            let existing = visibility.existing();
            let exists = |chunk_id: ChunkId| existing.get(chunk_id.0 as usize).copied().unwrap_or(false);
            let sealed = existing.iter().take(vectors.sealed_through().0 as usize + 1);
            let expected = sealed.filter(|exists| **exists).count();
            check_seen(records, epoch, vectors.sealed_epoch())?;
            if vectors.sealed_rows(&exists) == expected {
                insert_vectors(&vectors, records)?;
                return Ok(vectors);
            }
            tracing::warn!(sealed = %vectors.sealed_epoch(), %epoch, "the vector index does not fit the records; making it again");
        }
        Err(crate::index::Error::NoVectors { .. }) => {}
        Err(error) if error.wants_rebuild() => {
            tracing::warn!(error = %error, "the vector index cannot be used; making it again");
        }
        Err(error) => return Err(Error::Index(error)),
    }
    let vectors = Vectors::create_anew(&path, options.dimensions).map_err(Error::Index)?;
    insert_vectors(&vectors, records)?;
    Ok(vectors)
}

/// Adds the vectors that are not sealed.
pub(super) fn insert_vectors(vectors: &Vectors, records: &Records) -> Result<(), Error> {
    let mut batch: Vec<(ChunkId, Vec<f32>)> = Vec::new();
    let mut failed = None;
    let insert = |batch: &mut Vec<(ChunkId, Vec<f32>)>| {
        let rows: Vec<_> = batch.iter().map(|(id, vector)| (*id, vector.as_slice())).collect();
        let inserted = vectors.insert(&rows).map_err(Error::Index);
        batch.clear();
        inserted
    };
    records.embeddings(vectors.sealed_through(), |chunk_id, vector| {
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
