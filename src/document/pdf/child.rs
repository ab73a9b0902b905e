//! The child process: reads one PDF from stdin and writes its text to stdout.
//!
//! Comes in: bytes. Goes out: one JSON record, text or a failure.
//! Always holds: the process limits itself before it looks at a byte.
//! Not here: what the parent makes of an exit without a record (see [`super::process`]).

use std::io::{Read, Write};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::extract::{self, Failure};
use super::layout::{Extraction, Page, Paragraph};
use super::{DEFAULT_MAX_MEMORY_BYTES, DEFAULT_TIMEOUT};

/// First argument that makes the program a PDF reader. Two more may follow: bytes of address space, seconds of CPU time.
pub const CHILD_COMMAND: &str = "read-pdf";

/// Stack of the thread that parses; nested objects are parsed recursively.
pub(super) const STACK_BYTES: usize = 256 * 1024 * 1024;

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Record {
    Text {
        title: Option<String>,
        pages: Vec<Vec<ParagraphRecord>>,
    },
    Encrypted,
    Damaged {
        reason: String,
    },
    Crashed {
        how: String,
    },
}

/// A paragraph on the pipe.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ParagraphRecord {
    text: String,
    heading: Option<u8>,
}

impl From<Extraction> for Record {
    fn from(extraction: Extraction) -> Self {
        let record = |paragraph: Paragraph| ParagraphRecord {
            text: paragraph.text,
            heading: paragraph.heading,
        };
        let pages = extraction.pages.into_iter();
        Self::Text {
            title: extraction.title,
            pages: pages
                .map(|page| page.paragraphs.into_iter().map(record).collect())
                .collect(),
        }
    }
}

/// Puts a page of the pipe back together.
pub(super) fn page(paragraphs: Vec<ParagraphRecord>) -> Page {
    let paragraph = |record: ParagraphRecord| Paragraph {
        text: record.text,
        heading: record.heading,
    };
    Page {
        paragraphs: paragraphs.into_iter().map(paragraph).collect(),
    }
}

/// Reads a PDF on a thread with a large stack; a panic becomes a record.
pub(super) fn answer(bytes: Vec<u8>) -> Record {
    let parser = std::thread::Builder::new()
        .name("pdf".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || extract::extract(&bytes));
    match parser.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(extraction))) => extraction.into(),
        Ok(Ok(Err(Failure::Encrypted))) => Record::Encrypted,
        Ok(Ok(Err(Failure::Damaged(reason)))) => Record::Damaged { reason },
        Ok(Err(panic)) => Record::Crashed {
            how: extract::panic_message(panic.as_ref()),
        },
        Err(error) => Record::Crashed {
            how: format!("no thread to parse on: {error}"),
        },
    }
}

/// Runs the child process; the program calls this when its first argument is [`CHILD_COMMAND`].
pub fn run_child() -> ExitCode {
    let mut numbers = std::env::args().skip(2).map(|argument| argument.parse::<u64>().ok());
    let memory = numbers.next().flatten().unwrap_or(DEFAULT_MAX_MEMORY_BYTES);
    let seconds = numbers.next().flatten().unwrap_or(DEFAULT_TIMEOUT.as_secs());
    // A panic is reported in the record; its message on stderr would only be in the way.
    std::panic::set_hook(Box::new(|_| {}));
    limit(memory, seconds);
    let mut bytes = Vec::new();
    if std::io::stdin().lock().read_to_end(&mut bytes).is_err() {
        return ExitCode::FAILURE;
    }
    let record = answer(bytes);
    let mut stdout = std::io::stdout().lock();
    let written = serde_json::to_vec(&record).map_err(std::io::Error::other);
    match written
        .and_then(|json| stdout.write_all(&json))
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Limits this process. A system that has no such limits leaves the parent's clock.
fn limit(memory_bytes: u64, cpu_seconds: u64) {
    #[cfg(unix)]
    for (resource, value) in [
        (rlimit::Resource::AS, memory_bytes),
        (rlimit::Resource::CPU, cpu_seconds),
        (rlimit::Resource::CORE, 0),
    ] {
        // A limit that is tighter already cannot be raised, and need not be.
        let _ = rlimit::setrlimit(resource, value, value);
    }
    #[cfg(not(unix))]
    let _ = (memory_bytes, cpu_seconds);
}
