//! The `groundwork` command.

use std::ffi::OsStr;
use std::process::ExitCode;

use groundwork::{cli, document};

/// Gives memory back that models and ingestions took, where the system's allocator keeps it for each thread.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // A PDF is read in a child process, which is this program again.
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new(document::CHILD_COMMAND)) {
        return document::run_child();
    }
    cli::run(std::env::args_os())
}
