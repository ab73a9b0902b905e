//! A set of rows of the attribute index: a bit for each.

/// A set of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSet {
    words: Vec<u64>,
    /// Rows that there are.
    len: usize,
}

impl RowSet {
    /// Returns the empty set of so many rows.
    pub(super) fn none(len: usize) -> Self {
        Self {
            words: vec![0; len.div_ceil(64)],
            len,
        }
    }

    /// Adds a row if a condition holds.
    #[inline]
    pub(super) fn insert_if(&mut self, row: u32, holds: bool) {
        self.words[row as usize / 64] |= u64::from(holds) << (row % 64);
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, row: u32) {
        self.words[row as usize / 64] &= !(1 << (row % 64));
    }

    pub(super) fn contains(&self, row: u32) -> bool {
        self.words[row as usize / 64] & (1 << (row % 64)) != 0
    }

    /// Keeps the rows that are in `other` too.
    pub fn and(&mut self, other: &Self) {
        self.words
            .iter_mut()
            .zip(&other.words)
            .for_each(|(word, other)| *word &= other);
    }

    /// Adds the rows of `other`.
    pub fn or(&mut self, other: &Self) {
        self.words
            .iter_mut()
            .zip(&other.words)
            .for_each(|(word, other)| *word |= other);
    }

    /// Returns the rows that it does not hold.
    #[must_use]
    pub fn opposite(mut self) -> Self {
        self.words.iter_mut().for_each(|word| *word = !*word);
        let beyond = self.words.len() * 64 - self.len;
        if let Some(last) = self.words.last_mut() {
            *last = *last << beyond >> beyond;
        }
        self
    }

    /// Returns the rows in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let rest = std::iter::successors((*word != 0).then_some(*word), |word| {
                let rest = word & (word - 1);
                (rest != 0).then_some(rest)
            });
            rest.map(move |word| at as u32 * 64 + word.trailing_zeros())
        })
    }
}
