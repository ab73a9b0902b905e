//! What callers are told when something does not work, and whose turn it is.

use std::fmt;
use std::time::Duration;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request can never work.
    InvalidRequest,
    /// There is no such thing.
    NotFound,
    /// There is one already.
    AlreadyExists,
    /// Not in this state.
    FailedPrecondition,
    /// A limit or a full queue; later it may work.
    Overloaded,
    /// The caller went away.
    Cancelled,
    /// The caller's deadline passed.
    DeadlineExceeded,
    /// Try again.
    Unavailable,
    /// What is on disk is damaged.
    Corrupted,
    /// A bug of ours.
    Internal,
}

/// A field of the request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field in the request message, in the form `retrieval_query.text`.
    pub field: String,
    /// The limit, the value, and what to do.
    pub description: String,
}

/// The thing that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `knowledge_base`, `document`, `model`.
    pub kind: &'static str,
    /// Its id or name.
    pub name: String,
}

/// An error at the border.
#[derive(Debug)]
pub struct Error {
    /// Whose turn it is.
    pub kind: ErrorKind,
    /// Stable name for programs, in upper snake case.
    pub reason: &'static str,
    /// A sentence for people: lowercase, without full stop.
    pub message: String,
    /// Fields that are wrong, for [`ErrorKind::InvalidRequest`].
    pub violations: Vec<FieldViolation>,
    /// What it is about.
    pub resource: Option<Resource>,
    /// When to try again, for [`ErrorKind::Overloaded`] and [`ErrorKind::Unavailable`].
    pub retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Returns an error of this kind.
    pub fn new(kind: ErrorKind, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            reason,
            message: message.into(),
            violations: Vec::new(),
            resource: None,
            retry_after: None,
            source: None,
        }
    }

    /// Returns an error about one field of the request.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        let (field, description) = (field.into(), description.into());
        let message = format!("{field}: {description}");
        Self {
            violations: vec![FieldViolation { field, description }],
            ..Self::new(ErrorKind::InvalidRequest, "INVALID_FIELD", message)
        }
    }

    /// Returns an error about something that is not there.
    pub fn not_found(kind: &'static str, name: impl Into<String>) -> Self {
        let name = name.into();
        let noun = kind.replace('_', " ");
        Self {
            resource: Some(Resource {
                kind,
                name: name.clone(),
            }),
            ..Self::new(ErrorKind::NotFound, "NOT_FOUND", format!("there is no {noun} `{name}`"))
        }
    }

    /// Returns a bug or a failure of the machine, with its cause for the log.
    pub fn internal(
        reason: &'static str,
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::new(ErrorKind::Internal, reason, message).because(source)
    }

    /// Adds what it is about.
    #[must_use]
    pub fn about(mut self, kind: &'static str, name: impl Into<String>) -> Self {
        self.resource = Some(Resource {
            kind,
            name: name.into(),
        });
        self
    }

    /// Adds when to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Adds its cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}

impl From<crate::worker::Stopped> for Error {
    fn from(stopped: crate::worker::Stopped) -> Self {
        match stopped {
            crate::worker::Stopped::Cancelled => Self::new(ErrorKind::Cancelled, "CANCELLED", stopped.to_string()),
            crate::worker::Stopped::DeadlineExceeded => {
                Self::new(ErrorKind::DeadlineExceeded, "DEADLINE_EXCEEDED", stopped.to_string())
            }
        }
    }
}
