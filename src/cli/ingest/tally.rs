//! What became of the files: counts for the progress bar, failures for the end.

use std::collections::HashMap;

use indicatif::ProgressBar;

use super::walk::Found;
use crate::cli::output::{Output, note};
use crate::cli::progress;
use crate::cli::text::one_line;
use crate::service::pb;

/// Failures that are told one by one; of more, the rest are counted.
const MAX_TOLD_FAILURES: usize = 50;

/// Counts of an ingestion as it goes.
pub(super) struct Tally {
    bar: ProgressBar,
    bytes: HashMap<String, u64>,
    total: usize,
    indexed: u64,
    unchanged: u64,
    chunks: u64,
    failures: Vec<(String, String)>,
}

impl Tally {
    /// Begins to count. What could not even be found counts as failed at once.
    pub(super) fn new(found: &Found) -> Self {
        let bytes: HashMap<String, u64> = found.files.iter().map(|file| (file.id.clone(), file.bytes)).collect();
        let unreadable = found.unreadable.iter();
        let tally = Self {
            bar: progress::documents(bytes.values().sum()),
            total: bytes.len() + found.unreadable.len(),
            bytes,
            indexed: 0,
            unchanged: 0,
            chunks: 0,
            failures: unreadable.map(|it| (it.id.clone(), it.reason.clone())).collect(),
        };
        tally.show();
        tally
    }

    /// Counts what the server says of a document.
    pub(super) fn outcome(&mut self, outcome: &pb::DocumentOutcome) {
        match outcome.status() {
            pb::DocumentStatus::Indexed => {
                self.indexed += 1;
                self.chunks += u64::from(outcome.chunk_count);
            }
            pb::DocumentStatus::Ignored => self.unchanged += 1,
            _ => self
                .failures
                .push((outcome.document_id.clone(), outcome.status_reason.clone())),
        }
        self.advance(&outcome.document_id);
    }

    /// Counts a file that could not be sent.
    pub(super) fn unread(&mut self, id: &str, reason: String) {
        self.failures.push((id.to_owned(), reason));
        self.advance(id);
    }

    fn advance(&mut self, id: &str) {
        self.bar.inc(self.bytes.remove(id).unwrap_or(0));
        self.show();
    }

    fn show(&self) {
        let failed = match self.failures.len() {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        self.bar
            .set_message(format!("{}/{} documents{failed}", self.done(), self.total));
    }

    /// Returns the documents whose fate is known.
    pub(super) fn done(&self) -> u64 {
        self.indexed + self.unchanged + self.failed()
    }

    pub(super) fn failed(&self) -> u64 {
        self.failures.len() as u64
    }

    /// Returns the documents that are in the knowledge base as they are on disk.
    pub(super) fn present(&self) -> u64 {
        self.indexed + self.unchanged
    }

    /// Takes the bar off the screen.
    pub(super) fn end_bar(&self) {
        self.bar.finish_and_clear();
    }

    /// Tells the failures with their reasons, then the totals; without an epoch where the stream ended early.
    pub(super) fn tell(&self, output: &mut Output, epoch: Option<u64>) -> std::io::Result<()> {
        for (id, reason) in self.failures.iter().take(MAX_TOLD_FAILURES) {
            note(format!("failed: {}: {}", one_line(id), one_line(reason)));
        }
        let untold = self.failures.len().saturating_sub(MAX_TOLD_FAILURES);
        if untold > 0 {
            note(format!(
                "failed: {untold} more; `groundwork documents list KB --status failed` lists what was sent"
            ));
        }
        let at = epoch.map_or_else(String::new, |epoch| format!(", epoch {epoch}"));
        let totals = format!(
            "{} indexed ({} chunks), {} unchanged, {} failed{at}",
            self.indexed,
            self.chunks,
            self.unchanged,
            self.failed()
        );
        match (output.is_json(), epoch) {
            (false, _) => output.line(totals),
            // No summary line follows, so the totals go where people look.
            (true, None) => {
                note(totals);
                Ok(())
            }
            (true, Some(_)) => Ok(()),
        }
    }
}
