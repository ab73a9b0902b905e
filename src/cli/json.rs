//! Wire messages as JSON for scripts: fields and enum values are named as in the .proto, numbers are numbers.

mod archive;
mod history;
mod limits;
mod model;
mod scoring;
mod serving;

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::service::pb;

pub(super) use self::archive::manifest;
pub(super) use self::history::{
    certificate, check_finding, check_summary, difference, difference_summary, epoch, erasure, revision, vacuum,
};
pub(super) use self::limits::limits;
pub(super) use self::model::{conversed, embedded};
pub(super) use self::scoring::missing;
pub(super) use self::serving::serving_model;

pub(super) fn knowledge_base(kb: &pb::KnowledgeBase) -> Value {
    let chunking = kb.chunking_configuration.as_ref().map(|chunking| {
        let sizes = chunking.fixed_size_chunking_configuration.as_ref();
        json!({
            "chunking_strategy": chunking.chunking_strategy().as_str_name(),
            "fixed_size_chunking_configuration": sizes.map(|sizes| json!({
                "max_tokens": sizes.max_tokens,
                "overlap_tokens": sizes.overlap_tokens,
            })),
        })
    });
    json!({
        "knowledge_base_id": kb.knowledge_base_id,
        "name": kb.name,
        "description": kb.description,
        "embedding_model_id": kb.embedding_model_id,
        "dimensions": kb.dimensions,
        "chunking_configuration": chunking,
        "language": kb.language,
        "tags": kb.tags,
        "status": kb.status().as_str_name(),
        "failure_reasons": kb.failure_reasons,
        "epoch": kb.epoch,
        "document_count": kb.document_count,
        "chunk_count": kb.chunk_count,
        "created_at": time(kb.created_at.as_ref()),
        "updated_at": time(kb.updated_at.as_ref()),
        "retention_configuration": kb.retention_configuration.as_ref().map(retention),
        "original_content": kb.original_content().as_str_name(),
        "oldest_epoch": kb.oldest_epoch,
        "storage_statistics": kb.storage_statistics.as_ref().map(storage),
        "live_recall": kb.live_recall.as_ref().map(live_recall),
        "read_only": kb.read_only,
        "metadata_schema": kb.metadata_schema.as_ref().map(schema),
    })
}

fn schema(schema: &pb::MetadataSchema) -> Value {
    let attribute = |attribute: &pb::MetadataAttribute| {
        json!({
            "key": attribute.key,
            "type": attribute.r#type().as_str_name(),
            "description": attribute.description,
        })
    };
    json!({
        "attributes": schema.attributes.iter().map(attribute).collect::<Vec<_>>(),
        "strict": schema.strict,
    })
}

pub(super) fn access(access: &pb::AccessList) -> Value {
    json!({
        "allow_users": access.allow_users,
        "allow_groups": access.allow_groups,
        "deny_users": access.deny_users,
        "deny_groups": access.deny_groups,
    })
}

fn plan(plan: &pb::RetrievalPlan) -> Value {
    json!({
        "filter": plan.filter.as_ref().map(|filter| json!({
            "visible_chunk_count": filter.visible_chunk_count,
            "accepted_chunk_count": filter.accepted_chunk_count,
            "cached": filter.cached,
        })),
        "vector": plan.vector.as_ref().map(|vector| json!({
            "mode": vector.mode().as_str_name(),
            "candidate_count": vector.candidate_count,
            "visited_count": vector.visited_count,
        })),
        "keyword": plan.keyword.as_ref().map(|keyword| json!({
            "mode": keyword.mode().as_str_name(),
            "candidate_count": keyword.candidate_count,
            "visited_count": keyword.visited_count,
        })),
    })
}

fn retention(retention: &pb::RetentionConfiguration) -> Value {
    json!({
        "epochs": retention.epochs,
        "age": retention.age.as_ref().map(ToString::to_string),
    })
}

fn storage(storage: &pb::StorageStatistics) -> Value {
    json!({
        "store_bytes": storage.store_bytes,
        "terms_bytes": storage.terms_bytes,
        "vectors_bytes": storage.vectors_bytes,
        "retired_chunk_count": storage.retired_chunk_count,
        "terms_segment_count": storage.terms_segment_count,
        "vectors_segment_count": storage.vectors_segment_count,
        "fresh_chunk_count": storage.fresh_chunk_count,
        "upkeep": storage.upkeep.as_ref().map(|upkeep| json!({
            "stage": upkeep.stage,
            "done": upkeep.done,
            "total": upkeep.total,
        })),
        "write_failure": storage.write_failure,
    })
}

