//! Tests of convert.

mod epochs;
mod scoring;
mod selections;
mod upkeep;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::answer::AnswerMessages;
use super::hit::{hit, span};
use super::*;
use crate::chunk::ChunkConfig;
use crate::document::access::AccessList;
use crate::document::metadata::{AttributeType, MetadataValue};
use crate::document::schema::MetadataSchema;
use crate::document::{ByteSpan, DocumentId};
use crate::generate::{
    AnswerEvent, Citation, CitationOrigin, GenerationSummary, NoAnswerReason, Reference, StopReason,
};
use crate::index::{ChunkId, Epoch};
use crate::knowledge_base::{
    AnswerSummary, KnowledgeBaseInfo, KnowledgeBaseStatus, LiveRecallInfo, OriginalContent, Progress, RecallFigures,
    Retention, StageTimes, StorageInfo,
};
use crate::retrieve::{Filter, Hit, LegScore, Query, SearchType};
use crate::service::pb;
use crate::service::pb::metadata_value::Kind;
use crate::service::pb::retrieval_filter::Condition;
use crate::service::pb::retrieve_and_generate_stream_response::Event;

/// Checks that an error names this field and says this.
fn check<T: std::fmt::Debug>(result: Result<T, Error>, field: &str, part: &str) {
    let error = result.expect_err(field);
    let violation = &error.violations[0];
    assert_eq!(violation.field, field);
    assert!(violation.description.contains(part), "{}", violation.description);
}

fn words(text: &str) -> pb::RetrievalQuery {
    pb::RetrievalQuery { text: text.to_owned() }
}

fn searched(search: pb::VectorSearchConfiguration) -> Result<Query, Error> {
    let configuration = pb::RetrievalConfiguration {
        vector_search_configuration: Some(search),
    };
    query("retrieval_query", Some(words("what is it")), Some(configuration))
}

fn filtered(filter: pb::RetrievalFilter) -> Result<Query, Error> {
    searched(pb::VectorSearchConfiguration {
        filter: Some(filter),
        ..pb::VectorSearchConfiguration::default()
    })
}

fn condition(condition: Condition) -> pb::RetrievalFilter {
    pb::RetrievalFilter {
        condition: Some(condition),
    }
}

fn year(number: f64) -> pb::FilterAttribute {
    pb::FilterAttribute {
        key: "year".to_owned(),
        value: Some(pb::MetadataValue {
            kind: Some(Kind::NumberValue(number)),
        }),
    }
}

fn list(filters: Vec<pb::RetrievalFilter>) -> pb::RetrievalFilterList {
    pb::RetrievalFilterList { filters }
}

const SEARCH: &str = "retrieval_configuration.vector_search_configuration";

#[test]
fn bare_query_takes_the_defaults() {
    let query = query("retrieval_query", Some(words("what is it")), None).expect("it is valid");
    assert_eq!(query, Query::new("what is it".to_owned()));
}

#[test]
fn query_takes_what_is_given() {
    let query = searched(pb::VectorSearchConfiguration {
        number_of_results: 7,
        override_search_type: pb::SearchType::Keyword.into(),
        filter: Some(condition(Condition::AndAll(list(vec![
            condition(Condition::Equals(year(2024.0))),
            condition(Condition::OrAll(list(vec![
                condition(Condition::NotEquals(year(1.0))),
                condition(Condition::NotEquals(year(2.0))),
            ]))),
        ])))),
        score_threshold: Some(0.25),
        dense_weight: Some(0.0),
        feedback_weight: Some(0.5),
        exact: true,
        ..pb::VectorSearchConfiguration::default()
    })
    .expect("it is valid");
    let number = |number| ("year".to_owned(), MetadataValue::Number(number));
    let not = |value: f64| {
        let (key, value) = number(value);
        Filter::NotEquals(key, value)
    };
    let (key, value) = number(2024.0);
    let expected = Query {
        limit: 7,
        search_type: SearchType::Keyword,
        filter: Some(Filter::AndAll(vec![
            Filter::Equals(key, value),
            Filter::OrAll(vec![not(1.0), not(2.0)]),
        ])),
        score_threshold: Some(0.25),
        dense_weight: Some(0.0),
        feedback_weight: 0.5,
        exact: true,
        ..Query::new("what is it".to_owned())
    };
    assert_eq!(query, expected);
}

