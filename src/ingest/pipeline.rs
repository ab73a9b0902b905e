//! Read, split, embed, commit: groups of documents share one commit, so that a stream of small ones is not a stream of
//! syncs.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::in_flight::{InFlight, InFlightGuard};
use super::{Acknowledgement, DocumentOutcome, IngestSummary, NewDocument, Next};
use crate::chunk::{self, Chunk, ChunkConfig};
use crate::document::schema::MetadataSchema;
use crate::document::{self, DocumentId, Hints, PdfReader, ReadError, hex};
use crate::embed::{self, Embedder, Embedding, Purpose};
use crate::index::Epoch;
use crate::store::{
    self, Change, Committed, DocumentStatus, EpochStore, IndexedContent, KeptContent, NewChunk, NewRevision,
    OriginalContent,
};
use crate::worker::{Cancel, Stopped, with_causes};

/// Version of reading and splitting. A document that an older version indexed counts as changed.
const READER_VERSION: u32 = 1;
/// Chunks that make a group full, where they are embedded quickly enough.
const GROUP_CHUNKS: usize = 512;
/// Fewest chunks that make a group full: fewer would keep the embedder from working on several at once.
const MIN_GROUP_CHUNKS: usize = 64;
/// How long embedding a group should take, so that documents are answered while a stream goes on.
const GROUP_WORK: Duration = Duration::from_millis(500);
/// Longest time that a document waits for others to share its commit.
const GROUP_WAIT: Duration = Duration::from_millis(250);
/// Longest wait for a document when none is held back.
const IDLE_WAIT: Duration = Duration::from_secs(1);

/// Why an ingestion ended early. What was told before stays ingested.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller wants no more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The store cannot write.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Takes documents into one knowledge base.
pub struct Pipeline<'a> {
    /// Where they go.
    pub store: &'a EpochStore,
    /// Makes their vectors.
    pub embedder: &'a dyn Embedder,
    /// How they are split.
    pub chunking: ChunkConfig,
    /// Whether their bytes are kept.
    pub original_content: OriginalContent,
    /// Attributes that they are held to.
    pub metadata_schema: &'a MetadataSchema,
    /// Reads PDFs.
    pub pdf: &'a PdfReader,
    /// Largest document in bytes.
    pub max_document_bytes: usize,
    /// Tells others what is being worked on.
    pub in_flight: &'a InFlight,
    /// When documents are answered.
    pub acknowledgement: Acknowledgement,
}

/// A document that is read and split.
struct Prepared {
    revision: NewRevision,
    chunks: Vec<Chunk>,
    embedded_texts: Vec<String>,
}

enum Verdict {
    Ready(Box<Prepared>),
    Failed(String),
    Unchanged { indexed: IndexedContent },
}

struct Entry<'a> {
    sequence: u64,
    id: DocumentId,
    verdict: Verdict,
    in_flight: InFlightGuard<'a>,
}

/// What one run has gathered and told.
struct Run<'a, 'o> {
    behind: Option<SyncSender<Epoch>>,
    last_epoch: Epoch,
    group: Vec<Entry<'a>>,
    group_chunks: usize,
    /// Chunks that make a group full, at the pace of the group before.
    full_chunks: usize,
    group_since: Option<Instant>,
    summary: IngestSummary,
    on_outcome: &'o mut dyn FnMut(DocumentOutcome),
}

impl<'a> Pipeline<'a> {
    /// Takes documents from `next` until it ends; tells `on_outcome` of each once it is decided and on disk.
    pub fn run(
        &'a self,
        next: &mut dyn FnMut(Duration) -> Next,
        cancel: &Cancel,
        on_outcome: &mut dyn FnMut(DocumentOutcome),
    ) -> Result<IngestSummary, Error> {
        if self.acknowledgement == Acknowledgement::Indexed {
            return self.run_with(None, next, cancel, on_outcome);
        }
        std::thread::scope(|scope| {
            let (behind, epochs) = sync_channel(1);
            // What fails here stops the next commit, which says why.
            scope.spawn(move || epochs.into_iter().try_for_each(|epoch| self.store.settle(epoch)));
            self.run_with(Some(behind), next, cancel, on_outcome)
        })
    }

