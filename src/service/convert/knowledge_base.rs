//! Knowledge bases, both ways.

use super::known;
use super::metadata::tags;
use crate::chunk::{ChunkConfig, DEFAULT_MAX_TOKENS, DEFAULT_OVERLAP_TOKENS};
use crate::knowledge_base::{
    Error, KnowledgeBaseChange, KnowledgeBaseInfo, KnowledgeBaseStatus, NewKnowledgeBase, OriginalContent,
};
use crate::service::pb;

const CHUNKING_PATH: &str = "chunking_configuration";

/// Returns what is to be created. Names and sizes are the facade's to judge.
pub(in crate::service) fn new_knowledge_base(
    request: pb::CreateKnowledgeBaseRequest,
) -> Result<NewKnowledgeBase, Error> {
    Ok(NewKnowledgeBase {
        name: super::required("name", request.name)?,
        description: request.description,
        embedding_model_id: request.embedding_model_id,
        chunking: match request.chunking_configuration {
            Some(wire) => chunking(wire)?,
            None => ChunkConfig::default(),
        },
        language: request.language,
        tags: tags(request.tags),
        client_token: request.client_token,
        retention: None,
        original_content: OriginalContent::default(),
    })
}

/// Returns what is to be changed.
pub(in crate::service) fn change(request: pb::UpdateKnowledgeBaseRequest) -> KnowledgeBaseChange {
    KnowledgeBaseChange {
        name: request.name,
        description: request.description,
        tags: request.replace_tags.then(|| tags(request.tags)),
        retention: None,
        original_content: None,
    }
}

/// Returns a description for the wire.
pub(in crate::service) fn knowledge_base(info: KnowledgeBaseInfo) -> pb::KnowledgeBase {
    pb::KnowledgeBase {
        knowledge_base_id: info.id,
        name: info.name,
        description: info.description,
        embedding_model_id: info.embedding_model_id,
        dimensions: info.dimensions as u32,
        chunking_configuration: Some(wire_chunking(info.chunking)),
        language: info.language,
        tags: info.tags.into_iter().collect(),
        status: status(info.status).into(),
        failure_reasons: info.failure_reasons,
        epoch: info.epoch.0,
        document_count: info.document_count,
        chunk_count: info.chunk_count,
        created_at: Some(info.created_at.into()),
        updated_at: Some(info.updated_at.into()),
        oldest_epoch: info.oldest_epoch.0,
        read_only: info.read_only,
        ..pb::KnowledgeBase::default()
    }
}

fn chunking(wire: pb::ChunkingConfiguration) -> Result<ChunkConfig, Error> {
    let field = format!("{CHUNKING_PATH}.chunking_strategy");
    let sizes = wire.fixed_size_chunking_configuration;
    match (known(&field, wire.chunking_strategy)?, sizes) {
        (pb::ChunkingStrategy::None, None) => Ok(ChunkConfig::None),
        (pb::ChunkingStrategy::None, Some(_)) => Err(Error::invalid(
            format!("{CHUNKING_PATH}.fixed_size_chunking_configuration"),
            "must be absent under CHUNKING_STRATEGY_NONE, which has no sizes",
        )),
        (pb::ChunkingStrategy::Unspecified | pb::ChunkingStrategy::FixedSize, sizes) => {
            let sizes = sizes.unwrap_or_default();
            Ok(ChunkConfig::FixedSize {
                max_tokens: sizes.max_tokens.map_or(DEFAULT_MAX_TOKENS, |tokens| tokens as usize),
                overlap_tokens: sizes
                    .overlap_tokens
                    .map_or(DEFAULT_OVERLAP_TOKENS, |tokens| tokens as usize),
            })
        }
    }
}

fn wire_chunking(config: ChunkConfig) -> pb::ChunkingConfiguration {
    match config {
        ChunkConfig::None => pb::ChunkingConfiguration {
            chunking_strategy: pb::ChunkingStrategy::None.into(),
            fixed_size_chunking_configuration: None,
        },
        ChunkConfig::FixedSize {
            max_tokens,
            overlap_tokens,
        } => pb::ChunkingConfiguration {
            chunking_strategy: pb::ChunkingStrategy::FixedSize.into(),
            fixed_size_chunking_configuration: Some(pb::FixedSizeChunkingConfiguration {
                max_tokens: Some(max_tokens as u32),
                overlap_tokens: Some(overlap_tokens as u32),
            }),
        },
    }
}

fn status(status: KnowledgeBaseStatus) -> pb::KnowledgeBaseStatus {
    match status {
        KnowledgeBaseStatus::Active => pb::KnowledgeBaseStatus::Active,
        KnowledgeBaseStatus::Failed => pb::KnowledgeBaseStatus::Failed,
        KnowledgeBaseStatus::Deleting => pb::KnowledgeBaseStatus::Deleting,
    }
}
