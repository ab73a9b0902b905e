//! The `groundwork` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    groundwork::cli::run(std::env::args_os())
}