fn live_recall(recall: &pb::LiveRecall) -> Value {
    let figures = |figures: Option<&pb::RecallFigures>| {
        figures.map(|figures| {
            json!({
                "query_count": figures.query_count,
                "recall_at_10": figures.recall_at_10,
                "recall": figures.recall,
                "lowest_recall_at_10": figures.lowest_recall_at_10,
            })
        })
    };
    json!({
        "checked_query_count": recall.checked_query_count,
        "dropped_query_count": recall.dropped_query_count,
        "window": figures(recall.window.as_ref()),
        "unfiltered": figures(recall.unfiltered.as_ref()),
        "filtered": figures(recall.filtered.as_ref()),
    })
}

pub(super) fn document(document: &pb::Document) -> Value {
    json!({
        "document_id": document.document_id,
        "status": document.status().as_str_name(),
        "status_reason": document.status_reason,
        "title": document.title,
        "mime_type": document.mime_type,
        "source_name": document.source_name,
        "metadata": metadata(&document.metadata),
        "content_hash": document.content_hash,
        "byte_size": document.byte_size,
        "text_bytes": document.text_bytes,
        "chunk_count": document.chunk_count,
        "epoch": document.epoch,
        "created_at": time(document.created_at.as_ref()),
        "updated_at": time(document.updated_at.as_ref()),
        "access": document.access.as_ref().map(access),
    })
}

pub(super) fn outcome(outcome: &pb::DocumentOutcome) -> Value {
    json!({
        "document_id": outcome.document_id,
        "status": outcome.status().as_str_name(),
        "status_reason": outcome.status_reason,
        "epoch": outcome.epoch,
        "chunk_count": outcome.chunk_count,
        "sequence": outcome.sequence,
    })
}

pub(super) fn retrieval(response: &pb::RetrieveResponse) -> Value {
    json!({
        "retrieval_results": response.retrieval_results.iter().map(result).collect::<Vec<_>>(),
        "epoch": response.epoch,
        "metrics": response.metrics.as_ref().map(metrics),
        "plan": response.plan.as_ref().map(plan),
        "cached": response.cached,
        "implicit_filter": response.implicit_filter.as_ref().map(implicit_filter),
        "transformed_queries": response.transformed_queries,
    })
}

pub(super) fn reranked(response: &pb::RerankResponse) -> Value {
    let result =
        |result: &pb::RerankResult| json!({ "index": result.index, "relevance_score": result.relevance_score });
    json!({
        "results": response.results.iter().map(result).collect::<Vec<_>>(),
        "model_id": response.model_id,
        "metrics": response.metrics.as_ref().map(metrics),
    })
}

pub(super) fn implicit_filter(derived: &pb::ImplicitFilter) -> Value {
    let rejected = derived
        .rejected
        .iter()
        .map(|clause| json!({ "text": clause.text, "reason": clause.reason }));
    json!({
        "filter": derived.filter.as_ref().map(filter),
        "model_id": derived.model_id,
        "rejected": rejected.collect::<Vec<_>>(),
        "usage": derived.usage.as_ref().map(usage),
    })
}

/// A filter in the form that `--filter` takes.
pub(super) fn filter(filter: &pb::RetrievalFilter) -> Value {
    use pb::retrieval_filter::Condition;
    let attribute = |name: &str, attribute: &pb::FilterAttribute| {
        let value = attribute.value.as_ref();
        let value = match value.and_then(|value| value.kind.as_ref()) {
            Some(pb::metadata_value::Kind::TimestampValue(date)) => json!({ "date": date.to_string() }),
            _ => value.map_or(Value::Null, metadata_value),
        };
        json!({ name: { "key": attribute.key, "value": value } })
    };
    let list = |name: &str, list: &pb::RetrievalFilterList| {
        let filters: Vec<Value> = list.filters.iter().map(self::filter).collect();
        json!({ name: { "filters": filters } })
    };
    match &filter.condition {
        None => Value::Null,
        Some(Condition::Equals(it)) => attribute("equals", it),
        Some(Condition::NotEquals(it)) => attribute("not_equals", it),
        Some(Condition::AndAll(it)) => list("and_all", it),
        Some(Condition::OrAll(it)) => list("or_all", it),
        Some(Condition::GreaterThan(it)) => attribute("greater_than", it),
        Some(Condition::GreaterThanOrEquals(it)) => attribute("greater_than_or_equals", it),
        Some(Condition::LessThan(it)) => attribute("less_than", it),
        Some(Condition::LessThanOrEquals(it)) => attribute("less_than_or_equals", it),
        Some(Condition::In(it)) => attribute("in", it),
        Some(Condition::NotIn(it)) => attribute("not_in", it),
        Some(Condition::StartsWith(it)) => attribute("starts_with", it),
        Some(Condition::ListContains(it)) => attribute("list_contains", it),
        Some(Condition::StringContains(it)) => attribute("string_contains", it),
        Some(Condition::Not(it)) => json!({ "not": self::filter(it) }),
        Some(Condition::Exists(key)) => json!({ "exists": key }),
    }
}

