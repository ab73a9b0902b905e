//! How far the tests go that could go on for hours.

use std::io::Write as _;

/// Set to `all`, the tests of faults try every case instead of a sample.
const VARIABLE: &str = "GROUNDWORK_TEST_FAULTS";

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A sample that fits into a run of all tests.
    Sample,
    /// Everything.
    All,
}

impl Extent {
    /// Reads what the environment wants.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one variable that chooses the extent of tests"
    )]
    pub(crate) fn wanted() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Ok("all") => Self::All,
            Ok(other) if !other.is_empty() => panic!("{VARIABLE} may be `all`, it is `{other}`"),
            _ => Self::Sample,
        }
    }

    /// Returns the first for a sample and the second for all.
    pub(crate) fn choose<T>(self, sample: T, all: T) -> T {
        match self {
            Self::Sample => sample,
            Self::All => all,
        }
    }
}

/// Writes a line that shows even where the output of tests that pass does not.
pub(crate) fn announce(line: &str) {
    // A closed stderr is no failure of the test.
    let _ = writeln!(std::io::stderr(), "{line}");
}
