//! How a command ends: its exit code, and what an error says to the user.

use std::error::Error as _;
use std::fmt;
use std::process::ExitCode;

use tonic::Status;

use super::output::ReaderGone;
use crate::config;
use crate::knowledge_base::{self, ErrorKind};
use crate::models;
use crate::service::client::Failure;

/// What the exit codes mean, for `--help`.
pub(super) const HELP: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage: flags, configuration, or a request that can never work
  3    there is no such knowledge base, document, pin or model
  4    partly done: some documents failed or were not there
  130  interrupted";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// All is done.
    Done,
    /// It did not work.
    Failed,
    /// What was asked makes no sense.
    Usage,
    /// What it is about is not there.
    NotFound,
    /// Some of it is done.
    Partial,
    /// A signal ended it.
    Interrupted,
}

impl Exit {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Partial => 4,
            Self::Interrupted => 130,
        }
    }

    /// Returns how a command ends on this error.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        let code = error.chain().find_map(|cause| {
            if cause.is::<Usage>() || cause.is::<config::Error>() {
                return Some(Self::Usage);
            }
            if let Some(status) = cause.downcast_ref::<Status>() {
                return Some(Self::of_kind(Failure::from(status.clone()).kind));
            }
            if matches!(cause.downcast_ref(), Some(models::Error::UnknownModel { .. })) {
                return Some(Self::NotFound);
            }
            let error = cause.downcast_ref::<knowledge_base::Error>()?;
            Some(Self::of_kind(error.kind))
        });
        code.unwrap_or(Self::Failed)
    }

    fn of_kind(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidRequest => Self::Usage,
            ErrorKind::NotFound => Self::NotFound,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// An error of the person at the keyboard.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub(super) String);

/// Whether the reader of stdout went away, which is its good right.
pub(super) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let by_output = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        by_output.is_some_and(<dyn std::error::Error + Send + Sync>::is::<ReaderGone>)
    })
}

/// Whether the same command may succeed later, and goes on from what is done: the server did not refuse it, but went
/// away, or is busy.
pub(super) fn may_go_on(error: &anyhow::Error) -> bool {
    let status = error.chain().find_map(|cause| cause.downcast_ref::<Status>());
    status.is_none_or(|status| {
        let kind = Failure::from(status.clone()).kind;
        is_lost(status)
            || matches!(
                kind,
                ErrorKind::Unavailable | ErrorKind::Overloaded | ErrorKind::Cancelled | ErrorKind::DeadlineExceeded
            )
    })
}

/// Whether a status is not the server's word, but this side's for a connection that broke: only those have a cause.
fn is_lost(status: &Status) -> bool {
    status.source().is_some() && Failure::from(status.clone()).kind != ErrorKind::DeadlineExceeded
}

/// An error as it is told to people: the causes in one line, then what the server adds for programs.
pub(super) struct Told<'a>(pub(super) &'a anyhow::Error);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = String::new();
        for cause in self.0.chain() {
            let failure = cause
                .downcast_ref::<Status>()
                .map(|status| Failure::from(status.clone()));
            let part = failure
                .as_ref()
                .map_or_else(|| cause.to_string(), |failure| failure.message.clone());
            let part = match cause.downcast_ref::<Status>() {
                Some(status) if is_lost(status) => format!("the connection to the server was lost: {part}"),
                _ => part,
            };
            // Many errors repeat their cause in their own text.
            if !said.contains(part.as_str()) {
                if !said.is_empty() {
                    f.write_str(": ")?;
                }
                f.write_str(&part)?;
                said.push_str(&part);
            }
            if let Some(failure) = failure {
                // What lies below a status is the transport's own account of it.
                return details(f, &failure, &said);
            }
            let error = cause.downcast_ref::<knowledge_base::Error>();
            if error.is_some_and(|error| error.reason == "DATA_DIRECTORY_LOCKED") {
                f.write_str("\n  where a server holds it, speak to that server with --server HOST:PORT")?;
            }
        }
        Ok(())
    }
}

fn details(f: &mut fmt::Formatter<'_>, failure: &Failure, said: &str) -> fmt::Result {
    for violation in &failure.violations {
        if !said.contains(&violation.description) {
            write!(f, "\n  {}: {}", violation.field, violation.description)?;
        }
    }
    match failure.retry_after {
        Some(delay) => write!(f, "\n  try again in {:.1} s", delay.as_secs_f64()),
        None => Ok(()),
    }
}