fn usage(usage: &pb::TokenUsage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "cache_write_input_tokens": usage.cache_write_input_tokens,
    })
}

pub(super) fn result(result: &pb::RetrievalResult) -> Value {
    let location = result.location.as_ref().map(|location| {
        json!({
            "title": location.title,
            "source_name": location.source_name,
            "heading_path": location.heading_path,
            "page": location.page,
            "span": location.span.as_ref().map(span),
        })
    });
    json!({
        "chunk_id": result.chunk_id,
        "document_id": result.document_id,
        "content": { "text": result.content.as_ref().map(|content| &content.text) },
        "location": location,
        "score": result.score,
        "bm25": result.bm25.as_ref().map(leg),
        "cosine": result.cosine.as_ref().map(leg),
        "metadata": metadata(&result.metadata),
        "content_hash": result.content_hash,
        "explanation": result.explanation.as_ref().map(scoring::explanation),
        "highlights": result.highlights.iter().map(span).collect::<Vec<_>>(),
        "context": result.context.as_ref().map(|context| json!({
            "text": context.text,
            "span": context.span.as_ref().map(span),
        })),
        "folded_chunks": result.folded_chunks.iter().map(scoring::folded).collect::<Vec<_>>(),
    })
}

pub(super) fn reference(reference: &pb::RetrievedReference) -> Value {
    json!({
        "reference_number": reference.reference_number,
        "result": reference.result.as_ref().map(result),
    })
}

pub(super) fn citation(citation: &pb::Citation) -> Value {
    json!({
        "reference_number": citation.reference_number,
        "answer_span": citation.answer_span.as_ref().map(span),
        "answer_text": citation.answer_text,
        "chunk_id": citation.chunk_id,
        "document_id": citation.document_id,
        "source_span": citation.source_span.as_ref().map(span),
        "source_text": citation.source_text,
        "support": citation.support,
        "origin": citation.origin().as_str_name(),
    })
}

pub(super) fn summary(summary: &pb::AnswerSummary) -> Value {
    json!({
        "stop_reason": summary.stop_reason().as_str_name(),
        "no_answer_reason": summary.no_answer_reason().as_str_name(),
        "usage": summary.usage.as_ref().map(usage),
        "metrics": summary.metrics.as_ref().map(metrics),
        "epoch": summary.epoch,
        "model_id": summary.model_id,
        "model_hash": summary.model_hash,
        "seed": summary.seed,
        "current_epoch": summary.current_epoch,
        "outdated_reference_numbers": summary.outdated_reference_numbers,
        "implicit_filter": summary.implicit_filter.as_ref().map(implicit_filter),
        "transformed_queries": summary.transformed_queries,
    })
}

fn leg(leg: &pb::LegScore) -> Value {
    json!({ "rank": leg.rank, "raw": leg.raw, "normalized": leg.normalized })
}

fn span(span: &pb::Span) -> Value {
    json!({
        "start": span.start,
        "end": span.end,
        "code_point_start": span.code_point_start,
        "code_point_end": span.code_point_end,
    })
}

fn metrics(metrics: &pb::StageMetrics) -> Value {
    json!({
        "queue_micros": metrics.queue_micros,
        "embed_micros": metrics.embed_micros,
        "search_micros": metrics.search_micros,
        "rerank_micros": metrics.rerank_micros,
        "transform_micros": metrics.transform_micros,
        "prefill_micros": metrics.prefill_micros,
        "decode_micros": metrics.decode_micros,
        "time_to_first_token_micros": metrics.time_to_first_token_micros,
        "total_micros": metrics.total_micros,
    })
}

/// Metadata as plain JSON values: the kinds of the wire and of JSON are the same.
pub(super) fn metadata(metadata: &HashMap<String, pb::MetadataValue>) -> Value {
    let mut object = Map::new();
    for (key, value) in metadata {
        object.insert(key.clone(), metadata_value(value));
    }
    Value::Object(object)
}

fn metadata_value(value: &pb::MetadataValue) -> Value {
    use pb::metadata_value::Kind;
    match &value.kind {
        Some(Kind::StringValue(text)) => json!(text),
        Some(Kind::NumberValue(number)) => json!(number),
        Some(Kind::BooleanValue(truth)) => json!(truth),
        Some(Kind::StringListValue(list)) => json!(list.values),
        Some(Kind::TimestampValue(date)) => json!(date.to_string()),
        Some(Kind::NumberListValue(list)) => json!(list.values),
        None => Value::Null,
    }
}

fn time(time: Option<&prost_types::Timestamp>) -> Value {
    time.map_or(Value::Null, |time| json!(time.to_string()))
}
