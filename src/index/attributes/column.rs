//! The values of one attribute, by type: rows beside values, in order of rows.

use super::dictionary::Dictionary;
use super::rows::RowSet;
use crate::document::Date;
use crate::document::metadata::{AttributeType, MetadataValue};

/// Stands for the members of a list that has none; no string has this number.
const NO_STRING: u32 = u32::MAX;
/// The same in a list of numbers; it equals none, and is neither above nor below one.
const NO_NUMBER: f64 = f64::NAN;

/// Values with their rows. A row of a list has several.
#[derive(Debug)]
struct Entries<T> {
    rows: Vec<u32>,
    values: Vec<T>,
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl<T: Copy> Entries<T> {
    fn push(&mut self, row: u32, value: T) {
        self.rows.push(row);
        self.values.push(value);
    }

    /// Adds the rows of the values that pass.
    #[inline]
    fn select(&self, into: &mut RowSet, passes: impl Fn(T) -> bool) {
        for (row, value) in self.rows.iter().zip(&self.values) {
            into.insert_if(*row, passes(*value));
        }
    }

    /// Adds the rows whose values, all in order, pass.
    fn select_lists(&self, into: &mut RowSet, passes: impl Fn(&[T]) -> bool) {
        let mut start = 0;
        for list in self.rows.chunk_by(|left, right| left == right) {
            let end = start + list.len();
            into.insert_if(list[0], passes(&self.values[start..end]));
            start = end;
        }
    }

    fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<u32>() + self.values.capacity() * size_of::<T>()
    }
}

/// The values of one attribute. Documents may disagree on its type.
#[derive(Debug, Default)]
pub(super) struct Column {
    dictionary: Dictionary,
    strings: Entries<u32>,
    string_lists: Entries<u32>,
    numbers: Entries<f64>,
    number_lists: Entries<f64>,
    booleans: Entries<bool>,
    dates: Entries<Date>,
}

impl Column {
    /// Adds the value of a row behind all others.
    pub(super) fn push(&mut self, row: u32, value: &MetadataValue) {
        match value {
            MetadataValue::String(string) => self.strings.push(row, self.dictionary.insert(string)),
            MetadataValue::StringList(list) => {
                for string in list {
                    self.string_lists.push(row, self.dictionary.insert(string));
                }
                if list.is_empty() {
                    self.string_lists.push(row, NO_STRING);
                }
            }
            MetadataValue::Number(number) => self.numbers.push(row, *number),
            MetadataValue::NumberList(list) => {
                for number in list {
                    self.number_lists.push(row, *number);
                }
                if list.is_empty() {
                    self.number_lists.push(row, NO_NUMBER);
                }
            }
            MetadataValue::Boolean(truth) => self.booleans.push(row, *truth),
            MetadataValue::Date(date) => self.dates.push(row, *date),
        }
    }

    /// Returns the rows of the values of a type.
    fn rows(&self, kind: AttributeType) -> &[u32] {
        match kind {
            AttributeType::String => &self.strings.rows,
            AttributeType::Number => &self.numbers.rows,
            AttributeType::Boolean => &self.booleans.rows,
            AttributeType::Date => &self.dates.rows,
            AttributeType::StringList => &self.string_lists.rows,
            AttributeType::NumberList => &self.number_lists.rows,
        }
    }

    /// Returns the types of the values of rows that are alive and, where a set is given, in it.
    pub(super) fn types(&self, is_seen: impl Fn(u32) -> bool) -> Vec<AttributeType> {
        let is_there = |kind: &AttributeType| self.rows(*kind).iter().any(|row| is_seen(*row));
        AttributeType::ALL.into_iter().filter(is_there).collect()
    }

    /// Adds all rows that have the attribute.
    pub(super) fn select_all(&self, into: &mut RowSet) {
        for kind in AttributeType::ALL {
            self.rows(kind).iter().for_each(|row| into.insert_if(*row, true));
        }
    }