    /// `behind` is told of epochs that are on disk and not in the indexes.
    fn run_with(
        &'a self,
        behind: Option<SyncSender<Epoch>>,
        next: &mut dyn FnMut(Duration) -> Next,
        cancel: &Cancel,
        on_outcome: &mut dyn FnMut(DocumentOutcome),
    ) -> Result<IngestSummary, Error> {
        let mut run = Run {
            behind,
            group: Vec::new(),
            group_chunks: 0,
            full_chunks: MIN_GROUP_CHUNKS,
            group_since: None,
            last_epoch: Epoch(0),
            summary: IngestSummary::default(),
            on_outcome,
        };
        loop {
            cancel.check()?;
            let wait = run
                .group_since
                .map_or(IDLE_WAIT, |since| GROUP_WAIT.saturating_sub(since.elapsed()));
            match next(wait) {
                Next::Document { sequence, document } => {
                    run.summary.scanned += 1;
                    self.take(&mut run, sequence, *document, cancel)?;
                }
                Next::Refused {
                    sequence,
                    document_id,
                    reason,
                } => {
                    run.summary.scanned += 1;
                    self.refuse(&mut run, sequence, document_id, reason)?;
                }
                Next::Idle => {}
                Next::End => break,
            }
            let is_due = run.group_since.is_some_and(|since| since.elapsed() >= GROUP_WAIT);
            if is_due || run.group_chunks >= run.full_chunks {
                self.flush(&mut run, cancel)?;
            }
        }
        self.flush(&mut run, cancel)?;
        self.store.settle(run.last_epoch)?;
        run.summary.epoch = self.store.epoch();
        Ok(run.summary)
    }

    fn take(
        &'a self,
        run: &mut Run<'a, '_>,
        sequence: u64,
        document: NewDocument,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let id = document.id.clone();
        if run.group.iter().any(|entry| entry.id == id) {
            // The second content of one document must see the first as indexed.
            self.flush(run, cancel)?;
        }
        let in_flight = self.in_flight.enter(&id);
        let verdict = self.prepare(document, cancel)?;
        if let Verdict::Ready(prepared) = &verdict {
            run.group_chunks += prepared.chunks.len();
        }
        run.group_since.get_or_insert_with(Instant::now);
        run.group.push(Entry {
            sequence,
            id,
            verdict,
            in_flight,
        });
        Ok(())
    }

    /// Answers something that is no document. Its failure is recorded if it has an id that can be.
    fn refuse(
        &'a self,
        run: &mut Run<'a, '_>,
        sequence: u64,
        document_id: String,
        reason: String,
    ) -> Result<(), Error> {
        if let Ok(id) = DocumentId::parse(document_id.as_str()) {
            let _in_flight = self.in_flight.enter(&id);
            self.store.commit([Change::Fail(id, reason.clone())], "ingest")?;
        }
        run.tell(sequence, document_id, DocumentStatus::Failed, reason, Epoch(0), 0);
        Ok(())
    }

    fn prepare(&self, document: NewDocument, cancel: &Cancel) -> Result<Verdict, Error> {
        if document.bytes.len() > self.max_document_bytes {
            return Ok(Verdict::Failed(format!(
                "the document has {} bytes, the largest that is taken has {}",
                document.bytes.len(),
                self.max_document_bytes
            )));
        }
        if let Err(undeclared) = self.metadata_schema.check_metadata(&document.metadata) {
            return Ok(Verdict::Failed(undeclared.to_string()));
        }
        let content_hash = hex(&document::content_hash(&document.bytes));
        let settings_hash = self.settings_hash(&document);
        if let Some(indexed) = self.store.indexed_content(&document.id)?
            && indexed.content_hash == content_hash
            && indexed.settings_hash == settings_hash
        {
            if indexed.epoch > self.store.epoch() {
                // On disk, and not in the indexes: what another commit left behind is mended, or refused.
                self.store.commit([], "ingest")?;
                self.store.settle(indexed.epoch)?;
            }
            return Ok(Verdict::Unchanged { indexed });
        }
        let hints = Hints {
            media_type: document.media_type,
            source_name: document.source_name.clone(),
        };
        let read = match document::read(&document.bytes, &hints, self.pdf, cancel) {
            Ok(read) => read,
            Err(ReadError::Stopped(stopped)) => return Err(stopped.into()),
            Err(error) => return Ok(Verdict::Failed(with_causes(&error))),
        };
        let count_tokens = |text: &str| self.embedder.count_tokens(text);
        let chunks = chunk::split(&read, &self.chunking, &count_tokens);
        if chunks.is_empty() {
            return Ok(Verdict::Failed("the document holds no text".to_owned()));
        }
        let title = document.title.or(read.title);
        let embedded_texts = chunks
            .iter()
            .map(|chunk| {
                let text = chunk.span.of(&read.text).unwrap_or_default();
                chunk::embedded_text(title.as_deref(), &chunk.heading_path, text)
            })
            .collect();
        let revision = NewRevision {
            document_id: document.id,
            content_hash,
            settings_hash,
            title,
            media_type: read.format.media_type().to_owned(),
            source_name: document.source_name,
            metadata: document.metadata,
            access: document.access,
            byte_size: document.bytes.len() as u64,
            content: self.kept_content(&document.bytes, &read.text),
            text: read.text,
            chunks: Vec::new(),
        };
        Ok(Verdict::Ready(Box::new(Prepared {
            revision,
            chunks,
            embedded_texts,
        })))
    }

