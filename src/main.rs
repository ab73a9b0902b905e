//! The `groundwork` command.

use std::ffi::OsStr;
use std::process::ExitCode;

use groundwork::{cli, document};

fn main() -> ExitCode {
    // A PDF is read in a child process, which is this program again.
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new(document::CHILD_COMMAND)) {
        return document::run_child();
    }
    cli::run(std::env::args_os())
}