    /// Adds the rows with a string, alone or in a list, that passes.
    pub(super) fn select_strings(&self, kinds: &[AttributeType], into: &mut RowSet, passes: impl Fn(&str) -> bool) {
        let verdicts: Vec<bool> = self.dictionary.iter().map(passes).collect();
        // What is beyond the strings stands for none.
        self.select_numbered(kinds, into, |number| {
            verdicts.get(number as usize).copied().unwrap_or(false)
        });
    }

    /// Returns the strings that pass a test in a row that is seen, in order, each once.
    pub(super) fn strings_that(&self, passes: impl Fn(&str) -> bool, is_seen: impl Fn(u32) -> bool) -> Vec<String> {
        let numbers = (0..).zip(self.dictionary.iter());
        let wanted: Vec<u32> = numbers
            .filter_map(|(number, string)| passes(string).then_some(number))
            .collect();
        let is_there = |number: &u32| {
            [&self.strings, &self.string_lists].into_iter().any(|entries| {
                let mut entries = entries.rows.iter().zip(&entries.values);
                entries.any(|(row, value)| value == number && is_seen(*row))
            })
        };
        let there = wanted.into_iter().filter(is_there);
        let mut strings: Vec<String> = there.map(|number| self.dictionary.get(number).to_owned()).collect();
        strings.sort();
        strings
    }

    /// Adds the rows with one of these strings, alone or in a list.
    pub(super) fn select_equal(&self, kinds: &[AttributeType], into: &mut RowSet, wanted: &[String]) {
        let numbers: Vec<u32> = wanted
            .iter()
            .filter_map(|string| self.dictionary.find(string))
            .collect();
        match numbers[..] {
            [] => {}
            [wanted] => self.select_numbered(kinds, into, |number| number == wanted),
            _ => self.select_numbered(kinds, into, |number| numbers.contains(&number)),
        }
    }

    #[inline]
    fn select_numbered(&self, kinds: &[AttributeType], into: &mut RowSet, passes: impl Fn(u32) -> bool) {
        if kinds.contains(&AttributeType::String) {
            self.strings.select(into, &passes);
        }
        if kinds.contains(&AttributeType::StringList) {
            self.string_lists.select(into, &passes);
        }
    }

    /// Adds the rows with a number, alone or in a list, that passes.
    #[inline]
    pub(super) fn select_numbers(&self, kinds: &[AttributeType], into: &mut RowSet, passes: impl Fn(f64) -> bool) {
        if kinds.contains(&AttributeType::Number) {
            self.numbers.select(into, &passes);
        }
        if kinds.contains(&AttributeType::NumberList) {
            // What stands for no member passes no comparison, but the caller's test may be any.
            self.number_lists
                .select(into, |number| !number.is_nan() && passes(number));
        }
    }

    /// Adds the rows with a date that passes.
    #[inline]
    pub(super) fn select_dates(&self, into: &mut RowSet, passes: impl Fn(Date) -> bool) {
        self.dates.select(into, passes);
    }

    /// Adds the rows with this very value; only truth values and whole lists are looked for.
    pub(super) fn select_whole(&self, into: &mut RowSet, wanted: &MetadataValue) {
        match wanted {
            MetadataValue::Boolean(wanted) => self.booleans.select(into, |truth| truth == *wanted),
            MetadataValue::StringList(list) => {
                let numbers: Option<Vec<u32>> = list.iter().map(|string| self.dictionary.find(string)).collect();
                if let Some(mut numbers) = numbers {
                    if numbers.is_empty() {
                        numbers.push(NO_STRING);
                    }
                    self.string_lists.select_lists(into, |found| found == numbers);
                }
            }
            MetadataValue::NumberList(list) if list.is_empty() => {
                self.number_lists.select(into, f64::is_nan);
            }
            MetadataValue::NumberList(list) => self.number_lists.select_lists(into, |found| found == list),
            MetadataValue::String(_) | MetadataValue::Number(_) | MetadataValue::Date(_) => {}
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.dictionary.bytes()
            + self.strings.bytes()
            + self.string_lists.bytes()
            + self.numbers.bytes()
            + self.number_lists.bytes()
            + self.booleans.bytes()
            + self.dates.bytes()
    }
}
