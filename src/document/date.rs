//! Instants as attributes of documents.

use std::fmt;

const SECONDS_PER_DAY: i64 = 86_400;
/// The first second of the year 1.
const FIRST_SECOND: i64 = -62_135_596_800;
/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;
const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// An instant of the years 1 to 9999, to the nanosecond. Later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    seconds: i64,
    nanos: u32,
}

impl Date {
    /// Returns the instant so many seconds, and nanoseconds within the second, after 1970 began in UTC; nothing outside
    /// of the years 1 to 9999.
    pub fn new(seconds: i64, nanos: u32) -> Option<Self> {
        let is_known = (FIRST_SECOND..=LAST_SECOND).contains(&seconds) && nanos < NANOS_PER_SECOND;
        is_known.then_some(Self { seconds, nanos })
    }

    /// Returns the seconds since 1970 began in UTC; negative before.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Returns the nanoseconds within the second.
    pub fn nanos(self) -> u32 {
        self.nanos
    }

    /// Returns the first instant of a day of the proleptic Gregorian calendar in UTC, such as `2024-05-01`; nothing for
    /// other texts.
    pub fn parse_day(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut number = |digits: usize| {
            let part = parts.next()?;
            let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse::<i64>().ok()).flatten()
        };
        let (year, month, day) = (number(4)?, number(2)?, number(2)?);
        if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let days = days_before(year, month, day);
        // A day that its month lacks is one of the next month.
        let date = Self::new(days * SECONDS_PER_DAY, 0)?;
        (date.day() == (year, month, day)).then_some(date)
    }

    /// Returns the instant that a text in the form of RFC 3339 stands for, such as `2024-05-01T12:00:00+02:00`, or the first
    /// one of a day; nothing for other texts. Digits after the nanoseconds are left out.
    pub fn parse(text: &str) -> Option<Self> {
        let (day, rest) = text.split_at_checked(10)?;
        let day = Self::parse_day(day)?;
        if rest.is_empty() {
            return Some(day);
        }
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let at = rest.find(['Z', 'z', '+', '-'])?;
        let (time, offset) = rest.split_at(at);
        let (seconds, nanos) = time_of_day(time)?;
        Self::new(day.seconds + seconds - offset_seconds(offset)?, nanos)
    }

    /// Year, month and day.
    fn day(self) -> (i64, i64, i64) {
        // The civil calendar in eras of 400 years that begin in March, so that the leap day is the last of its year.
        let days = self.seconds.div_euclid(SECONDS_PER_DAY) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year, month, day)
    }
}

/// Days from 1970 to a day.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year_from_march = year - i64::from(month <= 2);
    let (era, year_of_era) = (year_from_march.div_euclid(400), year_from_march.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Seconds and nanoseconds since midnight. A second of 60 is a leap second, which counts as the one before it.
fn time_of_day(time: &str) -> Option<(i64, u32)> {
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.split(':');
    let mut part = || two_digits(parts.next()?);
    let (hour, minute, second) = (part()?, part()?, part()?);
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 || !is_fraction {
        return None;
    }
    let nanos = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction));
    Some((hour * 3_600 + minute * 60 + second.min(59), nanos.parse().ok()?))
}

fn offset_seconds(offset: &str) -> Option<i64> {
    let (sign, rest) = match offset.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0),
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn two_digits(text: &str) -> Option<i64> {
    let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// RFC 3339 in UTC.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.day();
        let second = self.seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            let nanos = format!("{:09}", self.nanos);
            write!(f, ".{}", nanos.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_written() {
        #[track_caller]
        fn check(text: &str, seconds: Option<i64>) {
            let date = Date::parse_day(text);
            assert_eq!(date.map(Date::seconds), seconds, "{text}");
            if let Some(date) = date {
                assert_eq!(date.to_string(), format!("{text}T00:00:00Z"));
            }
        }
        check("1970-01-01", Some(0));
        check("1969-12-31", Some(-SECONDS_PER_DAY));
        check("2000-02-29", Some(951_782_400));
        check("2024-12-31", Some(1_735_603_200));
        check("0001-01-01", Some(FIRST_SECOND));
        check("9999-12-31", Some(LAST_SECOND + 1 - SECONDS_PER_DAY));
        for wrong in [
            "1900-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-04-31",
            "24-1-1",
            "2024-01",
            "0000-01-01",
            "+024-01-01",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn instants_are_read_with_offsets_and_fractions() {
        #[track_caller]
        fn check(text: &str, written: &str) {
            let date = Date::parse(text).map(|date| date.to_string());
            assert_eq!(date.as_deref(), Some(written), "{text}");
        }
        check("2024-03-01", "2024-03-01T00:00:00Z");
        check("2024-03-01T12:00:00Z", "2024-03-01T12:00:00Z");
        check("2024-03-01 14:00:00.5+02:00", "2024-03-01T12:00:00.5Z");
        check("1969-12-31t18:59:59.000000001-05:00", "1969-12-31T23:59:59.000000001Z");
        check("2024-03-01T12:00:00.1234567899z", "2024-03-01T12:00:00.123456789Z");
        check("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z");
        for wrong in [
            "",
            "soon",
            "2024",
            "2023-02-29",
            "2024-1-1",
            "2024-03-01T12:00",
            "2024-03-01T12:00:00",
            "2024-03-01T24:00:00Z",
            "2024-03-01T12:00:00.Z",
            "2024-03-01X12:00:00Z",
            "2024-03-01T12:00:00+2",
            "2024-03-01T1é:00:00Z",
            "2024-03-01é",
            "2024-03-0é",
            "0001-01-01T00:00:00+01:00",
        ] {
            assert_eq!(Date::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn instants_outside_of_the_calendar_are_refused() {
        assert_eq!(Date::new(LAST_SECOND + 1, 0), None);
        assert_eq!(Date::new(FIRST_SECOND - 1, 0), None);
        assert_eq!(Date::new(0, NANOS_PER_SECOND), None);
        let last = Date::new(LAST_SECOND, NANOS_PER_SECOND - 1).expect("it is within");
        assert_eq!(last.to_string(), "9999-12-31T23:59:59.999999999Z");
        let half = Date::new(-1, 500_000_000).expect("it is within");
        assert_eq!(half.to_string(), "1969-12-31T23:59:59.5Z");
        assert!(half < last);
    }
}
