//! The long calls of upkeep and erasure: vacuum, check, comparison, erasure and its proof.
//!
//! Comes in: a request, and where to put progress. Goes out: progress, findings, and the last message of the stream.
//! Always holds: the last message is the summary; the work stops when nobody reads what it finds.

use std::time::SystemTime;

use super::call::Outlet;
use super::convert::{
    certificate, difference, difference_request, difference_summary, erasure_query, required, selection,
};
use super::meter::Meter;
use super::pb;
use crate::knowledge_base::{Error, Groundwork};
use crate::worker::Cancel;

const KNOWLEDGE_BASE: &str = "knowledge_base_id";

/// Sends the differences of two epochs; returns their totals.
pub(super) fn compare(
    groundwork: &Groundwork,
    mut request: pb::DiffKnowledgeBaseRequest,
    cancel: &Cancel,
    outlet: &Outlet<pb::DiffKnowledgeBaseResponse>,
) -> Result<pb::DiffKnowledgeBaseResponse, Error> {
    let id = required(KNOWLEDGE_BASE, std::mem::take(&mut request.knowledge_base_id))?;
    let wanted = difference_request(request);
    let summary = groundwork.difference(&id, &wanted, cancel, &mut |found| {
        let mut messages = difference(found, wanted.with_chunks).into_iter();
        if messages.any(|message| outlet.send(message).is_err()) {
            cancel.cancel();
        }
    })?;
    Ok(difference_summary(summary))
}

/// Removes what no retained epoch sees; returns what that was.
pub(super) fn vacuum(
    groundwork: &Groundwork,
    request: pb::VacuumKnowledgeBaseRequest,
    cancel: &Cancel,
    outlet: &Outlet<pb::VacuumKnowledgeBaseResponse>,
) -> Result<pb::VacuumKnowledgeBaseResponse, Error> {
    let id = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
    let mut meter = Meter::new(outlet);
    let vacuumed = groundwork.vacuum(&id, cancel, &mut |now| meter.tell(now))?;
    Ok(vacuumed.into())
}

/// Sends what is not as it must be; returns what was looked at.
pub(super) fn check(
    groundwork: &Groundwork,
    request: pb::CheckKnowledgeBaseRequest,
    cancel: &Cancel,
    outlet: &Outlet<pb::CheckKnowledgeBaseResponse>,
) -> Result<pb::CheckKnowledgeBaseResponse, Error> {
    let id = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
    let mut meter = Meter::new(outlet);
    let checked = groundwork.check(
        &id,
        request.repair,
        cancel,
        &mut |now| meter.tell(now),
        &mut |finding| {
            if outlet.send(finding.into()).is_err() {
                cancel.cancel();
            }
        },
    )?;
    Ok(checked.into())
}

/// Removes every trace of documents; returns what was removed where.
pub(super) fn erase(
    groundwork: &Groundwork,
    request: pb::EraseDocumentsRequest,
    cancel: &Cancel,
    outlet: &Outlet<pb::EraseDocumentsResponse>,
) -> Result<pb::EraseDocumentsResponse, Error> {
    let id = required(KNOWLEDGE_BASE, request.knowledge_base_id)?;
    let selection = selection(request.document_ids, request.filter, request.source_name)?;
    let mut meter = Meter::new(outlet);
    let erased = groundwork.erase_documents(
        &id,
        &selection,
        request.dry_run,
        request.include_pinned_epochs,
        cancel,
        &mut |now| meter.tell(now),
    )?;
    Ok(erased.into())
}

/// Looks for what is left of a document; returns the certificate.
pub(super) fn verify_erasure(
    groundwork: &Groundwork,
    mut request: pb::VerifyErasureRequest,
    cancel: &Cancel,
    outlet: &Outlet<pb::VerifyErasureResponse>,
) -> Result<pb::VerifyErasureResponse, Error> {
    let id = required(KNOWLEDGE_BASE, std::mem::take(&mut request.knowledge_base_id))?;
    let query = erasure_query(request)?;
    let mut meter = Meter::new(outlet);
    let found = groundwork.verify_erasure(&id, &query, cancel, &mut |now| meter.tell(now))?;
    Ok(certificate(found, SystemTime::now()))
}
