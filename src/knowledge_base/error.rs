//! What callers are told when something does not work, and whose turn it is.

use std::fmt;
use std::time::Duration;

use crate::store;

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
    /// More for programs, by names in snake case, such as tokens that were used.
    pub facts: Vec<(&'static str, String)>,
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
            facts: Vec::new(),
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

    /// Returns an error about files of a model; its message tells the causes too, since it is for whoever can mend them.
    pub(super) fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        let message = crate::worker::with_causes(&error);
        Self::new(ErrorKind::FailedPrecondition, "MODEL_UNUSABLE", message).because(error)
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

    /// Adds something for programs.
    #[must_use]
    pub(super) fn with_fact(mut self, name: &'static str, value: u64) -> Self {
        self.facts.push((name, value.to_string()));
        self
    }

    /// Turns an error about something that the request named into one about the field that named it, where the caller
    /// can mend it there.
    #[must_use]
    pub(super) fn in_field(mut self, field: &str) -> Self {
        if self.kind == ErrorKind::InvalidRequest && self.violations.is_empty() {
            self.violations.push(FieldViolation {
                field: field.to_owned(),
                description: self.message.clone(),
            });
        }
        self
    }

    /// Gives a field the name that it has in the caller's request.
    #[must_use]
    pub(super) fn renamed(mut self, from: &str, to: &str) -> Self {
        for violation in &mut self.violations {
            if violation.field == from {
                to.clone_into(&mut violation.field);
                self.message = self.message.replace(from, to);
            }
        }
        self
    }

    /// Returns the message with those of all causes, for a log or a status.
    pub fn with_causes(&self) -> String {
        crate::worker::with_causes(self)
    }

    /// Adds the causes of the error that this one stands for; its own text is this one's already.
    fn because_of(mut self, error: store::Error) -> Self {
        self.source = match error {
            store::Error::File { source, .. } | store::Error::ArchiveUnreadable { source } => Some(Box::new(source)),
            store::Error::Database { source, .. } => Some(Box::new(source)),
            store::Error::Index(source) => Some(Box::new(source)),
            _ => None,
        };
        self
    }

    /// Returns whether a full disk is at the bottom of it.
    pub(super) fn is_storage_full(&self) -> bool {
        self.reason == "STORAGE_FULL"
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

/// Returns whether a full disk is at the bottom of it.
fn is_storage_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let by_io = error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::StorageFull);
        let by_store = matches!(error.downcast_ref(), Some(store::Error::Database { source, .. })
            if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull));
        // The keyword index hands some failures of the system on as text only.
        if by_io || by_store || error.to_string().contains("No space left on device") {
            return true;
        }
        cause = error.source();
    }
    false
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        if is_storage_full(&error) {
            let message = "the disk that holds the data directory is full; make room, then send again what failed";
            return Self::new(ErrorKind::Overloaded, "STORAGE_FULL", message).because(error);
        }
        let (kind, reason) = match &error {
            store::Error::Stopped(stopped) => return (*stopped).into(),
            store::Error::NotPublished { .. } => (ErrorKind::FailedPrecondition, "EPOCH_NOT_PUBLISHED"),
            store::Error::NotRetained { .. } | store::Error::TimeNotRetained { .. } => {
                (ErrorKind::FailedPrecondition, "EPOCH_NOT_RETAINED")
            }
            store::Error::PinNameTaken { name, .. } => {
                let message = error.to_string();
                return Self::new(ErrorKind::AlreadyExists, "PIN_NAME_TAKEN", message).about("pin", name.clone());
            }
            store::Error::UnknownPin { name } => return Self::not_found("pin", name.clone()),
            store::Error::Pinned { .. } => (ErrorKind::FailedPrecondition, "EPOCH_PINNED"),
            store::Error::Locked { .. } => (ErrorKind::FailedPrecondition, "DATA_DIRECTORY_LOCKED"),
            store::Error::NewerFormat { .. } => (ErrorKind::FailedPrecondition, "NEWER_FORMAT"),
            store::Error::Damaged { .. } | store::Error::LostCommits { .. } => (ErrorKind::Corrupted, "STORE_DAMAGED"),
            store::Error::Refused(store::Refusal::NewerFormat { .. }) => {
                (ErrorKind::FailedPrecondition, "NEWER_FORMAT")
            }
            store::Error::Refused(store::Refusal::NoRoom { .. }) => (ErrorKind::Overloaded, "STORAGE_FULL"),
            store::Error::ReadOnly => (ErrorKind::FailedPrecondition, "READ_ONLY"),
            store::Error::OtherFormat { .. } => (ErrorKind::FailedPrecondition, "OTHER_FORMAT"),
            store::Error::Refused(_) => (ErrorKind::InvalidRequest, "ARCHIVE_REFUSED"),
            store::Error::ArchiveUnreadable { .. } => (ErrorKind::Unavailable, "ARCHIVE_UNREADABLE"),
            store::Error::Poisoned { .. }
            | store::Error::Halted { .. }
            | store::Error::Replaced { .. }
            | store::Error::LogReplaced { .. } => (ErrorKind::Unavailable, "WRITES_STOPPED"),
            store::Error::Removed => (ErrorKind::NotFound, "NOT_FOUND"),
            store::Error::Index(_) | store::Error::Panicked { .. } => (ErrorKind::Unavailable, "INDEX_FAILED"),
            store::Error::Database { .. } | store::Error::File { .. } => (ErrorKind::Internal, "STORE_FAILED"),
        };
        Self::new(kind, reason, error.to_string()).because_of(error)
    }
}

