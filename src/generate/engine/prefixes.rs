//! What sequences have read, for others that begin alike.
//!
//! Always holds: at most so many bytes are kept; the least recently used go first, those last that were to be held for some
//! time; a cache that is handed out is that of the very tokens that were asked for.

use std::collections::BTreeSet;
use std::time::Instant;

use super::cache::Cache;

/// Tokens from which it is worth to go on from another sequence's.
const LEAST_TOKENS: usize = 16;

/// Caches of prompts that were read.
#[derive(Debug)]
pub(super) struct Prefixes {
    max_bytes: usize,
    /// How often all was forgotten.
    time: u64,
    /// The least recently used first.
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    tokens: Vec<u32>,
    cache: Cache,
    /// Goes after others until then; nothing where it is not held.
    held_until: Option<Instant>,
}

impl Prefixes {
    /// Keeps nothing yet, and `max_bytes` at most.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            time: 0,
            kept: Vec::new(),
        }
    }

    /// Returns how often all was forgotten.
    pub(super) fn time(&self) -> u64 {
        self.time
    }

    /// Returns a cache that holds the most of a prompt's first tokens, never all; nothing where too few are known.
    pub(super) fn longest(&mut self, prompt: &[u32]) -> Option<Cache> {
        let most = prompt.len().saturating_sub(1);
        let common = |kept: &Kept| {
            kept.tokens
                .iter()
                .zip(&prompt[..most])
                .take_while(|(a, b)| a == b)
                .count()
        };
        let found = self
            .kept
            .iter()
            .map(common)
            .enumerate()
            .max_by_key(|(at, common)| (*common, *at));
        let (at, common) = found.filter(|(_, common)| *common >= LEAST_TOKENS)?;
        let kept = self.kept.remove(at);
        let cache = kept.cache.beginning(common);
        self.kept.push(kept);
        Some(cache)
    }

    /// Keeps the cache of a sequence that has read these tokens, unless all was forgotten since `time`.
    pub(super) fn keep(&mut self, tokens: &[u32], cache: Cache, time: u64, held_until: Option<Instant>) {
        debug_assert_eq!(tokens.len(), cache.tokens());
        if time != self.time {
            return;
        }
        if let Some(known) = self.kept.iter_mut().find(|kept| kept.tokens == tokens) {
            known.held_until = known.held_until.max(held_until);
            return;
        }
        // What begins a longer one is known by that, but goes with it too.
        if held_until.is_none() && self.kept.iter().any(|kept| kept.tokens.starts_with(tokens)) {
            return;
        }
        self.kept
            .retain(|kept| kept.held_until.is_some() || !tokens.starts_with(&kept.tokens));
        self.kept.push(Kept {
            tokens: tokens.to_vec(),
            cache,
            held_until,
        });
        self.make_room(Instant::now());
    }

    /// Returns how many bytes are kept.
    pub(super) fn bytes(&self) -> usize {
        let blocks: BTreeSet<_> = self.kept.iter().flat_map(|kept| kept.cache.blocks()).collect();
        blocks.len() * self.kept.first().map_or(0, |kept| kept.cache.block_bytes())
    }

    fn make_room(&mut self, now: Instant) {
        while self.bytes() > self.max_bytes {
            let is_held = |kept: &Kept| kept.held_until.is_some_and(|until| until > now);
            let gone = self.kept.iter().position(|kept| !is_held(kept)).unwrap_or(0);
            self.kept.remove(gone);
        }
    }

    /// Keeps nothing any more.
    pub(super) fn forget(&mut self) {
        self.time += 1;
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::cache::CacheShape;
    use super::*;

    const SHAPE: CacheShape = CacheShape {
        layers: 1,
        heads: 1,
        head_width: 32,
    };

    fn cache(tokens: usize) -> Cache {
        let mut cache = Cache::new(SHAPE);
        cache.reserve(tokens);
        cache.advance(tokens);
        cache
    }

    fn bytes(tokens: usize) -> usize {
        let cache = cache(tokens);
        cache.blocks().count() * cache.block_bytes()
    }

    fn tokens(range: std::ops::Range<u32>) -> Vec<u32> {
        range.collect()
    }

    #[test]
    fn prompts_go_on_from_what_they_share() {
        let mut prefixes = Prefixes::new(usize::MAX);
        prefixes.keep(&tokens(0..100), cache(100), 0, None);
        let mut other = tokens(0..40);
        other.extend(200..260);
        prefixes.keep(&other, cache(100), 0, None);
        let mut known = |prompt: &[u32]| prefixes.longest(prompt).map(|cache| cache.tokens());
        assert_eq!(known(&tokens(0..120)), Some(100));
        assert_eq!(known(&tokens(0..100)), Some(99));
        assert_eq!(known(&tokens(0..50)), Some(49));
        assert_eq!(known(&other[..70]), Some(69));
        assert_eq!(known(&tokens(0..LEAST_TOKENS as u32)), None);
        assert_eq!(known(&tokens(50..100)), None);
        assert_eq!(known(&[]), None);
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let mut prefixes = Prefixes::new(2 * bytes(64));
        let prompts = [tokens(0..64), tokens(100..164), tokens(200..264)];
        prefixes.keep(&prompts[0], cache(64), 0, None);
        prefixes.keep(&prompts[1], cache(64), 0, None);
        assert!(prefixes.longest(&prompts[0]).is_some());
        prefixes.keep(&prompts[2], cache(64), 0, None);
        let known = prompts.each_ref().map(|prompt| prefixes.longest(prompt).is_some());
        assert_eq!(known, [true, false, true]);
        // One that is too large for all of the room is not kept.
        prefixes.keep(&tokens(300..600), cache(300), 0, None);
        assert!(prefixes.longest(&tokens(300..600)).is_none());
        prefixes.forget();
        assert!(prefixes.longest(&prompts[0]).is_none());
        // What was looked up before is not kept afterwards.
        prefixes.keep(&prompts[0], cache(64), 0, None);
        assert!(prefixes.longest(&prompts[0]).is_none());
        prefixes.keep(&prompts[0], cache(64), prefixes.time(), None);
        assert!(prefixes.longest(&prompts[0]).is_some());
    }

    #[test]
    fn held_prompts_go_last() {
        let mut prefixes = Prefixes::new(2 * bytes(64));
        let prompts = [0, 100, 200, 300].map(|first| tokens(first..first + 64));
        let hour = Instant::now() + std::time::Duration::from_hours(1);
        let known = |prefixes: &mut Prefixes| {
            let known = |prompt: &[u32]| prefixes.longest(prompt).map_or(0, |cache| cache.tokens());
            prompts.each_ref().map(Vec::as_slice).map(known)
        };
        // One block of the first prompt is held, and what stands behind it is not.
        prefixes.keep(&prompts[0], cache(64), 0, None);
        prefixes.keep(&prompts[0][..32], cache(32), 0, Some(hour));
        assert_eq!(known(&mut prefixes), [63, 0, 0, 0]);
        prefixes.keep(&prompts[1], cache(64), 0, Some(Instant::now()));
        prefixes.keep(&prompts[2], cache(64), 0, None);
        assert_eq!(
            known(&mut prefixes),
            [32, 0, 63, 0],
            "what was held long enough goes as any other"
        );
        prefixes.keep(&prompts[2][..32], cache(32), 0, Some(hour));
        prefixes.keep(&prompts[3], cache(64), 0, Some(hour));
        assert_eq!(known(&mut prefixes), [32, 0, 32, 63]);
        // Among what is held the least recently used goes first.
        prefixes.keep(&prompts[1], cache(64), 0, Some(hour));
        assert_eq!(known(&mut prefixes), [0, 63, 0, 63]);
    }

    #[test]
    fn shared_blocks_count_once() {
        let mut prefixes = Prefixes::new(usize::MAX);
        let system = cache(64);
        for first in [100, 200, 300] {
            let mut own = system.clone();
            own.reserve(32);
            own.advance(32);
            let tokens = [tokens(0..64), tokens(first..first + 32)].concat();
            prefixes.keep(&tokens, own, 0, None);
        }
        assert_eq!(prefixes.bytes(), bytes(64 + 3 * 32));
    }

    #[test]
    fn what_begins_a_longer_one_is_kept_once() {
        let mut prefixes = Prefixes::new(usize::MAX);
        for len in [40, 90, 60] {
            prefixes.keep(&tokens(0..len), cache(len as usize), 0, None);
        }
        assert_eq!(prefixes.kept.len(), 1);
        assert_eq!(prefixes.longest(&tokens(0..200)).map(|cache| cache.tokens()), Some(90));
    }
}
