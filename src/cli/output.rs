//! The one writer of stdout. Results go here, everything else (progress, notes, errors, logs) goes to stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};

use console::{Style, Term};
use serde_json::Value;

/// Widest line of running text, for reading.
const MAX_TEXT_WIDTH: usize = 100;

/// The reader of stdout went away, which is its good right. A connection to a server breaks with the same kind of error.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub(super) struct ReaderGone;

/// Where results go.
pub(super) struct Output {
    writer: Box<dyn Write + Send>,
    json: bool,
    styled: bool,
    width: Option<usize>,
    outlives_reader: bool,
}

impl Output {
    /// Returns the writer of stdout. Colours and widths are for terminals only.
    pub(super) fn stdout(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self {
            writer: Box::new(io::stdout()),
            json,
            styled: terminal && console::colors_enabled(),
            width: terminal.then(|| usize::from(Term::stdout().size().1)),
            outlives_reader: false,
        }
    }

    /// Returns a writer that is no terminal.
    #[cfg(test)]
    pub(super) fn plain(writer: Box<dyn Write + Send>, json: bool) -> Self {
        Self {
            writer,
            json,
            styled: false,
            width: None,
            outlives_reader: false,
        }
    }

    /// Returns the writer of a terminal of this width, without colours.
    #[cfg(test)]
    pub(super) fn of_width(self, width: usize) -> Self {
        Self {
            width: Some(width),
            ..self
        }
    }

    /// Sets whether a command goes on silently when the reader of stdout has gone, or ends with that error.
    pub(super) fn outlive_reader(&mut self, outlives: bool) {
        self.outlives_reader = outlives;
    }

    /// Returns whether results are for programs.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Returns whether people read it as it comes.
    pub(super) fn is_terminal(&self) -> bool {
        self.width.is_some()
    }

    /// Returns the width of the terminal, if it is one.
    pub(super) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Returns the width that running text is wrapped at.
    pub(super) fn text_width(&self) -> usize {
        self.width.map_or(MAX_TEXT_WIDTH, |width| width.min(MAX_TEXT_WIDTH))
    }

    /// Writes a line.
    pub(super) fn line(&mut self, text: impl Display) -> io::Result<()> {
        self.write(|writer| writeln!(writer, "{text}"))
    }

    /// Writes a piece of a line at once, for text that is still in the making.
    pub(super) fn piece(&mut self, text: &str) -> io::Result<()> {
        self.write(|writer| {
            writer.write_all(text.as_bytes())?;
            writer.flush()
        })
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(|writer| writer.write_all(bytes))
    }

    /// Hands on what was written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.write(|writer| writer.flush())
    }

    /// Writes an object as one line.
    pub(super) fn object(&mut self, value: &Value) -> io::Result<()> {
        // By their names, whatever order they were written in.
        let mut value = value.clone();
        value.sort_all_objects();
        self.write(|writer| {
            writeln!(writer, "{value}")?;
            writer.flush()
        })
    }

    fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match write(&mut *self.writer) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                if self.outlives_reader {
                    Ok(())
                } else {
                    Err(io::Error::new(error.kind(), ReaderGone))
                }
            }
            written => written,
        }
    }

    /// Returns a text that stands out.
    pub(super) fn bold(&self, text: &str) -> String {
        self.style(&Style::new().bold(), text)
    }

    /// Returns a text that stands back.
    pub(super) fn dim(&self, text: &str) -> String {
        self.style(&Style::new().dim(), text)
    }

    /// Returns a mark, such as the number of a source.
    pub(super) fn mark(&self, text: &str) -> String {
        self.style(&Style::new().cyan(), text)
    }

    fn style(&self, style: &Style, text: &str) -> String {
        if self.styled {
            style.clone().force_styling(true).apply_to(text).to_string()
        } else {
            text.to_owned()
        }
    }
}

/// Writes a line to stderr, above any progress bar. Nobody can be told when that fails.
pub(super) fn note(text: impl Display) {
    super::progress::above(|| {
        let _ = writeln!(io::stderr(), "{text}");
    });
}