#[test]
fn bad_query_names_its_field() {
    check(query("input", None, None), "input", "required");
    check(query("input", Some(words(" ")), None), "input.text", "no words");
    check(
        query("retrieval_query", Some(words("")), None),
        "retrieval_query.text",
        "no words",
    );
    let search = pb::VectorSearchConfiguration::default;
    check(
        searched(pb::VectorSearchConfiguration {
            number_of_results: 1_001,
            ..search()
        }),
        &format!("{SEARCH}.number_of_results"),
        "1001",
    );
    check(
        searched(pb::VectorSearchConfiguration {
            override_search_type: 99,
            ..search()
        }),
        &format!("{SEARCH}.override_search_type"),
        "99",
    );
    for (threshold, weight, field) in [
        (Some(f64::NAN), None, "score_threshold"),
        (None, Some(f64::INFINITY), "dense_weight"),
        (None, Some(1.5), "dense_weight"),
    ] {
        check(
            searched(pb::VectorSearchConfiguration {
                score_threshold: threshold,
                dense_weight: weight,
                ..search()
            }),
            &format!("{SEARCH}.{field}"),
            "",
        );
    }
}

#[test]
fn bad_filter_names_its_condition() {
    let at = |path: &str| format!("{SEARCH}.filter{path}");
    check(
        filtered(pb::RetrievalFilter { condition: None }),
        &at(".condition"),
        "exactly one",
    );
    check(
        filtered(condition(Condition::OrAll(list(vec![condition(Condition::Equals(
            year(1.0),
        ))])))),
        &at(".or_all.filters"),
        "at least 2",
    );
    let nameless = pb::FilterAttribute {
        key: String::new(),
        ..year(1.0)
    };
    check(
        filtered(condition(Condition::AndAll(list(vec![
            condition(Condition::Equals(year(1.0))),
            condition(Condition::Equals(nameless)),
        ])))),
        &at(".and_all.filters[1].equals.key"),
        "1 to 100 bytes",
    );
    let valueless = pb::FilterAttribute {
        value: None,
        ..year(1.0)
    };
    check(
        filtered(condition(Condition::NotEquals(valueless))),
        &at(".not_equals.value"),
        "required",
    );
}

#[test]
fn deep_filter_is_refused() {
    let leaf = || condition(Condition::Equals(year(1.0)));
    let nest = |depth: usize| {
        (1..depth).fold(leaf(), |inner, _| {
            condition(Condition::AndAll(list(vec![inner, leaf()])))
        })
    };
    assert!(filtered(nest(8)).is_ok());
    check(filtered(nest(9)), &format!("{SEARCH}.filter"), "8 deep");
}

fn asked(inference: pb::InferenceConfiguration) -> Result<crate::knowledge_base::Question, Error> {
    question(pb::RetrieveAndGenerateStreamRequest {
        input: Some(words("what is it")),
        generation_configuration: Some(pb::GenerationConfiguration {
            model_id: "tiny".to_owned(),
            inference_configuration: Some(inference),
            answer_style: pb::AnswerStyle::Quoted.into(),
        }),
        min_epoch: 3,
        ..pb::RetrieveAndGenerateStreamRequest::default()
    })
}

#[test]
fn question_takes_what_is_given() {
    let question = asked(pb::InferenceConfiguration {
        temperature: Some(2.0),
        top_p: Some(0.5),
        max_tokens: Some(4_096),
        stop_sequences: vec!["END".to_owned()],
        seed: Some(9),
    })
    .expect("it is valid");
    assert_eq!(question.model_id, "tiny");
    assert_eq!(question.at.min_epoch, Some(Epoch(3)));
    assert_eq!(question.at.as_of, None);
    let inference = question.inference;
    assert_eq!((inference.max_tokens, inference.seed), (4_096, 9));
    assert_eq!(inference.stop_sequences, ["END"]);
    assert!((inference.temperature - 2.0).abs() < f64::EPSILON && (inference.top_p - 0.5).abs() < f64::EPSILON);
}

