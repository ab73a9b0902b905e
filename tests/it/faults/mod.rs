//! Faults of the disk and of the files on it, against the real program.
//!
//! What must hold after each: an acknowledged write is there; the data directory opens on a whole epoch or is refused
//! with a message that names the file and what to do; nothing panics. With `GROUNDWORK_TEST_FAULTS=all` every case is
//! tried, else a sample that is the same in every run.

mod damaged_files;
#[cfg(target_os = "linux")]
mod failing_calls;
#[cfg(target_os = "linux")]
mod full_disk;
#[cfg(target_os = "linux")]
mod power_cut;
#[cfg(target_os = "linux")]
mod shim;

use std::path::{Path, PathBuf};

use crate::support::extent::announce;
use crate::support::ledger::Refusal;
use crate::support::server::Launch;

/// A place for one case: a data directory, and beside it what the server writes to stderr.
struct Site {
    /// Removed with everything in it when dropped.
    _home: tempfile::TempDir,
    data_dir: PathBuf,
    stderr: PathBuf,
    control: PathBuf,
}

impl Site {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        // The shim compares paths, so that links must not be among them.
        let root = home.path().canonicalize().expect("it is there");
        Self {
            data_dir: root.join("data"),
            stderr: root.join("stderr"),
            control: root.join("control"),
            _home: home,
        }
    }

    fn launch(&self) -> Launch {
        Launch::new(&self.data_dir, &self.stderr)
    }

    /// Returns what the servers of this place wrote to stderr.
    fn told(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Returns the line in which a server told of a panic, if one did.
    fn panic(&self) -> Option<String> {
        let told = self.told();
        let line = told.lines().position(|line| line.contains("panicked at"))?;
        Some(told.lines().skip(line).take(2).collect::<Vec<_>>().join(" "))
    }
}

/// Returns what a server that does not start says on stderr at last; an error may have several lines.
fn last_error(told: &str) -> &str {
    let start = told.rfind("\nerror: ").map_or(0, |at| at + 1);
    told[start..].trim_end()
}

/// A defect that is known and not mended yet. Whoever mends it deletes its entry.
struct Gap {
    /// Parts that a report of it has, all of them.
    parts: &'static [&'static str],
    reason: &'static str,
}

/// Tells what is wrong, and returns how many of the reports are of known gaps, and the others.
fn sorted_out(test: &str, gaps: &[Gap], reports: Vec<String>) -> (usize, Vec<String>) {
    let (mut known, mut wrong) = (0, Vec::new());
    for report in reports {
        let is_known = |gap: &&Gap| gap.parts.iter().all(|part| report.contains(part));
        if let Some(gap) = gaps.iter().find(is_known) {
            announce(&format!("{test}: known gap ({}): {report}", gap.reason));
            known += 1;
        } else {
            announce(&format!("{test}: WRONG: {report}"));
            wrong.push(report);
        }
    }
    (known, wrong)
}

/// Says what is wrong with the way in which a write was refused, if anything is.
fn fault_of_refusal(refusal: &Refusal) -> Option<String> {
    use tonic::Code;
    let Refusal { code, reason, message } = refusal;
    let is_sensible = matches!(
        code,
        Code::ResourceExhausted | Code::Unavailable | Code::Internal | Code::DataLoss
    );
    if !is_sensible {
        return Some(format!("a failing disk gives {code:?}: {message}"));
    }
    if reason.is_empty() || message.is_empty() || message.contains("panicked") {
        return Some(format!("a refusal says `{reason}`, `{message}`"));
    }
    None
}

/// Copies a directory with everything in it.
fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("it can be read") {
        let path = entry.expect("an entry").path();
        let copy = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy_directory(&path, &copy);
        } else {
            std::fs::copy(&path, &copy).expect("a copy");
        }
    }
}

/// Lists the files below a directory, in order.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("it can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}
