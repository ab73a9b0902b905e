//! Which segments of an index become one, as a pure function of sizes.
//!
//! A segment takes in all that comes after it once that is a fair share of its own size, so at rest each segment is
//! several times as large as all later ones together. Searches visit every segment; so when nobody writes, and work
//! costs nobody anything, a smaller share is enough.

/// How much work goes into having few segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Somebody writes: segments are merged when what comes after them is a quarter of their size.
    UnderLoad,
    /// Nobody has written for a while: a sixteenth of their size is enough.
    AtRest,
}

impl Pace {
    /// How many times as large as what comes after it a segment may be and still take it in.
    fn ratio(self) -> usize {
        match self {
            Self::UnderLoad => 4,
            Self::AtRest => 16,
        }
    }
}

/// Returns the first of the segments that become one, together with `later` rows that are in none; their number when
/// all stay as they are.
pub(super) fn first_merged(segments: &[usize], later: usize, pace: Pace) -> usize {
    let (mut from, mut later) = (segments.len(), later);
    for (at, rows) in segments.iter().enumerate().rev() {
        if later > 0 && later.saturating_mul(pace.ratio()) >= *rows {
            from = at;
        }
        later += rows;
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_take_in_a_fair_share() {
        #[track_caller]
        fn check(segments: &[usize], later: usize, under_load: usize, at_rest: usize) {
            let found = [Pace::UnderLoad, Pace::AtRest].map(|pace| first_merged(segments, later, pace));
            assert_eq!(found, [under_load, at_rest], "{segments:?} and {later}");
        }
        check(&[], 0, 0, 0);
        check(&[100], 0, 1, 1);
        check(&[100], 6, 1, 1);
        check(&[100], 7, 1, 0);
        check(&[100], 25, 0, 0);
        check(&[100, 6], 0, 2, 2);
        check(&[100, 6], 1, 2, 0);
        check(&[100, 20, 5], 0, 0, 0);
        check(&[1_000, 100, 10], 0, 3, 0);
        check(&[1_000, 50, 1], 0, 3, 3);
        check(&[10, 100, 10], 0, 0, 0);
    }
}
