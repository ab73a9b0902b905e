//! What was sent and is not answered yet, within bounds: little is lost when the user wishes to end.

use std::collections::HashMap;

use parking_lot::{Condvar, Mutex};

/// Documents under way at most: about what a server commits at once, so that it never waits for this side.
const MAX_DOCUMENTS: usize = 512;
/// Their bytes at most. A larger document goes alone.
const MAX_BYTES: u64 = 16 << 20;

/// Documents under way. The thread that sends waits for room in it.
#[derive(Debug, Default)]
pub(super) struct Window {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    under_way: HashMap<String, u64>,
    bytes: u64,
    is_closed: bool,
}

impl State {
    fn has_room(&self, bytes: u64) -> bool {
        self.under_way.is_empty() || (self.under_way.len() < MAX_DOCUMENTS && self.bytes + bytes <= MAX_BYTES)
    }
}

impl Window {
    /// Waits for room for a document and takes it. Returns false when no more are to be sent.
    pub(super) fn enter(&self, id: &str, bytes: u64) -> bool {
        let mut state = self.state.lock();
        self.changed
            .wait_while(&mut state, |state| !state.is_closed && !state.has_room(bytes));
        if state.is_closed {
            return false;
        }
        state.under_way.insert(id.to_owned(), bytes);
        state.bytes += bytes;
        true
    }

    /// Gives the room of a document back: it was answered, or never sent.
    pub(super) fn leave(&self, id: &str) {
        let mut state = self.state.lock();
        if let Some(bytes) = state.under_way.remove(id) {
            state.bytes -= bytes;
            self.changed.notify_one();
        }
    }

    /// Lets no more documents in.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
    }
}
