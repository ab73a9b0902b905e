//! Strings, each once, by number.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

/// Strings by number, one after another in one text.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    text: String,
    /// Where each string ends.
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl Dictionary {
    pub(super) fn get(&self, number: u32) -> &str {
        string(&self.text, &self.ends, number)
    }

    /// Returns the number of a string.
    pub(super) fn find(&self, wanted: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(wanted);
        self.numbers.find(hash, |number| self.get(*number) == wanted).copied()
    }

    /// Returns the number of a string, which it gets if it has none.
    pub(super) fn insert(&mut self, wanted: &str) -> u32 {
        if let Some(number) = self.find(wanted) {
            return number;
        }
        let number = self.ends.len() as u32;
        self.text.push_str(wanted);
        self.ends.push(self.text.len());
        let Self {
            text,
            ends,
            numbers,
            hasher,
        } = self;
        let hash = hasher.hash_one(wanted);
        numbers.insert_unique(hash, number, |number| hasher.hash_one(string(text, ends, *number)));
        number
    }

    /// Returns all strings by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).map(|number| self.get(number))
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<usize>() + self.numbers.allocation_size()
    }
}

fn string<'a>(text: &'a str, ends: &[usize], number: u32) -> &'a str {
    let number = number as usize;
    let start = number.checked_sub(1).map_or(0, |before| ends[before]);
    &text[start..ends[number]]
}
