//! Dates in attributes.

use crate::document::Date;
use crate::document::metadata::MetadataValue;

const NANOS_PER_SECOND: f64 = 1e9;

/// Returns the seconds since 1970 that an attribute stands for: a number is one, text is RFC 3339 with or without the
/// time of day. Nothing for what is no date.
pub(super) fn seconds_since_1970(value: &MetadataValue) -> Option<f64> {
    let seconds = |date: Date| date.seconds() as f64 + f64::from(date.nanos()) / NANOS_PER_SECOND;
    match value {
        MetadataValue::Number(seconds) => Some(*seconds),
        MetadataValue::Date(date) => Some(seconds(*date)),
        MetadataValue::String(text) => Date::parse(text.trim()).map(seconds),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_numbers_and_dates_are_dates() {
        #[track_caller]
        fn check(value: &MetadataValue, expected: Option<f64>) {
            assert_eq!(seconds_since_1970(value), expected, "{value:?}");
        }
        let text = |text: &str| MetadataValue::String(text.to_owned());
        check(&text(" 2000-02-29 "), Some(951_782_400.0));
        check(&text("2024-03-01 14:00:00.5+02:00"), Some(1_709_294_400.5));
        check(&text("soon"), None);
        check(&MetadataValue::Number(5.5), Some(5.5));
        let half = Date::new(-1, 500_000_000).expect("it is within");
        check(&MetadataValue::Date(half), Some(-0.5));
        check(&MetadataValue::Boolean(true), None);
    }
}
