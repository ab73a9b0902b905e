//! The attribute index: which revisions have which attributes, in columns, and who may find them.
//!
//! Comes in: the attributes of revisions with the range of their chunks. Goes out: sets of rows, a row for each revision.
//! Always holds: rows are in order of their chunks; a row that was removed is in no set of chunks.
//! Not here: what a filter is (see [`crate::retrieve`]), what an epoch sees, and anything on disk: it is made from the
//! records.

mod column;
mod dictionary;
mod rows;

use std::collections::{BTreeMap, HashMap};
use std::mem::size_of;

use super::ChunkId;
use crate::document::Date;
use crate::document::access::{AccessList, UserContext};
use crate::document::metadata::{AttributeType, Metadata, MetadataValue};
use column::Column;

pub use rows::RowSet;

/// Which revisions have which attributes. Its rows are those of this very index.
#[derive(Debug, Default)]
pub struct AttributeIndex {
    /// First chunk of each row, ascending.
    firsts: Vec<u64>,
    /// Chunks of each row; 0 once it is removed.
    counts: Vec<u32>,
    removed: usize,
    columns: BTreeMap<String, Column>,
    access: Access,
}

/// The rows that are not open to all.
#[derive(Debug, Default)]
struct Access {
    rows: Vec<u32>,
    /// Number of the list of each of those rows.
    numbers: Vec<u32>,
    lists: Vec<AccessList>,
    known: HashMap<AccessList, u32>,
}

impl AttributeIndex {
    /// Adds a revision behind all others. One whose chunks are there already, or lie before the last, is left out.
    pub fn add(&mut self, first: ChunkId, count: u32, metadata: &Metadata, access: &AccessList) {
        if self.firsts.last().is_some_and(|last| *last >= first.0) || count == 0 {
            return;
        }
        let row = self.firsts.len() as u32;
        self.firsts.push(first.0);
        self.counts.push(count);
        for (key, value) in metadata {
            if let Some(column) = self.columns.get_mut(key) {
                column.push(row, value);
            } else {
                self.columns.entry(key.clone()).or_default().push(row, value);
            }
        }
        self.access.add(row, access);
    }

    /// Removes the revision whose chunks begin here, if it is there.
    pub fn remove(&mut self, first: ChunkId) {
        if let Ok(row) = self.firsts.binary_search(&first.0)
            && std::mem::take(&mut self.counts[row]) > 0
        {
            self.removed += 1;
        }
    }

    /// Returns whether most rows were removed, so that making it anew saves memory and time.
    pub fn is_worn(&self) -> bool {
        self.removed > self.firsts.len() / 2
    }

    /// Returns whether it holds no revision.
    pub fn is_empty(&self) -> bool {
        self.removed == self.firsts.len()
    }

    /// Returns the bytes that it takes.
    pub fn bytes(&self) -> usize {
        let columns: usize = self
            .columns
            .iter()
            .map(|(key, column)| key.len() + column.bytes())
            .sum();
        self.firsts.capacity() * size_of::<u64>()
            + self.counts.capacity() * size_of::<u32>()
            + (self.access.rows.capacity() + self.access.numbers.capacity()) * size_of::<u32>()
            + columns
    }

    /// Returns the chunks of rows: the first, and how many.
    pub fn chunks<'a>(&'a self, rows: &'a RowSet) -> impl Iterator<Item = (ChunkId, usize)> + 'a {
        let chunks = rows.iter().map(|row| {
            let row = row as usize;
            (ChunkId(self.firsts[row]), self.counts[row] as usize)
        });
        chunks.filter(|(_, count)| *count > 0)
    }

    /// Returns all rows.
    pub fn all(&self) -> RowSet {
        self.none().opposite()
    }

    /// Returns no rows.
    pub fn none(&self) -> RowSet {
        RowSet::none(self.firsts.len())
    }