impl From<crate::ingest::Error> for Error {
    fn from(error: crate::ingest::Error) -> Self {
        match error {
            crate::ingest::Error::Stopped(stopped) => stopped.into(),
            crate::ingest::Error::Store(error) => error.into(),
        }
    }
}

impl From<crate::index::Error> for Error {
    fn from(error: crate::index::Error) -> Self {
        Self::internal("INDEX_FAILED", error.to_string(), error)
    }
}

impl From<crate::retrieve::InvalidQuery> for Error {
    fn from(error: crate::retrieve::InvalidQuery) -> Self {
        Self::invalid(error.field, error.reason)
    }
}

impl From<crate::embed::Error> for Error {
    fn from(error: crate::embed::Error) -> Self {
        match error {
            crate::embed::Error::Stopped(stopped) => stopped.into(),
            crate::embed::Error::NoTokenVectors { ref model_id }
            | crate::embed::Error::EarlierGraph { ref model_id, .. } => {
                let model_id = model_id.clone();
                Self::new(ErrorKind::FailedPrecondition, "NO_TOKEN_VECTORS", error.to_string())
                    .because(error)
                    .about("model", &model_id)
            }
            error @ (crate::embed::Error::File { .. } | crate::embed::Error::Runtime { .. }) => Self::unusable(error),
            error => Self::internal("EMBEDDING_FAILED", error.to_string(), error),
        }
    }
}

impl From<crate::generate::Error> for Error {
    fn from(error: crate::generate::Error) -> Self {
        match error {
            crate::generate::Error::Stopped(stopped) => stopped.into(),
            error @ crate::generate::Error::QuestionTooLong { .. } => Self::invalid("input.text", error.to_string()),
            error @ (crate::generate::Error::ConversationTooLong { .. }
            | crate::generate::Error::NothingToRead
            | crate::generate::Error::MessagesRefused { .. }) => Self::invalid("messages", error.to_string()),
            error @ crate::generate::Error::UnknownToken { .. } => {
                Self::invalid("additional_model_request_fields.logit_bias", error.to_string())
            }
            error @ crate::generate::Error::Constraint { .. } => Self::invalid("output_config", error.to_string()),
            error @ crate::generate::Error::Model { .. } => Self::unusable(error),
            error => Self::internal("GENERATION_FAILED", error.to_string(), error),
        }
    }
}