    /// Decides what is kept of the bytes of a document.
    fn kept_content(&self, bytes: &[u8], text: &str) -> KeptContent {
        if bytes == text.as_bytes() {
            return KeptContent::Text;
        }
        match self.original_content {
            OriginalContent::Discard => KeptContent::Discarded,
            OriginalContent::Keep => store::compress(bytes).map_or_else(
                |error| {
                    tracing::warn!(error = %error, "the bytes of a document cannot be compressed and are not kept");
                    KeptContent::Discarded
                },
                KeptContent::Compressed,
            ),
        }
    }

    /// Hashes everything but the content that a document's record and chunks depend on.
    fn settings_hash(&self, document: &NewDocument) -> String {
        let mut hasher = Sha256::new();
        let settings = format!(
            "{READER_VERSION}|{:?}|{}|{:?}|{:?}|{:?}|{:?}",
            self.chunking,
            self.embedder.model_id(),
            document.title,
            document.media_type,
            document.source_name,
            document.metadata,
        );
        hasher.update(settings);
        // Documents that are open to all hash as they did before there were access lists.
        if !document.access.is_open() {
            hasher.update(format!("|{:?}", document.access));
        }
        hex(&hasher.finalize())
    }

    /// Embeds and commits what is gathered, and tells the outcomes.
    fn flush(&self, run: &mut Run<'a, '_>, cancel: &Cancel) -> Result<(), Error> {
        let mut group = std::mem::take(&mut run.group);
        let chunks = std::mem::take(&mut run.group_chunks);
        run.group_since = None;
        if group.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        self.embed(&mut group, cancel)?;
        if chunks >= MIN_GROUP_CHUNKS {
            let in_time = chunks as f64 * GROUP_WORK.as_secs_f64() / started.elapsed().as_secs_f64();
            run.full_chunks = (in_time as usize).clamp(MIN_GROUP_CHUNKS, GROUP_CHUNKS);
        }
        let mut told = Vec::with_capacity(group.len());
        let mut changes = Vec::with_capacity(group.len());
        let mut guards = Vec::with_capacity(group.len());
        for entry in group {
            let (change, outcome) = entry.verdict.into_change(&entry.id);
            let change_at = change.map(|change| {
                changes.push(change);
                changes.len() - 1
            });
            told.push((entry.sequence, entry.id, outcome, change_at));
            guards.push(entry.in_flight);
        }
        let committed = if changes.is_empty() {
            Committed::default()
        } else {
            self.commit(run, changes)?
        };
        drop(guards);
        for (sequence, id, outcome, change_at) in told {
            let replaced = change_at.is_some_and(|at| committed.found[at]);
            let (status, reason, epoch, chunk_count) = match outcome {
                Outcome::Put { chunk_count } => {
                    *(if replaced {
                        &mut run.summary.modified
                    } else {
                        &mut run.summary.new
                    }) += 1;
                    (DocumentStatus::Indexed, String::new(), committed.epoch, chunk_count)
                }
                Outcome::Unchanged { epoch, chunk_count } => {
                    (DocumentStatus::Ignored, String::new(), epoch, chunk_count)
                }
                Outcome::Failed(reason) => (DocumentStatus::Failed, reason, Epoch(0), 0),
            };
            run.tell(sequence, id.to_string(), status, reason, epoch, chunk_count);
        }
        Ok(())
    }

