//! Which documents are being worked on right now. Kept in memory only: after a crash nothing is stuck half-way.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::document::DocumentId;
use crate::store::DocumentStatus;

/// Documents on their way in, by id, with how many streams work on each.
#[derive(Debug, Default)]
pub struct InFlight(Mutex<HashMap<DocumentId, usize>>);

impl InFlight {
    /// Marks a document until the guard is dropped.
    pub(super) fn enter(&self, id: &DocumentId) -> InFlightGuard<'_> {
        *self.0.lock().entry(id.clone()).or_default() += 1;
        InFlightGuard {
            table: self,
            id: id.clone(),
        }
    }

    /// Returns the status of a document that is on its way in.
    pub fn status(&self, id: &DocumentId) -> Option<DocumentStatus> {
        self.0.lock().contains_key(id).then_some(DocumentStatus::InProgress)
    }
}

/// Marks a document as being worked on.
#[derive(Debug)]
pub(super) struct InFlightGuard<'a> {
    table: &'a InFlight,
    id: DocumentId,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        let mut table = self.table.0.lock();
        if let Some(streams) = table.get_mut(&self.id) {
            *streams -= 1;
            if *streams == 0 {
                table.remove(&self.id);
            }
        }
    }
}
