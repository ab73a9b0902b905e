//! Keys and values of what a sequence has read, in blocks that sequences with the same beginning share.
//!
//! ```text
//! block: 32 tokens = layer | layer | ...       layer = head | head | ...
//! head: group of 16 tokens | group             group: see [`attention::put`]
//! ```

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::compute::attention::{self, GROUP};

/// Groups of tokens in a block.
const GROUPS: usize = 2;
/// Tokens of a block: what a copy costs when two sequences part inside of one.
pub(crate) const BLOCK_TOKENS: usize = GROUPS * GROUP;

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CacheShape {
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) head_width: usize,
}

impl CacheShape {
    fn group_len(self) -> usize {
        attention::group_len(self.head_width)
    }

    fn block_len(self) -> usize {
        self.layers * self.heads * GROUPS * self.group_len()
    }
}

/// Keys and values of some tokens; their bytes are counted while there are any.
#[derive(Debug)]
struct Block {
    values: Vec<u16>,
    held: Arc<AtomicUsize>,
}

impl Block {
    fn new(values: Vec<u16>, held: &Arc<AtomicUsize>) -> Self {
        held.fetch_add(size_of_val(values.as_slice()), Ordering::Relaxed);
        Self {
            values,
            held: Arc::clone(held),
        }
    }
}

impl Clone for Block {
    fn clone(&self) -> Self {
        Self::new(self.values.clone(), &self.held)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.held
            .fetch_sub(size_of_val(self.values.as_slice()), Ordering::Relaxed);
    }
}

/// What a sequence has read. Clones share it, and go their own ways from there.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    shape: CacheShape,
    blocks: Vec<Arc<Block>>,
    tokens: usize,
    /// Bytes of all blocks that are counted together.
    held: Arc<AtomicUsize>,
}

impl Cache {
    pub(super) fn new(shape: CacheShape) -> Self {
        Self {
            shape,
            blocks: Vec::new(),
            tokens: 0,
            held: Arc::default(),
        }
    }

    /// Counts the bytes of its blocks here; before it has any.
    pub(super) fn counted_by(self, held: &Arc<AtomicUsize>) -> Self {
        Self {
            held: Arc::clone(held),
            ..self
        }
    }

    /// Returns how many tokens were read.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Returns its blocks, each known by where it lies.
    pub(super) fn blocks(&self) -> impl Iterator<Item = *const ()> {
        self.blocks.iter().map(|block| Arc::as_ptr(block).cast())
    }

    /// Returns how many bytes a block takes.
    pub(super) fn block_bytes(&self) -> usize {
        self.shape.block_len() * size_of::<u16>()
    }

    /// Returns another that has read the first tokens only.
    pub(super) fn beginning(&self, tokens: usize) -> Self {
        debug_assert!(tokens <= self.tokens);
        Self {
            shape: self.shape,
            blocks: self.blocks[..tokens.div_ceil(BLOCK_TOKENS)].to_vec(),
            tokens,
            held: Arc::clone(&self.held),
        }
    }

    /// Forgets all but the first tokens.
    pub(super) fn truncate(&mut self, tokens: usize) {
        debug_assert!(tokens <= self.tokens);
        self.blocks.truncate(tokens.div_ceil(BLOCK_TOKENS));
        self.tokens = tokens;
    }

    /// Makes room for more tokens: from the last whole block on, blocks are this sequence's alone.
    pub(super) fn reserve(&mut self, tokens: usize) {
        let blocks = (self.tokens + tokens).div_ceil(BLOCK_TOKENS);
        let block_len = self.shape.block_len();
        let held = &self.held;
        self.blocks
            .resize_with(blocks, || Arc::new(Block::new(vec![0; block_len], held)));
        for block in &mut self.blocks[self.tokens / BLOCK_TOKENS..] {
            Arc::make_mut(block);
        }
    }

    /// Writes the keys and values of tokens in one layer: a row for each, its heads side by side.
    pub(super) fn write<'a>(&mut self, layer: usize, rows: impl Iterator<Item = (&'a [f32], &'a [f32])>) {
        let CacheShape { heads, head_width, .. } = self.shape;
        for (token, (keys, values)) in (self.tokens..).zip(rows) {
            let group = |head| self.group(layer, head, token % BLOCK_TOKENS / GROUP);
            let groups: Vec<Range<usize>> = (0..heads).map(group).collect();
            let Some(block) = Arc::get_mut(&mut self.blocks[token / BLOCK_TOKENS]) else {
                unreachable!("blocks that are written were made this sequence's own");
            };
            let of_heads = keys.chunks_exact(head_width).zip(values.chunks_exact(head_width));
            for (group, (key, value)) in groups.into_iter().zip(of_heads) {
                attention::put(&mut block.values[group], token % GROUP, key, value);
            }
        }
    }

    /// Counts tokens that were written in all layers.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.tokens += tokens;
    }

    /// Returns the groups of one head that hold these tokens.
    pub(super) fn groups(&self, layer: usize, head: usize, tokens: Range<usize>, out: &mut Vec<*const u16>) {
        out.clear();
        for at in tokens.start / GROUP..tokens.end.div_ceil(GROUP) {
            let range = self.group(layer, head, at % GROUPS);
            out.push(self.blocks[at / GROUPS].values[range].as_ptr());
        }
    }

    fn group(&self, layer: usize, head: usize, group: usize) -> Range<usize> {
        let at = (layer * self.shape.heads + head) * GROUPS + group;
        at * self.shape.group_len()..(at + 1) * self.shape.group_len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_while_blocks_are_held() {
        let shape = CacheShape {
            layers: 1,
            heads: 1,
            head_width: 32,
        };
        let held = Arc::default();
        let mut first = Cache::new(shape).counted_by(&held);
        let now = || held.load(Ordering::Relaxed);
        first.reserve(BLOCK_TOKENS + 1);
        first.advance(BLOCK_TOKENS + 1);
        let block = first.block_bytes();
        assert_eq!(now(), 2 * block);
        let mut second = first.clone();
        let third = first.beginning(BLOCK_TOKENS);
        assert_eq!(now(), 2 * block, "they share what they have read");
        second.reserve(1);
        assert_eq!(now(), 3 * block, "the last block is its own");
        drop(first);
        assert_eq!(now(), 2 * block);
        drop((second, third));
        assert_eq!(now(), 0);
    }
}
