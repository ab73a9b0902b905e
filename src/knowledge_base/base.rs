//! Knowledge bases that are open: each is opened when it is first asked for.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Error, KnowledgeBaseInfo, KnowledgeBaseStatus, OriginalContent, Retention};
use crate::index::{Epoch, Language};
use crate::ingest::InFlight;
use crate::store::{BaseRecord, EpochStore, Layout, OpenOptions};

/// One open knowledge base.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) store: EpochStore,
    pub(super) in_flight: InFlight,
}

/// Opens one at a time; opening one does not hold up the others.
type Door = Arc<Mutex<Option<Arc<Base>>>>;

/// The open ones, by id.
#[derive(Debug)]
pub(super) struct OpenBases {
    layout: Layout,
    doors: Mutex<HashMap<String, Door>>,
}

impl OpenBases {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            doors: Mutex::default(),
        }
    }

    fn door(&self, id: &str) -> Door {
        self.doors.lock().entry(id.to_owned()).or_default().clone()
    }

    /// Returns the open knowledge base, opening it if need be.
    pub(super) fn get(&self, record: &BaseRecord) -> Result<Arc<Base>, Error> {
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

    /// Takes a knowledge base out; writes to it are refused from now on.
    pub(super) fn remove(&self, id: &str) {
        let door = self.doors.lock().remove(id);
        if let Some(base) = door.and_then(|door| door.lock().take()) {
            base.store.remove();
        }
    }

    /// Describes a knowledge base. One that cannot be opened is described all the same, with the reason.
    pub(super) fn describe(&self, record: &BaseRecord) -> KnowledgeBaseInfo {
        let mut info = KnowledgeBaseInfo {
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
            retention: Retention::default(),
            original_content: OriginalContent::default(),
            oldest_epoch: Epoch(0),
            storage: None,
            read_only: false,
        };
        let opened = self.get(record).and_then(|base| {
            let epoch = base.store.epoch();
            Ok((epoch, base.store.counts(epoch)?))
        });
        match opened {
            Ok((epoch, (documents, chunks))) => {
                info.epoch = epoch;
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
