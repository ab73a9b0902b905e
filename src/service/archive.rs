//! Backup, restoration and bundles: archives in parts.
//!
//! Comes in: a request, or the parts of an archive. Goes out: the parts of an archive, or what was made of one.
//! Always holds: no more than some parts are in memory; a slow client slows the work, one that leaves ends it, and then
//! nothing is left of it.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tonic::Streaming;

use super::call::Outlet;
use super::convert::{epoch, manifest, required, restored};
use super::document::broken;
use super::meter::Meter;
use super::pb;
use super::pb::restore_knowledge_base_request::Payload;
use crate::knowledge_base::{Archive, Error, Groundwork, Restoration};
use crate::worker::{Cancel, Stopped};

const KNOWLEDGE_BASE: &str = "knowledge_base_id";
/// Size of the parts of an archive.
const PART_BYTES: usize = 1 << 20;
/// How often a wait for the client looks whether the call goes on.
const WAIT_STEP: Duration = Duration::from_millis(100);
/// How long a client may leave a restoration waiting: what it sends may come from a slow place.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// Sends a backup in parts, or writes it to a file; returns the last message.
pub(super) fn back_up(
    groundwork: &Groundwork,
    request: pb::BackupKnowledgeBaseRequest,
    cancel: &Cancel,
    outlet: &Outlet<pb::BackupKnowledgeBaseResponse>,
) -> Result<pb::BackupKnowledgeBaseResponse, Error> {
    let id = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
    let mut meter = Meter::new(outlet);
    if !request.file_name.is_empty() {
        let written = groundwork.back_up_to(&id, &request.file_name, cancel, &mut |now| meter.tell(now))?;
        return Ok(manifest(written).into());
    }
    let backup = groundwork.back_up(&id, cancel, &mut |now| meter.tell(now))?;
    send(backup, outlet)
}

/// Sends a bundle in parts; returns the last message.
pub(super) fn bundle(
    groundwork: &Groundwork,
    request: pb::BundleKnowledgeBaseRequest,
    cancel: &Cancel,
    outlet: &Outlet<pb::BundleKnowledgeBaseResponse>,
) -> Result<pb::BundleKnowledgeBaseResponse, Error> {
    let id = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
    let mut meter = Meter::new(outlet);
    let bundle = groundwork.seal(&id, epoch(request.as_of_epoch), cancel, &mut |now| meter.tell(now))?;
    send(bundle, outlet)
}

/// Sends the manifest of an archive and its parts; returns the last one.
fn send<T: From<pb::ArchiveManifest> + From<Vec<u8>>>(mut archive: Archive, outlet: &Outlet<T>) -> Result<T, Error> {
    outlet.send(manifest(archive.manifest().clone()).into())?;
    let mut last = part(&mut archive)?;
    loop {
        let next = part(&mut archive)?;
        if next.is_empty() {
            return Ok(last.into());
        }
        outlet.send(std::mem::replace(&mut last, next).into())?;
    }
}

/// Reads the next part; it is empty at the end.
fn part(archive: &mut dyn Read) -> Result<Vec<u8>, Error> {
    let mut part = Vec::with_capacity(PART_BYTES);
    archive
        .take(PART_BYTES as u64)
        .read_to_end(&mut part)
        .map_err(|source| Error::internal("STORE_FAILED", "the archive cannot be read back", source))?;
    Ok(part)
}

/// Makes a knowledge base of the parts that come, or of a file.
pub(super) fn restore(
    groundwork: &Groundwork,
    messages: Streaming<pb::RestoreKnowledgeBaseRequest>,
    cancel: &Cancel,
) -> Result<pb::RestoreKnowledgeBaseResponse, Error> {
    let mut parts = Parts::new(messages, cancel);
    let start = parts.start()?;
    let wanted = Restoration {
        name: start.name,
        dry_run: start.dry_run,
    };
    let made = if start.file_name.is_empty() {
        let made = groundwork.restore(&mut parts, &wanted, cancel, &mut |_| {});
        // What broke the stream explains more than that it ended.
        if let Some(failure) = parts.failure {
            return Err(failure);
        }
        made?
    } else {
        if parts.next()?.is_some() {
            return Err(Error::invalid(
                "part",
                "must be absent where start.file_name names the archive",
            ));
        }
        groundwork.restore_from(&start.file_name, &wanted, cancel, &mut |_| {})?
    };
    Ok(restored(made))
}

/// The parts of a stream, as bytes to read.
struct Parts<'a> {
    messages: Streaming<pb::RestoreKnowledgeBaseRequest>,
    cancel: &'a Cancel,
    runtime: Handle,
    part: Vec<u8>,
    read: usize,
    failure: Option<Error>,
}

impl<'a> Parts<'a> {
    fn new(messages: Streaming<pb::RestoreKnowledgeBaseRequest>, cancel: &'a Cancel) -> Self {
        Self {
            messages,
            cancel,
            runtime: Handle::current(),
            part: Vec::new(),
            read: 0,
            failure: None,
        }
    }

    /// Waits for the first message.
    fn start(&mut self) -> Result<pb::RestoreStart, Error> {
        match self.next()? {
            Some(Payload::Start(start)) => Ok(start),
            _ => Err(Error::invalid("start", "must be the first message of the stream")),
        }
    }

    /// Waits for the next message; nothing comes at the end of the stream.
    fn next(&mut self) -> Result<Option<Payload>, Error> {
        let gives_up_at = Instant::now() + LONGEST_WAIT;
        loop {
            self.cancel.check()?;
            let messages = &mut self.messages;
            let came = self
                .runtime
                .block_on(async { tokio::time::timeout(WAIT_STEP, messages.message()).await });
            match came {
                Ok(Ok(None)) => return Ok(None),
                Ok(Ok(Some(message))) => match message.payload {
                    Some(payload) => return Ok(Some(payload)),
                    None => {
                        return Err(Error::invalid(
                            "part",
                            "the message carries nothing that this server knows",
                        ));
                    }
                },
                Ok(Err(status)) => return Err(broken(&status)),
                Err(_) if Instant::now() >= gives_up_at => return Err(Stopped::DeadlineExceeded.into()),
                Err(_) => {}
            }
        }
    }

    fn fill(&mut self) -> Result<(), Error> {
        while self.read == self.part.len() {
            match self.next()? {
                Some(Payload::Part(part)) => (self.part, self.read) = (part, 0),
                Some(Payload::Start(_)) => {
                    return Err(Error::invalid("start", "must be the first message only, came again"));
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Err(error) = self.fill() {
            let text = error.to_string();
            self.failure = Some(error);
            return Err(io::Error::other(text));
        }
        let rest = &self.part[self.read..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        Ok(count)
    }
}
