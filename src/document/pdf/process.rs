//! The parent's side: starts the child, feeds it, waits, and says what became of it.
//!
//! Comes in: bytes and limits. Goes out: text, or why there is none.
//! Always holds: when this returns, the child is gone and its pipes are closed.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::child::{self, CHILD_COMMAND, Record};
use super::layout::Extraction;
use super::{PdfError, PdfReader, ReadError};
use crate::worker::Cancel;

/// How often a waiting parent looks at the clock and at the caller's wish to stop.
const STEP: Duration = Duration::from_millis(20);
/// Most bytes that a child may write: the text of a very large book, several times over.
const MAX_OUTPUT_BYTES: u64 = 512 * 1024 * 1024;
/// How much of what a child says on stderr is looked at.
const MAX_COMPLAINT_BYTES: u64 = 16 * 1024;

/// Kills the child when the parent's work ends early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when the child is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads a PDF in a child process.
pub(super) fn read(program: &Path, bytes: &[u8], reader: &PdfReader, cancel: &Cancel) -> Result<Extraction, ReadError> {
    let deadline = Deadline::new(reader);
    let mut child = start(program, reader)?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take())
    else {
        let how = "it has no pipes".to_owned();
        return Err(PdfError::Crashed { how }.into());
    };
    thread::scope(|scope| {
        // A child that stops reading closes the pipe; how it ended says more than the failed write.
        scope.spawn(move || stdin.write_all(bytes));
        let (sender, received) = mpsc::channel();
        scope.spawn(move || sender.send(read_bounded(stdout, MAX_OUTPUT_BYTES)));
        let complaint = scope.spawn(move || read_bounded(stderr, MAX_COMPLAINT_BYTES));
        let outcome = wait(&mut child, &received, &deadline, cancel);
        // The pipes close with the child, which lets the threads end.
        drop(child);
        let (output, status) = outcome?;
        let complaint = complaint.join().unwrap_or_default();
        interpret(&output, status, &complaint, reader)
    })
}

