//! Tests of options, explanations and batches on the wire.

use super::*;
use crate::index::{TermField, TermPart};
use crate::knowledge_base::{BatchRetrieval, FoundHits, Missing, MissingStage, SuggestedChange, Suggestion};
use crate::retrieve::stage::{AppliedBoost, DiversityEffect, RecencyEffect, RerankEffect};
use crate::retrieve::{
    Boost, Context, Expansion, Explanation, Extent, FilterOutcome, FoldedHit, FusionMethod, Leg, LegPart, Options,
    Recency, Rerank,
};
use crate::service::pb::context_expansion_configuration::Extent as WireExtent;

fn with(search: pb::VectorSearchConfiguration) -> Options {
    searched(search).expect("it is valid").options
}

fn draft() -> pb::RetrievalFilter {
    condition(Condition::Equals(year(2024.0)))
}

#[test]
fn absent_options_change_nothing() {
    assert_eq!(with(pb::VectorSearchConfiguration::default()), Options::default());
    assert!(!Options::default().has_stages());
}

#[test]
fn options_take_what_is_given() {
    let options = with(pb::VectorSearchConfiguration {
        fusion: pb::FusionMethod::ReciprocalRank.into(),
        candidates_per_leg: 30,
        reranking_configuration: Some(pb::RerankingConfiguration {
            r#type: pb::RerankingType::Unspecified.into(),
            number_of_reranked_results: 20,
            weight: Some(0.0),
        }),
        diversity: Some(pb::DiversityConfiguration { lambda: Some(0.0) }),
        grouping: Some(pb::GroupingConfiguration {
            max_chunks_per_document: 2,
        }),
        near_duplicates: Some(pb::NearDuplicateConfiguration { similarity: Some(1.0) }),
        context_expansion: Some(pb::ContextExpansionConfiguration {
            extent: Some(WireExtent::Neighbors(3)),
            max_bytes: 300,
        }),
        boosts: vec![pb::ScoreBoost {
            filter: Some(draft()),
            factor: 2.5,
        }],
        recency: Some(pb::RecencyConfiguration {
            attribute_key: "date".to_owned(),
            half_life: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            floor: Some(0.0),
        }),
        highlight: true,
        ..pb::VectorSearchConfiguration::default()
    });
    let expected = Options {
        implicit_filter: None,
        transformation: None,
        fusion: FusionMethod::ReciprocalRank,
        candidates_per_leg: Some(30),
        rerank: Some(Rerank {
            count: Some(20),
            weight: 0.0,
        }),
        diversity: Some(0.0),
        chunks_per_document: Some(2),
        near_duplicates: Some(1.0),
        expansion: Some(Expansion {
            extent: Extent::Neighbors(3),
            max_bytes: 300,
        }),
        boosts: vec![Boost {
            filter: Filter::Equals("year".to_owned(), MetadataValue::Number(2024.0)),
            factor: 2.5,
        }],
        recency: Some(Recency {
            attribute_key: "date".to_owned(),
            half_life: Duration::from_mins(1),
            floor: 0.0,
        }),
        highlight: true,
    };
    assert_eq!(options, expected);
}

#[test]
fn empty_options_take_their_defaults() {
    let options = with(pb::VectorSearchConfiguration {
        diversity: Some(pb::DiversityConfiguration::default()),
        grouping: Some(pb::GroupingConfiguration::default()),
        near_duplicates: Some(pb::NearDuplicateConfiguration::default()),
        context_expansion: Some(pb::ContextExpansionConfiguration {
            extent: Some(WireExtent::Section(true)),
            max_bytes: 0,
        }),
        ..pb::VectorSearchConfiguration::default()
    });
    assert_eq!(
        (options.diversity, options.chunks_per_document, options.near_duplicates),
        (Some(0.5), Some(1), Some(0.9))
    );
    let expansion = options.expansion.expect("it is asked for");
    assert_eq!((expansion.extent, expansion.max_bytes), (Extent::Section, 8_192));
    let nothing = pb::ContextExpansionConfiguration::default();
    let options = with(pb::VectorSearchConfiguration {
        context_expansion: Some(nothing),
        ..pb::VectorSearchConfiguration::default()
    });
    assert_eq!(options.expansion, None);
}

