//! The lines of a file, one at a time, with their numbers.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Error, Problem};

/// Reads lines. Empty ones are passed over, and counted.
pub(super) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    line: u64,
}

impl Lines {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        match File::open(path) {
            Ok(file) => Ok(Self::over(path, BufReader::new(file))),
            Err(source) => Err(Error::Unreadable {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Reads from `reader` what belongs to the file `path`.
    pub(super) fn over(path: &Path, reader: impl BufRead + Send + 'static) -> Self {
        Self {
            path: path.to_owned(),
            reader: Box::new(reader),
            line: 0,
        }
    }

    /// Returns the next line that is not empty, without its end.
    pub(super) fn next(&mut self) -> Result<Option<String>, Error> {
        let mut text = String::new();
        loop {
            text.clear();
            self.line += 1;
            match self.reader.read_line(&mut text) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::InvalidData => return Err(self.wrong(Problem::NotUtf8)),
                Err(source) => {
                    return Err(Error::Unreadable {
                        path: self.path.clone(),
                        source,
                    });
                }
            }
            let line = text.trim_end_matches(['\n', '\r']);
            // Some editors begin a file with this mark.
            let line = if self.line == 1 {
                line.trim_start_matches('\u{feff}')
            } else {
                line
            };
            if !line.trim().is_empty() {
                return Ok(Some(line.to_owned()));
            }
        }
    }

    /// Returns the error of the line that was read last.
    pub(super) fn wrong(&self, problem: Problem) -> Error {
        Error::Line {
            path: self.path.clone(),
            line: self.line,
            problem,
        }
    }

    /// Returns the error of a file in which nothing stands.
    pub(super) fn nothing(&self, what: &'static str) -> Error {
        Error::Nothing {
            path: self.path.clone(),
            what,
        }
    }
}
