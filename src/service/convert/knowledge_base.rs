//! Knowledge bases, both ways.

use std::time::Duration;

use super::known;
use super::metadata::tags;
use super::schema::{metadata_schema, wire_metadata_schema};
use super::upkeep::progress;
use crate::chunk::{ChunkConfig, DEFAULT_MAX_TOKENS, DEFAULT_OVERLAP_TOKENS};
use crate::knowledge_base::{
    Error, KnowledgeBaseChange, KnowledgeBaseInfo, KnowledgeBaseStatus, LiveRecallInfo, NewKnowledgeBase,
    OriginalContent, RecallFigures, Retention, StorageInfo,
};
use crate::service::pb;

const CHUNKING_PATH: &str = "chunking_configuration";
const RETENTION_PATH: &str = "retention_configuration";
/// Longest time that a retention keeps epochs for: what the message itself can say, about 10,000 years.
const MAX_RETAINED_SECONDS: u64 = 315_576_000_000;

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
        retention: request.retention_configuration.map(retention).transpose()?,
        original_content: original_content(request.original_content)?.unwrap_or_default(),
        metadata_schema: request
            .metadata_schema
            .map(metadata_schema)
            .transpose()?
            .unwrap_or_default(),
    })
}

/// Returns what is to be changed.
pub(in crate::service) fn change(request: pb::UpdateKnowledgeBaseRequest) -> Result<KnowledgeBaseChange, Error> {
    Ok(KnowledgeBaseChange {
        name: request.name,
        description: request.description,
        tags: request.replace_tags.then(|| tags(request.tags)),
        retention: request.retention_configuration.map(retention).transpose()?,
        original_content: original_content(request.original_content)?,
        metadata_schema: request.metadata_schema.map(metadata_schema).transpose()?,
    })
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
        retention_configuration: Some(wire_retention(info.retention)),
        original_content: wire_original_content(info.original_content).into(),
        oldest_epoch: info.oldest_epoch.0,
        live_recall: info.live_recall.map(live_recall),
        storage_statistics: info.storage.map(storage),
        read_only: info.read_only,
        metadata_schema: wire_metadata_schema(info.metadata_schema),
    }
}

fn retention(wire: pb::RetentionConfiguration) -> Result<Retention, Error> {
    let age = wire.age.map(|age| {
        Duration::try_from(age)
            .ok()
            .filter(|age| age.as_secs() <= MAX_RETAINED_SECONDS)
            .ok_or_else(|| {
                let reason = format!("must be 0 to {MAX_RETAINED_SECONDS} seconds, is {age}");
                Error::invalid(format!("{RETENTION_PATH}.age"), reason)
            })
    });
    match (wire.epochs, age.transpose()?) {
        (None, None) => Ok(Retention::default()),
        (epochs, age) => Ok(Retention { epochs, age }),
    }
}

fn wire_retention(retention: Retention) -> pb::RetentionConfiguration {
    pb::RetentionConfiguration {
        epochs: retention.epochs,
        // What the store holds came over this wire, within its bounds.
        age: retention.age.and_then(|age| age.try_into().ok()),
    }
}

fn original_content(number: i32) -> Result<Option<OriginalContent>, Error> {
    Ok(match known("original_content", number)? {
        pb::OriginalContent::Unspecified => None,
        pb::OriginalContent::Keep => Some(OriginalContent::Keep),
        pb::OriginalContent::Discard => Some(OriginalContent::Discard),
    })
}

fn wire_original_content(rule: OriginalContent) -> pb::OriginalContent {
    match rule {
        OriginalContent::Keep => pb::OriginalContent::Keep,
        OriginalContent::Discard => pb::OriginalContent::Discard,
    }
}

fn storage(info: StorageInfo) -> pb::StorageStatistics {
    pb::StorageStatistics {
        store_bytes: info.store_bytes,
        terms_bytes: info.terms_bytes,
        vectors_bytes: info.vectors_bytes,
        retired_chunk_count: info.retired_chunks,
        terms_segment_count: info.terms_segments,
        vectors_segment_count: info.vectors_segments,
        fresh_chunk_count: info.fresh_chunks,
        upkeep: info.upkeep.map(progress),
        write_failure: info.write_failure.unwrap_or_default(),
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

fn live_recall(info: LiveRecallInfo) -> pb::LiveRecall {
    let figures = |figures: RecallFigures| pb::RecallFigures {
        query_count: u32::try_from(figures.queries).unwrap_or(u32::MAX),
        recall_at_10: figures.recall_at_10,
        recall: figures.recall,
        lowest_recall_at_10: figures.lowest_recall_at_10,
    };
    pb::LiveRecall {
        checked_query_count: info.checked_queries,
        dropped_query_count: info.dropped_queries,
        window: info.all.map(figures),
        unfiltered: info.unfiltered.map(figures),
        filtered: info.filtered.map(figures),
    }
}
