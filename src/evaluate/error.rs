//! What is wrong with a file of an evaluation, and where.

use std::io;
use std::path::PathBuf;

use crate::document::InvalidDocumentId;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of it is wrong.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong there.
        problem: Problem,
    },
    /// It holds nothing to work with.
    #[error("{} holds no {what}", path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A run cannot be written.
    #[error("`{value}` cannot stand in a run file: it is empty or holds white space, which parts the fields there")]
    NoWord {
        /// The id.
        value: String,
    },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It is no text.
    #[error("not UTF-8")]
    NotUtf8,
    /// It is no JSON object.
    #[error("not a JSON object: {reason}")]
    NotAnObject {
        /// What the parser says.
        reason: String,
    },
    /// A field is not there.
    #[error("the field `{field}` is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field is no text.
    #[error("the field `{field}` must be a string, not {found}")]
    NotAString {
        /// The field.
        field: &'static str,
        /// The value as JSON.
        found: String,
    },
    /// A field is empty.
    #[error("the field `{field}` is empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// A field is no number of its kind.
    #[error("the field `{field}` must be {expected}, not `{found}`")]
    NotANumber {
        /// The field.
        field: &'static str,
        /// The kind of number.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A field says again what may be said once.
    #[error("the field `{field}` repeats `{value}`")]
    Repeated {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
    },
    /// An id that no document can have.
    #[error("the field `{field}`: {source}")]
    DocumentId {
        /// The field.
        field: &'static str,
        /// Why.
        source: InvalidDocumentId,
    },
    /// A field names a query that is not in the collection.
    #[error("the field `{field}` names `{value}`, which {} does not hold: give the --queries that belong to the --qrels", queries.display())]
    UnknownQuery {
        /// The field.
        field: &'static str,
        /// The query's id.
        value: String,
        /// The file of queries.
        queries: PathBuf,
    },
    /// Too few or too many fields.
    #[error("expected {expected}, found {found} fields")]
    Fields {
        /// The form.
        expected: &'static str,
        /// How many there are.
        found: usize,
    },
}
