//! Archives as JSON.

use serde_json::{Value, json};

use super::{knowledge_base, time};
use crate::service::pb;

pub(in crate::cli) fn manifest(manifest: &pb::ArchiveManifest) -> Value {
    let model = |model: &pb::ArchiveModel| json!({ "model_id": model.model_id, "sha256": model.sha256 });
    let file = |file: &pb::ArchiveFile| {
        json!({
            "path": file.path,
            "byte_size": file.byte_size,
            "sha256": file.sha256,
        })
    };
    json!({
        "format_version": manifest.format_version,
        "program_version": manifest.program_version,
        "knowledge_base": manifest.knowledge_base.as_ref().map(knowledge_base),
        "created_at": time(manifest.created_at.as_ref()),
        "models": manifest.models.iter().map(model).collect::<Vec<_>>(),
        "files": manifest.files.iter().map(file).collect::<Vec<_>>(),
        "root_hash": manifest.root_hash,
    })
}
