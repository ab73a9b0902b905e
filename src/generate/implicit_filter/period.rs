//! Dates as people write them in questions: days, months, quarters and years.

use std::ops::Range;

use super::question::Question;
use crate::document::Date;

/// Years that a bare number can mean.
const YEARS: std::ops::RangeInclusive<u32> = 1500..=2199;
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// Shortest abbreviation of a month in bytes.
const SHORTEST_MONTH: usize = 3;

/// A period that a question names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Period {
    /// Its words.
    pub(super) words: Range<usize>,
    /// Its first instant.
    pub(super) start: Date,
    /// The first instant after it.
    pub(super) end: Date,
}

/// Returns the year that a word can mean.
pub(super) fn year(word: &str) -> Option<u32> {
    let is_year = word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    is_year
        .then(|| word.parse().ok())
        .flatten()
        .filter(|year| YEARS.contains(year))
}

/// Returns all periods that a question names, in order.
pub(super) fn periods(question: &Question<'_>) -> Vec<Period> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < question.words.len() {
        let period = period_at(question, at);
        at = period.as_ref().map_or(at + 1, |period| period.words.end);
        found.extend(period);
    }
    found
}

fn period_at(question: &Question<'_>, at: usize) -> Option<Period> {
    let word = |at: usize| question.words.get(at).map(|word| word.folded.as_str());
    let first = word(at)?;
    if let Some(year) = year(first) {
        let part = |at: usize| {
            let is_joined = question.between(at - 1, at) == "-";
            word(at)
                .filter(|word| is_joined && word.len() == 2)?
                .parse::<u32>()
                .ok()
        };
        let month = part(at + 1);
        let day = month.and_then(|_| part(at + 2));
        let length = 1 + usize::from(month.is_some()) + usize::from(day.is_some());
        return period(at..at + length, year, month, day).or_else(|| period(at..at + 1, year, None, None));
    }
    if let Some(quarter) = first.strip_prefix('q').and_then(|digit| digit.parse::<u32>().ok()) {
        let year = word(at + 1).and_then(year)?;
        let last = (1..=4).contains(&quarter).then_some(quarter * 3)?;
        let (first, last) = (
            period(at..at + 2, year, Some(last - 2), None)?,
            period(at..at + 2, year, Some(last), None)?,
        );
        return Some(Period { end: last.end, ..first });
    }
    if let Some(month) = month(first) {
        if let Some(year) = word(at + 1).and_then(year) {
            return period(at..at + 2, year, Some(month), None);
        }
        let year = word(at + 2).and_then(year)?;
        return period(at..at + 3, year, Some(month), Some(day(word(at + 1)?)?));
    }
    let (day, of) = (day(first)?, usize::from(word(at + 1) == Some("of")));
    let month = month(word(at + of + 1)?)?;
    period(
        at..at + of + 3,
        word(at + of + 2).and_then(year)?,
        Some(month),
        Some(day),
    )
}

fn month(word: &str) -> Option<u32> {
    let is_month = |month: &str| word.len() >= SHORTEST_MONTH && month.starts_with(word);
    let place = MONTHS.iter().position(|month| is_month(month))?;
    Some(place as u32 + 1)
}

fn day(word: &str) -> Option<u32> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_ordinal = matches!(&word[digits.len()..], "" | "st" | "nd" | "rd" | "th");
    is_ordinal
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|day| (1..=31).contains(day))
}

/// Returns a day, a month or a year; nothing for a day that its month lacks.
fn period(words: Range<usize>, year: u32, month: Option<u32>, day: Option<u32>) -> Option<Period> {
    const DAY_SECONDS: i64 = 86_400;
    let start_of = |year: u32, month: u32, day: u32| Date::parse_day(&format!("{year:04}-{month:02}-{day:02}"));
    let start = start_of(year, month.unwrap_or(1), day.unwrap_or(1))?;
    let end = match (month, day) {
        (Some(_), Some(_)) => Date::new(start.seconds() + DAY_SECONDS, 0)?,
        (Some(month), None) if month < 12 => start_of(year, month + 1, 1)?,
        _ => start_of(year + 1, 1, 1)?,
    };
    Some(Period { words, start, end })
}
