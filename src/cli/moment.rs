//! Times and spans of time on the command line, and the flags that say which state a read wants.

use std::time::Duration;

use clap::Args;

use crate::document::Date;

/// Which state of a knowledge base is read.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct ReadFlags {
    /// Read as of this earlier epoch
    #[arg(long, value_name = "EPOCH", conflicts_with = "as_of_time", value_parser = parse_epoch)]
    as_of_epoch: Option<u64>,
    /// Read as of this time, such as 2026-03-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    as_of_time: Option<prost_types::Timestamp>,
    /// Wait until this epoch is published
    #[arg(long, value_name = "EPOCH", value_parser = clap::value_parser!(u64).range(1..))]
    min_epoch: Option<u64>,
}

impl ReadFlags {
    /// Returns the earlier epoch, 0 for none.
    pub(super) fn as_of_epoch(self) -> u64 {
        self.as_of_epoch.unwrap_or_default()
    }

    /// Returns the earlier time.
    pub(super) fn as_of_time(self) -> Option<prost_types::Timestamp> {
        self.as_of_time
    }

    /// Returns the epoch to wait for, 0 for none.
    pub(super) fn min_epoch(self) -> u64 {
        self.min_epoch.unwrap_or_default()
    }
}

/// Reads the number of an epoch where 0 stands for none on the wire.
pub(super) fn parse_epoch(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("epoch 0 sees nothing and cannot be named here; leave it out for the published epoch".to_owned()),
        Ok(epoch) => Ok(epoch),
        Err(_) => Err("expected the number of an epoch, from 1 on".to_owned()),
    }
}

/// Reads a time in the form of RFC 3339.
pub(super) fn parse_time(text: &str) -> Result<prost_types::Timestamp, String> {
    timestamp(text).ok_or_else(|| "expected a time such as 2026-03-01T12:00:00Z".to_owned())
}

/// Reads a day, which stands for its first instant, or a time in the form of RFC 3339.
pub(super) fn timestamp(text: &str) -> Option<prost_types::Timestamp> {
    let date = Date::parse(text)?;
    Some(prost_types::Timestamp {
        seconds: date.seconds(),
        nanos: i32::try_from(date.nanos()).ok()?,
    })
}

/// Reads a whole number with a unit: `90s`, `30m`, `12h`, `7d`, `4w`.
pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    let expected = || "expected a whole number with s, m, h, d or w, such as 7d".to_owned();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let seconds: u64 = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err(expected()),
    };
    let count: u64 = digits.parse().map_err(|_| expected())?;
    count
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(|| "that is longer than this program can count".to_owned())
}

/// Returns a span in the largest unit up to days that leaves no rest, as [`parse_span`] reads it.
pub(super) fn span(seconds: u64) -> String {
    let units = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "m")];
    let fits = |unit: u64| seconds >= unit && seconds.is_multiple_of(unit);
    match units.into_iter().find(|(unit, _)| fits(*unit)) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}
