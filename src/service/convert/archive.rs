//! Archives to the wire.

use super::knowledge_base;
use crate::knowledge_base::{ArchiveKind, KnowledgeBaseInfo, KnowledgeBaseStatus, Manifest, Restored};
use crate::service::pb;
use crate::service::pb::{backup_knowledge_base_response as backup, bundle_knowledge_base_response as bundle};

/// Returns what an archive says about itself.
pub(in crate::service) fn manifest(manifest: Manifest) -> pb::ArchiveManifest {
    let base = manifest.base;
    let info = KnowledgeBaseInfo {
        id: base.id,
        name: base.name,
        description: base.description,
        embedding_model_id: base.embedding_model_id,
        dimensions: base.dimensions,
        chunking: base.chunking,
        language: base.language,
        tags: base.tags,
        status: KnowledgeBaseStatus::Active,
        failure_reasons: Vec::new(),
        epoch: manifest.epoch,
        document_count: manifest.document_count,
        chunk_count: manifest.chunk_count,
        created_at: base.created_at,
        updated_at: base.updated_at,
        retention: base.retention,
        original_content: base.original_content,
        metadata_schema: base.metadata_schema,
        oldest_epoch: manifest.oldest_epoch,
        storage: None,
        live_recall: None,
        read_only: manifest.kind == ArchiveKind::Bundle,
    };
    pb::ArchiveManifest {
        format_version: manifest.format_version,
        program_version: manifest.program_version,
        knowledge_base: Some(knowledge_base(info)),
        created_at: manifest.created_at.map(Into::into),
        models: manifest.models.into_iter().map(model).collect(),
        files: manifest.files.into_iter().map(file).collect(),
        root_hash: manifest.root_hash,
    }
}

fn model(model: crate::knowledge_base::ArchiveModel) -> pb::ArchiveModel {
    pb::ArchiveModel {
        model_id: model.model_id,
        sha256: model.sha256,
    }
}

fn file(file: crate::knowledge_base::ArchiveFile) -> pb::ArchiveFile {
    pb::ArchiveFile {
        path: file.path,
        byte_size: file.byte_size,
        sha256: file.sha256,
    }
}

/// Returns what was restored.
pub(in crate::service) fn restored(restored: Restored) -> pb::RestoreKnowledgeBaseResponse {
    pb::RestoreKnowledgeBaseResponse {
        knowledge_base: Some(knowledge_base(restored.knowledge_base)),
        manifest: Some(manifest(restored.manifest)),
        warnings: restored.warnings,
    }
}

/// Makes the messages of a stream of parts, which are alike but for their names.
macro_rules! messages {
    ($message:ty, $payload:path) => {
        impl From<pb::Progress> for $message {
            fn from(progress: pb::Progress) -> Self {
                use $payload as Payload;
                Self {
                    payload: Some(Payload::Progress(progress)),
                }
            }
        }

        impl From<pb::ArchiveManifest> for $message {
            fn from(manifest: pb::ArchiveManifest) -> Self {
                use $payload as Payload;
                Self {
                    payload: Some(Payload::Manifest(manifest)),
                }
            }
        }

        impl From<Vec<u8>> for $message {
            fn from(part: Vec<u8>) -> Self {
                use $payload as Payload;
                Self {
                    payload: Some(Payload::Part(part)),
                }
            }
        }
    };
}

messages!(pb::BackupKnowledgeBaseResponse, backup::Payload);
messages!(pb::BundleKnowledgeBaseResponse, bundle::Payload);
