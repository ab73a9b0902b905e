//! Messages of an ingestion stream to documents.
//!
//! Comes in: the messages after `start`, in their order. Goes out: documents, and refusals of what is none.
//! Always holds: every document gets one position and is given out once, whole or refused; of a document that comes in
//! parts no more is kept than the limit.
//! Not here: the stream; this does no I/O.

use super::convert::header;
use super::pb;
use super::pb::ingest_documents_request::Payload;
use super::pb::inline_document::Content;
use crate::knowledge_base::{Error, NewDocument, Next};

#[cfg(test)]
mod tests;

/// What has come of a stream so far.
#[derive(Debug)]
pub(super) struct Assembly {
    max_document_bytes: usize,
    next_sequence: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between documents.
    Between,
    /// Inside a document that came in parts.
    Inside { sequence: u64, document: Box<NewDocument> },
    /// Inside a document that was refused: its other parts are skipped.
    Skipping,
}

impl Assembly {
    /// Returns the assembly of a stream whose documents have at most `max_document_bytes`.
    pub(super) fn new(max_document_bytes: usize) -> Self {
        Self {
            max_document_bytes,
            next_sequence: 0,
            state: State::Between,
        }
    }

    /// Takes one message; returns what it decides, in order. Fails when it breaks the protocol of the whole stream.
    pub(super) fn take(&mut self, payload: Option<Payload>) -> Result<Vec<Next>, Error> {
        let mut decided = Vec::new();
        match payload {
            Some(Payload::Start(_)) => {
                return Err(Error::invalid("start", "must be the first message only, came again"));
            }
            Some(Payload::DocumentPart(part)) => decided.extend(self.part(&part)),
            Some(Payload::DocumentEnd(_)) => decided.push(match std::mem::replace(&mut self.state, State::Between) {
                State::Inside { sequence, document } => Next::Document { sequence, document },
                State::Skipping => return Ok(decided),
                State::Between => self.refuse(String::new(), "document_end came without document_start"),
            }),
            Some(Payload::DocumentStart(wire)) => {
                decided.extend(self.finish());
                decided.extend(self.begin(wire));
            }
            Some(Payload::Document(wire)) => {
                decided.extend(self.finish());
                decided.push(self.inline(wire));
            }
            None => {
                decided.extend(self.finish());
                decided.push(self.refuse(String::new(), "the message carries nothing that this server knows"));
            }
        }
        Ok(decided)
    }

    /// Ends what is open: at the end of the stream, or where another document begins.
    pub(super) fn finish(&mut self) -> Option<Next> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Inside { sequence, document } => Some(Next::Refused {
                sequence,
                document_id: document.id.to_string(),
                reason: "the document ended without document_end".to_owned(),
            }),
            State::Between | State::Skipping => None,
        }
    }

    fn begin(&mut self, wire: pb::DocumentHeader) -> Option<Next> {
        let document_id = wire.document_id.clone();
        match header(wire) {
            Ok(document) => {
                let (sequence, document) = (self.sequence(), Box::new(document));
                self.state = State::Inside { sequence, document };
                None
            }
            Err(error) => {
                self.state = State::Skipping;
                Some(self.refuse(document_id, error.message))
            }
        }
    }

    fn part(&mut self, part: &[u8]) -> Option<Next> {
        match &mut self.state {
            State::Skipping => None,
            State::Between => {
                self.state = State::Skipping;
                Some(self.refuse(String::new(), "document_part came without document_start"))
            }
            State::Inside { sequence, document } => {
                let bytes = document.bytes.len() + part.len();
                if bytes <= self.max_document_bytes {
                    document.bytes.extend_from_slice(part);
                    return None;
                }
                let refused = Next::Refused {
                    sequence: *sequence,
                    document_id: document.id.to_string(),
                    reason: self.too_large(&format!("at least {bytes}")),
                };
                self.state = State::Skipping;
                Some(refused)
            }
        }
    }

    fn inline(&mut self, wire: pb::InlineDocument) -> Next {
        let Some(wire_header) = wire.header else {
            return self.refuse(String::new(), "the document has no header");
        };
        let document_id = wire_header.document_id.clone();
        let mut document = match header(wire_header) {
            Ok(document) => document,
            Err(error) => return self.refuse(document_id, error.message),
        };
        document.bytes = match wire.content {
            Some(Content::Data(data)) => data,
            Some(Content::Text(text)) => {
                document.media_type = document.media_type.map(decoded);
                text.into_bytes()
            }
            None => return self.refuse(document_id, "the document has no content, set text or data"),
        };
        if document.bytes.len() > self.max_document_bytes {
            let reason = self.too_large(&document.bytes.len().to_string());
            return self.refuse(document_id, reason);
        }
        Next::Document {
            sequence: self.sequence(),
            document: Box::new(document),
        }
    }

    fn too_large(&self, bytes: &str) -> String {
        format!(
            "a document has at most {} bytes, this one has {bytes}",
            self.max_document_bytes
        )
    }

    fn refuse(&mut self, document_id: String, reason: impl Into<String>) -> Next {
        Next::Refused {
            sequence: self.sequence(),
            document_id,
            reason: reason.into(),
        }
    }

    fn sequence(&mut self) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        sequence
    }
}

/// Text is decoded already, whatever charset it once had.
fn decoded(media_type: String) -> String {
    match media_type.split(';').next().map(str::trim) {
        Some(essence) if essence.starts_with("text/") => format!("{essence}; charset=utf-8"),
        _ => media_type,
    }
}