#[test]
fn inference_out_of_bounds_is_refused() {
    let wire = pb::InferenceConfiguration::default;
    let refused = |wire, field: &str, part: &str| {
        let path = format!("generation_configuration.inference_configuration.{field}");
        check(asked(wire), &path, part);
    };
    for temperature in [-0.1, 2.1, f64::NAN] {
        let temperature = Some(temperature);
        refused(
            pb::InferenceConfiguration { temperature, ..wire() },
            "temperature",
            "0 to 2",
        );
    }
    for top_p in [0.0, 1.1, f64::NAN] {
        let top_p = Some(top_p);
        refused(pb::InferenceConfiguration { top_p, ..wire() }, "top_p", "up to 1");
    }
    for max_tokens in [0, 4_097] {
        let max_tokens = Some(max_tokens);
        refused(
            pb::InferenceConfiguration { max_tokens, ..wire() },
            "max_tokens",
            "1 to 4096",
        );
    }
    let stop = |stop_sequences| pb::InferenceConfiguration {
        stop_sequences,
        ..wire()
    };
    refused(stop(vec!["x".to_owned(); 17]), "stop_sequences", "17");
    refused(stop(vec!["x".to_owned(), String::new()]), "stop_sequences[1]", "has 0");
    refused(stop(vec!["x".repeat(257)]), "stop_sequences[0]", "257");
}

#[test]
fn ids_pages_and_enums_are_checked() {
    check(required("name", String::new()), "name", "required");
    check(
        document_id("document_ids[3]", "a\nb".to_owned()),
        "document_ids[3]",
        "control",
    );
    check(page(1_001, String::new()), "page_size", "1000");
    check(status_filter(99), "status", "99");
    check(modality_filter(-1), "by_output_modality", "-1");
    assert_eq!(page(0, "t".to_owned()).expect("0 is the default").size, 0);
}

#[test]
fn chunking_none_takes_no_sizes() {
    let create = |strategy: pb::ChunkingStrategy, sizes| {
        new_knowledge_base(pb::CreateKnowledgeBaseRequest {
            name: "manuals".to_owned(),
            chunking_configuration: Some(pb::ChunkingConfiguration {
                chunking_strategy: strategy.into(),
                fixed_size_chunking_configuration: sizes,
            }),
            ..pb::CreateKnowledgeBaseRequest::default()
        })
    };
    let sizes = pb::FixedSizeChunkingConfiguration {
        max_tokens: Some(64),
        overlap_tokens: None,
    };
    check(
        create(pb::ChunkingStrategy::None, Some(sizes)),
        "chunking_configuration.fixed_size_chunking_configuration",
        "absent",
    );
    let none = create(pb::ChunkingStrategy::None, None).expect("it is valid");
    assert_eq!(none.chunking, ChunkConfig::None);
    let fixed = create(pb::ChunkingStrategy::Unspecified, Some(sizes)).expect("it is valid");
    let expected = ChunkConfig::FixedSize {
        max_tokens: 64,
        overlap_tokens: 20,
    };
    assert_eq!(fixed.chunking, expected);
}

#[test]
fn tags_change_only_when_replaced() {
    let update = |replace_tags| {
        change(pb::UpdateKnowledgeBaseRequest {
            tags: HashMap::from([("team".to_owned(), "a".to_owned())]),
            replace_tags,
            ..pb::UpdateKnowledgeBaseRequest::default()
        })
        .expect("it is valid")
    };
    assert_eq!(update(false).tags, None);
    assert_eq!(
        update(true).tags,
        Some(BTreeMap::from([("team".to_owned(), "a".to_owned())]))
    );
}

#[test]
fn knowledge_base_keeps_all_its_fields() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
    let wire = knowledge_base(KnowledgeBaseInfo {
        id: "id".to_owned(),
        name: "manuals".to_owned(),
        description: "all of them".to_owned(),
        embedding_model_id: "tiny".to_owned(),
        dimensions: 384,
        chunking: ChunkConfig::default(),
        language: "en".to_owned(),
        tags: BTreeMap::new(),
        status: KnowledgeBaseStatus::Failed,
        failure_reasons: vec!["damaged".to_owned()],
        epoch: Epoch(7),
        document_count: 2,
        chunk_count: 5,
        created_at: at,
        updated_at: at,
        retention: Retention::default(),
        original_content: OriginalContent::Keep,
        metadata_schema: MetadataSchema::default(),
        oldest_epoch: Epoch(3),
        storage: Some(StorageInfo {
            store_bytes: 11,
            upkeep: Some(Progress {
                stage: "sealing vectors",
                done: 1,
                total: 2,
            }),
            write_failure: Some("the disk is full".to_owned()),
            ..StorageInfo::default()
        }),
        live_recall: Some(LiveRecallInfo {
            checked_queries: 9,
            dropped_queries: 4,
            all: Some(RecallFigures {
                queries: 8,
                recall_at_10: 0.75,
                recall: 0.5,
                lowest_recall_at_10: 0.25,
            }),
            ..LiveRecallInfo::default()
        }),
        read_only: true,
    });
    let recall = wire.live_recall.expect("it was given");
    assert_eq!((recall.checked_query_count, recall.dropped_query_count), (9, 4));
    let window = recall.window.expect("there were checks");
    assert_eq!((window.query_count, window.recall_at_10, window.recall), (8, 0.75, 0.5));
    assert_eq!((recall.unfiltered, recall.filtered), (None, None));
    let storage = wire.storage_statistics.clone().expect("it was given");
    assert_eq!(
        (storage.store_bytes, storage.write_failure.as_str()),
        (11, "the disk is full")
    );
    assert_eq!(storage.upkeep.map(|upkeep| (upkeep.done, upkeep.total)), Some((1, 2)));
    assert_eq!((wire.oldest_epoch, wire.read_only), (3, true));
    assert_eq!(wire.original_content(), pb::OriginalContent::Keep);
    let retention = wire.retention_configuration.expect("it is always sent");
    assert_eq!(retention.age.map(|age| age.seconds), Some(7 * 24 * 3_600));
    assert_eq!(wire.status(), pb::KnowledgeBaseStatus::Failed);
    assert_eq!((wire.epoch, wire.dimensions, wire.chunk_count), (7, 384, 5));
    let created = wire.created_at.expect("it was created");
    assert_eq!((created.seconds, created.nanos), (1, 500_000_000));
}

