//! Dates in attributes.

use crate::document::metadata::MetadataValue;

const SECONDS_PER_DAY: i64 = 86_400;

/// Returns the seconds since 1970 that an attribute stands for: a number is one, text is RFC 3339 with or without the
/// time of day. Nothing for what is no date.
pub(super) fn seconds_since_1970(value: &MetadataValue) -> Option<f64> {
    match value {
        MetadataValue::Number(seconds) => Some(*seconds),
        MetadataValue::Date(date) => Some(date.seconds() as f64),
        MetadataValue::String(text) => parse(text.trim()),
        _ => None,
    }
}

fn parse(text: &str) -> Option<f64> {
    let (date, rest) = text.split_at_checked(10)?;
    let days = days_since_1970(date)?;
    let midnight = (days * SECONDS_PER_DAY) as f64;
    if rest.is_empty() {
        return Some(midnight);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let at = rest.find(['Z', 'z', '+', '-'])?;
    let (time, offset) = rest.split_at(at);
    Some(midnight + time_of_day(time)? - offset_seconds(offset)?)
}

/// Counts days with the years beginning in March, so that the leap day is the last.
fn days_since_1970(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (
        number(parts.next()?, 4)?,
        number(parts.next()?, 2)?,
        number(parts.next()?, 2)?,
    );
    if !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    // Day 719,468 of the first era is the first of January 1970.
    Some(era * 146_097 + day_of_era - 719_468)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A second of 60 is a leap second, which counts as the one before the next minute.
fn time_of_day(time: &str) -> Option<f64> {
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (
        number(parts.next()?, 2)?,
        number(parts.next()?, 2)?,
        number(parts.next()?, 2)?,
    );
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 || !is_fraction {
        return None;
    }
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    Some((hour * 3_600 + minute * 60 + second.min(59)) as f64 + fraction)
}

fn offset_seconds(offset: &str) -> Option<f64> {
    let (sign, rest) = match offset.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0.0),
        ("+", rest) => (1.0, rest),
        ("-", rest) => (-1.0, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours < 24 && minutes < 60).then(|| sign * (hours * 3_600 + minutes * 60) as f64)
}

fn number(digits: &str, length: usize) -> Option<i64> {
    let is_number = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<f64>) {
        let found = seconds_since_1970(&MetadataValue::String(text.to_owned()));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn dates_are_read_with_or_without_time() {
        check("1970-01-01", Some(0.0));
        check("2000-02-29", Some(951_782_400.0));
        check("2024-03-01T12:00:00Z", Some(1_709_294_400.0));
        check("2024-03-01 14:00:00.5+02:00", Some(1_709_294_400.5));
        check("1969-12-31T23:59:59Z", Some(-1.0));
        check("1969-12-31t18:59:59-05:00", Some(-1.0));
        check("2016-12-31T23:59:60Z", Some(1_483_228_799.0));
        assert_eq!(seconds_since_1970(&MetadataValue::Number(5.5)), Some(5.5));
    }

    #[test]
    fn what_is_no_date_is_nothing() {
        for text in [
            "",
            "soon",
            "2024",
            "2024-13-01",
            "2023-02-29",
            "1900-02-29",
            "2024-00-10",
            "2024-01-00",
            "2024-1-1",
            "2024-03-01T12:00",
            "2024-03-01T12:00:00",
            "2024-03-01T24:00:00Z",
            "2024-03-01T12:00:00.Z",
            "2024-03-01X12:00:00Z",
            "2024-03-01T12:00:00+2",
            "2024-03-01é",
            "2024-03-0é",
        ] {
            check(text, None);
        }
        assert_eq!(seconds_since_1970(&MetadataValue::Boolean(true)), None);
    }
}
