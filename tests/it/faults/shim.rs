//! Compiles the fault shim, and speaks with the copy of it in a server through a mapped file.
//!
//! Why a preloaded library: see shim.c.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const SOURCE: &str = include_str!("shim.c");
const SOURCE_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/shim.c");

/// `EIO`, the same number on every Linux.
pub(super) const INPUT_OUTPUT_ERROR: u64 = 5;

/// A kind of call that can fail, in the order of the shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fsync,
    Fdatasync,
    Rename,
    Write,
    Truncate,
    Create,
    Unlink,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Fsync,
        Self::Fdatasync,
        Self::Rename,
        Self::Write,
        Self::Truncate,
        Self::Create,
        Self::Unlink,
    ];
}

/// Which calls of a kind fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Once,
    FromThenOn,
    /// Once, with half of the bytes written all the same.
    OnceHalfDone,
}

/// Words of the control file before its paths.
const WORDS: usize = 12 + KINDS;
const KINDS: usize = 8;
const TOLD_PATH_BYTES: usize = 512;
const FAIL_KIND: usize = 1;
const FAIL_AT: usize = 2;
const FAIL_EXTENT: usize = 3;
const FAIL_ERRNO: usize = 4;
const IS_LIMITED: usize = 5;
const BYTES_LEFT: usize = 6;
const FAILED: usize = 7;
const COUNTS: usize = 8;
const IS_WATCHED: usize = 8 + KINDS;
const SYNCS_TOLD: usize = 10 + KINDS;
const SYNCS_TAKEN: usize = 11 + KINDS;

/// What the shim in every server of one test is told, and what it tells.
pub(super) struct Shim {
    below: PathBuf,
    control_path: PathBuf,
    control: File,
}

impl Shim {
    /// A shim that counts calls on files below `below`, with its control file at `control`.
    pub(super) fn new(below: &Path, control: &Path) -> Self {
        let control_file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(control)
            .expect("a control file");
        control_file
            .set_len((WORDS * 8 + 2 * TOLD_PATH_BYTES) as u64)
            .expect("room for the control file");
        let shim = Self {
            below: below.to_owned(),
            control_path: control.to_owned(),
            control: control_file,
        };
        shim.set(FAIL_KIND, KINDS as u64);
        shim
    }

    /// Returns the variables that load it into a process.
    pub(super) fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", library().into()),
            ("FAULT_BELOW", self.below.clone().into()),
            ("FAULT_CONTROL", self.control_path.clone().into()),
        ]
    }

    /// Makes the call of this kind fail whose number is `at`; the first is 1.
    pub(super) fn fail(&self, kind: Kind, at: u64, extent: Extent) {
        self.set(FAIL_AT, at);
        self.set(FAIL_EXTENT, extent as u64);
        self.set(FAIL_ERRNO, INPUT_OUTPUT_ERROR);
        self.set(FAIL_KIND, kind as u64);
    }

    /// Lets all calls succeed again that [`Shim::fail`] made fail.
    pub(super) fn mend(&self) {
        self.set(FAIL_KIND, KINDS as u64);
    }

    /// Leaves room for this many bytes, or as many as the disk has.
    pub(super) fn limit(&self, bytes: Option<u64>) {
        self.set(BYTES_LEFT, bytes.unwrap_or(0));
        self.set(IS_LIMITED, u64::from(bytes.is_some()));
    }

    /// Returns how many calls of a kind there were.
    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.get(COUNTS + kind as usize)
    }

    /// Returns how many calls were made to fail.
    pub(super) fn failed(&self) -> u64 {
        self.get(FAILED)
    }

    /// Returns the file of the first call that was made to fail.
    pub(super) fn failed_path(&self) -> String {
        let path = self.path(0);
        path.strip_prefix(&self.below).unwrap_or(&path).display().to_string()
    }

    /// From now on, or no longer, each sync of a server waits until the test has taken note of it.
    pub(super) fn watch(&self, is_watched: bool) {
        self.set(IS_WATCHED, u64::from(is_watched));
    }

    /// Takes note of a sync, if one waits: `look` is given the file or directory that was synced.
    pub(super) fn take_sync(&self, look: impl FnOnce(&Path)) -> bool {
        let (told, taken) = (self.get(SYNCS_TOLD), self.get(SYNCS_TAKEN));
        if told == taken {
            return false;
        }
        look(&self.path(1));
        self.set(SYNCS_TAKEN, told);
        true
    }

    fn path(&self, number: usize) -> PathBuf {
        let mut path = [0; TOLD_PATH_BYTES];
        self.control
            .read_exact_at(&mut path, (WORDS * 8 + number * TOLD_PATH_BYTES) as u64)
            .expect("the control file can be read");
        let end = path.iter().position(|byte| *byte == 0).unwrap_or(TOLD_PATH_BYTES);
        PathBuf::from(String::from_utf8_lossy(&path[..end]).into_owned())
    }

    fn get(&self, word: usize) -> u64 {
        let mut bytes = [0; 8];
        self.control
            .read_exact_at(&mut bytes, (word * 8) as u64)
            .expect("the control file can be read");
        u64::from_ne_bytes(bytes)
    }

    fn set(&self, word: usize, value: u64) {
        self.control
            .write_all_at(&value.to_ne_bytes(), (word * 8) as u64)
            .expect("the control file can be written");
    }
}

/// Returns the shim's library, compiled once for each version of its source.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        SOURCE.hash(&mut hasher);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = directory.join(format!("fault-shim-{:016x}.so", hasher.finish()));
        if !library.is_file() {
            // Other processes may do the same at the same time: whoever comes last puts the same file in its place.
            let made = directory.join(format!("fault-shim-{}.so", std::process::id()));
            compile(&made);
            std::fs::rename(&made, &library).expect("the library can be put in its place");
        }
        library
    })
}

fn compile(library: &Path) {
    let output = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o"])
        .arg(library)
        .arg(SOURCE_PATH)
        .output()
        .expect("the fault tests need a C compiler: install one under the name cc");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the fault shim does not compile: {told}");
}