/// A hit in the document `ÄÖ Grüße. Ça va.`, from byte 5 on.
fn found() -> Hit {
    Hit {
        chunk_id: ChunkId(0x2a),
        revision_id: 1,
        document_id: DocumentId::parse("doc").expect("it is valid"),
        content_hash: "hash".to_owned(),
        title: None,
        source_name: "doc.txt".to_owned(),
        heading_path: vec!["Top".to_owned()],
        page: None,
        span: ByteSpan::new(5, 22),
        code_point_start: 3,
        text: "Grüße. Ça va.".to_owned(),
        metadata: BTreeMap::from([("year".to_owned(), MetadataValue::Number(2024.0))]),
        score: 0.5,
        bm25: Some(LegScore {
            rank: None,
            raw: 3.0,
            normalized: 1.0,
        }),
        cosine: None,
        context: None,
        folded: Vec::new(),
        highlights: Vec::new(),
        explanation: None,
    }
}

#[test]
fn hit_counts_bytes_and_code_points() {
    let wire = hit(found());
    assert_eq!(wire.chunk_id, "chunk-0000002a");
    let location = wire.location.expect("it stands somewhere");
    assert_eq!((location.title.as_str(), location.page), ("", 0));
    let expected = pb::Span {
        start: 5,
        end: 22,
        code_point_start: 3,
        code_point_end: 16,
    };
    assert_eq!(location.span, Some(expected));
    assert_eq!(wire.bm25.map(|leg| leg.rank), Some(0));
    assert_eq!(wire.cosine, None);
    let year = wire.metadata.get("year").and_then(|value| value.kind.clone());
    assert_eq!(year, Some(Kind::NumberValue(2024.0)));
}

fn citation(source_span: ByteSpan) -> Citation {
    Citation {
        reference_number: 1,
        answer_span: ByteSpan::new(6, 16),
        answer_text: "Über. [1]".to_owned(),
        source_span,
        source_text: "Ça va.".to_owned(),
        support: 0.9,
        origin: CitationOrigin::Attributed,
    }
}

fn answering() -> AnswerMessages {
    let mut messages = AnswerMessages::default();
    let references = AnswerEvent::References(vec![Reference {
        number: 1,
        hit: found(),
    }]);
    assert!(messages.event(references).is_some());
    for text in ["Gru", "ß! ", "Über. [1]"] {
        assert!(messages.event(AnswerEvent::Text(text.to_owned())).is_some());
    }
    messages
}

#[test]
fn citation_ranges_count_in_their_own_texts() {
    let mut messages = answering();
    let message = messages
        .event(AnswerEvent::Citation(citation(ByteSpan::new(14, 21))))
        .expect("its passage was offered");
    let Some(Event::Citation(wire)) = message.event else {
        panic!("a citation became something else");
    };
    let source = pb::Span {
        start: 14,
        end: 21,
        code_point_start: 10,
        code_point_end: 16,
    };
    assert_eq!(wire.source_span, Some(source));
    let answer = wire.answer_span.expect("it is in the answer");
    assert_eq!((answer.code_point_start, answer.code_point_end), (5, 14));
    assert_eq!(
        (wire.chunk_id.as_str(), wire.document_id.as_str()),
        ("chunk-0000002a", "doc")
    );
    assert_eq!(wire.origin(), pb::CitationOrigin::Attributed);
}

