//! What was worked out already, within a bound of bytes.
//!
//! Comes in: values with the bytes that they take. Goes out: the same, until others were asked for later or their owner
//! is forgotten.
//! Always holds: all entries together take no more than the bound; what was not asked for longest goes first; what was
//! worked out from something that was forgotten meanwhile is not kept.
//! Not here: what is worth keeping, and what it takes.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

/// Bytes of an entry beside its value and key: its links, its place in the table, and the allocations around them.
pub const ENTRY_BYTES: usize = 128;

/// Values by key within a bound of bytes.
#[derive(Debug)]
pub struct Bounded<K: Hash + Eq, V> {
    entries: LruCache<K, Weighed<V>>,
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Weighed<V> {
    value: V,
    bytes: usize,
}

impl<K: Hash + Eq, V> Bounded<K, V> {
    /// Returns an empty one of this many bytes; with 0 nothing is kept.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            entries: LruCache::unbounded(),
            bytes: 0,
            max_bytes,
        }
    }

    /// Returns the value of a key, which goes last from now on.
    pub fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|weighed| &weighed.value)
    }

    /// Returns the value of a key, and leaves the order as it is.
    pub fn peek<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.peek(key).map(|weighed| &weighed.value)
    }

    /// Keeps a value that takes so many bytes with its key, unless it is larger than the bound. Others go until all fit.
    pub fn put(&mut self, key: K, value: V, bytes: usize) {
        let bytes = bytes.saturating_add(ENTRY_BYTES);
        if bytes > self.max_bytes {
            return;
        }
        self.bytes += bytes;
        if let Some(before) = self.entries.put(key, Weighed { value, bytes }) {
            self.bytes -= before.bytes;
        }
        while self.bytes > self.max_bytes
            && let Some((_, oldest)) = self.entries.pop_lru()
        {
            self.bytes -= oldest.bytes;
        }
    }

    /// Drops the entries whose key does not stay, and returns how many those were.
    pub fn retain(&mut self, stays: impl Fn(&K) -> bool) -> usize {
        let before = self.entries.len();
        let bytes = &mut self.bytes;
        self.entries.retain(|key, weighed| {
            let stays = stays(key);
            if !stays {
                *bytes -= weighed.bytes;
            }
            stays
        });
        before - self.entries.len()
    }

    /// Returns the entries, those asked for last first.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, weighed)| (key, &weighed.value))
    }

    /// Returns how many bytes all entries take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What is kept of several owners within one bound, for many threads.
///
/// An owner's values are true until it is forgotten.
#[derive(Debug)]
pub struct Cache<K: Hash + Eq, V> {
    max_bytes: usize,
    kept: Mutex<Kept<K, V>>,
}

#[derive(Debug)]
struct Kept<K: Hash + Eq, V> {
    entries: Bounded<(Arc<str>, K), V>,
    /// Counts what was forgotten.
    forgotten: u64,
    /// Owners of which nothing is kept for now, as often as they were closed.
    closed: Vec<Arc<str>>,
}

impl<K: Hash + Eq, V> Kept<K, V> {
    fn forget(&mut self, owner: &str) -> usize {
        self.forgotten += 1;
        self.entries.retain(|(of, _)| **of != *owner)
    }

    fn is_closed(&self, owner: &str) -> bool {
        self.closed.iter().any(|closed| **closed == *owner)
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// Returns an empty cache of this many bytes; with 0 nothing is kept.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            kept: Mutex::new(Kept {
                entries: Bounded::new(max_bytes),
                forgotten: 0,
                closed: Vec::new(),
            }),
        }
    }

    /// Returns whether anything is kept at all.
    pub fn is_on(&self) -> bool {
        self.max_bytes > 0
    }

    /// Returns whether a value that takes so many bytes with its key can be kept.
    pub fn fits(&self, bytes: usize) -> bool {
        bytes.saturating_add(ENTRY_BYTES) <= self.max_bytes
    }

    /// Returns the part of an owner. Taken before a value is worked out, so that nothing is kept of what is forgotten
    /// meanwhile.
    pub fn of(&self, owner: &str) -> Part<'_, K, V> {
        Part {
            cache: self,
            owner: owner.into(),
            forgotten: self.kept.lock().forgotten,
        }
    }

    /// Drops everything of an owner, and returns how many entries that was. What is being worked out now is not kept
    /// either.
    pub fn forget(&self, owner: &str) -> usize {
        self.kept.lock().forget(owner)
    }

    /// Drops the entries of an owner whose key does not stay, and returns how many those were.
    pub fn retain(&self, owner: &str, stays: impl Fn(&K) -> bool) -> usize {
        let mut kept = self.kept.lock();
        kept.entries.retain(|(of, key)| **of != *owner || stays(key))
    }

    /// Drops everything of an owner and keeps nothing more until the guard is dropped.
    pub fn close(&self, owner: &str) -> Closed<'_, K, V> {
        let owner: Arc<str> = owner.into();
        let mut kept = self.kept.lock();
        let dropped = kept.forget(&owner);
        kept.closed.push(owner.clone());
        Closed {
            cache: self,
            owner,
            dropped,
        }
    }

    /// Calls `each` with the entries of an owner, those asked for last first; nobody else gets at the cache meanwhile.
    pub fn each(&self, owner: &str, mut each: impl FnMut(&K, &V)) {
        let kept = self.kept.lock();
        for ((of, key), value) in kept.entries.iter() {
            if **of == *owner {
                each(key, value);
            }
        }
    }

    /// Returns how many bytes are kept.
    pub fn bytes(&self) -> usize {
        self.kept.lock().entries.bytes()
    }
}

/// The part of a cache that one piece of work for one owner sees.
#[derive(Debug)]
pub struct Part<'a, K: Hash + Eq, V> {
    cache: &'a Cache<K, V>,
    owner: Arc<str>,
    forgotten: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Part<'_, K, V> {
    /// Returns the value of a key, if it is kept.
    pub fn get(&self, key: &K) -> Option<V> {
        let mut kept = self.cache.kept.lock();
        kept.entries.get(&(self.owner.clone(), key.clone())).cloned()
    }

    /// Keeps a value that takes so many bytes with its key, unless something was forgotten since this was taken.
    pub fn keep(&self, key: &K, value: &V, bytes: usize) {
        let mut kept = self.cache.kept.lock();
        if kept.forgotten == self.forgotten && !kept.is_closed(&self.owner) {
            let key = (self.owner.clone(), key.clone());
            kept.entries.put(key, value.clone(), bytes);
        }
    }
}

/// An owner of whom nothing is kept until this is dropped.
#[derive(Debug)]
pub struct Closed<'a, K: Hash + Eq, V> {
    cache: &'a Cache<K, V>,
    owner: Arc<str>,
    dropped: usize,
}

impl<K: Hash + Eq, V> Closed<'_, K, V> {
    /// Returns how many entries were dropped.
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

impl<K: Hash + Eq, V> Drop for Closed<'_, K, V> {
    fn drop(&mut self) {
        let mut kept = self.cache.kept.lock();
        // Whoever began meanwhile may have seen what is gone now.
        kept.forget(&self.owner);
        if let Some(at) = kept.closed.iter().position(|closed| *closed == self.owner) {
            kept.closed.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests;