    /// Commits a group; under [`Acknowledgement::Durable`] another thread brings it into the indexes.
    fn commit(&self, run: &mut Run<'_, '_>, changes: Vec<Change>) -> Result<Committed, Error> {
        let committed = match &run.behind {
            None => self.store.commit(changes, "ingest")?,
            Some(behind) => {
                let committed = self.store.commit_durable(changes, "ingest")?;
                // When it is told already, it takes this one too.
                let _ = behind.try_send(committed.epoch);
                committed
            }
        };
        run.last_epoch = committed.epoch;
        Ok(committed)
    }

    /// Embeds all documents of a group together; if that fails, each alone, so that only the guilty one fails.
    fn embed(&self, group: &mut [Entry<'_>], cancel: &Cancel) -> Result<(), Error> {
        let texts: Vec<&str> = group
            .iter()
            .filter_map(|entry| entry.verdict.prepared())
            .flat_map(|prepared| prepared.embedded_texts.iter().map(String::as_str))
            .collect();
        match self.embedder.embed(&texts, Purpose::Passage, cancel) {
            Ok(embeddings) => {
                let mut embeddings = embeddings.into_iter();
                for entry in group {
                    entry.verdict.give(&mut embeddings);
                }
                return Ok(());
            }
            Err(embed::Error::Stopped(stopped)) => return Err(stopped.into()),
            Err(error) => tracing::warn!(error = %error, "embedding a group of documents failed; trying each alone"),
        }
        for entry in group {
            let Some(prepared) = entry.verdict.prepared() else {
                continue;
            };
            let texts: Vec<&str> = prepared.embedded_texts.iter().map(String::as_str).collect();
            match self.embedder.embed(&texts, Purpose::Passage, cancel) {
                Ok(embeddings) => entry.verdict.give(&mut embeddings.into_iter()),
                Err(embed::Error::Stopped(stopped)) => return Err(stopped.into()),
                Err(error) => entry.verdict = Verdict::Failed(with_causes(&error)),
            }
        }
        Ok(())
    }
}

enum Outcome {
    Put { chunk_count: u32 },
    Unchanged { epoch: Epoch, chunk_count: u32 },
    Failed(String),
}

impl Verdict {
    fn prepared(&self) -> Option<&Prepared> {
        match self {
            Self::Ready(prepared) => Some(prepared),
            Self::Failed(_) | Self::Unchanged { .. } => None,
        }
    }

    /// Gives a document that is ready its vectors, in the order of its chunks.
    fn give(&mut self, embeddings: &mut impl Iterator<Item = Embedding>) {
        if let Self::Ready(prepared) = self {
            let chunks = std::mem::take(&mut prepared.chunks);
            prepared.revision.chunks = chunks
                .into_iter()
                .zip(embeddings)
                .map(|(chunk, embedding)| NewChunk { chunk, embedding })
                .collect();
        }
    }

    /// Returns what is to be written, if anything, and what is to be told.
    fn into_change(self, id: &DocumentId) -> (Option<Change>, Outcome) {
        match self {
            Self::Ready(prepared) => {
                let chunk_count = u32::try_from(prepared.revision.chunks.len()).unwrap_or(u32::MAX);
                let change = Change::Put(Box::new(prepared.revision));
                (Some(change), Outcome::Put { chunk_count })
            }
            Self::Failed(reason) => {
                let change = Change::Fail(id.clone(), reason.clone());
                (Some(change), Outcome::Failed(reason))
            }
            Self::Unchanged { indexed } => {
                let change = indexed.later_attempt_failed.then(|| Change::Confirm(id.clone()));
                let outcome = Outcome::Unchanged {
                    epoch: indexed.epoch,
                    chunk_count: indexed.chunk_count,
                };
                (change, outcome)
            }
        }
    }
}

impl Run<'_, '_> {
    fn tell(
        &mut self,
        sequence: u64,
        document_id: String,
        status: DocumentStatus,
        reason: String,
        epoch: Epoch,
        chunk_count: u32,
    ) {
        match status {
            DocumentStatus::Failed => self.summary.failed += 1,
            DocumentStatus::Ignored => self.summary.skipped += 1,
            _ => {}
        }
        (self.on_outcome)(DocumentOutcome {
            sequence,
            document_id,
            status,
            reason,
            epoch,
            chunk_count,
        });
    }
}
