//! One fetcher at a time.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::super::fetch::TEMPORARY_PREFIX;
use super::super::{Error, PullEvent};
use crate::worker::Cancel;

/// Name of the file that is locked.
const LOCK: &str = ".lock";
/// Time between two tries.
const RETRY_EVERY: Duration = Duration::from_millis(100);

/// The right to write into the cache. The system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Waits for the lock, and tidies up after fetchers that did not live to do so.
    pub(super) fn acquire(cache: &Path, events: &mut dyn FnMut(PullEvent), cancel: &Cancel) -> Result<Self, Error> {
        let path = cache.join(LOCK);
        let file = File::create(&path).map_err(Error::io("open", &path))?;
        let mut told = false;
        loop {
            cancel.check()?;
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if !told => {
                    told = true;
                    events(PullEvent::Waiting);
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(RETRY_EVERY),
                Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path)(source)),
            }
        }
        remove_leftovers(cache);
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file gives the lock back as well.
        let _ = self.0.unlock();
    }
}

fn remove_leftovers(cache: &Path) {
    let Ok(entries) = std::fs::read_dir(cache) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            // What cannot be removed now only takes space; the next pull tries again.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