#[test]
fn dangling_citation_is_left_out() {
    let mut messages = answering();
    // Before the passage, behind it, and inside a character of it.
    for (start, end) in [(0, 4), (90, 99), (8, 20)] {
        let dangling = citation(ByteSpan::new(start, end));
        assert_eq!(messages.event(AnswerEvent::Citation(dangling)), None);
    }
    let unknown = Citation {
        reference_number: 2,
        ..citation(ByteSpan::new(14, 21))
    };
    assert_eq!(messages.event(AnswerEvent::Citation(unknown)), None);
}

#[test]
fn summary_adds_up_usage_and_time() {
    let millis = Duration::from_millis;
    let wire = pb::AnswerSummary::from(AnswerSummary {
        generation: GenerationSummary {
            stop_reason: StopReason::NoAnswer,
            no_answer_reason: Some(NoAnswerReason::NotSupported),
            input_tokens: 100,
            cached_tokens: 60,
            output_tokens: 20,
            prefill: millis(30),
            decode: millis(40),
            time_to_first_token: Some(millis(31)),
        },
        epoch: Epoch(4),
        model: Some(("tiny".to_owned(), "hash".to_owned())),
        seed: 5,
        times: StageTimes {
            queue: millis(1),
            embed: millis(2),
            search: millis(3),
            rerank: millis(4),
            transform: millis(5),
            total: millis(80),
        },
        current_epoch: Epoch(5),
        outdated_references: vec![2],
        implicit_filter: None,
        transformed_queries: Vec::new(),
    });
    assert_eq!(wire.stop_reason(), pb::StopReason::NoAnswer);
    assert_eq!(wire.no_answer_reason(), pb::NoAnswerReason::NotSupported);
    let usage = wire.usage.expect("usage is always sent");
    assert_eq!((usage.total_tokens, usage.cache_read_input_tokens), (120, 60));
    let metrics = wire.metrics.expect("times are always sent");
    assert_eq!(metrics.time_to_first_token_micros, 46_000);
    assert_eq!((metrics.rerank_micros, metrics.transform_micros), (4_000, 5_000));
    assert_eq!((metrics.prefill_micros, metrics.total_micros), (30_000, 80_000));
    assert_eq!((wire.model_id.as_str(), wire.model_hash.as_str()), ("tiny", "hash"));
    assert_eq!((wire.epoch, wire.current_epoch), (4, 5));
    assert_eq!(wire.outdated_reference_numbers, [2]);
}

proptest! {
    #[test]
    fn code_points_of_spans_slice_the_same_text(before in ".{0,20}", inside in ".{0,20}") {
        let document = format!("{before}{inside}");
        let bytes = ByteSpan::new(before.len(), document.len());
        let wire = span(bytes, before.chars().count(), &inside);
        let taken: String = document
            .chars()
            .skip(wire.code_point_start as usize)
            .take((wire.code_point_end - wire.code_point_start) as usize)
            .collect();
        prop_assert_eq!(Some(taken.as_str()), bytes.of(&document));
    }
}