#[test]
fn bad_options_name_their_field() {
    let search = pb::VectorSearchConfiguration::default;
    let boost = |filter, factor| pb::VectorSearchConfiguration {
        boosts: vec![pb::ScoreBoost { filter, factor }],
        ..search()
    };
    let rerank = |number, number_of_reranked_results, weight| pb::VectorSearchConfiguration {
        reranking_configuration: Some(pb::RerankingConfiguration {
            r#type: number,
            number_of_reranked_results,
            weight,
        }),
        ..search()
    };
    let recency = |half_life| pb::VectorSearchConfiguration {
        recency: Some(pb::RecencyConfiguration {
            attribute_key: "date".to_owned(),
            half_life,
            floor: None,
        }),
        ..search()
    };
    let negative = prost_types::Duration { seconds: -1, nanos: 0 };
    let cases = [
        (pb::VectorSearchConfiguration { fusion: 9, ..search() }, "fusion", "9"),
        (
            pb::VectorSearchConfiguration {
                candidates_per_leg: 1_001,
                ..search()
            },
            "candidates_per_leg",
            "1001",
        ),
        (rerank(9, 0, None), "reranking_configuration.type", "9"),
        (
            rerank(0, 101, None),
            "reranking_configuration.number_of_reranked_results",
            "101",
        ),
        (rerank(1, 0, Some(1.5)), "reranking_configuration.weight", "1.5"),
        (boost(None, 1.0), "boosts[0].filter", "required"),
        (boost(Some(draft()), 0.0), "boosts[0].factor", "above 0"),
        (
            boost(Some(pb::RetrievalFilter::default()), 1.0),
            "boosts[0].filter.condition",
            "exactly one",
        ),
        (recency(None), "recency.half_life", "required"),
        (recency(Some(negative)), "recency.half_life", "above 0"),
    ];
    for (search, field, part) in cases {
        check(searched(search), &format!("{SEARCH}.{field}"), part);
    }
}

#[test]
fn hits_carry_context_highlights_and_folded_chunks() {
    let mut found = found();
    found.highlights = vec![ByteSpan::new(5, 12), ByteSpan::new(14, 17)];
    found.context = Some(Context {
        span: ByteSpan::new(0, 22),
        code_point_start: 0,
        text: "ÄÖ Grüße. Ça va.".to_owned(),
    });
    found.folded = vec![FoldedHit {
        chunk_id: ChunkId(7),
        document_id: DocumentId::parse("other").expect("it is valid"),
        score: 0.4,
        similarity: 0.95,
    }];
    let wire = hit(found);
    let points: Vec<_> = wire
        .highlights
        .iter()
        .map(|place| (place.code_point_start, place.code_point_end))
        .collect();
    assert_eq!(points, [(3, 8), (10, 12)]);
    let context = wire.context.expect("it was expanded");
    assert_eq!(context.span.map(|span| span.code_point_end), Some(16));
    assert_eq!(wire.folded_chunks[0].document_id, "other");
}

