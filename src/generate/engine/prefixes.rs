//! What sequences have read, for others that begin alike.
//!
//! Always holds: at most so many bytes are kept, the least recently used go first; a cache that is handed out is that of the
//! very tokens that were asked for.

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
    pub(super) fn keep(&mut self, tokens: &[u32], cache: Cache, time: u64) {
        debug_assert_eq!(tokens.len(), cache.tokens());
        // What begins a longer one is held by that.
        if time != self.time || self.kept.iter().any(|kept| kept.tokens.starts_with(tokens)) {
            return;
        }
        self.kept.retain(|kept| !tokens.starts_with(&kept.tokens));
        let tokens = tokens.to_vec();
        self.kept.push(Kept { tokens, cache });
        let mut bytes: usize = self.kept.iter().map(|kept| kept.cache.bytes()).sum();
        let mut gone = 0;
        while bytes > self.max_bytes {
            bytes -= self.kept[gone].cache.bytes();
            gone += 1;
        }
        self.kept.drain(..gone);
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

    fn tokens(range: std::ops::Range<u32>) -> Vec<u32> {
        range.collect()
    }

    #[test]
    fn prompts_go_on_from_what_they_share() {
        let mut prefixes = Prefixes::new(usize::MAX);
        prefixes.keep(&tokens(0..100), cache(100), 0);
        let mut other = tokens(0..40);
        other.extend(200..260);
        prefixes.keep(&other, cache(100), 0);
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
        let mut prefixes = Prefixes::new(2 * cache(64).bytes());
        let prompts = [tokens(0..64), tokens(100..164), tokens(200..264)];
        prefixes.keep(&prompts[0], cache(64), 0);
        prefixes.keep(&prompts[1], cache(64), 0);
        assert!(prefixes.longest(&prompts[0]).is_some());
        prefixes.keep(&prompts[2], cache(64), 0);
        let known = prompts.each_ref().map(|prompt| prefixes.longest(prompt).is_some());
        assert_eq!(known, [true, false, true]);
        // One that is too large for all of the room is not kept.
        prefixes.keep(&tokens(300..600), cache(300), 0);
        assert!(prefixes.longest(&tokens(300..600)).is_none());
        prefixes.forget();
        assert!(prefixes.longest(&prompts[0]).is_none());
        // What was looked up before is not kept afterwards.
        prefixes.keep(&prompts[0], cache(64), 0);
        assert!(prefixes.longest(&prompts[0]).is_none());
        prefixes.keep(&prompts[0], cache(64), prefixes.time());
        assert!(prefixes.longest(&prompts[0]).is_some());
    }

    #[test]
    fn what_begins_a_longer_one_is_kept_once() {
        let mut prefixes = Prefixes::new(usize::MAX);
        for len in [40, 90, 60] {
            prefixes.keep(&tokens(0..len), cache(len as usize), 0);
        }
        assert_eq!(prefixes.kept.len(), 1);
        assert_eq!(prefixes.longest(&tokens(0..200)).map(|cache| cache.tokens()), Some(90));
    }
}
