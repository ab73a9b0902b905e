//! PDF: text by pages, read in a process of its own.
//!
//! Comes in: the bytes of a PDF. Goes out: paragraphs with their pages.
//! Always holds: a PDF that panics, loops or eats memory in its parser costs that document and nothing else, as long as
//! the reader has a program to run.
//! Not here: pictures of text; there is no OCR.

mod child;
mod extract;
mod layout;
mod process;
mod repair;
mod text;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use child::{CHILD_COMMAND, run_child};

use super::{Block, BlockKind, ByteSpan, Document, Format, ReadError};
use crate::worker::Cancel;
use layout::{Extraction, Paragraph};

/// Default of [`PdfReader::timeout`].
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);
/// Default of [`PdfReader::max_memory_bytes`]: 1.5 GiB.
pub const DEFAULT_MAX_MEMORY_BYTES: u64 = 1_536 * 1024 * 1024;

/// How PDFs are read.
#[derive(Debug, Clone)]
pub struct PdfReader {
    /// Program that is started with [`CHILD_COMMAND`] for each PDF, usually this one. Without it a PDF is read in this
    /// process: a panic is caught, but a stack overflow or lack of memory ends the process, and a parser that
    /// exceeds its time is left behind on its thread.
    pub program: Option<PathBuf>,
    /// Longest time for one PDF.
    pub timeout: Duration,
    /// Most address space of the child process.
    pub max_memory_bytes: u64,
}

impl Default for PdfReader {
    fn default() -> Self {
        Self {
            program: None,
            timeout: DEFAULT_TIMEOUT,
            max_memory_bytes: DEFAULT_MAX_MEMORY_BYTES,
        }
    }
}

/// Why a PDF cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// It opens with a password only.
    #[error("the PDF is protected by a password, save it without one")]
    Encrypted,
    /// It holds pictures only, like a scan.
    #[error(
        "the PDF has no text layer on its {pages} pages (a scan?), and OCR is not available; add a text layer first"
    )]
    NoText {
        /// How many pages it has.
        pages: usize,
    },
    /// Reading took too long.
    #[error("reading the PDF took longer than {seconds} seconds, split it or print it to a new PDF")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// Reading took too much memory.
    #[error("reading the PDF took more than {limit_bytes} bytes of memory, split it or print it to a new PDF")]
    Memory {
        /// The limit.
        limit_bytes: u64,
    },
    /// The parser gave up in an unforeseen way.
    #[error("the PDF parser crashed ({how}), print the document to a new PDF")]
    Crashed {
        /// A panic, a signal or an exit status.
        how: String,
    },
    /// The file breaks the rules of its format.
    #[error("the PDF is damaged: {reason}")]
    Damaged {
        /// What is wrong with it.
        reason: String,
    },
    /// The program that reads PDFs does not start.
    #[error("cannot start {} to read the PDF", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl PdfReader {
    pub(super) fn read(&self, bytes: &[u8], cancel: &Cancel) -> Result<Document, ReadError> {
        let extraction = match &self.program {
            Some(program) => process::read(program, bytes, self, cancel)?,
            None => process::read_here(bytes, self, cancel)?,
        };
        Ok(document(extraction)?)
    }
}

/// Puts paragraphs one after the other.
fn document(extraction: Extraction) -> Result<Document, PdfError> {
    let pages = extraction.pages.len();
    let mut text = String::new();
    let mut blocks: Vec<Block> = Vec::new();
    for (page, number) in extraction.pages.iter().zip(1_u32..) {
        for Paragraph {
            text: paragraph,
            heading,
        } in &page.paragraphs
        {
            let paragraph = paragraph.trim();
            if paragraph.is_empty() {
                continue;
            }
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            let start = text.len();
            text.push_str(paragraph);
            blocks.push(Block {
                span: ByteSpan::new(start, text.len()),
                kind: heading.map_or(BlockKind::Paragraph, |level| BlockKind::Heading(level.clamp(1, 6))),
                heading: heading.map(|_| paragraph.to_owned()).unwrap_or_default(),
                page: Some(number),
            });
        }
    }
    if blocks.is_empty() {
        return Err(PdfError::NoText { pages });
    }
    let heading = blocks.iter().find(|block| block.kind == BlockKind::Heading(1));
    let title = extraction.title.or_else(|| heading.map(|block| block.heading.clone()));
    Ok(Document {
        format: Format::Pdf,
        title,
        text,
        blocks,
    })
}

#[cfg(test)]
mod tests;
