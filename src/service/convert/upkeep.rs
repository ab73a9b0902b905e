//! Vacuum and check to the wire, and how far long work is.

use crate::knowledge_base::{Checked, Finding, Progress, Vacuumed};
use crate::service::pb;
use crate::service::pb::{check_knowledge_base_response, vacuum_knowledge_base_response};

/// Returns how far long work is.
pub(in crate::service) fn progress(progress: Progress) -> pb::Progress {
    pb::Progress {
        stage: progress.stage.to_owned(),
        done: progress.done,
        total: progress.total,
    }
}

impl From<pb::Progress> for pb::VacuumKnowledgeBaseResponse {
    fn from(progress: pb::Progress) -> Self {
        Self {
            payload: Some(vacuum_knowledge_base_response::Payload::Progress(progress)),
        }
    }
}

impl From<Vacuumed> for pb::VacuumKnowledgeBaseResponse {
    fn from(done: Vacuumed) -> Self {
        let summary = pb::VacuumSummary {
            oldest_epoch: done.oldest_epoch.0,
            revision_count: done.revisions,
            chunk_count: done.chunks,
            content_count: done.contents,
            freed_bytes: done.freed_bytes,
        };
        Self {
            payload: Some(vacuum_knowledge_base_response::Payload::Summary(summary)),
        }
    }
}

impl From<pb::Progress> for pb::CheckKnowledgeBaseResponse {
    fn from(progress: pb::Progress) -> Self {
        Self {
            payload: Some(check_knowledge_base_response::Payload::Progress(progress)),
        }
    }
}

impl From<Finding> for pb::CheckKnowledgeBaseResponse {
    fn from(finding: Finding) -> Self {
        let finding = pb::CheckFinding {
            place: finding.place.to_owned(),
            path: finding.path,
            description: finding.description,
            remedy: finding.remedy,
            repaired: finding.repaired,
        };
        Self {
            payload: Some(check_knowledge_base_response::Payload::Finding(finding)),
        }
    }
}

impl From<Checked> for pb::CheckKnowledgeBaseResponse {
    fn from(checked: Checked) -> Self {
        let summary = pb::CheckSummary {
            epoch: checked.epoch.0,
            document_count: checked.documents,
            revision_count: checked.revisions,
            chunk_count: checked.chunks,
            content_count: checked.contents,
            finding_count: checked.findings,
            repaired_count: checked.repaired,
        };
        Self {
            payload: Some(check_knowledge_base_response::Payload::Summary(summary)),
        }
    }
}
