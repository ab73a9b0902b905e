//! Knowledge bases that are open: each is opened when it is first asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::bundles::Sealed;
use super::{AsOf, Error, ErrorKind, KnowledgeBaseInfo, KnowledgeBaseStatus, ReadAt};
use crate::index::{Epoch, Language};
use crate::ingest::InFlight;
use crate::store::{BaseRecord, EpochStore, Layout, Lease, OpenOptions};
use crate::worker::{Cancel, Stopped};

/// One open knowledge base.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) store: EpochStore,
    pub(super) in_flight: InFlight,
}

impl Base {
    /// Waits for the epoch that the caller insists on, and begins to read the one that it names.
    pub(super) fn lease(&self, at: ReadAt, cancel: &Cancel) -> Result<Lease<'_>, Error> {
        if let Some(min_epoch) = at.min_epoch {
            if cancel.deadline().is_none() && self.store.epoch() < min_epoch {
                let message = format!(
                    "min_epoch {min_epoch} is not published yet (now {}); set a deadline to wait for it",
                    self.store.epoch()
                );
                return Err(Error::new(
                    ErrorKind::FailedPrecondition,
                    "EPOCH_NOT_PUBLISHED",
                    message,
                ));
            }
            self.store.wait_for(min_epoch, cancel).map_err(|stopped| {
                let mut error = Error::from(stopped);
                if stopped == Stopped::DeadlineExceeded {
                    let now = self.store.epoch();
                    error.message =
                        format!("the deadline passed before min_epoch {min_epoch} was published (now {now})");
                }
                error
            })?;
        }
        let as_of = match at.as_of {
            Some(AsOf::Epoch(epoch)) => Some(epoch),
            Some(AsOf::Time(time)) if time > SystemTime::now() => {
                let message = "as_of_time lies in the future, where nothing is published yet";
                return Err(Error::new(
                    ErrorKind::FailedPrecondition,
                    "EPOCH_NOT_PUBLISHED",
                    message,
                ));
            }
            Some(AsOf::Time(time)) => Some(self.store.epoch_at(time)?),
            None => None,
        };
        let lease = self.store.lease(as_of)?;
        if let Some(min_epoch) = at.min_epoch
            && lease.epoch() < min_epoch
        {
            let message = format!(
                "is {min_epoch}, later than the epoch {} that is asked for",
                lease.epoch()
            );
            return Err(Error::invalid("min_epoch", message));
        }
        Ok(lease)
    }
}

/// Opens one at a time; opening one does not hold up the others.
type Door = Arc<Mutex<Option<Arc<Base>>>>;

/// The open ones, by id.
#[derive(Debug)]
pub(super) struct OpenBases {
    layout: Layout,
    /// Those of bundles, which are opened at the start and never change.
    sealed: HashMap<String, Sealed>,
    doors: Mutex<HashMap<String, Door>>,
}

impl OpenBases {
    pub(super) fn new(layout: Layout, sealed: HashMap<String, Sealed>) -> Self {
        Self {
            layout,
            sealed,
            doors: Mutex::default(),
        }
    }

    fn door(&self, id: &str) -> Door {
        self.doors.lock().entry(id.to_owned()).or_default().clone()
    }

    /// Returns the open knowledge base, opening it if need be.
    pub(super) fn get(&self, record: &BaseRecord) -> Result<Arc<Base>, Error> {
        if let Some(sealed) = self.sealed.get(&record.id) {
            let refused = |reason: &String| Error::new(ErrorKind::FailedPrecondition, "BUNDLE_REFUSED", reason.clone());
            return sealed.as_ref().map(Arc::clone).map_err(refused);
        }
        let door = self.door(&record.id);
        let mut open = door.lock();
        if let Some(base) = &*open {
            return Ok(base.clone());
        }
        let language = Language::parse(&record.language)
            .map_err(|error| Error::internal("UNKNOWN_LANGUAGE", error.to_string(), error))?;
        let options = OpenOptions {
            language,
            dimensions: record.dimensions,
        };
        let store = EpochStore::open(&self.layout.knowledge_base(&record.id), options)?;
        let base = Arc::new(Base {
            store,
            in_flight: InFlight::default(),
        });
        *open = Some(base.clone());
        Ok(base)
    }

