//! Vectors of tokens that were made before, within a bound.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::embed::TokenVectors;
use crate::index::ChunkId;

/// Keeps the vectors of the tokens of chunks, of all knowledge bases together; what was not asked for longest goes first.
///
/// A chunk never changes and its id is never given again, so what is kept stays true until it is forgotten.
#[derive(Debug)]
pub struct TokenCache {
    max_bytes: usize,
    kept: Mutex<Kept>,
}

type Key = (Arc<str>, ChunkId);

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
    /// Keys by when they were last asked for.
    order: BTreeMap<u64, Key>,
    /// Counts questions.
    clock: u64,
    bytes: usize,
    /// Counts what was forgotten.
    forgotten: u64,
}

#[derive(Debug)]
struct Entry {
    tokens: Arc<TokenVectors>,
    asked_at: u64,
}

/// The part of the cache that one search of one knowledge base sees.
#[derive(Debug)]
pub struct KeptTokens<'a> {
    cache: &'a TokenCache,
    knowledge_base: Arc<str>,
    forgotten: u64,
}

impl TokenCache {
    /// Returns an empty cache of this many bytes; with 0 nothing is kept.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            kept: Mutex::default(),
        }
    }

    /// Returns the part of a knowledge base. Taken before texts are read, so that nothing is kept of a text that is
    /// forgotten meanwhile.
    pub fn of(&self, knowledge_base: &str) -> KeptTokens<'_> {
        KeptTokens {
            cache: self,
            knowledge_base: knowledge_base.into(),
            forgotten: self.kept.lock().forgotten,
        }
    }

    /// Drops everything of a knowledge base. What a search that runs now has read is not kept either.
    pub fn forget(&self, knowledge_base: &str) {
        let mut kept = self.kept.lock();
        kept.forgotten += 1;
        let Kept {
            entries, order, bytes, ..
        } = &mut *kept;
        entries.retain(|(of, _), entry| {
            let stays = **of != *knowledge_base;
            if !stays {
                order.remove(&entry.asked_at);
                *bytes -= entry.tokens.bytes();
            }
            stays
        });
    }

    /// Returns how many bytes are kept.
    pub fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }
}

impl KeptTokens<'_> {
    /// Returns the tokens of a chunk, if they are kept.
    pub fn get(&self, chunk_id: ChunkId) -> Option<Arc<TokenVectors>> {
        let mut kept = self.cache.kept.lock();
        kept.clock += 1;
        let now = kept.clock;
        let Kept { entries, order, .. } = &mut *kept;
        let entry = entries.get_mut(&(self.knowledge_base.clone(), chunk_id))?;
        if let Some(key) = order.remove(&entry.asked_at) {
            order.insert(now, key);
        }
        entry.asked_at = now;
        Some(entry.tokens.clone())
    }

    /// Keeps the tokens of a chunk, unless something was forgotten since this was taken.
    pub fn keep(&self, chunk_id: ChunkId, tokens: &Arc<TokenVectors>) {
        let mut kept = self.cache.kept.lock();
        let key = (self.knowledge_base.clone(), chunk_id);
        let is_too_large = tokens.bytes() > self.cache.max_bytes;
        if kept.forgotten != self.forgotten || is_too_large || kept.entries.contains_key(&key) {
            return;
        }
        kept.clock += 1;
        let asked_at = kept.clock;
        kept.bytes += tokens.bytes();
        kept.order.insert(asked_at, key.clone());
        let tokens = tokens.clone();
        kept.entries.insert(key, Entry { tokens, asked_at });
        while kept.bytes > self.cache.max_bytes
            && let Some((_, oldest)) = kept.order.pop_first()
        {
            let removed = kept.entries.remove(&oldest);
            kept.bytes -= removed.map_or(0, |entry| entry.tokens.bytes());
        }
    }
}
