//! How a part of the index is searched: by scan, or by a walk over its graph.

/// With no more accepted rows than this, scoring them all beats any graph.
pub(super) const FEW_ROWS: usize = 3_000;
/// Least rows that a walk keeps (`ef_search`).
const MIN_EF: usize = 160;
/// The same in a part that holds a small share of all rows, and so of the nearest.
const MIN_EF_OF_SMALL_PART: usize = 80;
/// Rows from which on a walk keeps half as many more with each doubling: measured, the recall falls by half a point for
/// each otherwise.
const LARGE_ROWS: usize = 131_072;
/// How many times as large as a small part all parts together are.
const SMALL_PART: usize = 4;
/// Rows that a walk looks at for each row that it keeps, found by measuring.
const VISITS_PER_ROW: usize = 20;
/// Scanned rows that cost as much as one row of a walk, which is fetched from anywhere.
const SCANNED_PER_VISIT: usize = 2;
/// Accept calls that cost as much as one scanned row.
const ACCEPTS_PER_SCANNED: usize = 4;
/// How a search goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Score every accepted row.
    Scan,
    /// Walk the graph keeping `ef` rows, and pass over what is not accepted afterwards.
    Walk { ef: usize },
    /// Walk the graph keeping `ef` accepted rows; after `budget` rows a scan would have been cheaper.
    WalkAccepted { ef: usize, budget: usize },
}

impl Plan {
    /// Plans the search of `len` of `all` rows, of which about `accepted` are accepted; a scan asks `asked` of them
    /// whether they are.
    pub(super) fn new(len: usize, all: usize, accepted: usize, asked: usize, limit: usize) -> Self {
        let accepted = accepted.min(len);
        if accepted <= FEW_ROWS {
            return Self::Scan;
        }
        let ef = ef(len, all, limit);
        let scan_cost = accepted + asked / ACCEPTS_PER_SCANNED;
        // Where one of n rows is accepted, a walk looks at n times as many.
        let visits = ef.saturating_mul(VISITS_PER_ROW).saturating_mul(len) / accepted;
        if scan_cost <= visits.saturating_mul(SCANNED_PER_VISIT) {
            return Self::Scan;
        }
        let nearly_all = accepted >= len - len / 5;
        if nearly_all {
            return Self::Walk {
                ef: ef * len / accepted,
            };
        }
        Self::walk_accepted(len, all, accepted, asked, limit)
    }

    /// Plans a walk that keeps only accepted rows.
    pub(super) fn walk_accepted(len: usize, all: usize, accepted: usize, asked: usize, limit: usize) -> Self {
        Self::WalkAccepted {
            ef: ef(len, all, limit),
            budget: (accepted + asked / ACCEPTS_PER_SCANNED) / SCANNED_PER_VISIT,
        }
    }
}

fn ef(len: usize, all: usize, limit: usize) -> usize {
    let is_small = len.saturating_mul(SMALL_PART) < all;
    let least = if is_small { MIN_EF_OF_SMALL_PART } else { MIN_EF };
    let doublings = (all / LARGE_ROWS).checked_ilog2().unwrap_or(0) as usize;
    (least + least / 2 * doublings).max(limit.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_follow_the_accepted_share() {
        #[track_caller]
        fn check(len: usize, accepted: usize, limit: usize, plan: Plan) {
            assert_eq!(Plan::new(len, len, accepted, len, limit), plan, "{accepted} of {len}");
        }
        check(0, 0, 10, Plan::Scan);
        check(3_000, 3_000, 10, Plan::Scan);
        check(40_000, 400, 10, Plan::Scan);
        check(40_000, 4_000, 10, Plan::Scan);
        check(
            40_000,
            20_000,
            10,
            Plan::WalkAccepted {
                ef: 160,
                budget: 15_000,
            },
        );
        check(40_000, 40_000, 10, Plan::Walk { ef: 160 });
        check(40_000, 32_000, 100, Plan::Walk { ef: 250 });
        check(40_000, usize::MAX, usize::MAX, Plan::Scan);
        assert_eq!(Plan::new(40_000, 160_000, 40_000, 40_000, 10), Plan::Walk { ef: 160 });
        assert_eq!(Plan::new(40_000, 160_001, 40_000, 40_000, 10), Plan::Walk { ef: 80 });
    }
}