#[test]
fn explanations_say_every_part() {
    let mut found = found();
    let score = LegScore {
        rank: Some(2),
        raw: 3.0,
        normalized: 1.0,
    };
    found.explanation = Some(Box::new(Explanation {
        rank: 1,
        fused_rank: 4,
        candidate_count: 20,
        fusion: Some(FusionMethod::WeightedSum),
        legs: vec![LegPart {
            leg: Leg::Keyword,
            score,
            weight: 0.25,
            contribution: 0.25,
        }],
        fused_score: 0.25,
        transformation: None,
        rerank: Some(RerankEffect {
            place_before: 4,
            place: 1,
            relevance: Some(0.5),
            weight: 0.8,
            score: 0.45,
        }),
        terms: vec![TermPart {
            term: "grus".to_owned(),
            field: TermField::Heading,
            frequency: 2,
            chunk_frequency: 3,
            idf: 1.5,
            weight: 0.5,
            score: 3.0,
        }],
        boosts: vec![AppliedBoost {
            index: 1,
            multiplier: 2.0,
        }],
        recency: Some(RecencyEffect {
            age: Some(Duration::from_secs(5)),
            multiplier: 0.5,
        }),
        diversity: Some(DiversityEffect {
            relevance: 1.0,
            similarity: 0.5,
            similar_to: Some(ChunkId(9)),
            penalty: 0.25,
            marginal_relevance: 0.25,
        }),
        filter: vec![FilterOutcome {
            path: "filter".to_owned(),
            accepted: true,
        }],
    }));
    let wire = hit(found).explanation.expect("it was asked for");
    assert_eq!((wire.rank, wire.fused_rank, wire.candidate_count), (1, 4, 20));
    assert_eq!(wire.fusion(), pb::FusionMethod::WeightedSum);
    assert_eq!((wire.legs[0].leg(), wire.legs[0].rank), (pb::SearchLeg::Keyword, 2));
    assert_eq!(wire.terms[0].field(), pb::TermField::Heading);
    assert_eq!(wire.boosts[0].index, 1);
    let recency = wire.recency.expect("it faded");
    assert_eq!(recency.age.map(|age| age.seconds), Some(5));
    assert_eq!(
        wire.diversity.expect("it was placed").similar_chunk_id,
        "chunk-00000009"
    );
    let rerank = wire.rerank.expect("it was reranked");
    assert_eq!(
        (rerank.place_before, rerank.place_after, rerank.relevance),
        (4, 1, Some(0.5))
    );
    assert!(wire.filter[0].accepted);
}

#[test]
fn one_bad_query_of_a_batch_has_its_own_error() {
    let bad = batch_query(pb::BatchRetrieveQuery::default());
    let good = batch_query(pb::BatchRetrieveQuery {
        retrieval_query: Some(words("what is it")),
        explain: true,
        ..pb::BatchRetrieveQuery::default()
    });
    assert!(good.expect("it is valid").explain);
    let known = |hits| FoundHits {
        hits,
        is_cached: true,
        ..FoundHits::default()
    };
    let wire = batch(BatchRetrieval {
        results: vec![Ok(known(vec![found()])), bad.map(|_| known(Vec::new()))],
        epoch: Epoch(3),
        times: StageTimes::default(),
    });
    assert_eq!((wire.results.len(), wire.epoch), (2, 3));
    assert_eq!((&wire.results[0].error, wire.results[0].cached), (&None, true));
    let error = wire.results[1].error.as_ref().expect("it has no words");
    assert_eq!(
        (error.code, error.reason.as_str(), error.field.as_str()),
        (3, "INVALID_FIELD", "retrieval_query")
    );
}

#[test]
fn missed_documents_and_chunks_are_named() {
    let request = |document_id: &str, chunk_id: &str| pb::ExplainMissingRequest {
        retrieval_query: Some(words("what is it")),
        document_id: document_id.to_owned(),
        chunk_id: chunk_id.to_owned(),
        ..pb::ExplainMissingRequest::default()
    };
    let question = missing_question(request("doc", "chunk-0000002a")).expect("it is valid");
    assert_eq!(question.chunk_id, Some(ChunkId(0x2a)));
    check(missing_question(request("", "")), "document_id", "");
    for id in ["42", "chunk-", "chunk-2a", "chunk-0000002A", "chunk-+000002a"] {
        check(missing_question(request("doc", id)), "chunk_id", "no id of a chunk");
    }
}

#[test]
fn missing_documents_say_what_helps() {
    let wire = missing(Missing {
        stage: MissingStage::CutOff,
        reason: "it is at place 9".to_owned(),
        chunk_id: Some(ChunkId(1)),
        rank: None,
        legs: Vec::new(),
        fused_rank: Some(9),
        rerank: None,
        score: 0.5,
        place_before_cut: Some(9),
        other: None,
        filter: Vec::new(),
        visible: Vec::new(),
        suggestions: vec![Suggestion {
            field: "number_of_results".to_owned(),
            change: SuggestedChange::AtLeast(9.0),
            text: "set it to 9".to_owned(),
        }],
        implicit_filter: None,
        epoch: Epoch(2),
    });
    assert_eq!((wire.stage(), wire.place_before_cut), (pb::MissingStage::CutOff, 9));
    let suggestion = &wire.suggestions[0];
    assert_eq!(suggestion.change(), pb::SuggestedChange::AtLeast);
    assert!((suggestion.number - 9.0).abs() < f64::EPSILON);
}
