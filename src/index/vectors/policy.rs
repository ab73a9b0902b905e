//! What upkeep does next, as a pure function of sizes.
//!
//! Fresh rows are sealed once there are [`SEAL_ROWS`] of them. A segment takes in all that comes after it once that is a
//! quarter of its own size, so each segment stays more than four times as large as all later ones together, and n rows
//! lie in at most log4(n / [`SEAL_ROWS`]) + 2 segments. A merge copies the links of its first segment and inserts the
//! rows of the others. A row that was inserted belongs to a segment at least 1.25 times as large afterwards, and what is
//! copied grows by a quarter each time: the work for each row is O(log n) in all. At rest a sixteenth is enough.

use crate::index::merging::{self, Pace};

/// Fresh rows that are worth a segment.
pub(super) const SEAL_ROWS: usize = 4_096;
/// The same when nobody writes and they are a fair share of the last segment.
const SEAL_ROWS_AT_REST: usize = 1_024;

/// A rewrite of the segments from `from` on, together with the fresh rows if wanted, into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rewrite {
    pub(super) from: usize,
    pub(super) fresh: bool,
}

/// Returns what is most urgent, given the rows of each segment in order and the fresh ones.
pub(super) fn next(segments: &[usize], fresh: usize, pace: Pace) -> Option<Rewrite> {
    let seals = fresh >= SEAL_ROWS
        || pace == Pace::AtRest
            && fresh >= SEAL_ROWS_AT_REST
            && merging::first_merged(segments, fresh, pace) < segments.len();
    let from = merging::first_merged(segments, if seals { fresh } else { 0 }, pace);
    let does_something = seals || from < segments.len();
    does_something.then_some(Rewrite { from, fresh: seals })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_merged_with_a_fair_share() {
        #[track_caller]
        fn check(segments: &[usize], fresh: usize, expected: Option<(usize, bool)>) {
            let expected = expected.map(|(from, fresh)| Rewrite { from, fresh });
            assert_eq!(
                next(segments, fresh, Pace::UnderLoad),
                expected,
                "{segments:?} and {fresh}"
            );
        }
        check(&[], 0, None);
        check(&[], SEAL_ROWS - 1, None);
        check(&[], SEAL_ROWS, Some((0, true)));
        check(&[100_000], SEAL_ROWS, Some((1, true)));
        check(&[100_000], 25_000, Some((0, true)));
        check(&[100_000, 20_000], SEAL_ROWS, Some((2, true)));
        check(&[100_000, 20_000], 5_000, Some((0, true)));
        check(&[100_000, 10_000], 5_000, Some((1, true)));
        check(&[100_000, 20_000], 0, None);
        check(&[100_000, 20_000, 5_000], 0, Some((0, false)));
        check(&[100_000, 10_000, 5_000], 0, Some((1, false)));
    }

    #[test]
    fn rest_leaves_little_outside_of_the_largest() {
        #[track_caller]
        fn check(segments: &[usize], fresh: usize, expected: Option<(usize, bool)>) {
            let expected = expected.map(|(from, fresh)| Rewrite { from, fresh });
            assert_eq!(
                next(segments, fresh, Pace::AtRest),
                expected,
                "{segments:?} and {fresh}"
            );
        }
        check(&[], SEAL_ROWS - 1, None);
        check(&[36_000], 2_000, None);
        check(&[36_000], 2_500, Some((0, true)));
        check(&[36_000, 2_500], 0, Some((0, false)));
        check(&[36_000, 2_000], 500, None);
        check(&[8_000], 1_000, None);
        check(&[1_000_000, 50_000], SEAL_ROWS_AT_REST, None);
        check(&[1_000_000, 50_000], 4_000, Some((1, true)));
    }

    #[test]
    fn segments_stay_few_and_work_small() {
        for step in [SEAL_ROWS, 5_000, 17_000] {
            let (mut segments, mut inserted, mut copied, mut rows) = (Vec::new(), 0, 0, 0);
            while rows < 2_000_000 {
                rows += step;
                let mut fresh = step;
                while let Some(rewrite) = next(&segments, fresh, Pace::UnderLoad) {
                    let merged: usize = segments[rewrite.from..].iter().sum();
                    let base = segments.get(rewrite.from).copied().unwrap_or(0);
                    copied += base;
                    inserted += merged - base + fresh;
                    segments.truncate(rewrite.from);
                    segments.push(merged + std::mem::take(&mut fresh));
                }
                let bound = (rows as f64 / SEAL_ROWS as f64).log(4.0) + 2.0;
                assert!(segments.len() as f64 <= bound, "{segments:?}");
            }
            let bound = (rows as f64 / SEAL_ROWS as f64).log2();
            assert!(
                (inserted as f64) < rows as f64 * bound,
                "{inserted} insertions of {rows} rows"
            );
            assert!(
                (copied as f64) < rows as f64 * bound * 2.0,
                "{copied} copies of {rows} rows"
            );
        }
    }
}