fn start(program: &Path, reader: &PdfReader) -> Result<Running, PdfError> {
    Command::new(program)
        .arg(CHILD_COMMAND)
        .arg(reader.max_memory_bytes.to_string())
        .arg(reader.timeout.as_secs().saturating_add(1).to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(Running)
        .map_err(|source| PdfError::Start {
            program: program.to_owned(),
            source,
        })
}

fn read_bounded(mut pipe: impl Read, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came before a failed read is judged by the record that it holds, or does not.
    let _ = pipe.by_ref().take(limit).read_to_end(&mut bytes);
    bytes
}

struct Deadline {
    /// Nothing when it is beyond what the clock can say.
    at: Option<Instant>,
    seconds: u64,
}

impl Deadline {
    fn new(reader: &PdfReader) -> Self {
        Self {
            at: Instant::now().checked_add(reader.timeout),
            seconds: reader.timeout.as_secs(),
        }
    }

    fn check(&self, cancel: &Cancel) -> Result<(), ReadError> {
        cancel.check()?;
        if self.at.is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        let seconds = self.seconds;
        Err(PdfError::Timeout { seconds }.into())
    }
}

/// Waits for the end of the child's output and of the child.
fn wait(
    child: &mut Running,
    received: &mpsc::Receiver<Vec<u8>>,
    deadline: &Deadline,
    cancel: &Cancel,
) -> Result<(Vec<u8>, ExitStatus), ReadError> {
    let output = loop {
        match received.recv_timeout(STEP) {
            Ok(output) => break output,
            Err(RecvTimeoutError::Timeout) => deadline.check(cancel)?,
            Err(RecvTimeoutError::Disconnected) => break Vec::new(),
        }
    };
    loop {
        match child.0.try_wait() {
            Ok(Some(status)) => return Ok((output, status)),
            Ok(None) if output.len() as u64 == MAX_OUTPUT_BYTES => {
                let reason = format!("its text is larger than {MAX_OUTPUT_BYTES} bytes");
                return Err(PdfError::Damaged { reason }.into());
            }
            Ok(None) => deadline.check(cancel)?,
            Err(error) => {
                let how = error.to_string();
                return Err(PdfError::Crashed { how }.into());
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Says what an ended child means.
fn interpret(output: &[u8], status: ExitStatus, complaint: &[u8], reader: &PdfReader) -> Result<Extraction, ReadError> {
    if status.success() {
        let record = serde_json::from_slice(output).map_err(|error| PdfError::Crashed {
            how: format!("its answer is not readable: {error}"),
        })?;
        return Ok(extraction(record)?);
    }
    let complaint = String::from_utf8_lossy(complaint);
    // Rust says this on stderr before it aborts.
    if complaint.contains("memory allocation of") || complaint.contains("out of memory") {
        let limit_bytes = reader.max_memory_bytes;
        return Err(PdfError::Memory { limit_bytes }.into());
    }
    if complaint.contains("overflowed its stack") {
        let how = "its objects are nested too deeply".to_owned();
        return Err(PdfError::Crashed { how }.into());
    }
    Err(by_status(status, reader).into())
}

#[cfg(unix)]
fn by_status(status: ExitStatus, reader: &PdfReader) -> PdfError {
    use std::os::unix::process::ExitStatusExt;
    /// Numbers that all Unix systems share.
    const SIGKILL: i32 = 9;
    const SIGXCPU: i32 = 24;
    match (status.signal(), status.code()) {
        (Some(SIGXCPU), _) => PdfError::Timeout {
            seconds: reader.timeout.as_secs(),
        },
        // Nobody else kills it but a system that is short of memory, or the limit on CPU time where it is hard at once.
        (Some(SIGKILL), _) => PdfError::Crashed {
            how: "killed by the system, perhaps for lack of memory".to_owned(),
        },
        (Some(signal), _) => PdfError::Crashed {
            how: format!("signal {signal}"),
        },
        (None, code) => exited(code),
    }
}

#[cfg(not(unix))]
fn by_status(status: ExitStatus, _reader: &PdfReader) -> PdfError {
    exited(status.code())
}

fn exited(code: Option<i32>) -> PdfError {
    /// What Rust programs exit with after a panic.
    const PANICKED: i32 = 101;
    let how = match code {
        Some(PANICKED) => "a panic".to_owned(),
        Some(code) => format!("exit status {code}"),
        None => "no exit status".to_owned(),
    };
    PdfError::Crashed { how }
}

fn extraction(record: Record) -> Result<Extraction, PdfError> {
    match record {
        Record::Text { title, pages } => Ok(Extraction {
            title,
            pages: pages.into_iter().map(child::page).collect(),
        }),
        Record::Encrypted => Err(PdfError::Encrypted),
        Record::Damaged { reason } => Err(PdfError::Damaged { reason }),
        Record::Crashed { how } => Err(PdfError::Crashed { how }),
    }
}

/// Reads a PDF on a thread of this process. A parser that exceeds its time is left behind.
pub(super) fn read_here(bytes: &[u8], reader: &PdfReader, cancel: &Cancel) -> Result<Extraction, ReadError> {
    let deadline = Deadline::new(reader);
    let (sender, received) = mpsc::channel();
    let bytes = bytes.to_vec();
    let parser = thread::Builder::new().name("pdf-wait".to_owned()).spawn(move || {
        // The caller may have left; then nobody wants the answer.
        let _ = sender.send(child::answer(bytes));
    });
    if let Err(error) = parser {
        let how = format!("no thread to parse on: {error}");
        return Err(PdfError::Crashed { how }.into());
    }
    loop {
        match received.recv_timeout(STEP) {
            Ok(record) => return Ok(extraction(record)?),
            Err(RecvTimeoutError::Timeout) => deadline.check(cancel)?,
            Err(RecvTimeoutError::Disconnected) => {
                let how = "its thread ended".to_owned();
                return Err(PdfError::Crashed { how }.into());
            }
        }
    }
}
