//! A knowledge base as people read it.

use indicatif::HumanBytes;

use super::status;
use crate::cli::json;
use crate::cli::moment::span;
use crate::cli::output::Output;
use crate::cli::text::{count, one_line};
use crate::service::pb;

/// Writes a description.
pub(in crate::cli) fn show(kb: &pb::KnowledgeBase, output: &mut Output) -> std::io::Result<()> {
    if output.is_json() {
        return output.object(&json::knowledge_base(kb));
    }
    let chunking = kb.chunking_configuration.unwrap_or_default();
    let chunks = match (chunking.chunking_strategy(), chunking.fixed_size_chunking_configuration) {
        (pb::ChunkingStrategy::None, _) => "one for each document".to_owned(),
        (_, Some(sizes)) => format!(
            "up to {} tokens, {} of them shared with the one before",
            sizes.max_tokens.unwrap_or_default(),
            sizes.overlap_tokens.unwrap_or_default()
        ),
        (_, None) => "of the default size".to_owned(),
    };
    let mut tags: Vec<String> = kb.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    tags.sort();
    let lines = [
        ("name", kb.name.clone()),
        ("id", kb.knowledge_base_id.clone()),
        ("description", kb.description.clone()),
        ("status", status(kb).to_owned()),
        ("reasons", kb.failure_reasons.join("; ")),
        ("documents", kb.document_count.to_string()),
        ("chunks", format!("{}, {chunks}", kb.chunk_count)),
        ("epoch", format!("{}, readable from {} on", kb.epoch, kb.oldest_epoch)),
        (
            "model",
            format!("{} of {} dimensions", kb.embedding_model_id, kb.dimensions),
        ),
        ("language", kb.language.clone()),
        ("tags", tags.join(", ")),
        ("retention", retention(kb)),
        ("contents", contents(kb).to_owned()),
        ("attributes", attributes(kb)),
        ("read only", if kb.read_only { "yes" } else { "" }.to_owned()),
        (
            "created",
            kb.created_at.map_or_else(String::new, |time| time.to_string()),
        ),
    ];
    let lines = lines
        .into_iter()
        .chain(kb.storage_statistics.as_ref().into_iter().flat_map(storage))
        .chain(kb.live_recall.as_ref().map(|recall| ("recall", live_recall(recall))));
    for (name, value) in lines.filter(|(_, value)| !value.is_empty()) {
        output.line(format!("{}  {}", output.dim(&format!("{name:<11}")), one_line(&value)))?;
    }
    Ok(())
}

fn retention(kb: &pb::KnowledgeBase) -> String {
    let retention = kb.retention_configuration.unwrap_or_default();
    let age = retention.age.and_then(|age| u64::try_from(age.seconds).ok());
    let parts = [
        retention
            .epochs
            .map(|epochs| format!("the newest {}", count(epochs, "epoch"))),
        age.map(|seconds| format!("epochs of the last {}", span(seconds))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn attributes(kb: &pb::KnowledgeBase) -> String {
    let Some(schema) = &kb.metadata_schema else {
        return String::new();
    };
    let kind = |attribute: &pb::MetadataAttribute| {
        let name = attribute.r#type().as_str_name();
        name.trim_start_matches("METADATA_TYPE_").to_lowercase()
    };
    let attributes = schema.attributes.iter();
    let mut parts: Vec<String> = attributes.map(|it| format!("{}: {}", it.key, kind(it))).collect();
    if schema.strict {
        parts.push("no others".to_owned());
    }
    parts.join(", ")
}

fn live_recall(recall: &pb::LiveRecall) -> String {
    let Some(window) = &recall.window else {
        return "no walks over graphs were checked yet".to_owned();
    };
    let split = [("filtered", &recall.filtered), ("unfiltered", &recall.unfiltered)];
    let split = split.into_iter().filter_map(|(name, figures)| {
        let figures = figures.as_ref().filter(|it| it.query_count < window.query_count)?;
        Some(format!(", {name} {:.3}", figures.recall_at_10))
    });
    let dropped = match recall.dropped_query_count {
        0 => String::new(),
        dropped => format!(", {dropped} dropped"),
    };
    format!(
        "{:.3} of the ten nearest in the last {}, at least {:.1}{}{dropped}",
        window.recall_at_10,
        count(window.query_count.into(), "check"),
        window.lowest_recall_at_10,
        split.collect::<String>(),
    )
}

fn contents(kb: &pb::KnowledgeBase) -> &'static str {
    match kb.original_content() {
        pb::OriginalContent::Unspecified => "",
        pb::OriginalContent::Keep => "kept as they came",
        pb::OriginalContent::Discard => "not kept, only their text is",
    }
}

fn storage(storage: &pb::StorageStatistics) -> [(&'static str, String); 4] {
    let size = format!(
        "store {}, keyword index {} in {}, vector index {} in {}",
        HumanBytes(storage.store_bytes),
        HumanBytes(storage.terms_bytes),
        count(storage.terms_segment_count.into(), "segment"),
        HumanBytes(storage.vectors_bytes),
        count(storage.vectors_segment_count.into(), "segment")
    );
    let waiting = format!(
        "{} retired, {} not sealed yet",
        count(storage.retired_chunk_count, "chunk"),
        storage.fresh_chunk_count
    );
    let upkeep = storage.upkeep.as_ref().map_or_else(
        || "resting".to_owned(),
        |upkeep| match upkeep.total {
            0 => upkeep.stage.clone(),
            total => format!("{}, {} of {total}", upkeep.stage, upkeep.done),
        },
    );
    [
        ("storage", size),
        ("in indexes", waiting),
        ("upkeep", upkeep),
        ("writes", storage.write_failure.clone()),
    ]
}
