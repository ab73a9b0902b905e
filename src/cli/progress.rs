//! Progress bars on stderr. Where stderr is no terminal there are none.

use std::io::{self, Write};
use std::sync::LazyLock;

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressFinish, ProgressStyle};

use super::text::one_line;
use crate::service::pb;

/// All bars share one board, so that notes and log lines can be written above them.
static BOARD: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Calls `write` while no bar is on the screen.
pub(super) fn above<T>(write: impl FnOnce() -> T) -> T {
    BOARD.suspend(write)
}

/// Returns a bar that counts bytes of a file; a file of unknown size shows how much came.
pub(super) fn bytes(name: &str, size: u64) -> ProgressBar {
    let (bar, template) = if size == 0 {
        (
            ProgressBar::no_length(),
            "  {prefix}  {spinner} {bytes} {binary_bytes_per_sec}",
        )
    } else {
        let template = "  {prefix}  {bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";
        (ProgressBar::new(size), template)
    };
    let bar = on_board(bar.with_style(style(template)).with_prefix(name.to_owned()));
    bar.tick();
    bar
}

/// Returns a bar over documents of these bytes in all.
pub(super) fn documents(bytes: u64) -> ProgressBar {
    let template = "  {bar:30} {msg}  {bytes}/{total_bytes} {binary_bytes_per_sec}  {eta} left";
    let bar = on_board(ProgressBar::new(bytes).with_style(style(template)));
    bar.enable_steady_tick(std::time::Duration::from_millis(250));
    bar
}

/// Returns a bar over a known number of equal steps.
pub(super) fn steps(what: &str, total: u64) -> ProgressBar {
    let template = "  {bar:30} {human_pos}/{human_len} {msg}  {eta} left";
    let bar = ProgressBar::new(total).with_style(style(template));
    let bar = on_board(bar.with_message(what.to_owned()));
    bar.enable_steady_tick(std::time::Duration::from_millis(250));
    bar
}

/// Returns a turning sign for work whose length nobody knows.
pub(super) fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_style(style("{spinner} {msg}"));
    let bar = on_board(bar.with_message(what.to_owned()));
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}

/// A turning sign for work of the server that says how far it is.
pub(super) struct Work(ProgressBar);

impl Work {
    /// Shows that something is done.
    pub(super) fn begin(what: &str) -> Self {
        Self(spinner(what))
    }

    /// Shows how far it is.
    pub(super) fn show(&self, progress: &pb::Progress) {
        let stage = one_line(&progress.stage);
        self.0.set_message(match (progress.done, progress.total) {
            (0, 0) => stage,
            (done, 0) => format!("{stage}  {}", HumanCount(done)),
            (done, total) => format!("{stage}  {}/{}", HumanCount(done), HumanCount(total)),
        });
    }

    /// Takes it off the screen.
    pub(super) fn end(self) {
        self.0.finish_and_clear();
    }
}

/// Puts a bar on the board. It leaves no trace, also when an error drops it.
fn on_board(bar: ProgressBar) -> ProgressBar {
    BOARD.add(bar.with_finish(ProgressFinish::AndClear))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("templates are constants, and a test makes every bar")
}

/// Writes log lines to stderr, above the bars.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        above(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