    /// Returns a knowledge base that is open, or nothing: it opens none, and waits for none that is being opened.
    pub(super) fn opened(&self, id: &str) -> Option<Arc<Base>> {
        if let Some(sealed) = self.sealed.get(id) {
            return sealed.as_ref().ok().cloned();
        }
        let door = self.doors.lock().get(id).cloned()?;
        let open = door.try_lock()?;
        open.clone()
    }

    /// Returns whether a knowledge base is served from a bundle.
    pub(super) fn is_sealed(&self, id: &str) -> bool {
        self.sealed.contains_key(id)
    }

    /// Puts a knowledge base in that is open already.
    pub(super) fn put(&self, id: &str, store: EpochStore) {
        let base = Base {
            store,
            in_flight: InFlight::default(),
        };
        *self.door(id).lock() = Some(Arc::new(base));
    }

    /// Takes a knowledge base out; writes to it are refused from now on.
    pub(super) fn remove(&self, id: &str) {
        let door = self.doors.lock().remove(id);
        if let Some(base) = door.and_then(|door| door.lock().take()) {
            base.store.remove();
        }
    }

    /// Returns those that are open.
    pub(super) fn open(&self) -> Vec<(String, Arc<Base>)> {
        let doors: Vec<(String, Door)> = self
            .doors
            .lock()
            .iter()
            .map(|(id, door)| (id.clone(), door.clone()))
            .collect();
        // One that is being opened is not open.
        let open = |(id, door): (String, Door)| {
            let base = door.try_lock()?.clone()?;
            Some((id, base))
        };
        doors.into_iter().filter_map(open).collect()
    }

    /// Names those that refuse writes, with the reason.
    pub(super) fn write_failures(&self) -> Vec<(String, String)> {
        let failure = |(id, base): (String, Arc<Base>)| Some((id, base.store.write_failure()?));
        self.open().into_iter().filter_map(failure).collect()
    }

    /// Describes a knowledge base. One that cannot be opened is described all the same, with the reason.
    pub(super) fn describe(&self, record: &BaseRecord) -> KnowledgeBaseInfo {
        let mut info = unopened(record);
        info.read_only = self.is_sealed(&record.id);
        let opened = self.get(record).and_then(|base| {
            let epoch = base.store.epoch();
            Ok((epoch, base.store.oldest_epoch(), base.store.counts(epoch)?))
        });
        match opened {
            Ok((epoch, oldest_epoch, (documents, chunks))) => {
                info.epoch = epoch;
                info.oldest_epoch = oldest_epoch;
                info.document_count = documents;
                info.chunk_count = chunks;
            }
            Err(error) => {
                info.status = KnowledgeBaseStatus::Failed;
                info.failure_reasons.push(error.with_causes());
            }
        }
        info
    }
}

/// Describes a knowledge base by what its record says.
pub(super) fn unopened(record: &BaseRecord) -> KnowledgeBaseInfo {
    KnowledgeBaseInfo {
        id: record.id.clone(),
        name: record.name.clone(),
        description: record.description.clone(),
        embedding_model_id: record.embedding_model_id.clone(),
        dimensions: record.dimensions,
        chunking: record.chunking,
        language: record.language.clone(),
        tags: record.tags.clone(),
        status: KnowledgeBaseStatus::Active,
        failure_reasons: Vec::new(),
        epoch: Epoch(0),
        document_count: 0,
        chunk_count: 0,
        created_at: record.created_at,
        updated_at: record.updated_at,
        retention: record.retention,
        original_content: record.original_content,
        metadata_schema: record.metadata_schema.clone(),
        oldest_epoch: Epoch(0),
        storage: None,
        live_recall: None,
        read_only: false,
    }
}
