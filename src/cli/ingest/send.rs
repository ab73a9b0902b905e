//! Files to the messages of an ingestion stream. Runs on a thread of its own, because reading files blocks.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc::Sender;

use super::walk::{File, reason};
use super::window::Window;
use crate::service::{client, pb};

/// What is sent, and where.
pub(super) struct Sending {
    pub(super) knowledge_base: String,
    pub(super) files: Arc<[File]>,
    pub(super) said: Said,
    pub(super) max_document_bytes: usize,
    pub(super) requests: Sender<pb::IngestDocumentsRequest>,
    /// Files that could not be sent: position in `files`, and why.
    pub(super) unread: Sender<(usize, String)>,
    pub(super) window: Arc<Window>,
}

/// What is said of every document.
pub(super) struct Said {
    pub(super) metadata: HashMap<String, pb::MetadataValue>,
    pub(super) access: pb::AccessList,
}

/// The other end wants no more messages; why, it says itself.
struct Closed;

impl Sending {
    /// Sends the files until all are sent, the user wants no more, or the server has gone.
    pub(super) fn run(self) {
        // Whoever closed the stream tells the reason at its own end.
        let _: Result<(), Closed> = self.send_all();
    }

    fn send_all(&self) -> Result<(), Closed> {
        self.send(client::ingest_start(self.knowledge_base.as_str()))?;
        for (position, file) in self.files.iter().enumerate() {
            if !self.window.enter(&file.id, file.bytes) {
                break;
            }
            match read(&file.path, self.max_document_bytes) {
                Ok(content) => self.send_file(file, content)?,
                Err(reason) => {
                    self.window.leave(&file.id);
                    self.unread.blocking_send((position, reason)).map_err(|_| Closed)?;
                }
            }
        }
        Ok(())
    }

    fn send_file(&self, file: &File, content: Vec<u8>) -> Result<(), Closed> {
        let header = pb::DocumentHeader {
            document_id: file.id.clone(),
            source_name: file.name.clone(),
            metadata: self.said.metadata.clone(),
            access: Some(self.said.access.clone()),
            ..pb::DocumentHeader::default()
        };
        client::ingest_messages(header, content).try_for_each(|message| self.send(message))
    }

    fn send(&self, message: pb::IngestDocumentsRequest) -> Result<(), Closed> {
        self.requests.blocking_send(message).map_err(|_| Closed)
    }
}

/// Reads a file whole before any of it is sent: a document that was begun cannot be taken back.
fn read(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let file = fs::File::open(path).map_err(|error| reason(&error))?;
    let mut content = Vec::new();
    // One byte more than the limit tells a file that is too large, even if it grows while it is read.
    let mut bounded = file.take(limit as u64 + 1);
    bounded.read_to_end(&mut content).map_err(|error| reason(&error))?;
    if content.len() > limit {
        return Err(format!("larger than the {limit} bytes that max_document_bytes allows"));
    }
    Ok(content)
}
