//! Why an archive is refused.

/// Why an archive is refused. Nothing was made of it.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It does not begin as ours do.
    #[error("this is no {kind} of groundwork: {what}")]
    Foreign {
        /// What it should be.
        kind: &'static str,
        /// What is different.
        what: String,
    },
    /// A newer program wrote it.
    #[error("the archive has format {found}, this program reads up to {known}; use a newer program")]
    NewerFormat {
        /// Its format.
        found: u64,
        /// The newest format that is read.
        known: u32,
    },
    /// The root hash does not fit the manifest.
    #[error("manifest.json has the root hash {found}, and says {expected}; the archive was altered")]
    WrongRootHash {
        /// What the manifest says.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The manifest says something that cannot be.
    #[error("manifest.json is not one of this format: {what}")]
    Manifest {
        /// What is wrong.
        what: String,
    },
    /// It ends too early.
    #[error("the archive ends inside of {entry}, {missing} bytes before its end; it was cut short")]
    CutShort {
        /// Where it ends.
        entry: String,
        /// Bytes of the entry that did not come.
        missing: u64,
    },
    /// Another entry stands where one must stand.
    #[error("{found} stands where {expected} must stand; the archive was altered")]
    Misplaced {
        /// What the manifest says.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// An entry has another content than the manifest says.
    #[error("{entry} has the SHA-256 {found}, the manifest says {expected}; the archive was altered")]
    WrongHash {
        /// The entry.
        entry: String,
        /// What the manifest says.
        expected: String,
        /// What it is.
        found: String,
    },
    /// There is something where nothing may be.
    #[error("the bytes after {entry} are not what they must be; the archive was altered")]
    Padding {
        /// What stands before.
        entry: String,
    },
    /// It goes on after its end.
    #[error("the archive goes on after its end; it was altered")]
    GoesOn,
    /// The disk has no room for it.
    #[error("the archive holds {needed} bytes, and the disk that it goes to has {free} free; make room first")]
    NoRoom {
        /// Bytes of all entries.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// What came out of it is not what the manifest says.
    #[error("{entry} holds {what} {found}, the manifest says {expected}")]
    OtherContent {
        /// The entry.
        entry: String,
        /// What was counted.
        what: &'static str,
        /// What the manifest says.
        expected: u64,
        /// What there is.
        found: u64,
    },
}
