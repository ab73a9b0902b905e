//! A set of chunks: a bit for each number.

use super::{Accept, ChunkId};

/// A set of chunks.
#[derive(Debug, Clone, Default)]
pub struct ChunkSet {
    words: Vec<u64>,
    count: usize,
}

impl ChunkSet {
    /// Adds chunks that lie one after another and that it does not hold yet.
    pub fn insert(&mut self, first: ChunkId, count: usize) {
        if count == 0 {
            return;
        }
        let (start, end) = (first.0 as usize, first.0 as usize + count);
        if self.words.len() < end.div_ceil(64) {
            self.words.resize(end.div_ceil(64), 0);
        }
        for (at, word) in self.words[start / 64..end.div_ceil(64)].iter_mut().enumerate() {
            *word |= within(start / 64 + at, start, end);
        }
        self.count += count;
    }

    /// Returns whether it holds the chunk.
    pub fn contains(&self, chunk_id: ChunkId) -> bool {
        self.words
            .get(chunk_id.0 as usize / 64)
            .is_some_and(|word| word & (1 << (chunk_id.0 % 64)) != 0)
    }

    /// Returns how many chunks it holds.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns how many chunks it holds from `first` to `last`.
    pub fn count_within(&self, first: ChunkId, last: ChunkId) -> usize {
        self.masked(first, last)
            .map(|(_, word)| word.count_ones() as usize)
            .sum()
    }

    /// Returns the chunks that it holds from `first` to `last`, in order.
    pub fn iter_within(&self, first: ChunkId, last: ChunkId) -> impl Iterator<Item = ChunkId> + '_ {
        self.masked(first, last).flat_map(|(at, word)| {
            let rest = std::iter::successors((word != 0).then_some(word), |word| {
                let rest = word & (word - 1);
                (rest != 0).then_some(rest)
            });
            rest.map(move |word| ChunkId(at as u64 * 64 + u64::from(word.trailing_zeros())))
        })
    }

    /// Returns the bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    /// Returns its words from `first` to `last`, by place, without the bits outside.
    fn masked(&self, first: ChunkId, last: ChunkId) -> impl Iterator<Item = (usize, u64)> + '_ {
        let start = usize::try_from(first.0).unwrap_or(usize::MAX);
        let end = usize::try_from(last.0).unwrap_or(usize::MAX).saturating_add(1);
        let until = end.div_ceil(64).min(self.words.len());
        let from = (start / 64).min(until);
        let words = self.words[from..until].iter().enumerate();
        words.map(move |(at, word)| (from + at, word & within(from + at, start, end)))
    }
}

/// The bits of the word at `at` that stand for numbers from `start` up to `end`.
fn within(at: usize, start: usize, end: usize) -> u64 {
    let low = start.saturating_sub(at * 64).min(64);
    let high = end.saturating_sub(at * 64).min(64);
    let below = |bits: usize| if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
    below(high) & !below(low)
}

/// Which chunks may be found.
#[derive(Clone, Copy)]
pub enum Accepted<'a> {
    /// Those that pass a test; about so many do. Fewer hits than exist may come when the number is too small.
    Test(&'a Accept<'a>, usize),
    /// These.
    Set(&'a ChunkSet),
}

impl Accepted<'_> {
    /// Returns whether the chunk may be found.
    #[inline]
    pub fn contains(&self, chunk_id: ChunkId) -> bool {
        match self {
            Self::Test(accept, _) => accept(chunk_id),
            Self::Set(set) => set.contains(chunk_id),
        }
    }

    /// Returns how many chunks may be found.
    pub fn len(&self) -> usize {
        match self {
            Self::Test(_, count) => *count,
            Self::Set(set) => set.len(),
        }
    }

    /// Returns whether none may be found.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sets_hold_what_was_inserted(
            gaps in proptest::collection::vec((0_u64..150, 0_usize..150), 0..20),
            bounds in (0_u64..2_000, 0_u64..2_000),
        ) {
            let (mut set, mut expected, mut next) = (ChunkSet::default(), Vec::new(), 0);
            for (gap, count) in gaps {
                next += gap;
                set.insert(ChunkId(next), count);
                expected.extend((next..next + count as u64).map(ChunkId));
                next += count as u64;
            }
            prop_assert_eq!(set.len(), expected.len());
            let (first, last) = (ChunkId(bounds.0), ChunkId(bounds.1));
            expected.retain(|id| first <= *id && *id <= last);
            prop_assert_eq!(set.iter_within(first, last).collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(set.count_within(first, last), expected.len());
            prop_assert!((0..3_000).map(ChunkId).filter(|id| first <= *id && *id <= last).all(|id| set.contains(id) == expected.contains(&id)));
        }
    }
}