#[test]
fn every_operator_and_kind_comes_over() {
    type Make = fn(pb::FilterAttribute) -> Condition;
    type Made = fn(String, MetadataValue) -> Filter;
    let operators: [(Make, Made); 11] = [
        (Condition::Equals, Filter::Equals),
        (Condition::NotEquals, Filter::NotEquals),
        (Condition::GreaterThan, Filter::GreaterThan),
        (Condition::GreaterThanOrEquals, Filter::GreaterThanOrEquals),
        (Condition::LessThan, Filter::LessThan),
        (Condition::LessThanOrEquals, Filter::LessThanOrEquals),
        (Condition::In, Filter::In),
        (Condition::NotIn, Filter::NotIn),
        (Condition::StartsWith, Filter::StartsWith),
        (Condition::ListContains, Filter::ListContains),
        (Condition::StringContains, Filter::StringContains),
    ];
    let kinds = [
        Kind::StringValue("x".to_owned()),
        Kind::NumberValue(1.5),
        Kind::BooleanValue(true),
        Kind::StringListValue(pb::StringList {
            values: vec!["x".to_owned()],
        }),
        Kind::TimestampValue(prost_types::Timestamp { seconds: -1, nanos: 5 }),
        Kind::NumberListValue(pb::NumberList { values: vec![1.5] }),
    ];
    for (make, made) in operators {
        let mut taken = 0;
        for kind in &kinds {
            let wire = pb::MetadataValue {
                kind: Some(kind.clone()),
            };
            let value = super::metadata::value("value", wire.clone()).expect("it is valid");
            let back = super::metadata::wire_attributes([("a".to_owned(), value.clone())].into());
            assert_eq!(back["a"], wire, "it comes back");
            let condition = condition(make(pb::FilterAttribute {
                key: "a".to_owned(),
                value: Some(wire),
            }));
            if let Ok(query) = filtered(condition) {
                taken += 1;
                assert_eq!(query.filter, Some(made("a".to_owned(), value)));
            }
        }
        assert!(taken > 0);
    }
    let not_there = Condition::Not(Box::new(condition(Condition::Exists("a".to_owned()))));
    let query = filtered(condition(not_there)).expect("it is valid");
    let expected = Filter::Not(Box::new(Filter::Exists("a".to_owned())));
    assert_eq!(query.filter, Some(expected));
    check(
        filtered(condition(Condition::Exists(String::new()))),
        &format!("{SEARCH}.filter.exists"),
        "1 to 100 bytes",
    );
    let no_date = pb::FilterAttribute {
        key: "a".to_owned(),
        value: Some(pb::MetadataValue {
            kind: Some(Kind::TimestampValue(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            })),
        }),
    };
    check(
        filtered(condition(Condition::Equals(no_date))),
        &format!("{SEARCH}.filter.equals.value.timestamp_value"),
        "years 1 to 9999",
    );
}

#[test]
fn numbers_that_json_cannot_hold_are_refused() {
    use prost_types::value::Kind as JsonKind;

    use super::structured::{tool_result, tool_use};
    use crate::service::pb::tool_result_content_block::Content;

    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let of = |kind| prost_types::Value { kind: Some(kind) };
        let list = of(JsonKind::ListValue(prost_types::ListValue {
            values: vec![of(JsonKind::NumberValue(number))],
        }));
        let result = pb::ToolResultBlock {
            content: vec![pb::ToolResultContentBlock {
                content: Some(Content::Json(list.clone())),
            }],
            ..pb::ToolResultBlock::default()
        };
        check(
            tool_result("result", result),
            "result.content[0].json",
            "which JSON cannot",
        );
        let call = pb::ToolUseBlock {
            input: Some(prost_types::Struct {
                fields: [("depth".to_owned(), list)].into(),
            }),
            ..pb::ToolUseBlock::default()
        };
        check(tool_use("call", call), "call.input", "which JSON cannot");
    }
}

#[test]
fn access_and_schema_come_and_go() {
    use super::access::{access_list, caller, wire_access_list};
    use super::schema::{metadata_schema, wire_metadata_schema};
    let wire = pb::AccessList {
        allow_users: vec!["ann".to_owned()],
        deny_groups: vec!["interns".to_owned()],
        ..pb::AccessList::default()
    };
    let list = access_list("access", Some(wire.clone())).expect("it is valid");
    assert_eq!(wire_access_list(list), Some(wire));
    assert!(access_list("access", None).is_ok_and(|list| list.is_open()));
    assert_eq!(wire_access_list(AccessList::default()), None);
    let nameless = pb::AccessList {
        deny_users: vec![String::new()],
        ..pb::AccessList::default()
    };
    check(access_list("access", Some(nameless)), "access", "1 to 256 bytes");
    check(
        caller(Some(pb::UserContext::default())),
        "user_context",
        "neither a user nor a group",
    );
    assert!(matches!(caller(None), Ok(None)));

    let attribute = |kind: pb::MetadataType| pb::MetadataAttribute {
        key: "year".to_owned(),
        r#type: kind.into(),
        description: "when it came out".to_owned(),
    };
    let wire = pb::MetadataSchema {
        attributes: vec![attribute(pb::MetadataType::Number)],
        strict: true,
    };
    let schema = metadata_schema(wire.clone()).expect("it is valid");
    assert_eq!(schema.kind("year"), Some(AttributeType::Number));
    assert_eq!(wire_metadata_schema(schema), Some(wire));
    assert_eq!(wire_metadata_schema(MetadataSchema::default()), None);
    let untyped = pb::MetadataSchema {
        attributes: vec![attribute(pb::MetadataType::Unspecified)],
        strict: false,
    };
    check(
        metadata_schema(untyped),
        "metadata_schema.attributes[0].type",
        "required",
    );
}
