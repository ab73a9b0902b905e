//! Keys and values of what a sequence has read, in blocks that sequences with the same beginning share.
//!
//! ```text
//! block: 32 tokens = layer | layer | ...       layer = head | head | ...
//! head: group of 16 tokens | group             group: see [`attention::put`]
//! ```

use std::ops::Range;
use std::sync::Arc;

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

/// What a sequence has read. Clones share it, and go their own ways from there.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    shape: CacheShape,
    blocks: Vec<Arc<Vec<u16>>>,
    tokens: usize,
}

impl Cache {
    pub(super) fn new(shape: CacheShape) -> Self {
        Self {
            shape,
            blocks: Vec::new(),
            tokens: 0,
        }
    }

    /// Returns how many tokens were read.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Returns about how many bytes its blocks take, those that it shares included.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * self.shape.block_len() * size_of::<u16>()
    }

    /// Returns another that has read the first tokens only.
    pub(super) fn beginning(&self, tokens: usize) -> Self {
        debug_assert!(tokens <= self.tokens);
        Self {
            shape: self.shape,
            blocks: self.blocks[..tokens.div_ceil(BLOCK_TOKENS)].to_vec(),
            tokens,
        }
    }

    /// Makes room for more tokens: from the last whole block on, blocks are this sequence's alone.
    pub(super) fn reserve(&mut self, tokens: usize) {
        let blocks = (self.tokens + tokens).div_ceil(BLOCK_TOKENS);
        let block_len = self.shape.block_len();
        self.blocks.resize_with(blocks, || Arc::new(vec![0; block_len]));
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
                attention::put(&mut block[group], token % GROUP, key, value);
            }
        }
    }

    /// Counts tokens that were written in all layers.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.tokens += tokens;
    }

    /// Returns the groups of one head that hold the first tokens.
    pub(super) fn groups(&self, layer: usize, head: usize, tokens: usize, out: &mut Vec<*const u16>) {
        out.clear();
        for at in 0..tokens.div_ceil(GROUP) {
            let range = self.group(layer, head, at % GROUPS);
            out.push(self.blocks[at / GROUPS][range].as_ptr());
        }
    }

    fn group(&self, layer: usize, head: usize, group: usize) -> Range<usize> {
        let at = (layer * self.shape.heads + head) * GROUPS + group;
        at * self.shape.group_len()..(at + 1) * self.shape.group_len()
    }
}