    /// Returns the rows that a caller may find; nothing when all are open to all.
    pub fn admitted(&self, caller: Option<&UserContext>) -> Option<RowSet> {
        if self.access.rows.is_empty() {
            return None;
        }
        let verdicts: Vec<bool> = self.access.lists.iter().map(|list| list.admits(caller)).collect();
        let mut rows = self.all();
        for (row, number) in self.access.rows.iter().zip(&self.access.numbers) {
            if !verdicts[*number as usize] {
                rows.remove(*row);
            }
        }
        Some(rows)
    }

    /// Returns whether one of these rows is there; of all, where none are given.
    pub fn is_any(&self, rows: Option<&RowSet>) -> bool {
        match rows {
            Some(rows) => self.chunks(rows).next().is_some(),
            None => !self.is_empty(),
        }
    }

    fn is_seen(&self, row: u32, within: Option<&RowSet>) -> bool {
        self.counts[row as usize] > 0 && within.is_none_or(|rows| rows.contains(row))
    }

    /// Returns the types of an attribute in these rows, or in all where none are given; none when no row has it.
    pub fn types(&self, key: &str, within: Option<&RowSet>) -> Vec<AttributeType> {
        let column = self.columns.get(key);
        column.map_or_else(Vec::new, |column| column.types(|row| self.is_seen(row, within)))
    }

    /// Returns the names of the attributes in these rows, or in all where none are given, in order.
    pub fn keys<'a>(&'a self, within: Option<&'a RowSet>) -> impl Iterator<Item = &'a str> {
        let keys = self.columns.keys().map(String::as_str);
        keys.filter(move |key| !self.types(key, within).is_empty())
    }

    /// Returns the strings of an attribute, alone or in lists, that pass a test, in order, each once. Only rows count that
    /// are in `within`, or all where none are given, and whose first chunk is visible.
    pub fn named_strings(
        &self,
        key: &str,
        within: Option<&RowSet>,
        passes: &dyn Fn(&str) -> bool,
        is_visible: impl Fn(ChunkId) -> bool,
    ) -> Vec<String> {
        let is_seen = |row: u32| self.is_seen(row, within) && is_visible(ChunkId(self.firsts[row as usize]));
        let column = self.columns.get(key);
        column.map_or_else(Vec::new, |column| column.strings_that(passes, is_seen))
    }

    fn select(&self, key: &str, work: impl FnOnce(&Column, &mut RowSet)) -> RowSet {
        let mut rows = self.none();
        if let Some(column) = self.columns.get(key) {
            work(column, &mut rows);
        }
        rows
    }

    /// Returns the rows that have an attribute.
    pub fn having(&self, key: &str) -> RowSet {
        self.select(key, Column::select_all)
    }

    /// Returns the rows of these types in which a string passes.
    pub fn strings(&self, key: &str, kinds: &[AttributeType], passes: impl Fn(&str) -> bool) -> RowSet {
        self.select(key, |column, rows| column.select_strings(kinds, rows, passes))
    }

    /// Returns the rows of these types in which a string is one of the wanted.
    pub fn equal_strings(&self, key: &str, kinds: &[AttributeType], wanted: &[String]) -> RowSet {
        self.select(key, |column, rows| column.select_equal(kinds, rows, wanted))
    }

    /// Returns the rows of these types in which a number passes.
    pub fn numbers(&self, key: &str, kinds: &[AttributeType], passes: impl Fn(f64) -> bool) -> RowSet {
        self.select(key, |column, rows| column.select_numbers(kinds, rows, passes))
    }

    /// Returns the rows in which a date passes.
    pub fn dates(&self, key: &str, passes: impl Fn(Date) -> bool) -> RowSet {
        self.select(key, |column, rows| column.select_dates(rows, passes))
    }

    /// Returns the rows with this very truth value or list.
    pub fn whole(&self, key: &str, wanted: &MetadataValue) -> RowSet {
        self.select(key, |column, rows| column.select_whole(rows, wanted))
    }
}

impl Access {
    fn add(&mut self, row: u32, access: &AccessList) {
        if access.is_open() {
            return;
        }
        let number = self.known.get(access).copied().unwrap_or_else(|| {
            let number = self.lists.len() as u32;
            self.lists.push(access.clone());
            self.known.insert(access.clone(), number);
            number
        });
        self.rows.push(row);
        self.numbers.push(number);
    }
}
